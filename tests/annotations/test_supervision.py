"""Objects go to supervision unchanged, and its own functions take them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import dorsal
from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.rle import rle_of_pixels

SIZE = (20, 30)
BOXES = [[2, 3, 12, 9], [15, 1, 30, 20], [0, 0, 4.5, 5]]


def squares() -> np.ndarray:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 3:9, 2:12] = masks[1, 5:20, 15:30] = masks[2, :5, :4] = True
    return masks


def predicted(masks: bool = True) -> Annotation:
    made = objects_of(
        BOXES, [4, 0, 4], scores=[0.9, 0.25, 0.5], masks=[rle_of_pixels(each) for each in squares()] if masks else None
    )
    return Annotation(size=SIZE, objects=made)


def test_every_value_arrives() -> None:
    supervision = pytest.importorskip("supervision")
    found = dorsal.to_supervision(predicted())
    assert type(found) is supervision.Detections
    assert (found.xyxy.tolist(), found.xyxy.dtype) == (BOXES, np.float32)
    assert (found.class_id.tolist(), found.class_id.dtype) == ([4, 0, 4], np.int64)
    assert (found.confidence.tolist(), found.confidence.dtype) == ([pytest.approx(0.9), 0.25, 0.5], np.float32)
    assert (found.mask == squares()).all()
    assert found.mask.dtype == bool


def test_their_own_functions_take_it() -> None:
    pytest.importorskip("supervision")
    found = dorsal.to_supervision(predicted())
    assert found.area.tolist() == [60, 225, 20]  # of the masks
    assert len(found[found.confidence > 0.4]) == 2
    assert found[found.class_id == 0].xyxy.tolist() == BOXES[1:2]
    assert dorsal.to_supervision(predicted(masks=False)).area.tolist() == [60, 285, 22.5]  # of the boxes
    twice = objects_of([BOXES[0]] * 2, [1, 1], scores=[0.5, 0.75])
    kept = dorsal.to_supervision(Annotation(size=SIZE, objects=twice)).with_nms(0.5)
    assert kept.confidence.tolist() == [0.75]


def test_truth_has_no_confidence_and_an_image_may_have_no_objects() -> None:
    pytest.importorskip("supervision")
    truth = dorsal.to_supervision(Annotation(size=SIZE, objects=objects_of(BOXES, [0, 1, 2])))
    assert (truth.confidence, truth.mask, len(truth)) == (None, None, 3)
    empty = dorsal.to_supervision(Annotation(size=SIZE, objects=objects_of([], [], scores=[], masks=[])))
    assert (len(empty), empty.xyxy.shape, empty.mask.shape) == (0, (0, 4), (0, *SIZE))


def test_what_is_changed_there_does_not_change_the_annotation() -> None:
    pytest.importorskip("supervision")
    annotation = predicted()
    assert annotation.objects is not None
    found = dorsal.to_supervision(annotation)
    found.xyxy[:], found.class_id[:], found.confidence[:], found.mask[:] = 1, 1, 1, True
    assert annotation.objects.boxes.tolist() == BOXES
    assert annotation.objects.labels.tolist() == [4, 0, 4]
    assert annotation.objects.masks is not None
    assert annotation.objects.masks[0].area() == 60


def test_an_image_in_which_nobody_looked_for_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="objects=None of the annotation: nobody looked for objects"):
        dorsal.to_supervision(Annotation(size=SIZE, label=1))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"^to_supervision needs an extra: pip install 'dorsal\[supervision\]'$"
    ):
        dorsal.to_supervision(predicted())
