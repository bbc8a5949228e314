"""YOLO: data.yaml, and for each image a text file of boxes or polygons, as shares of the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import Floats
from dorsal.data.errors import DataError, nearest, shown
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, image_files
from dorsal.data.formats.names import each_once, read_names
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import Truth
from dorsal.language.files import is_file, is_folder
from dorsal.spec.task import Kind

_SPLITS: tuple[SplitName, SplitName] = ("train", "val")


class _Line(msgspec.Struct, frozen=True):
    """One object: its line in the file, its class, its box as shares x0, y0, x1, y1, and its outline if it has one."""

    number: int
    label: int
    box: tuple[float, ...]
    outline: Floats | None


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_yolo` would use, none without data.yaml."""
    if not is_file(root / "data.yaml"):
        return frozenset()
    return frozenset({"data.yaml", "images", "labels", "train", "val", "valid", "test"})


def read_yolo(root: Path, *, file: str = "data.yaml") -> AnnotatedIndex:
    """Reads a YOLO data set from `file` in the folder `root`.

    The file has `names`, a list or numbers with names, and `train` and `val`: each a folder of images, a text file that
    lists images, or a list of those, as paths from `path` if the file has one, else from `root`. Where such a path
    begins with `../` and is not there, it is looked for without. The text file of an image has its name and lies in
    `labels` where the image lies in `images`; an image without one has no objects. A line is a class and a box (middle,
    width and height) or a class and a polygon. Outlines are kept if each object has one, also where there is none.

    Raises DataError where the file is missing, is no YAML or lacks a field, names points, or a split has no images.
    """
    path = root / file
    said = _document(path, root)
    if "kpt_shape" in said:
        raise DataError(shown(root), [f"{shown(path)}: has points (kpt_shape), which are read from COCO's format only"])
    labels = _labels(path, root, said)
    problems: list[Problem] = []
    lines: dict[Path, list[_Line]] = {}
    images = {split: _images(path, root, said, split, problems) for split in _SPLITS}
    for image in dict.fromkeys(image for split in _SPLITS for image in images[split]):
        lines[image] = _lines(_label_file(image), len(labels.classes), problems)
    problems += _of_no_image(lines)
    outlined = [line.outline is not None for found in lines.values() for line in found]
    kinds: frozenset[Kind] = frozenset({"boxes", "masks"} if all(outlined) else {"boxes"})
    notes = ("some objects have outlines and some only boxes, so all are read as boxes",)
    entries = {
        split: tuple(
            Entry(path=image, id=image.stem, size=None, truth=_truth(lines[image], "masks" in kinds))
            for image in images[split]
        )
        for split in _SPLITS
    }
    return AnnotatedIndex(
        format="yolo",
        root=root,
        labels=labels,
        kinds=kinds,
        train=entries["train"],
        val=entries["val"],
        category_ids=tuple(range(len(labels.classes))),
        problems=tuple(problems),
        notes=notes if any(outlined) and not all(outlined) else (),
    )


def _document(path: Path, root: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(shown(root), [f"{shown(path)}: cannot be read as YAML: {error}"]) from None
    if not isinstance(said, dict):
        raise DataError(shown(root), [f"{shown(path)}: must have the fields names, train and val"])
    if missing := [name for name in ("names", "train", "val") if not said.get(name)]:
        meant = nearest(missing[0], map(str, said))
        raise DataError(shown(root), [f"{shown(path)}: has no {name}{meant}" for name in missing])
    return said


def _labels(path: Path, root: Path, said: dict[str, Any]) -> Labels:
    """The classes: a list of names, or names by number from 0."""
    names = said["names"]
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    try:
        if not isinstance(names, list):
            raise ValueError(f"must be a list of names, or names by number from 0, not {names!r}")
        if said.get("nc", len(names)) != len(names):
            raise ValueError(f"there are {len(names)}, but nc={said['nc']}")
        return Labels(classes=tuple(map(str, names)))
    except ValueError as error:
        raise DataError(shown(root), [f"{shown(path)}: names: {error}"]) from None


def _images(path: Path, root: Path, said: dict[str, Any], split: SplitName, problems: list[Problem]) -> list[Path]:
    """The images of a split, each once, in order of the folders and lists and by path within a folder."""
    base = root / str(said["path"]) if said.get("path") else path.parent
    if not is_folder(base):  # `path` is often that of another machine
        base = path.parent
    places = said[split] if isinstance(said[split], list) else [said[split]]
    found: list[Path] = []
    for place in map(str, places):
        where = base / place
        if not where.exists():
            where = base / place.removeprefix("../")
        if is_folder(where):
            found += image_files(where)
        elif is_file(where):
            found += [where.parent / line for line in each_once(where, read_names(where), problems)]
        else:
            raise DataError(shown(root), [f"{shown(path)}: {split}: {shown(base / place)} is not there"])
    if not found:
        raise DataError(shown(root), [f"{shown(path)}: {split}: {', '.join(map(str, places))} holds no images"])
    return list(dict.fromkeys(found))


def _label_file(image: Path) -> Path:
    """The text file of an image: in `labels` where the image is in the last folder of its path named `images`."""
    parts = list(image.parts[:-1])
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, f"{image.stem}.txt")


def _of_no_image(images: Iterable[Path]) -> Iterator[Problem]:
    """Text files for which there is no image, beside those of the images. Those of images of no split are sound."""
    folders = {_label_file(image).parent: image.parent for image in images}
    for folder, of_images in folders.items():
        if folder != of_images:  # where both are in one folder, lists and readmes are too
            stems = {path.stem for path in image_files(of_images)} | {"classes"}
            for path in sorted(folder.glob("*.txt")):
                if path.stem not in stems:
                    yield Problem("id-dangling", shown(path), "", "there is no image of this name")


def _lines(path: Path, classes: int, problems: list[Problem]) -> list[_Line]:
    """The objects of a text file; what makes no sense is added to `problems`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        problems.append(Problem("file-malformed", shown(path), "", f"cannot be read: {error}"))
        return []
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        read = _line(number, line)
        if read is None:
            expected = "a whole number, and a box of 4 values or a polygon of 3 points or more"
            problems.append(Problem("file-malformed", shown(path), f"line {number}", f"is not {expected}"))
        elif not 0 <= read.label < classes:
            text = f"is of class {read.label}; names has 0 to {classes - 1}"
            problems.append(Problem("id-dangling", shown(path), f"line {number}", text))
        else:
            found.append(read)
    return found


def _line(number: int, line: str) -> _Line | None:
    """The object of a line, None where it makes no sense."""
    label, *rest = line.split()
    try:
        values = [float(each) for each in rest]
        if len(values) == 4:
            x, y, width, height = values
            box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            return _Line(number, int(label), box, None)
        if len(values) < 6 or len(values) % 2:
            return None
        outline: Floats = np.array(values).reshape(-1, 2)
        return _Line(number, int(label), (*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()), outline)
    except ValueError:
        return None


def _truth(lines: list[_Line], outlines: bool) -> Truth:
    return Truth(
        boxes=np.array([line.box for line in lines], np.float64).reshape(-1, 4),
        labels=np.array([line.label for line in lines], np.int64),
        crowd=np.zeros(len(lines), bool),
        ids=[line.number for line in lines],
        shapes=tuple(None if line.outline is None else (line.outline,) for line in lines) if outlines else None,
        normalized=True,
    )
