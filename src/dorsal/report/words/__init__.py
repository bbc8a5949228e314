"""All English that is made of findings: sentences for the terminal, the pages and the JSON files."""
