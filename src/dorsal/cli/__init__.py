"""The command line: one file a verb, thin."""

from dorsal.cli.app import main

__all__ = ["main"]
