"""Everything wrong with a data set as one error, and how its sentences write paths and near matches. No torch."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is read by default: Pillow's own limit, twice 1 GiB / 4 / 3."""


class DataError(ValueError):
    """Everything found wrong with a folder. The message shows the first `SHOWN` of `problems`, one on a line.

    `listed` is the file that lists all of them, None where there are no more than shown or no file could be written.
    """

    SHOWN = 20

    def __init__(self, path: str, problems: Sequence[str], listed: Path | None = None) -> None:
        self.path, self.problems, self.listed = path, tuple(problems), listed
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        shown = "".join(f"\n  {problem}" for problem in problems[: self.SHOWN])
        more = f"\n  and {len(problems) - self.SHOWN:,} more" if len(problems) > self.SHOWN else ""
        where = f"\n  all of them: {listed}" if listed else ""
        super().__init__(f"data='{path}' cannot be used, {count}:{shown}{more}{where}")

    def __reduce__(self) -> tuple[type[DataError], tuple[str, tuple[str, ...], Path | None]]:
        return DataError, (self.path, self.problems, self.listed)


def shown(path: str | os.PathLike[str]) -> str:
    """`path` for terminals and JSON files: bytes that are not UTF-8 appear as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def nearest(name: str, choices: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest of `choices`, or ""."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
