"""WHAT the data are: frozen records and the text that names them. No torch, no pixels.

    scenes                      the embedded default, see `Scenes`
    scenes(size=64, train=2000)
    photos                      a folder, of class folders (see `Folder`) or annotated (see `Annotated`)
    photos(size=160, val_fraction=0.1)
    coco:pets(train=a.json)     an annotated folder of this format
    folder:photos               a folder of class folders, whatever else is in it

The word `scenes` always means the embedded set; a folder of that name is written `./scenes`. The format of a folder is
recognized by the names in it, see `dorsal.data.formats.recognize`; where two fit, the text has to name one.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from dorsal.data.errors import MAX_PIXELS, DataError, nearest, shown
from dorsal.data.kinds import FIELDS, KINDS, Format, data_sets_with, kinds_in_words
from dorsal.language.files import at_home, is_file, is_folder
from dorsal.language.reader import read_closed, wrong_type
from dorsal.spec.task import AnyTask, Classify

__all__ = [
    "DATA_HELP",
    "MAX_PIXELS",
    "Annotated",
    "DataError",
    "DataSpec",
    "Folder",
    "Normalizing",
    "Scenes",
    "check_normalization",
    "data_spec",
    "data_text",
    "format_data",
    "nearest",
    "no_labels",
    "parse_data",
    "shown",
]

Normalizing = Literal["measured", "imagenet"]


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
    normalization: Normalizing = "measured"
    channels: int = 3
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "path", _checked_path(self.path))
        _check_range("size", self.size, 8, 2048)
        _check_range("val_fraction", self.val_fraction, 0.01, 0.99)
        _check_range("seed", self.seed, 0, 2**32 - 1)
        _check_range("channels", self.channels, 1, 64)
        _check_range("max_pixels", self.max_pixels, 64, 10**10)
        check_normalization(self.normalization, self.channels)

    def describe(self) -> str:
        """One line for reports."""
        channels = "" if self.channels == 3 else f" in {self.channels} channel{'s' * (self.channels > 1)}"
        seen = f"seen at {self.size}x{self.size} px{channels}"
        return f"images of class folders under {self.path}, {seen}, seed {self.seed}"


class Annotated(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="annotated"):
    """A folder with annotations of its images, in one of the formats of `dorsal.data.formats`.

    `path` may begin with `~`. `size` is the short side in pixels of an image as the network sees it. `normalization`
    and `channels` are as in `Folder`. Of each split `max_images` are taken, spread evenly; 0 means all.

    The other fields say where files are, as the reader of the format does, which has its own defaults for None. A
    format has only those that `dorsal.data.kinds.FIELDS` gives it. `names` is a file with the name of a class on each
    line, looked for in the folder and then where the program runs, or `camvid` for CamVid's 11 classes.

    Raises ValueError when a field is out of range, or is one that the format does not have. Whether the data are sound
    is found when they are opened.
    """

    path: str
    format: Format
    size: int = 320
    normalization: Normalizing = "measured"
    channels: int = 3
    max_images: int = 0
    train: str | None = None
    val: str | None = None
    images: str | None = None
    labels: str | None = None
    names: str | None = None
    sets: str | None = None
    file: str | None = None
    ignore: int | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "path", _checked_path(self.path))
        if self.format not in FIELDS:
            raise ValueError(f"format={self.format!r} is not known{nearest(str(self.format), FIELDS)}; {_FORMATS}")
        _check_range("size", self.size, 8, 2048)
        _check_range("channels", self.channels, 1, 64)
        _check_range("max_images", self.max_images, 0, 10**9)
        check_normalization(self.normalization, self.channels)
        own = _types(self.format)
        for field in _PLACES:
            value = getattr(self, field)
            if value is None:
                continue
            if field not in own:
                raise ValueError(f"{self.format} data have no field {field!r}; fields are {', '.join(own)}")
            if field == "ignore":
                _check_range(field, value, 0, 65535)
            elif not isinstance(value, str) or value.strip().strip("'\"") != value or set(value) & set("(),"):
                raise ValueError(f"{field}={value!r} must be a text without brackets, commas and quotes")

    @property
    def places(self) -> dict[str, Any]:
        """The fields that say where files are, as far as they are given."""
        return {field: getattr(self, field) for field in FIELDS[self.format] if getattr(self, field) is not None}

    def describe(self) -> str:
        """One line for reports."""
        channels = "" if self.channels == 3 else f" in {self.channels} channel{'s' * (self.channels > 1)}"
        some = f", at most {self.max_images:,} of each split" if self.max_images else ""
        seen = f"seen with a short side of {self.size} px{channels}{some}"
        return f"annotated images ({self.format}) under {self.path}, {seen}"


DataSpec = Scenes | Folder | Annotated
_PREFIXES: dict[str, Format | None] = {**{name: name for name in FIELDS}, "folder": None}
"""What may stand before the colon of a text, and the format that it names; None for class folders."""
_PLACES = tuple(dict.fromkeys(name for names in FIELDS.values() for name in names))
_FORMATS = f"formats are {', '.join(FIELDS)}, and folder for class folders"


def _types(of: type[Scenes] | type[Folder] | Format) -> dict[str, Any]:
    """The fields that a text may have, with their types."""
    kind = Annotated if isinstance(of, str) else of
    types = {field.name: field.type for field in msgspec.structs.fields(kind) if field.name not in ("path", "format")}
    if not isinstance(of, str):
        return types
    places = {name: int if name == "ignore" else str for name in FIELDS[of]}
    return {name: kind for name, kind in types.items() if name not in _PLACES} | places


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


DATA_HELP = (
    "The data: scenes, or a folder such as photos; fields in brackets, as in scenes(size=64) or photos(size=160). A "
    "folder holds class folders, or annotations in a format that is recognized or named, as in coco:pets or "
    f"folder:photos. Fields of scenes: {_listed(_types(Scenes))}. Fields of class folders: {_listed(_types(Folder))}. "
    "Fields of annotated folders: size, normalization, channels, max_images; "
    + "; ".join(f"of {name}: {', '.join(fields)}" for name, fields in FIELDS.items() if fields)
    + "."
)
"""What `--data` takes, for the help text of every verb that has it."""


def data_spec(data: DataSpec | str | os.PathLike[str], task: AnyTask = Classify()) -> DataSpec:
    """Returns `data` itself if it is a record, else the record that its text or path names. A path is always a folder.

    Raises ValueError as `parse_data` does, and TypeError for anything else.
    """
    match data:
        case Scenes() | Folder() | Annotated():
            return data
        case str():
            return parse_data(data, task)
        case os.PathLike():
            return _recognized(os.fspath(data), "")
    raise wrong_type(
        "data", data, "a text such as 'scenes' or 'photos(size=160)', a path, or a record of dorsal.data.spec"
    )


def parse_data(text: str, task: AnyTask = Classify()) -> DataSpec:
    """Reads `text`, as the module's docstring shows it, into a record. Fields of scenes that are left out are as
    `scenes_of` the task has them.

    Raises ValueError when the text is malformed, names an unknown field or format, gives a value that does not fit,
    names neither `scenes` nor an existing folder, or a folder that may be of two formats. If the whole text, or all of
    it after the name of a format, is the name of a folder, brackets and all, it is that folder.
    """
    return read_closed(text.strip(), functools.partial(_read, scenes=scenes_of(task)))


def scenes_of(task: AnyTask) -> Scenes:
    """The embedded default of a task: for all but classification scenes of several digits."""
    return Scenes() if isinstance(task, Classify) else Scenes(digits=4, size=64, train=1000, val=400)


def _read(text: str, scenes: Scenes) -> DataSpec:
    name, fields = _split(text)
    if name == "scenes":
        return msgspec.structs.replace(scenes, **_parse_fields(fields, _types(Scenes)))
    prefix, colon, path = name.partition(":")
    if not colon or not re.fullmatch(r"[\w-]+", prefix) or is_folder(Path(at_home(name))):
        return _recognized(name, fields)
    if prefix not in _PREFIXES:
        raise ValueError(f"data={text!r}: {prefix!r} is not a format{nearest(prefix, _PREFIXES)}; {_FORMATS}")
    if not path:
        raise ValueError(f"data={text!r} names no folder; write one after the colon, as in {prefix}:pets")
    if not is_folder(Path(at_home(path))):
        meant = _meant(Path(at_home(path)))
        raise ValueError(f"data='{shown(name)}': '{shown(path)}' is not an existing folder{meant}")
    return _made(path, _PREFIXES[prefix], fields)


def _split(text: str) -> tuple[str, str]:
    """A text's name and what is in its last brackets."""
    prefix, _, path = text.partition(":")
    whole = [text, *([path] if prefix in _PREFIXES else [])]
    if any(each not in ("", "scenes") and is_folder(Path(at_home(each))) for each in whole):
        return text, ""
    match = re.fullmatch(r"(?P<name>.+?)\s*(?:\((?P<fields>[^()]*)\))?", text, re.DOTALL)
    if match is None or match["name"].count("(") != match["name"].count(")"):
        raise ValueError(f"data={text!r} is not of the form name or name(field=value, ...)")
    return match["name"], match["fields"] or ""


