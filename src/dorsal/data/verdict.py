"""What a check says of a data set, without opening it for anything."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

import msgspec

from dorsal.data.dataset import open_annotated, open_data
from dorsal.data.decode import SUFFIXES
from dorsal.data.entries import examine, open_examined
from dorsal.data.errors import DataError
from dorsal.data.formats.problems import Problem
from dorsal.data.progress import Progress
from dorsal.data.spec import Annotated, DataSpec, Folder, Scenes, no_labels
from dorsal.language.files import is_file
from dorsal.spec.task import Kind

_LABEL: frozenset[Kind] = frozenset({"label"})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` are in the way of training, `notes` are not. `summary` says what there is to learn from, "" where
    there are problems; `fingerprint` is that of the opened data."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    summary: str = ""
    fingerprint: str = ""


def check_data(spec: DataSpec, kinds: frozenset[Kind], on_progress: Progress | None = None) -> Verdict:
    """Checks data for a task that needs these kinds. Training makes the same check.

    Raises ValueError, naming data sets that have them, where the data cannot have a kind.
    """
    try:
        match spec:
            case Annotated():
                return _of_annotated(spec, kinds, on_progress)
            case Folder() | Scenes():
                opened = open_data(spec, on_progress=on_progress) if kinds == _LABEL else open_annotated(spec, kinds)
            case _:
                assert_never(spec)
    except DataError as error:
        return Verdict(problems=tuple(map(_problem, error.problems)))
    return Verdict(notes=opened.notes, summary=opened.summary, fingerprint=opened.fingerprint)


def _of_annotated(spec: Annotated, kinds: frozenset[Kind], on_progress: Progress | None) -> Verdict:
    if "label" in kinds:
        raise ValueError(no_labels(spec))
    found = examine(spec, kinds, on_progress)
    if found.checked.problems:
        return Verdict(problems=found.checked.problems, notes=found.checked.notes)
    opened = open_examined(spec, found)
    return Verdict(notes=opened.notes, summary=opened.summary, fingerprint=opened.fingerprint)


def _problem(text: str) -> Problem:
    """A problem that is told as a path, a colon and a sentence: of one image, or of how folders and files lie."""
    where, colon, found = text.partition(": ")
    if not colon:
        return Problem("layout", "", "", text)
    path = Path(where)
    image = is_file(path) and path.suffix.lower() in SUFFIXES
    return Problem("image-unreadable" if image else "layout", where, "", found)
