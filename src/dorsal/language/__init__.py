"""The small language that all texts share: calls and values, near matches, amounts, durations."""
