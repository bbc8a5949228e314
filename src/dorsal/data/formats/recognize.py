"""Which format a folder is of, by the names in it alone; and the one table of formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from dorsal.data.decode import Reading
from dorsal.data.errors import shown
from dorsal.data.formats import ade20k, cityscapes, coco_files, pairs, voc, yolo
from dorsal.data.layout import find_layout
from dorsal.language.files import is_folder

FOLDER = "folder"
"""The name of class folders, which are no annotated format; see `dorsal.data.folder`."""

_USED: dict[str, Callable[[Path], frozenset[str]]] = {
    "ade20k": ade20k.used,
    "cityscapes": cityscapes.used,
    "coco": coco_files.used,
    "pairs": pairs.used,
    "voc": voc.used,
    "yolo": yolo.used,
}
"""For each format, the names in a folder that it would use; none if the folder is not of this format."""

_WORDS = frozenset({"images", "annotations", "labels", "masks"})
"""Names of folders that are no classes where one of them is `images`."""

_LOOKED_FOR = {
    "ade20k": "images/training with annotations/training",
    "cityscapes": "leftImg8bit with gtFine",
    "coco": "instances_train.json, train.json, annotations/… or train/_annotations.coco.json",
    "pairs": "train with trainannot and val with valannot",
    "voc": "Annotations with JPEGImages",
    "yolo": "data.yaml",
    FOLDER: "two class folders of images, or train with class folders",
}


def recognize(root: Path) -> str:
    """The name of the format that the folder `root` is of: a name of `_USED`, or "folder" for class folders.

    A folder that another format would use is no class folder.

    Raises ValueError where it is of none or of several; the sentence says how to name one.
    """
    if not is_folder(root):
        raise ValueError(f"data={shown(root)!r} is not a folder, or one that may not be entered")
    return only(root, candidates(root))


def candidates(root: Path) -> tuple[str, ...]:
    """The formats that the folder `root` may be of. Raises OSError where it cannot be listed."""
    found = {name: names for name, used in _USED.items() if (names := used(root))}
    taken = frozenset().union(*found.values())
    return (*found, *([FOLDER] if _has_classes(root, taken) else []))


def only(root: Path, found: Sequence[str]) -> str:
    """The one format among those that were found. Raises ValueError where there is none or several."""
    if not found:
        looked = "; ".join(f"{name}: {what}" for name, what in _LOOKED_FOR.items())
        raise ValueError(f"data={shown(root)!r} is of no known format; looked for {looked}")
    if len(found) > 1:
        ways = " or ".join(f"{name}:{shown(root)}" for name in found)
        raise ValueError(f"data={shown(root)!r} may be {' or '.join(found)}; say which: {ways}")
    return found[0]


def _has_classes(root: Path, taken: frozenset[str]) -> bool:
    """Whether the folders that no format uses are class folders: two of them at least, or splits of such."""
    names = [each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith(".")]
    others = _WORDS if "images" in names else frozenset()
    names = sorted(name for name in names if name not in taken | others)
    layout = find_layout(root, names, Reading())
    inner = [root / folder for role, folder in layout.folders.items() if role == "train"]
    classes = [root / name for name in names] if "whole" in layout.folders else [*inner[:1], *inner[:1]]
    return len(list(islice(filter(_holds_images, classes), 2))) == 2  # a set may have thousands of classes


def _holds_images(folder: Path) -> bool:
    suffixes = Reading().suffixes
    return any(path.suffix.lower() in suffixes for path in folder.rglob("*"))
