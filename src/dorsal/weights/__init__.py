"""Weights on disk, published or your own, and networks made with them."""
