"""WHAT the data are: frozen records and the text that names them. No torch, no pixels.

    scenes                      the embedded default, see `Scenes`
    scenes(size=64, train=2000)
    photos                      a folder of class folders, see `Folder`
    photos(size=160, val_fraction=0.1)

The word `scenes` always means the embedded set; a folder of that name is written `./scenes`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from dorsal.language.files import at_home, is_file, is_folder
from dorsal.language.reader import read_closed, wrong_type

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


class Scenes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="scenes"):
    """Small colour scenes, each holding whole handwritten digits among clutter; see `dorsal.data.scenes`.

    `size` is the side of the square scene in pixels; `train` and `val` are numbers of scenes. `channels` is 3 for
    colour, 1 for the same scenes in grey. The longer side of a digit is a share of `size`, `smallest` to `largest`.
    `fragments` is the number of pieces of other digits in a scene. A scene has one digit, or from one up to `digits`,
    each in a quarter of its own; then their sides are shares of half of `size`.

    5,000 real digits stand behind the scenes, 500 a class. `held_out` of each class are for validation, the others for
    training. Up to those numbers every scene has a digit of its own; beyond, digits return in other scenes.

    Raises ValueError when a field is out of range.
    """

    seed: int = 0
    size: int = 32
    train: int = 3000
    val: int = 2000
    channels: int = 3
    smallest: float = 0.9
    largest: float = 1.0
    fragments: int = 1
    held_out: int = 200
    digits: int = 1

    def __post_init__(self) -> None:
        _check_range("seed", self.seed, 0, 2**32 - 1)
        _check_range("size", self.size, 32, 256)
        _check_range("train", self.train, 10, 100_000)
        _check_range("val", self.val, 10, 100_000)
        if self.channels not in (1, 3):
            raise ValueError(f"channels={self.channels} is neither 1 (grey) nor 3 (colour); nearest valid: 3")
        _check_range("smallest", self.smallest, 0.1, 1.0)
        _check_range("largest", self.largest, 0.1, 1.0)
        if self.smallest > self.largest:
            largest = f"{self.largest:g}"
            raise ValueError(
                f"smallest={self.smallest:g} is above largest={largest}; nearest valid: smallest={largest}"
            )
        _check_range("fragments", self.fragments, 0, 16)
        _check_range("held_out", self.held_out, 1, 499)
        _check_range("digits", self.digits, 1, 4)

    def describe(self) -> str:
        """One line for reports."""
        grey = "" if self.channels == 3 else "grey "
        digits = "one handwritten digit" if self.digits == 1 else f"1 to {self.digits} handwritten digits"
        return (
            f"{self.train:,} training and {self.val:,} validation {grey}scenes of {self.size}x{self.size} px, "
            f"each with {digits} (10 classes) among clutter, seed {self.seed}"
        )


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="folder"):
    """A folder of class folders: `train/<class>/*` with `val/<class>/*`, or `<class>/*`, which training splits.

    `path` may begin with `~`. `size` is the side in pixels of the square that the network sees. `val_fraction` is the
    share of each class that is held out, and `seed` chooses which images; neither is used if the folder has its own
    `train` and `val`. `normalization` is measured on the training split or ImageNet's published figures. `channels` is
    the number of channels of each image: 3 for colour, 1 for grey; with any other number files must have exactly that
    number (images of four bands, `.npy` arrays [H, W, channels]). Images of more than `max_pixels` are refused.

    Raises ValueError when a field is out of range. Whether the folder is sound is found when it is opened.
    """

    path: str
    size: int = 224
    val_fraction: float = 0.2
    seed: int = 0
    normalization: Literal["measured", "imagenet"] = "measured"
    channels: int = 3
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        path = at_home(os.fspath(self.path))
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"data='{shown(path)}' is not valid UTF-8, so no record could name it; rename it"
            ) from None
        msgspec.structs.force_setattr(self, "path", path)
        _check_range("size", self.size, 8, 2048)
        _check_range("val_fraction", self.val_fraction, 0.01, 0.99)
        _check_range("seed", self.seed, 0, 2**32 - 1)
        _check_range("channels", self.channels, 1, 64)
        _check_range("max_pixels", self.max_pixels, 64, 10**10)
        if self.normalization not in ("measured", "imagenet"):
            raise ValueError(f"normalization={self.normalization!r} is neither 'measured' nor 'imagenet'")
        if self.normalization == "imagenet" and self.channels != 3:
            raise ValueError(
                f"normalization=imagenet has figures for 3 channels, not for channels={self.channels}; "
                "nearest valid: normalization=measured"
            )

    def describe(self) -> str:
        """One line for reports."""
        channels = "" if self.channels == 3 else f" in {self.channels} channel{'s' * (self.channels > 1)}"
        seen = f"seen at {self.size}x{self.size} px{channels}"
        return f"images of class folders under {self.path}, {seen}, seed {self.seed}"


DataSpec = Scenes | Folder


def _names(kind: type[Scenes] | type[Folder]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if field.name != "path"]


DATA_HELP = (
    "The data: scenes, or a folder of class folders such as photos; fields in brackets, as in scenes(size=64) or "
    f"photos(size=160, val_fraction=0.1). Fields of scenes: {', '.join(_names(Scenes))}. Fields of a folder: "
    f"{', '.join(_names(Folder))}."
)
"""What `--data` takes, for the help text of every verb that has it."""


def data_spec(data: DataSpec | str | os.PathLike[str]) -> DataSpec:
    """Returns `data` itself if it is a record, else the record that its text or path names. A path is always a folder.

    Raises ValueError as `parse_data` does, and TypeError for anything else.
    """
    match data:
        case Scenes() | Folder():
            return data
        case str():
            return parse_data(data)
        case os.PathLike():
            return _folder(os.fspath(data), {})
    raise wrong_type(
        "data", data, "a text such as 'scenes' or 'photos(size=160)', a path, or a record of dorsal.data.spec"
    )


def parse_data(text: str) -> DataSpec:
    """Reads `text`, as the module's docstring shows it, into a record.

    Raises ValueError when the text is malformed, names an unknown field, gives a value that does not fit, or
    names neither `scenes` nor an existing folder. If the whole text is the name of a folder, brackets and all, it is
    that folder.
    """
    text = text.strip()
    if text not in ("", "scenes") and is_folder(Path(at_home(text))):
        return Folder(text)
    return read_closed(text, _read)


def _read(text: str) -> DataSpec:
    match = re.fullmatch(r"(?P<name>.+?)\s*(?:\((?P<fields>[^()]*)\))?", text, re.DOTALL)
    if match is None or match["name"].count("(") != match["name"].count(")"):
        raise ValueError(f"data={text!r} is not of the form name or name(field=value, ...)")
    name, fields = match["name"], match["fields"] or ""
    if name == "scenes":
        return Scenes(**_parse_fields(fields, Scenes))
    return _folder(name, _parse_fields(fields, Folder))


def data_text(_: str, data: DataSpec | os.PathLike[str]) -> str:
    """The text that `parse_data` reads as these data. Raises ValueError and TypeError as `data_spec` does."""
    return format_data(data_spec(data))


def format_data(spec: DataSpec) -> str:
    """Text that `parse_data` reads as this record. Fields at their defaults are left out."""
    name = "scenes"
    if isinstance(spec, Folder):
        name = "./scenes" if spec.path == "scenes" else spec.path
    fields = (field for field in msgspec.structs.fields(spec) if field.name != "path")
    set_here = [f"{f.name}={getattr(spec, f.name)}" for f in fields if getattr(spec, f.name) != f.default]
    return f"{name}({', '.join(set_here)})" if set_here else name


def _folder(name: str, fields: dict[str, Any]) -> Folder:
    path = Path(at_home(name))
    if not is_folder(path):
        what = (
            "is a file, not a folder of class folders"
            if is_file(path)
            else "is neither 'scenes' nor an existing folder"
        )
        raise ValueError(f"data='{shown(name)}' {what}{_meant(path)}")
    return Folder(name, **fields)


def _parse_fields(text: str, kind: type[Scenes] | type[Folder]) -> dict[str, Any]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind) if field.name != "path"}
    values: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"{item!r} is not of the form field=value; fields of data: {', '.join(types)}")
        if name not in types:
            raise ValueError(f"data have no field {name!r}{nearest(name, types)}; fields are {', '.join(types)}")
        if name in values:
            raise ValueError(f"{name} is given twice, as {values[name]} and {value}")
        try:
            values[name] = msgspec.convert(value.strip("'\""), types[name], strict=False)
        except msgspec.ValidationError:
            valid = get_args(types[name])
            wanted = f"one of {', '.join(valid)}" if valid else "a whole number" if types[name] is int else "a number"
            raise ValueError(f"{name}={value!r} is not {wanted}{nearest(value, valid)}") from None
    return values


def _check_range(field: str, value: float, low: float, high: float) -> None:
    kind = type(low)
    if not isinstance(value, kind | int) or isinstance(value, bool):
        raise ValueError(f"{field}={value!r} is not {'a number' if kind is float else 'a whole number'}")
    if not low <= value <= high:
        bound = low if value < low else high
        raise ValueError(f"{field}={value} is out of range {low} to {high}; nearest valid: {bound}")


def _meant(path: Path) -> str:
    """`; did you mean ...?` with the folder nearest to `path`, else the folders there are, or ""."""
    lost = next(part for part in (*reversed(path.parents), path) if not is_folder(part))
    names = _folders(lost.parent)
    lower = {name.casefold(): name for name in (*names, *(["scenes"] if str(path) == path.name else []))}
    close = difflib.get_close_matches(lost.name.casefold(), lower, n=1, cutoff=0.5)
    if close:
        found = lost.parent / lower[close[0]]
        whole = found / path.relative_to(lost)
        return f"; did you mean '{shown(whole if is_folder(whole) else found)}'?"
    listed = ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")
    return f"; folders in {shown(lost.parent)}: {listed}" if names else ""


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if is_folder(entry) and not entry.name.startswith("."))
    except OSError:
        return []


def shown(path: str | os.PathLike[str]) -> str:
    """`path` for terminals and JSON files: bytes that are not UTF-8 appear as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def nearest(name: str, choices: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest of `choices`, or ""."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
