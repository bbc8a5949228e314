"""A fitted model of latency, and what it predicts."""
