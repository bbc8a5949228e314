"""What becomes of each form of a model, for people."""
