"""A search as tables, files and a page."""
