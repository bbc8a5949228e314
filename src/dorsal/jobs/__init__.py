"""Runs made anywhere, and what came of them kept: engines, store, forecast, resources."""
