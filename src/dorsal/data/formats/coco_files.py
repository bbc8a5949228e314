"""COCO's files: which JSON is of which split, where the images are, and what a file holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from dorsal.data.errors import DataError, nearest, shown
from dorsal.data.formats.index import SplitName, first_folder, listed
from dorsal.data.formats.problems import Problem
from dorsal.data.layout import role_of

_OTHERS = frozenset({"panoptic", "captions", "stuff", "semantic", "info", "results", "det"})
"""Words in names of files that are no instances or keypoints."""
_FOLDERS = ("images", "masks", "panoptic", "semantic", "stuff")
"""How folders of images and of label images begin that lie beside COCO's files."""
_PLAIN = frozenset({"instances", "annotations", "coco", ""})


class CocoImage(msgspec.Struct, gc=False):
    """An image of a file."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class CocoObject(msgspec.Struct, gc=False):
    """An annotation of a file. Its outline is kept as JSON until it is drawn."""

    image_id: int | str
    category_id: int
    id: int | str | None = None
    bbox: list[float | None] | None = None
    area: float | None = None
    iscrowd: int | bool | None = 0
    segmentation: msgspec.Raw = msgspec.Raw()
    keypoints: list[float | None] | None = None


class CocoCategory(msgspec.Struct):
    """A category of a file."""

    id: int
    name: str
    keypoints: list[str] = []
    skeleton: list[list[int]] = []


class CocoFile(msgspec.Struct):
    """What a file holds, as far as it is needed."""

    images: list[CocoImage]
    annotations: list[CocoObject]
    categories: list[CocoCategory]


class _Parts(msgspec.Struct):
    """What a file holds, its entries yet to be read one by one."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]


Part = TypeVar("Part", CocoImage, CocoObject, CocoCategory)


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_coco` would use, none if it is no COCO data set. Looks at names only."""
    found = _named(root)
    if not found.keys() & {"train", "val"}:
        return frozenset()
    own = {path.relative_to(root).parts[0] for paths in found.values() for path in paths}
    folders = {entry.name for entry in root.iterdir() if entry.is_dir()}
    return frozenset(own | {name for name in folders if role_of(name) or name.startswith(_FOLDERS)})


def _named(root: Path) -> dict[str, list[Path]]:
    """The JSON files of each role, the likeliest first: those with the fewest words beside the role."""
    folders = [root, root / "annotations"]
    if root.is_dir():
        folders += sorted(path for path in root.iterdir() if role_of(path.name) and path.is_dir())
    ranked: dict[str, list[tuple[int, int, Path]]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            words = re.split(r"[-_. ]+", path.stem.casefold())
            roles = {role for word in words if (role := role_of(word))}
            if not roles and folder.parent == root and (role := role_of(folder.name)):
                roles = {role}  # train/_annotations.coco.json
            if len(roles) == 1 and not _OTHERS.intersection(words):
                rest = [word for word in words if not role_of(word) and word not in _PLAIN]
                points = [word for word in rest if word in ("person", "keypoints")]
                entry = len(rest) - len(points), len(points), path
                ranked.setdefault(roles.pop(), []).append(entry)
    return {role: [path for *_, path in sorted(found)] for role, found in ranked.items()}


def choose_files(root: Path, given: dict[str, str | None]) -> tuple[dict[SplitName, Path], list[str]]:
    """The JSON file of each split, and notes on those that were passed over.

    `given` are paths from `root`, None for a file to be found. Raises DataError where there is none.
    """
    found, notes, problems = _named(root), [], []
    if "val" not in found and "test" in found and given["val"] is None:
        found["val"] = found["test"]
        notes.append(f"{shown(found['val'][0])} is read as val, as there is no other")
    chosen: dict[SplitName, Path] = {}
    splits: tuple[SplitName, SplitName] = ("train", "val")
    for split in splits:
        name = given[split]
        if name is not None:
            chosen[split] = root / name
            if not chosen[split].is_file():
                names = [str(path.relative_to(root)) for paths in found.values() for path in paths]
                problems.append(f"{shown(root / name)}: there is no such file{nearest(name, names)}")
        elif split not in found:
            alone = "; to score alone, any other of its files will do" if split == "train" else ""
            problems.append(f"{shown(root)}: has no JSON file of {split}; name it by {split}=FILE{alone}")
        else:
            chosen[split], *rest = found[split]
            if rest:
                notes.append(f"{shown(chosen[split])} is read as {split}; passed over: {listed(map(shown, rest))}")
    if problems:
        raise DataError(shown(root), problems)
    return chosen, notes


def decode_file(path: Path, root: Path, problems: list[Problem]) -> CocoFile:
    """What a file of the data set in `root` holds. NaN is read as null. Images and annotations of which a field makes
    no sense are left out and added to `problems`.

    Raises DataError where the file is none of COCO's, or a category makes no sense.
    """
    try:
        data = path.read_bytes()
        try:
            return msgspec.json.decode(data, type=CocoFile)
        except msgspec.ValidationError:
            parts = msgspec.json.decode(data, type=_Parts)
        except msgspec.DecodeError:
            # Python writes NaN and Infinity, which are no JSON: they become null here, and NaN further on.
            parts = msgspec.json.decode(msgspec.json.encode(json.loads(data)), type=_Parts)
    except (ValueError, OSError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            shown(root), [f"{shown(path)}: is not a COCO file of images, annotations and categories: {reason}"]
        ) from None
    unsound: list[Problem] = []
    categories = list(_sound(parts.categories, CocoCategory, "categories", path, unsound))
    if unsound:
        raise DataError(shown(root), list(map(str, unsound)))
    return CocoFile(
        images=list(_sound(parts.images, CocoImage, "images", path, problems)),
        annotations=list(_sound(parts.annotations, CocoObject, "annotations", path, problems)),
        categories=categories,
    )


def _sound(
    entries: list[msgspec.Raw], kind: type[Part], field: str, path: Path, problems: list[Problem]
) -> Iterator[Part]:
    """The entries of a list of the file that are of this kind. Adds the others to `problems`."""
    for place, entry in enumerate(entries):
        try:
            yield msgspec.json.decode(entry, type=kind)
        except msgspec.ValidationError as error:
            problems.append(Problem("file-malformed", shown(path), f"{field}[{place}]", str(error)))


def image_folder(root: Path, path: Path, split: SplitName, file: CocoFile, images: str | None) -> Path:
    """The folder that the names of a file's images begin at."""
    if images is not None:
        return root / images.replace("{split}", split)
    words = [word for word in re.split(r"[-_. ]+", path.stem) if role_of(word) == split]
    parts = [*words, split]
    within = ["", "images", *parts, *(f"images/{part}" for part in parts)]
    folders = [*(root / name for name in within), path.parent]
    return first_folder(folders, [image.file_name for image in file.images]) or root
