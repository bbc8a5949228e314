"""The next space, proposed from a population."""
