"""A population as tables, files and a page."""