def _recognized(name: str, fields: str) -> Folder | Annotated:
    """The record of a folder whose format its names tell."""
    path = Path(at_home(name))
    if not is_folder(path):
        what = "is a file, not a folder" if is_file(path) else "is neither 'scenes' nor an existing folder"
        raise ValueError(f"data='{shown(name)}' {what}{_meant(path)}")
    return _made(name, _format_of(path), fields)


def _made(path: str, format: Format | None, fields: str) -> Folder | Annotated:
    if format is None:
        return Folder(path, **_parse_fields(fields, _types(Folder)))
    return Annotated(path, format, **_parse_fields(fields, _types(format), f"{format} "))


def _format_of(path: Path) -> Format | None:
    """The format of an annotated folder. None for any other, of which opening says what is wrong with it.

    Raises ValueError where it may be of several.
    """
    from dorsal.data.formats.recognize import candidates, only  # PIL and NumPy: texts such as `scenes` need neither

    try:
        found = candidates(path)
    except OSError:
        return None
    return _PREFIXES[only(path, found)] if found else None


def data_text(_: str, data: DataSpec | os.PathLike[str]) -> str:
    """The text that `parse_data` reads as these data. Raises ValueError and TypeError as `data_spec` does."""
    return format_data(data_spec(data))


def format_data(spec: DataSpec) -> str:
    """Text that `parse_data` reads as this record. Fields at their defaults are left out."""
    match spec:
        case Scenes():
            name = "scenes"
        case Folder():
            name = _folder_text(spec.path)
        case Annotated():
            name = f"{spec.format}:{spec.path}"
    fields = (field for field in msgspec.structs.fields(spec) if field.name not in ("path", "format"))
    set_here = [f"{f.name}={getattr(spec, f.name)}" for f in fields if getattr(spec, f.name) != f.default]
    return f"{name}({', '.join(set_here)})" if set_here else name


