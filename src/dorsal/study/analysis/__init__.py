"""What the errors of a population say of spaces, axes and the schedule. Pure; no torch."""
