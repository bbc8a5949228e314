"""`dorsal compare` without its terminal: makes the comparison of a TOML file, one event a line on standard output."""

import signal
import sys
from pathlib import Path

import msgspec

from dorsal.study.compare import compare
from dorsal.study.comparison import from_toml
from dorsal.study.events import Event


def show(event: Event) -> None:
    print(type(event).__name__, msgspec.json.encode(event).decode(), flush=True)


if __name__ == "__main__":
    # Where the tests run as a background job of a shell, Ctrl-C is ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        compare(from_toml(Path(sys.argv[1]).read_text(encoding="utf-8")), on_event=show)
    except ValueError as error:
        sys.exit(f"refused: {error}")
