"""Models scored on images: the question, and what came of it."""
