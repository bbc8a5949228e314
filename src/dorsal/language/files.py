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
        raise ValueError(f"{what} {name!r} does not exist")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {name!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"{what} {name!r} cannot be read: {error.strerror or error}") from None
