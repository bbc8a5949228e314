"""What the results of a study say: pure functions from records to data."""
