"""Training: a recipe (data), one visible loop, checkpoint and resume. Only `recipe` needs no torch."""
