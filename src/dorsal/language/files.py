"""Paths as people give them, and the text files that they write: networks, recipes, spaces, questions, class names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dorsal.language.reader import wrong_type

if TYPE_CHECKING:
    from pathlib import Path

PathLike = str | os.PathLike[str]


def at_home(text: str) -> str:
    """`text` with a leading `~` or `~user` replaced by that home, if there is one."""
    return os.path.expanduser(text)  # noqa: PTH111 - Path turns ./scenes into scenes, and raises RuntimeError for ~nobody


def as_path(argument: str, value: PathLike) -> Path:
    """A path by its text or value; `~` is the home folder. Raises TypeError naming the argument for anything else."""
    from pathlib import Path  # here, as `dorsal list` starts without it

    if not isinstance(value, (str, os.PathLike)):
        raise wrong_type(argument, value, "a path, as a text or a pathlib.Path")
    return Path(at_home(os.fspath(value)))


def read_text_file(what: str, name: str) -> str:
    """The text of the file `name`, called `what` in errors. `~` is the home folder; a byte-order mark is left out.

    Raises ValueError where there is no such file, it cannot be read, or it is not UTF-8.
    """
    from pathlib import Path  # here, as `dorsal list` starts without it

    path = Path(at_home(name))
    if not path.is_file():
        raise ValueError(f"{what} {name!r} {no_file(path)}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {name!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"{what} {name!r} cannot be read: {error.strerror or error}") from None


def no_file(path: Path) -> str:
    """Why a path that is no file is none."""
    return "is a folder" if is_folder(path) else "does not exist"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    import hashlib  # here, as `dorsal list` starts without it

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder as far as one may see: `Path.is_dir` raises where a parent is closed."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether `path` is a file as far as one may see."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_folder(field: str, folder: Path) -> None:
    """Raises ValueError where a folder that is to be written into is a file."""
    if is_file(folder):
        raise ValueError(f"{field}={str(folder)!r} is a file; name a folder")


FOLDERS = {
    "bundle.json": "a deployed model",
    "choice.json": "a choice of weights",
    "data_sets.json": "a comparison on several data sets",
    "model.json": "a model",
    "scores.json": "scores of models",
    "search.json": "a search",
    "spaces.json": "a population",
    "study.json": "a study",
}
"""What the folder is of that has this file, the most telling first."""


def absence(folder: Path, file: str) -> str:
    """Why there is no `file` in a folder: what there is instead."""
    if not is_folder(folder):
        return "it is a file" if is_file(folder) else "there is no such folder"
    beside = ("search.json", "spaces.json") if file == "study.json" else ()  # where it would be itself
    found = next((what for name, what in FOLDERS.items() if name not in beside and is_file(folder / name)), "")
    if found == "a study":  # of another kind, or damaged
        return f"it is the folder of a study without {file}"
    return f"it is the folder of {found}" if found else f"there is no {file} in it"
