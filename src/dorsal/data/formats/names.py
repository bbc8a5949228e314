"""Names that files list, of classes or of images, or that a format has by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dorsal.data.errors import DataError, shown
from dorsal.data.formats.problems import Problem
from dorsal.language.files import is_file, read_text_file

CAMVID = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
"""The classes of CamVid as SegNet's authors number them; 11 is unlabelled."""

VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
"""The classes of Pascal VOC, with a space between, numbered from 1 in label images."""

_FILES = ("names.txt", "classes.txt", "labels.txt", "codes.txt")


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a text file, of classes or of files, one a line; empty lines are passed over.

    Raises DataError where it cannot be read.
    """
    try:
        text = read_text_file("the file of names", str(path))
    except ValueError as error:
        raise DataError(shown(path.parent), [str(error)]) from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def each_once(path: Path, listed: Sequence[str], problems: list[Problem]) -> tuple[str, ...]:
    """The images that a file lists, each once. Adds those that are there twice to `problems`."""
    times = Counter(listed)
    for image, often in times.items():
        if often > 1:
            problems.append(Problem("id-duplicate", shown(path), f"image {image}", f"is there {often} times"))
    return tuple(times)


def names_in(root: Path) -> Path | None:
    """The file in `root` that lists the names of classes, by its usual names; None if there is none."""
    return next((root / name for name in _FILES if is_file(root / name)), None)
