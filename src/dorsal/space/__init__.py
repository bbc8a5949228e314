"""Design spaces as data: axes → space → sample → narrower space. Vectorised NumPy, no torch."""
