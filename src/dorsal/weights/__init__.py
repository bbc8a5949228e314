"""Weights on disk: safetensors beside a JSON card that says what they are."""
