"""A comparison as tables, files and a page."""
