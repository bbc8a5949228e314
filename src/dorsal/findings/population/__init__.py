"""What a population shows."""
