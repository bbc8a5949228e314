"""A choice of weights: on the terminal, as files, and as a page."""
