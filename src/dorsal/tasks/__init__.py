"""What the loop asks of a task: a loss and a score. One folder a task."""