def _folder_text(path: str) -> str:
    """The path of class folders, with `folder:` where the path alone would name something else."""
    if path == "scenes":
        return "./scenes"
    if is_folder(Path(path)):
        try:
            plain = _format_of(Path(path)) is None
        except ValueError:
            plain = False
    else:
        plain = path.partition(":")[0] not in _PREFIXES
    return path if plain else f"folder:{path}"


def no_labels(spec: Annotated) -> str:
    """One sentence on annotated data where labels of whole images are needed, with the task that they suit."""
    task = "detect" if "boxes" in KINDS[spec.format] else "semantic"
    return (
        f"task classify needs labels of whole images; data={spec.path!r} is {spec.format}, which has "
        f"{kinds_in_words(KINDS[spec.format])}; data sets with labels: {data_sets_with(['label'])}; "
        f"--task {task} learns from this one"
    )


def _parse_fields(text: str, types: Mapping[str, Any], of: str = "") -> dict[str, Any]:
    """Fields with values. `of` is the format in whose fields a slip is looked for, with a space after it."""
    values: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"{item!r} is not of the form field=value; fields of data: {', '.join(types)}")
        if name not in types:
            raise ValueError(f"{of}data have no field {name!r}{nearest(name, types)}; fields are {', '.join(types)}")
        if name in values:
            raise ValueError(f"{name} is given twice, as {values[name]} and {value}")
        try:
            values[name] = msgspec.convert(value.strip("'\""), types[name], strict=False)
        except msgspec.ValidationError:
            valid = get_args(types[name])
            wanted = f"one of {', '.join(valid)}" if valid else "a whole number" if types[name] is int else "a number"
            raise ValueError(f"{name}={value!r} is not {wanted}{nearest(value, valid)}") from None
    return values


def _checked_path(path: str | os.PathLike[str]) -> str:
    """The path with the home folder for `~`. Raises ValueError for one that no record could name."""
    found = at_home(os.fspath(path))
    try:
        found.encode()
    except UnicodeEncodeError:
        raise ValueError(f"data='{shown(found)}' is not valid UTF-8, so no record could name it; rename it") from None
    return found


def check_normalization(normalization: str, channels: int) -> None:
    """Raises ValueError for an unknown one, and for ImageNet's where images are not of three channels."""
    if normalization not in get_args(Normalizing):
        raise ValueError(f"normalization={normalization!r} is neither 'measured' nor 'imagenet'")
    if normalization == "imagenet" and channels != 3:
        raise ValueError(
            f"normalization=imagenet has figures for 3 channels, not for channels={channels}; "
            "nearest valid: normalization=measured"
        )


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
