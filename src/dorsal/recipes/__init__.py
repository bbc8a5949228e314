"""HOW a model is trained, as data: the recipe, its text, the named ones. No torch."""
