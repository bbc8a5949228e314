"""WHAT the data are: frozen records and the text that names them. No torch, no pixels.

    scenes                      the embedded default, see `Scenes`
    scenes(size=64, train=2000)
    photos                      a folder of class folders, see `Folder`
    photos(size=160, val_fraction=0.1)

The word `scenes` always means the embedded set; a folder of that name is written `./scenes`.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec


class Scenes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="scenes"):
    """Small colour scenes, each holding one whole handwritten digit among clutter; see `dorsal.data.scenes`.

    `size` is the side of the square scene in pixels; `train` and `val` are numbers of scenes. 5,000 real
    digits stand behind them, 4,000 for training and 1,000 for validation, never shared. Up to those numbers
    every scene has a digit of its own; beyond, digits return in other scenes.

    Raises ValueError when a field is out of range.
    """

    seed: int = 0
    size: int = 48
    train: int = 2000
    val: int = 1000

    def __post_init__(self) -> None:
        _check_range("seed", self.seed, 0, 2**32 - 1)
        _check_range("size", self.size, 32, 256)
        _check_range("train", self.train, 10, 100_000)
        _check_range("val", self.val, 10, 100_000)

    def describe(self) -> str:
        """One line for reports."""
        return (
            f"{self.train:,} training and {self.val:,} validation scenes of {self.size}x{self.size} px, "
            f"each with one handwritten digit (10 classes) among clutter, seed {self.seed}"
        )


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="folder"):
    """A folder of class folders: `train/<class>/*` with `val/<class>/*`, or `<class>/*` to be split.

    `size` is the side in pixels of the square the network sees. `val_fraction` is the share of each class
    held out, and `seed` chooses which; both are unused where the folder has its own `train` and `val`.
    `normalization` is measured on the training split or ImageNet's published figures.

    Raises ValueError when a field is out of range; whether the folder is sound is `check_folder`'s business.
    """

    path: str
    size: int = 224
    val_fraction: float = 0.2
    seed: int = 0
    normalization: Literal["measured", "imagenet"] = "measured"

    def __post_init__(self) -> None:
        _check_range("size", self.size, 8, 2048)
        _check_range("val_fraction", self.val_fraction, 0.01, 0.99)
        _check_range("seed", self.seed, 0, 2**32 - 1)
        if self.normalization not in ("measured", "imagenet"):
            raise ValueError(f"normalization: {self.normalization!r} is neither 'measured' nor 'imagenet'")

    def describe(self) -> str:
        """One line for reports."""
        return f"images of class folders under {self.path}, seen at {self.size}x{self.size} px, seed {self.seed}"


DataSpec = Scenes | Folder


def parse_data(text: str) -> DataSpec:
    """Read `text`, as the module's docstring shows it, into a record.

    Raises ValueError when the text is malformed, names an unknown field, gives a value that does not fit, or
    names neither `scenes` nor an existing folder. A folder whose name itself ends in brackets is taken as it
    stands.
    """
    text = text.strip()
    if text not in ("", "scenes") and is_folder(Path(text)):
        return Folder(text)
    match = re.fullmatch(r"(?P<name>[^()]+?)\s*(?:\((?P<fields>[^()]*)\))?", text)
    if match is None:
        raise ValueError(f"data: {text!r} is not of the form name or name(field=value, ...)")
    name, fields = match["name"], match["fields"] or ""
    if name == "scenes":
        return Scenes(**_parse_fields(fields, Scenes))
    if not is_folder(Path(name)):
        hint = nearest(name, ["scenes", *_siblings(name)])
        raise ValueError(f"data: {name!r} is neither 'scenes' nor an existing folder{hint}")
    return Folder(name, **_parse_fields(fields, Folder))


def format_data(spec: DataSpec) -> str:
    """Text that `parse_data` reads as this record."""
    fields = msgspec.structs.asdict(spec)
    name = str(fields.pop("path", "scenes"))
    return f"{name}({', '.join(f'{field}={value}' for field, value in fields.items())})"


def _parse_fields(text: str, kind: type[Scenes] | type[Folder]) -> dict[str, Any]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind) if field.name != "path"}
    values: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"data: {item!r} is not of the form field=value; fields are {', '.join(types)}")
        if name not in types:
            raise ValueError(f"{name}: no such field{nearest(name, types)}; fields are {', '.join(types)}")
        if name in values:
            raise ValueError(f"{name}: given twice, as {values[name]} and {value}")
        try:
            values[name] = msgspec.convert(value.strip("'\""), types[name], strict=False)
        except msgspec.ValidationError as error:
            hint = nearest(value, get_args(types[name]))
            raise ValueError(f"{name}: {value!r} does not fit ({error}){hint}") from None
    return values


def _check_range(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        bound = low if value < low else high
        raise ValueError(f"{field}: {value} is not in {low} to {high}; the nearest valid choice is {bound}")


def _siblings(name: str) -> list[str]:
    parent = Path(name).parent
    try:
        return [str(entry) for entry in parent.iterdir() if is_folder(entry)]
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder as far as one may see: `Path.is_dir` raises where a parent is closed."""
    try:
        return path.is_dir()
    except OSError:
        return False


def nearest(name: str, choices: Iterable[str]) -> str:
    """Half a sentence on which of `choices` may have been meant, or nothing."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
