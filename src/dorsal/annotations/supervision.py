"""Objects as the package supervision has them, for its annotators, trackers and zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dorsal.annotations.annotation import Annotation
from dorsal.language.reader import wrong_type

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(annotation: Annotation) -> Detections:
    """The objects of an image as `supervision.Detections`, in the same order.

    - `xyxy`: float32 [n, 4], in pixels of the file, as here: pixel i reaches from i to i + 1.
    - `class_id`: int64 [n]. `confidence`: float32 [n], None in truth, which has no scores.
    - `mask`: bool [n, H, W], None where no masks are known.

    Arrays are copies. Key points, areas and whether an entry is a crowd have no place there and are left out.

    Raises TypeError for anything else than an annotation, ValueError for one without objects (an image in which none
    were found has some of n = 0), and ModuleNotFoundError without the extra.
    """
    if not isinstance(annotation, Annotation):
        raise wrong_type("annotation", annotation, "an Annotation, such as a prediction or a data set's truth")
    objects = annotation.objects
    if objects is None:
        raise ValueError("objects=None of the annotation: nobody looked for objects, so there are no detections")
    try:
        from supervision import Detections
    except ModuleNotFoundError:
        raise ModuleNotFoundError("to_supervision needs an extra: pip install 'dorsal[supervision]'") from None
    masks = None
    if objects.masks is not None:
        masks = np.zeros((len(objects.masks), *annotation.size), dtype=bool)
        for mask, runs in zip(masks, objects.masks, strict=True):
            mask[:] = runs.pixels()
    return Detections(
        xyxy=objects.boxes.copy(),
        mask=masks,
        confidence=None if objects.scores is None else objects.scores.copy(),
        class_id=objects.labels.copy(),
    )
