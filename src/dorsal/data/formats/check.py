"""The check of an annotated data set before anything is trained on it. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from dorsal.data.errors import shown
from dorsal.data.formats.facts import SAMPLED, WHOLE, Facts, gather, image_paths
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, count, listed
from dorsal.data.formats.judge import Finding, judge_all_boxes, judge_boxes, judge_labels, judge_masks, judge_points
from dorsal.data.formats.looks import Look, frame, near_twins
from dorsal.data.formats.problems import Problem, ProblemId, TruthError
from dorsal.data.formats.truth import Truth

_FEW = 5
_TINY = 4.0
_SPLITS: tuple[SplitName, SplitName] = ("train", "val")
_NOUNS = {"coco": "annotation", "yolo": "line"}


class Checked(msgspec.Struct, frozen=True, eq=False):
    """What a check found. `index` has the size of each image, and is without images that have problems of their own."""

    index: AnnotatedIndex
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


class _Seen(msgspec.Struct, frozen=True, eq=False):
    """An entry after its file was looked at, the digest of the file if it was decoded, and its mark."""

    entry: Entry
    problem: Problem | None = None
    digest: bytes = b""
    mark: bytes = b""


class _Judged(msgspec.Struct, frozen=True, eq=False):
    """The problems of an entry's truth, and the labels of its objects and pixels that are no crowd."""

    problems: tuple[Problem, ...]
    labels: frozenset[int]


def check_annotated(
    index: AnnotatedIndex, size: int, facts: Mapping[Path, Facts] | None = None, whole: int = WHOLE
) -> Checked:
    """Looks at every image and judges every annotation.

    `size` is the shorter side in pixels of images as a network will see them. `facts` are those of the files, as
    `gather` finds them, which it does here without. Of more than `whole` images only headers, boxes and points are
    judged, which a note says.

    It raises nothing: all problems are in the result, those that reading found first.
    """
    entries = [*index.train, *index.val]
    decoded = len(image_paths(index)) <= whole
    facts = gather(index, whole=whole) if facts is None else facts
    seen = [_fitted(entry, facts.get(entry.path)) for entry in entries]
    parts: dict[SplitName, list[_Seen]] = {"train": seen[: len(index.train)], "val": seen[len(index.train) :]}
    systematic = {split: _of_all_boxes(index, split, parts[split]) for split in _SPLITS}
    with ThreadPoolExecutor() as pool:
        judged = {
            split: list(pool.map(lambda each, s=split: _judge(index, each, not systematic[s], decoded), parts[split]))
            for split in _SPLITS
        }
    problems = [*index.problems, *(problem for split in _SPLITS for problem in systematic[split])]
    for split in _SPLITS:
        for each, verdict in zip(parts[split], judged[split], strict=True):
            problems += [*([each.problem] if each.problem else []), *verdict.problems]
    problems += _of_splits(index, judged, decoded)
    kept = {
        split: tuple(
            each.entry
            for each, verdict in zip(parts[split], judged[split], strict=True)
            if each.problem is None and not verdict.problems
        )
        for split in _SPLITS
    }
    notes = [*index.notes, *_notes(index, parts, size)]
    if not decoded:
        notes.append(
            f"of more than {whole:,} images only headers, boxes and points were checked, no pixels but those of "
            f"{min(SAMPLED, len(index.train)):,} training images"
        )
    checked = msgspec.structs.replace(index, train=kept["train"], val=kept["val"])
    return Checked(checked, tuple(problems), tuple(notes))


def fitted(index: AnnotatedIndex, facts: Mapping[Path, Facts]) -> AnnotatedIndex | None:
    """The index with the size of each image, None where one has a problem."""
    seen = [_fitted(entry, facts.get(entry.path)) for entry in (*index.train, *index.val)]
    if index.problems or any(each.problem for each in seen):
        return None
    entries = tuple(each.entry for each in seen)
    return msgspec.structs.replace(index, train=entries[: len(index.train)], val=entries[len(index.train) :])


def _fitted(entry: Entry, facts: Facts | None) -> _Seen:
    """The entry with the size of its image."""
    where = shown(entry.path)
    if facts is None:
        return _Seen(entry, Problem("image-missing", where, "", "there is no such file"))
    if unsound := facts.scan.problem or facts.look.problem:
        return _Seen(entry, Problem("image-unreadable", where, "", unsound))
    try:
        size, turned = frame(_declared(entry, facts.look), facts.look)
    except TruthError as error:
        return _Seen(entry, Problem(error.problem, where, "", error.found))
    sized = msgspec.structs.replace(entry, size=size, turned=turned)
    return _Seen(sized, None, facts.scan.digest, facts.look.mark)


def _declared(entry: Entry, look: Look) -> tuple[int, int] | None:
    """The size that the format says, or else that of the label image where it fits the file as it is stored."""
    if entry.size is None and entry.truth.semantic is not None and look.orientation != 1:
        try:
            height, width = entry.truth.semantic.values().shape
        except TruthError:
            return None
        return (height, width) if (height, width) in (look.stored, look.upright) else None
    return entry.size


def _of_all_boxes(index: AnnotatedIndex, split: SplitName, seen: Sequence[_Seen]) -> list[Problem]:
    sized = [each.entry for each in seen if each.problem is None]
    sizes = [entry.size or (0, 0) for entry in sized]
    found = judge_all_boxes([entry.truth for entry in sized], sizes, index.format == "coco")
    return [] if found is None else [Problem(found[0], shown(index.root), split, found[1])]


