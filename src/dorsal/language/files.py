"""Text files that users write: networks, recipes, spaces, questions, class names."""

from __future__ import annotations


def read_text_file(what: str, name: str) -> str:
    """The text of the file `name`, called `what` in errors. `~` is the home folder; a byte-order mark is left out.

    Raises ValueError where there is no such file, it cannot be read, or it is not UTF-8.
    """
    from pathlib import Path  # here, as `dorsal list` starts without it

    path = Path(name).expanduser()
    if not path.is_file():
        raise ValueError(f"{what} {name!r} does not exist")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {name!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"{what} {name!r} cannot be read: {error.strerror or error}") from None
