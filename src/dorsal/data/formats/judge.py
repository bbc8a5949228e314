"""What is wrong with the truth of one image, or with all boxes of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from dorsal.annotations.annotation import IGNORE
from dorsal.annotations.rle import Bools, Floats
from dorsal.data.formats.problems import ProblemId, TruthError
from dorsal.data.formats.truth import Truth

_BEYOND = 1.0
"""Pixels that a box or a point may reach beyond its image."""
_LEAST_OVERLAP = 0.5


class Finding(msgspec.Struct, frozen=True):
    """A problem of the object of this row, None for the label image."""

    id: ProblemId
    row: int | None
    found: str


def judge_boxes(truth: Truth, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Problems of the boxes in an image of `size` (height, width), one at most for each. Without `size` they may lie
    anywhere."""
    height, width = size or (1, 1)
    boxes, edges = truth.pixel_boxes((height, width)), np.array((width, height) * 2)
    room = np.inf if size is None else _BEYOND
    finite: Bools = np.logical_and.reduce(np.isfinite(boxes), axis=1)
    empty: Bools = ~np.logical_and.reduce(boxes[:, 2:] > boxes[:, :2], axis=1)
    beyond: Bools = np.logical_or.reduce((boxes < -room) | (boxes > edges + room), axis=1)
    for row in np.flatnonzero(~finite | empty | beyond).tolist():
        shown = ", ".join(f"{value:g}" for value in boxes[row])
        if np.isnan(boxes[row]).all():
            yield Finding("box-malformed", row, "has no box of four numbers")
        elif not finite[row]:
            yield Finding("box-malformed", row, f"has the box ({shown}), as corners; they must be finite numbers")
        elif empty[row]:
            yield Finding("box-empty", row, f"has the box ({shown}) of no area, as corners")
        else:
            yield Finding("box-outside", row, f"has the box ({shown}), as corners, in {width}x{height} px")


def judge_masks(truth: Truth, size: tuple[int, int], boxes: bool) -> Iterator[Finding]:
    """Problems of the masks, one at most for each; `boxes` says whether boxes can be compared with them."""
    pixel_boxes = truth.pixel_boxes(size)
    for row in range(len(truth.labels) if truth.shapes is not None else 0):
        try:
            mask = truth.mask(row, size)
        except TruthError as error:
            yield Finding(error.problem, row, error.found)
            continue
        if not mask.area():
            yield Finding("mask-empty", row, "has a mask without a pixel in the image")
        elif boxes:
            drawn, said = np.array(mask.box(), np.float64), pixel_boxes[row]
            with np.errstate(over="ignore", invalid="ignore"):  # boxes may be beyond all measure
                overlap = _overlap(drawn, said)
            # A mask of a few pixels may miss half of its box by rounding alone.
            if overlap < _LEAST_OVERLAP and (np.abs(drawn - said) > _BEYOND).any():
                yield Finding("mask-box", row, f"has a mask whose bounds overlap its box by {overlap:.2f} only (IoU)")


def judge_points(truth: Truth, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Problems of the points, one at most for each object. Without `size` they may lie anywhere."""
    height, width = size or (0, 0)
    room, edges = np.inf if size is None else _BEYOND, np.array((width, height))
    for row, points in enumerate(() if truth.keypoints is None else truth.keypoints):
        places, flags = points[:, :2], points[:, 2]
        inside = ((places >= -room) & (places <= edges + room)).all(axis=1)  # False for NaN too
        if not np.isin(flags, (0, 1, 2)).all():
            which = int(np.argmin(np.isin(flags, (0, 1, 2))))
            yield Finding("keypoint-flag", row, f"has the point {which} of third value {flags[which]:g}")
        elif (lost := np.flatnonzero((flags == 2) & ~inside)).size:
            x, y = places[lost[0]]
            within = "" if size is None else f" in {width}x{height} px"
            found = f"has the visible point {lost[0]} at ({x:g}, {y:g}){within}"
            yield Finding("keypoint-outside", row, found)


def judge_labels(truth: Truth, size: tuple[int, int] | None) -> tuple[list[Finding], frozenset[int]]:
    """Problems of the label image, and the labels that it has. Without `size` it may be of any."""
    if truth.semantic is None:
        return [], frozenset()
    try:
        values = truth.semantic.values()
        labels = np.flatnonzero(np.bincount(truth.semantic.labels(values).ravel(), minlength=256))
    except TruthError as error:
        return [Finding(error.problem, None, error.found)], frozenset()
    findings = []
    if size is not None and values.shape != size:
        said = f"is {values.shape[1]}x{values.shape[0]} px; its image is {size[1]}x{size[0]} px"
        findings.append(Finding("label-size", None, said))
    return findings, frozenset(labels.tolist()) - {IGNORE}


def judge_all_boxes(
    truths: Sequence[Truth], sizes: Sequence[tuple[int, int]], widths: bool
) -> tuple[ProblemId, str] | None:
    """A problem that all boxes of a split have together, None if there is none.

    `widths` says that the format has a corner, a width and a height, and not two corners.
    """
    found = [(truth.boxes, size) for truth, size in zip(truths, sizes, strict=True) if truth.boxes is not None]
    if not found or any(truth.normalized for truth in truths):
        return None
    boxes: Floats = np.concatenate([boxes for boxes, _ in found])
    edges = np.concatenate([np.tile(size[::-1], (len(boxes), 1)) for boxes, size in found])
    finite = np.isfinite(boxes).all(axis=1)
    boxes, edges = boxes[finite], edges[finite]
    if not len(boxes):
        return None
    if 0 < boxes.max() <= 1 and boxes.min() >= 0:
        return "box-normalized", f"all {len(boxes):,} boxes lie within 0 and 1; they must be in pixels"
    with np.errstate(over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
    corners = np.concatenate([boxes[:, :2], sides], axis=1)  # the four numbers of the file
    ordered = (corners[:, 2:] > corners[:, :2]).all() and (corners[:, 2:] <= edges + _BEYOND).all()
    beyond = (boxes[:, 2:] > edges + _BEYOND).any(axis=1).mean()
    if widths and ordered and beyond > 0:
        share = f"{beyond:.0%} of {len(boxes):,} boxes reach beyond their image"
        return "box-corners", f"{share}, and none would if its last two numbers were a corner; they must be a size"
    return None


def _overlap(first: Floats, second: Floats) -> float:
    """Intersection over union of two boxes, 0 where they have no area."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    inner = float((high - low).clip(0).prod())
    areas = float((first[2:] - first[:2]).clip(0).prod() + (second[2:] - second[:2]).clip(0).prod())
    return inner / (areas - inner) if inner else 0.0
