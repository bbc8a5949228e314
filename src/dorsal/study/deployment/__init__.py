"""A model in all forms that this machine can run: the fastest that is right is kept."""
