"""The next design space, from the evidence of a population."""
