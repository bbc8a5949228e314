"""COCO's result entries of one image, written and read; and its forms of boxes and points, which truth files share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import Annotation, Floats32, objects_of
from dorsal.annotations.rle import Floats, Rle, rle_from_coco, rle_to_coco

_TO_MIDDLE = np.array([0.5, 0.5, 0.0])
"""COCO's points are numbers of pixels; the middle of pixel 0 is .5 here. The third value is no place."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a COCO result file: an object that was found in an image. All places are in pixels of its file.

    - `bbox`: x, y, width, height; `segmentation`: a mask as `rle_from_coco` reads it.
    - `keypoints`: x, y and a score of each point, one after the other. The middle of the first pixel is at 0.

    Decode a file with `msgspec.json.decode(text, type=list[Result])`; other fields of an entry are passed over.
    """

    image_id: int | str
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: dict[str, Any] | None = None
    keypoints: tuple[float, ...] | None = None


def write_results(found: Annotation, image_id: int | str, category_ids: Sequence[int]) -> list[Result]:
    """One entry for each object, with its box, and its mask and points if there are any.

    `category_ids` has the data set's number of each label. An entry with both a box and a mask has the area of the box
    for pycocotools; leave out `bbox` to score masks with it by size.

    Raises ValueError without objects or scores, for a label that `category_ids` does not have, and for a score or point
    that is not finite, which JSON cannot say.
    """
    if found.objects is None or found.objects.scores is None:
        raise ValueError(f"{'objects' if found.objects is None else 'objects.scores'} is None; a result needs both")
    objects, scores = found.objects, found.objects.scores
    if objects.labels.size and objects.labels.max() >= len(category_ids):
        raise ValueError(f"labels has {objects.labels.max()}; category_ids ends at label {len(category_ids) - 1}")
    _check_finite("scores", scores)
    points = None if objects.keypoints is None else keypoints_to_coco(objects.keypoints)
    _check_finite("keypoints", points)
    return [
        Result(
            image_id=image_id,
            category_id=int(category_ids[label]),
            score=float(scores[row]),
            bbox=box,
            segmentation=None if objects.masks is None else rle_to_coco(objects.masks[row]),
            keypoints=None if points is None else tuple(points[row].ravel().tolist()),
        )
        for row, (label, box) in enumerate(zip(objects.labels, boxes_to_coco(objects.boxes).tolist(), strict=True))
    ]


def read_results(results: Sequence[Result], size: tuple[int, int], category_ids: Sequence[int]) -> Annotation:
    """The objects of all entries, which are of one image of `size` (height, width).

    An entry without a box has the smallest one around its mask, or else around its points, as in pycocotools. The area
    is that of the mask where there is one. Without entries, the n = 0 objects have neither masks nor points.

    Raises ValueError for an entry without a place, for masks or points that only some entries have, for a category that
    is not among `category_ids`, and as `Annotation`, `Objects` and `rle_from_coco` do.
    """
    labels = {number: label for label, number in enumerate(category_ids)}
    for row, result in enumerate(results):
        if result.category_id not in labels:
            nearest = min(category_ids, key=lambda known: abs(known - result.category_id))
            raise ValueError(
                f"entry {row} has category_id={result.category_id}, which is none of the {len(category_ids)} of the "
                f"data set; nearest valid: {nearest}"
            )
    for field in ("segmentation", "keypoints"):
        having = [getattr(result, field) is not None for result in results]
        if any(having) and not all(having):
            raise ValueError(f"entry {having.index(False)} has no {field}, but others have; all must, or none")
    masks = [rle_from_coco(result.segmentation) for result in results if result.segmentation is not None]
    points = _points(results)
    objects = objects_of(
        [_box(result, row, masks, points) for row, result in enumerate(results)],
        [labels[result.category_id] for result in results],
        scores=[result.score for result in results],
        masks=masks if masks else None,
        keypoints=points,
    )
    return Annotation(size=size, objects=objects)


def boxes_from_coco(boxes: npt.ArrayLike) -> Floats:
    """x0, y0, x1, y1 [n, 4] of x, y, width, height."""
    values = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)


def boxes_to_coco(boxes: Floats32) -> Floats:
    """x, y, width, height [n, 4] of x0, y0, x1, y1. In float64, so that reading gives the same boxes again."""
    values = boxes.astype(np.float64)
    return np.concatenate([values[:, :2], values[:, 2:] - values[:, :2]], axis=1)


def keypoints_from_coco(points: npt.ArrayLike) -> Floats:
    """Points [..., 3] whose first pixel has its middle at .5, from COCO's, where it is at 0."""
    moved: Floats = np.asarray(points, dtype=np.float64) + _TO_MIDDLE
    return moved


def keypoints_to_coco(points: Floats32) -> Floats:
    """COCO's points [..., 3], whose first pixel has its middle at 0, from ours."""
    moved: Floats = points.astype(np.float64) - _TO_MIDDLE
    return moved


def _points(results: Sequence[Result]) -> Floats | None:
    """The points of all entries [n, K, 3], None where they have none."""
    rows = [result.keypoints for result in results if result.keypoints is not None]
    if not rows:
        return None
    if len(sizes := sorted({len(row) for row in rows})) > 1 or sizes[0] % 3 or not sizes[0]:
        raise ValueError(f"keypoints have {' and '.join(map(str, sizes))} values; all must have 3 for each point")
    return keypoints_from_coco(np.array(rows).reshape(len(rows), -1, 3))


def _box(result: Result, row: int, masks: list[Rle], points: Floats | None) -> list[float]:
    """x0, y0, x1, y1 of an entry, of its mask, or of its points."""
    if result.bbox is not None:
        return list(boxes_from_coco(result.bbox)[0])
    if masks:
        return list(masks[row].box())
    if points is not None:
        return [*points[row, :, :2].min(axis=0).tolist(), *points[row, :, :2].max(axis=0).tolist()]
    raise ValueError(f"entry {row} has no bbox, segmentation or keypoints; at least one must say where the object is")


def _check_finite(field: str, values: npt.NDArray[np.floating[Any]] | None) -> None:
    """Raises ValueError for NaN and infinities."""
    if values is not None and not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise ValueError(f"{field}[{row}] holds NaN or an infinity; a result file must hold finite numbers")
