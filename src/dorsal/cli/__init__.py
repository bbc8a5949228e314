"""The command line: one file a verb, thin."""

from __future__ import annotations

from dorsal.cli.interrupts import stoppable


def main() -> None:
    """Runs the command line, which Ctrl-C ends at any moment."""
    with stoppable():
        from dorsal.cli.app import main as run

        run()
