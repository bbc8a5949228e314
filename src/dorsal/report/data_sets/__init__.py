"""A comparison on several data sets as a page, on the terminal, and as results.json."""
