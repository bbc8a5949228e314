"""Weights to choose from: which are best for the images of a user."""