def _judge(index: AnnotatedIndex, seen: _Seen, boxes: bool, drawn: bool) -> _Judged:
    """The verdict on the truth of one image; `boxes` says whether boxes are judged one by one."""
    truth, size = seen.entry.truth, seen.entry.size if seen.problem is None else None
    findings = list(judge_boxes(truth, size)) if boxes else []
    if size is not None:
        unsound = {finding.row for finding in findings}
        masks = judge_masks(truth, size, boxes) if drawn else ()
        findings += [each for each in masks if each.id != "mask-box" or each.row not in unsound]
    findings += judge_points(truth, size)
    pixels, present = judge_labels(truth, size) if drawn else ([], frozenset())
    problems = tuple(_problem(index, seen.entry, finding) for finding in [*findings, *pixels])
    return _Judged(problems, present | frozenset(truth.labels[~truth.crowd].tolist()))


def _problem(index: AnnotatedIndex, entry: Entry, finding: Finding) -> Problem:
    if finding.row is None:
        path = entry.path if entry.truth.semantic is None else entry.truth.semantic.path
        return Problem(finding.id, shown(path), "", finding.found)
    place = f"{_NOUNS.get(index.format, 'object')} {entry.truth.ids[finding.row]}"
    return Problem(finding.id, shown(entry.path), place, finding.found)


def _of_splits(index: AnnotatedIndex, judged: Mapping[SplitName, list[_Judged]], decoded: bool) -> list[Problem]:
    """Problems of the splits as a whole."""
    found: list[Problem] = []
    pixels = "semantic" in index.kinds
    present = {split: frozenset().union(*(each.labels for each in judged[split])) for split in _SPLITS}
    for split in _SPLITS:
        objects = sum(len(entry.truth.labels) for entry in index.split(split))
        if present[split] or (pixels and not decoded):
            continue
        problem: ProblemId = "crowd-only" if objects else "no-objects"
        text = f"all {objects:,} objects are crowds" if objects else "nothing is annotated in any image"
        found.append(Problem(problem, shown(index.root), split, text))
    names = (*index.labels.classes, *index.labels.stuff)
    if present["train"] and (decoded or not pixels):
        for label in sorted(present["val"] - present["train"]):
            text = "is in val but not in train, so it cannot be learned"
            found.append(Problem("class-unseen", shown(index.root), f"class {names[label]!r}", text))
    return found


def _notes(index: AnnotatedIndex, parts: Mapping[SplitName, list[_Seen]], size: int) -> Iterable[str]:
    """Sentences on what is no problem but good to know."""
    if "boxes" in index.kinds:
        yield from _object_notes(index, size, parts)
    stored = [each.entry.path for split in _SPLITS for each in parts[split] if not each.entry.turned]
    if stored:
        yield f"{_are(len(stored), 'image')} annotated as stored, not as EXIF turns it, first: {shown(stored[0])}"
    digests = {each.digest for each in parts["train"]} - {b""}
    same = [each.entry.path for each in parts["val"] if each.digest in digests]
    if same:
        yield f"{_are(len(same), 'validation image')} also in train, first: {shown(same[0])}"
    others = [each for each in parts["val"] if each.mark and each.digest not in digests]
    train = [each.mark for each in parts["train"] if each.mark]
    near = near_twins(train, [each.mark for each in others])
    if len(near):
        first = shown(others[near[0]].entry.path)
        yield f"{_are(len(near), 'validation image')} nearly the same as one of train, first: {first}"


def _object_notes(index: AnnotatedIndex, size: int, parts: Mapping[SplitName, list[_Seen]]) -> Iterable[str]:
    truths = [entry.truth for entry in index.train]
    times = Counter(label for truth in truths for label in truth.labels[~truth.crowd].tolist())
    few = [f"{name} ({times[label]})" for label, name in enumerate(index.labels.classes) if times[label] < _FEW]
    if few:
        yield f"{count(len(few), 'class')} of fewer than {_FEW} objects in train: {listed(few)}"
    for split in _SPLITS:
        empty = [entry.path for entry in index.split(split) if not len(entry.truth.labels)]
        if empty:
            yield f"{count(len(empty), 'image')} of {split} without objects, which are kept, first: {shown(empty[0])}"
        crowds = sum(int(entry.truth.crowd.sum()) for entry in index.split(split))
        if crowds:
            yield f"{count(crowds, 'crowd')} in {split}, which {_be(crowds)} neither learned nor scored"
    again = [(entry.path, more) for split in _SPLITS for entry in index.split(split) if (more := _again(entry.truth))]
    if again:
        total = sum(more for _, more in again)
        first = shown(again[0][0])
        yield f"{_are(total, 'object')} the same, in class and box, as another of the image, first: {first}"
    tiny = sum(_tiny(each.entry, size) for split in _SPLITS for each in parts[split] if each.problem is None)
    if tiny:
        yield f"{_are(tiny, 'object')} under {_TINY:g} px high or wide where images are {size} px"


def _are(number: int, what: str) -> str:
    """The beginning of a sentence about so many things."""
    return f"{count(number, what)} {_be(number)}"


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _again(truth: Truth) -> int:
    """How many objects have the class and the box of another one before them. Boxes that are missing are no such."""
    if truth.boxes is None or len(truth.labels) < 2:
        return 0
    objects = [tuple(row) for row in np.column_stack((truth.labels, truth.boxes)).tolist()]
    return len(objects) - len(set(objects))


def _tiny(entry: Entry, size: int) -> int:
    """How many objects are under 4 pixels when the shorter side of the image is `size`."""
    if entry.size is None:
        return 0
    boxes = entry.truth.pixel_boxes(entry.size)
    with np.errstate(over="ignore"):
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) * size / min(entry.size)
    return int((sides < _TINY).sum())
