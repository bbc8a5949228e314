"""Two networks under two recipes, and the seconds that an epoch of each takes."""

SECONDS = {("small", "plain"): 2.0, ("small", "tricks"): 3.0, ("wide", "plain"): 4.0, ("wide", "tricks"): 6.0}
ROUND = 5 * sum(SECONDS.values())
"""A run of each; the recipes have five epochs."""
