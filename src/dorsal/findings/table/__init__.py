"""What a table of scores shows that others made: reading it, and its statistics."""
