"""Comparisons: what was asked, the runs it takes, the processes that make them, and the store that keeps them."""
