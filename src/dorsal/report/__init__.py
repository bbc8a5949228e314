"""What a study shows: analysed once, then rendered on the terminal, as files and as one page."""
