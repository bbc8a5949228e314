"""Average precision as COCO and LVIS have it, from the objects found in each image and those that are there. No torch.

Sources: pycocotools for COCO, lvis 0.5.3 for LVIS. Every score is in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.stats.ranked import Ranked
from dorsal.tasks.detect.listing import Floats, Listed, Objects, Places, listed, turns_of
from dorsal.tasks.detect.matching import RANGES, Matches, match

MOST = 100
"""How much of an image and class counts; LVIS: how much of an image."""
MOST_OF_LONG_TAIL = 300
RECALLED = (1, 10, 100)
"""COCO's average recall is told of so many found of each image and class."""


class LongTail(msgspec.Struct, frozen=True, kw_only=True):
    """What LVIS says of classes and images, where not every class is marked in every image.

    - `frequency`: for each class "r", "c" or "f", rare, common or frequent.
    - `negative`: for each image, the classes known not to be in it. What is found of a class that is neither among
      them nor in the truth is left out.
    - `not_exhaustive`: for each image, the classes of which not every object is marked. What is found of them without
      an object is neither right nor wrong.
    """

    frequency: Sequence[Literal["r", "c", "f"]]
    negative: Sequence[Sequence[int]]
    not_exhaustive: Sequence[Sequence[int]]


class AveragePrecision(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How well the objects of a set of images are found, in percent.

    - `score`: AP, the mean over thresholds .50 to .95 and classes with truth.
    - `scores`: by name, AP50, AP75; APs, APm, APl of small, medium and large objects (below 32², to 96²); AR1, AR10,
      AR100, average recall with so many found of each image and class; ARs, ARm, ARl. LVIS has APr, APc, APf of
      rare, common and frequent classes, and AR300. A score without any truth is left out.
    - `per_class`: AP of each class; None without truth.
    - `ranked`: what each image contributes to `score`.
    """

    score: float
    scores: Mapping[str, float]
    per_class: tuple[float | None, ...]
    ranked: Ranked


def average_precision(
    truth: Sequence[Objects],
    found: Sequence[Objects],
    classes: int,
    *,
    overlaps: Sequence[npt.NDArray[Any]] | None = None,
    long_tail: LongTail | None = None,
) -> AveragePrecision:
    """COCO's scores of what was `found` in each image against its `truth`, the same images in the same order.

    - Of equal scores, what comes first ranks higher: the order of images is part of the result. COCO's is by number.
    - `overlaps`: for each image a matrix [found, truth], the intersection over union, or for a crowd the share of what
      is found that lies in it. Pairs of different classes are not read. Without it, boxes are compared, and the area of
      what is found is that of its box; with it, `area`.
    - Of each image and class, the 100 with the highest scores count; with `long_tail`, 300 of each image.

    Raises ValueError for objects that cannot be scored (see `listed`), lists of different lengths, or no truth at all.
    """
    _check(truth, found, classes, overlaps, long_tail)
    there, every = listed(truth, classes, scored=False), listed(found, classes, scored=True)
    if overlaps is None:
        area = (every.boxes[:, 2] - every.boxes[:, 0]) * (every.boxes[:, 3] - every.boxes[:, 1])
        every = msgspec.structs.replace(every, area=area)
    kept = _of_each_class(every) if long_tail is None else _of_each_image(every, there, long_tail)
    unmarked = () if long_tail is None else long_tail.not_exhaustive
    matches = match(there, kept, overlaps, np.isin(kept.kind, _kinds(unmarked, classes)))
    if not matches.counts[0].any():
        raise ValueError("truth holds no object that counts: there is no score")
    order = np.lexsort((-kept.scores, kept.labels))
    ranked = _ranked(there, kept, matches, 0, order)
    whole = ranked.precisions()
    scores = {"AP50": _mean(whole[:, 0]), "AP75": _mean(whole[:, 5])}
    parts = [(name, at) for at, name in enumerate(RANGES) if name and matches.counts[at].any()]
    scores |= {f"AP{name}": _ranked(there, kept, matches, at, order).score() for name, at in parts}
    if long_tail is not None:
        scores |= {f"AP{each}": _mean(whole[np.array(long_tail.frequency) == each]) for each in "rcf"}
    for most in RECALLED if long_tail is None else (MOST_OF_LONG_TAIL,):
        scores[f"AR{most}"] = _recall(there, kept, matches, 0, most)
    scores |= {f"AR{name}": _recall(there, kept, matches, at) for name, at in parts}
    return AveragePrecision(
        score=_mean(whole),
        scores={name: score for name, score in scores.items() if not np.isnan(score)},
        per_class=tuple(None if np.isnan(each) else each for each in whole.mean(axis=1).tolist()),
        ranked=ranked,
    )


def _check(
    truth: Sequence[Objects],
    found: Sequence[Objects],
    classes: int,
    overlaps: Sequence[npt.NDArray[Any]] | None,
    long_tail: LongTail | None,
) -> None:
    """Raises ValueError where the lists do not belong together."""
    lists: dict[str, Sequence[Any]] = {"found": found} if overlaps is None else {"found": found, "overlaps": overlaps}
    if long_tail is not None:
        lists |= {"negative": long_tail.negative, "not_exhaustive": long_tail.not_exhaustive}
        if len(long_tail.frequency) != classes:
            raise ValueError(
                f"frequency has {len(long_tail.frequency)} entries: it must have one for each of {classes} classes"
            )
    for name, each in lists.items():
        if len(each) != len(truth):
            raise ValueError(
                f"{name} is of {len(each)} images and truth of {len(truth)}: both must be of the same ones"
            )
    for image, matrix in enumerate(overlaps or ()):
        shape = (len(found[image].labels), len(truth[image].labels))
        if matrix.shape != shape:
            raise ValueError(f"overlaps of image {image} has shape {matrix.shape}: it must be {shape}, found by truth")


def _of_each_class(found: Listed) -> Listed:
    """Up to 100 of each image and class, by image, class and falling score."""
    order = np.lexsort((-found.scores, found.kind))
    return found.at(order[turns_of(found.kind[order]) < MOST])


def _of_each_image(found: Listed, truth: Listed, long_tail: LongTail) -> Listed:
    """Up to 300 of each image, less what is of a class that was not looked for; by image, class and falling score."""
    order = np.lexsort((-found.scores, found.image))
    kept = found.at(order[turns_of(found.image[order]) < MOST_OF_LONG_TAIL])
    looked_for = np.append(truth.kind, _kinds(long_tail.negative, found.classes))
    kept = kept.at(np.isin(kept.kind, looked_for))
    return kept.at(np.lexsort((-kept.scores, kept.kind)))


def _kinds(labels: Sequence[Sequence[int]], classes: int) -> npt.NDArray[np.int64]:
    """`Listed.kind` of the classes that are given for each image. ValueError for a class that does not exist."""
    said = {label for each in labels for label in each}
    if said and not 0 <= min(said) <= max(said) < classes:
        raise ValueError(f"negative and not_exhaustive hold {min(said)} to {max(said)}: classes are 0 to {classes - 1}")
    return np.array([image * classes + label for image, each in enumerate(labels) for label in each], dtype=np.int64)


def _ranked(truth: Listed, found: Listed, matches: Matches, at: int, order: Places) -> Ranked:
    """Everything found, in this order, less what does not count at any threshold in a range of areas."""
    size = (len(found.labels), matches.hit.shape[2])
    hit, ignored = np.zeros(size, dtype=np.bool_), np.repeat(matches.outside[at][:, None], size[1], axis=1)
    hit[matches.near] = matches.hit[at]
    ignored[matches.near] = (ignored[matches.near] & ~matches.hit[at]) | matches.beside[at]
    counted = truth.kind[matches.counts[at]]
    rows = order[np.any(~ignored, axis=1)[order]]
    return Ranked(
        image=found.image[rows],
        label=found.labels[rows],
        scores=found.scores[rows],
        hit=hit[rows],
        ignored=ignored[rows],
        truths=np.bincount(counted, minlength=truth.images * truth.classes)
        .reshape(truth.images, truth.classes)
        .astype(np.float64),
    )


def _recall(truth: Listed, found: Listed, matches: Matches, at: int, most: int = MOST_OF_LONG_TAIL) -> float:
    """The share of truths with a hit, its mean over classes with truth and thresholds, in a range of areas.

    Of each image and class, `most` with the highest scores count.
    """
    counted = turns_of(found.kind)[matches.near] < most
    truths = np.bincount(truth.labels[matches.counts[at]], minlength=truth.classes)
    labels = found.labels[matches.near[counted]]
    hits = np.array([np.bincount(labels, each, truth.classes) for each in matches.hit[at, counted].T])
    present = truths > 0
    return _mean(100 * hits[:, present] / truths[present])


def _mean(values: Floats) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))
