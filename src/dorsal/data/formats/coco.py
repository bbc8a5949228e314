"""COCO's instances and keypoints files: JSON with images, annotations and categories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

import msgspec
import numpy as np

from dorsal.annotations.coco import boxes_from_coco, keypoints_from_coco
from dorsal.annotations.labels import Labels, Pairs
from dorsal.annotations.rle import Floats
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.coco_files import (
    CocoCategory,
    CocoFile,
    CocoImage,
    CocoObject,
    choose_files,
    decode_file,
    image_folder,
)
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, listed
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import Shape, Truth
from dorsal.spec.task import Kind

_NO_OUTLINE = (b"", b"[]", b"null")
_PERSON = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_SIGMAS = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
"""pycocotools' sigmas of these points, in thousandths."""


class _Classes(msgspec.Struct, frozen=True):
    """The labels of a data set, its category ids in their order, and whether points may be mirrored."""

    labels: Labels
    ids: tuple[int, ...]
    flip: bool
    notes: tuple[str, ...]


def read_coco(
    root: Path, *, train: str | None = None, val: str | None = None, images: str | None = None
) -> AnnotatedIndex:
    """Reads a COCO data set in the folder `root`.

    `train` and `val` are the JSON files, as paths from `root`. Without them they are found by their names in `root`, in
    `annotations` and in the folders of the splits, such as instances_train2017.json, val.json or
    train/_annotations.coco.json; instances come before keypoints, and a test file is val where there is no other.
    `images` is the folder of images, in which {split} stands for train or val. Without it, that is the first of
    `root`, images, the folder of the split and that of the JSON file which has one of the first images.

    Labels are the categories in the order of their ids. The data have masks if one object has an outline, and points if
    a category names points.

    Raises DataError where a file is missing, is not of COCO's form, or its categories contradict each other.
    """
    paths, notes = choose_files(root, {"train": train, "val": val})
    problems: list[Problem] = []
    read = {split: decode_file(path, root, problems) for split, path in paths.items()}
    classes = _classes(root, read)
    kinds = _kinds(read.values(), classes.labels)
    folders = {split: image_folder(root, path, split, read[split], images) for split, path in paths.items()}
    entries = {
        split: _entries(read[split], path, folders[split], classes, kinds, problems) for split, path in paths.items()
    }
    return AnnotatedIndex(
        format="coco",
        root=root,
        labels=classes.labels,
        kinds=kinds,
        train=entries["train"],
        val=entries["val"],
        category_ids=classes.ids,
        flip=classes.flip,
        problems=tuple(problems),
        notes=(*notes, *classes.notes),
    )


def _classes(root: Path, read: dict[SplitName, CocoFile]) -> _Classes:
    """The categories of all files together."""
    found: dict[int, CocoCategory] = {}
    problems = []
    for split, file in read.items():
        twice = [number for number, times in Counter(each.id for each in file.categories).items() if times > 1]
        problems += [f"category id {number} is there twice in {split}" for number in twice]
        for category in file.categories:
            known = found.setdefault(category.id, category)
            if known.name != category.name:
                problems.append(f"category {category.id} is {known.name!r} in train and {category.name!r} in {split}")
    ids = tuple(sorted(found))
    with_points = [found[number] for number in ids if found[number].keypoints]
    if len({tuple(category.keypoints) for category in with_points}) > 1:
        problems.append(f"categories {listed(each.name for each in with_points)} have different keypoints")
    points = tuple(with_points[0].keypoints) if with_points else ()
    pairs = _mirrored(points)
    skeleton, notes = _skeleton(with_points[0] if with_points else None)
    if points and not pairs:
        notes.append("no names of points tell left from right, so images are not mirrored")
    sigmas = tuple(each / 1000 for each in _SIGMAS) if points == tuple(_PERSON.split()) else ()
    try:
        labels = Labels(
            classes=tuple(found[number].name for number in ids),
            keypoints=points,
            pairs=pairs,
            sigmas=sigmas,
            skeleton=skeleton,
        )
    except ValueError as error:
        problems.append(f"categories: {error}")
    if problems:
        raise DataError(shown(root), problems)
    return _Classes(labels, ids, not points or bool(pairs), tuple(notes))


def _mirrored(points: Sequence[str]) -> Pairs:
    """The pairs of points whose names differ in left and right only."""
    places = {name.casefold(): place for place, name in enumerate(points)}
    names = [(name, re.sub("left", "right", name)) for name in places]
    return tuple((places[left], places[right]) for left, right in names if left != right and right in places)


def _skeleton(category: CocoCategory | None) -> tuple[Pairs, list[str]]:
    """The lines of a drawing from 0, COCO's being from 1; without those that join no two points, with a note."""
    if category is None:
        return (), []
    points = range(1, len(category.keypoints) + 1)
    sound = [line for line in category.skeleton if len(line) == 2 and line[0] != line[1] and {*line} <= {*points}]
    lost = [line for line in category.skeleton if line not in sound]
    notes = [f"lines of the skeleton that join no two points: {listed(lost)}"] if lost else []
    return tuple((line[0] - 1, line[1] - 1) for line in sound), notes


def _kinds(files: Iterable[CocoFile], labels: Labels) -> frozenset[Kind]:
    kinds: set[Kind] = {"boxes"}
    objects = [each for file in files for each in file.annotations]
    # Without any object no outline is missing; that there is none is what a check says then.
    if not objects or any(bytes(each.segmentation) not in _NO_OUTLINE for each in objects):
        kinds.add("masks")
    if labels.keypoints:
        kinds.add("keypoints")
    return frozenset(kinds)


