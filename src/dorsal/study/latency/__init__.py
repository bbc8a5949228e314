"""Latency of sampled networks: measured, fitted to their costs, predicted."""
