"""How a network runs: torch modules made from the layer records."""