def _entries(
    file: CocoFile, path: Path, folder: Path, classes: _Classes, kinds: frozenset[Kind], problems: list[Problem]
) -> tuple[Entry, ...]:
    """The images of a file in their order. Adds to `problems`."""
    where, images = shown(path), _images(file, shown(path), problems)
    rows = {image.id: row for row, image in enumerate(images)}
    labels = {number: label for label, number in enumerate(classes.ids)}
    known = [each for each in file.annotations if each.image_id in rows and each.category_id in labels]
    if len(known) < len(file.annotations):
        there = {image.id for image in file.images}
        for each in file.annotations:
            lost_image, lost_category = each.image_id not in there, each.category_id not in labels
            if lost_image or lost_category:
                what = f"image {each.image_id}" if lost_image else f"category {each.category_id}"
                found = f"is of {what}, which is not there"
                problems.append(Problem("id-dangling", where, f"annotation {each.id}", found))
    times = Counter(each.id for each in known if each.id is not None)
    for number in [number for number, often in times.items() if often > 1]:
        problems.append(Problem("id-duplicate", where, f"annotation {number}", f"is there {times[number]} times"))

    owners = np.array([rows[each.image_id] for each in known], np.int64)
    order = np.argsort(owners, kind="stable")
    objects = [known[place] for place in order.tolist()]
    ends = np.searchsorted(owners[order], np.arange(len(images) + 1)).tolist()
    columns = _columns(objects, labels, kinds, len(classes.labels.keypoints), where, problems)
    return tuple(
        Entry(
            path=folder / image.file_name,
            id=image.id,
            size=(image.height, image.width) if image.height and image.width else None,
            truth=_part(columns, ends[row], ends[row + 1]),
        )
        for row, image in enumerate(images)
    )


def _images(file: CocoFile, where: str, problems: list[Problem]) -> list[CocoImage]:
    """The images without those whose id is there already. Adds them to `problems`, and those whose file is."""
    found: dict[int | str, CocoImage] = {}
    names = set()
    for image in file.images:
        if image.id in found:
            problems.append(Problem("id-duplicate", where, f"image {image.id}", "is there twice"))
            continue
        if not image.file_name:
            problems.append(Problem("image-missing", where, f"image {image.id}", "has an empty file_name"))
            continue
        if image.file_name in names:
            text = f"is of the file {shown(image.file_name)}, which another image has"
            problems.append(Problem("id-duplicate", where, f"image {image.id}", text))
        found[image.id] = image
        names.add(image.file_name)
    # By number, as COCO's own code takes them: of detections with one score, that of the first image counts as better.
    return sorted(found.values(), key=lambda image: (isinstance(image.id, str), image.id))


def _columns(
    objects: list[CocoObject],
    labels: dict[int, int],
    kinds: frozenset[Kind],
    points: int,
    where: str,
    problems: list[Problem],
) -> Truth:
    """All objects of a file as one truth, of which the images get parts."""
    count = len(objects)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities become NaN, which a check names
        boxes = boxes_from_coco(_table([each.bbox for each in objects], 4))
    shapes: tuple[Shape, ...] | None = None
    if "masks" in kinds:
        outlines = [each.segmentation for each in objects]
        shapes = tuple(None if bytes(each) in _NO_OUTLINE else each for each in outlines)
    return Truth(
        boxes=boxes,
        labels=np.array([labels[each.category_id] for each in objects], np.int64),
        crowd=np.fromiter((bool(each.iscrowd) for each in objects), bool, count),
        ids=[row if each.id is None else each.id for row, each in enumerate(objects)],
        area=np.array([nan if each.area is None else each.area for each in objects], np.float64),
        shapes=shapes,
        keypoints=_points(objects, points, where, problems) if "keypoints" in kinds else None,
    )


def _points(objects: list[CocoObject], points: int, where: str, problems: list[Problem]) -> Floats:
    """The points [n, K, 3] of objects, not labelled where an object has none or another number of them."""
    rows: list[list[float | None] | None] = []
    unknown: list[float | None] = [0.0 for _ in range(3 * points)]
    for each in objects:
        values = each.keypoints or unknown
        if len(values) != 3 * points:
            found = f"has {len(values)} values for keypoints; its category has {points} points, of 3 values each"
            problems.append(Problem("keypoint-count", where, f"annotation {each.id}", found))
            values = unknown
        rows.append(values)
    return keypoints_from_coco(_table(rows, 3 * points).reshape(len(rows), points, 3))


def _table(rows: Sequence[list[float | None] | None], columns: int) -> Floats:
    """The rows as float64 [n, columns], NaN for null and for a row of another length."""
    unknown: list[float | None] = [nan for _ in range(columns)]
    sound = [row if row is not None and len(row) == columns else unknown for row in rows]
    return np.array(sound, np.float64).reshape(-1, columns)


def _part(whole: Truth, start: int, stop: int) -> Truth:
    """The truth of the objects from `start` to `stop`."""
    boxes, area, points = (
        None if each is None else each[start:stop] for each in (whole.boxes, whole.area, whole.keypoints)
    )
    return Truth(
        boxes=boxes,
        labels=whole.labels[start:stop],
        crowd=whole.crowd[start:stop],
        ids=whole.ids[start:stop],
        area=area,
        shapes=None if whole.shapes is None else whole.shapes[start:stop],
        keypoints=points,
    )
