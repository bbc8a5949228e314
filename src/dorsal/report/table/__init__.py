"""A table of scores: on the terminal, as files, and as a page."""
