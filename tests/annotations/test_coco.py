"""COCO's result entries: what is written comes back, and pycocotools reads it."""

import contextlib
import io
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.coco import (
    Result,
    boxes_from_coco,
    keypoints_from_coco,
    read_results,
    write_results,
)
from dorsal.annotations.rle import rle_of_pixels, rle_to_coco

SIZE = (30, 40)
IDS = (1, 2, 18, 90)
PLACES = st.floats(-50, 1000, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3)
BOXES = st.lists(st.tuples(PLACES, PLACES, PLACES, PLACES), max_size=6)


def square(x0, y0, x1, y1):
    pixels = np.zeros(SIZE, bool)
    pixels[y0:y1, x0:x1] = True
    return rle_of_pixels(pixels)


FOUND = Annotation(
    size=SIZE,
    objects=objects_of(
        [[2, 3, 12.5, 9], [0, 0, 40, 30]],
        [3, 0],
        scores=[0.75, 0.1],
        masks=[square(2, 3, 12, 9), square(0, 0, 40, 30)],
        keypoints=[[[2.5, 3.5, 0.5], [12.25, 9, 1]], [[0.5, 0.5, 0.25], [0, 0, 0]]],
    ),
)


def coco_of(results):
    """Entries as pycocotools loads them, without what it prints."""
    truth = COCO()
    truth.dataset = {"info": {}, "images": [{"id": 7}], "categories": [{"id": number} for number in IDS]}
    truth.dataset["annotations"] = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        return truth.loadRes(msgspec.to_builtins(results)).dataset["annotations"]


def assert_same(first, second):
    assert first.size == second.size
    for field in ("boxes", "labels", "scores", "keypoints", "area", "crowd"):
        np.testing.assert_array_equal(getattr(first.objects, field), getattr(second.objects, field))
    masks, others = first.objects.masks, second.objects.masks
    assert (masks is None) == (others is None)
    assert list(map(rle_to_coco, masks or ())) == list(map(rle_to_coco, others or ()))


def test_an_entry_as_it_is_in_the_file():
    text = msgspec.json.encode(write_results(FOUND, 7, IDS))
    assert json.loads(text)[0] == {
        "image_id": 7,
        "category_id": 90,
        "score": 0.75,
        "bbox": [2.0, 3.0, 10.5, 6.0],
        "segmentation": rle_to_coco(square(2, 3, 12, 9)),
        "keypoints": [2.0, 3.0, 0.5, 11.75, 8.5, 1.0],
    }
    assert_same(read_results(msgspec.json.decode(text, type=list[Result]), SIZE, IDS), FOUND)


def test_pycocotools_reads_the_entries():
    for entry, loaded in zip(write_results(FOUND, 7, IDS), coco_of(write_results(FOUND, 7, IDS)), strict=True):
        assert loaded["area"] == entry.bbox[2] * entry.bbox[3]
        assert loaded["keypoints"] == entry.keypoints


@given(BOXES)
def test_boxes_come_back_exactly(boxes):
    labels = [row % len(IDS) for row in range(len(boxes))]
    found = Annotation(size=SIZE, objects=objects_of(boxes, labels, scores=np.linspace(0, 1, len(boxes))))
    text = msgspec.json.encode(write_results(found, "a", IDS))
    assert_same(read_results(msgspec.json.decode(text, type=list[Result]), SIZE, IDS), found)


@pytest.mark.parametrize("places", [("segmentation",), ("keypoints",), ("segmentation", "keypoints")])
def test_an_entry_without_a_box_has_the_box_that_pycocotools_gives_it(places):
    entries = [
        Result(image_id=7, category_id=1, score=1.0, **{place: getattr(each, place) for place in places})
        for each in write_results(FOUND, 7, IDS)
    ]
    objects = read_results(entries, SIZE, IDS).objects
    loaded = coco_of(entries)
    shift = 0.5 if places == ("keypoints",) else 0.0  # theirs is around the numbers of pixels
    np.testing.assert_array_equal(objects.boxes, boxes_from_coco([each["bbox"] for each in loaded]) + shift)
    np.testing.assert_array_equal(objects.area, [each["area"] for each in loaded])


def test_an_image_in_which_nothing_was_found():
    nothing = Annotation(size=SIZE, objects=objects_of([], [], scores=[]))
    assert write_results(nothing, 7, IDS) == []
    assert_same(read_results([], SIZE, IDS), nothing)


def test_points_of_truth_files():
    points = keypoints_from_coco([[0, 0, 2], [3, 4, 1]])
    assert points.tolist() == [[0.5, 0.5, 2], [3.5, 4.5, 1]]


def changed(**change):
    return msgspec.structs.replace(FOUND, objects=msgspec.structs.replace(FOUND.objects, **change))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Annotation(size=SIZE), "objects is None; a result needs both"),
        (changed(scores=None), r"objects.scores is None"),
        (changed(labels=np.array([0, 4])), "labels has 4; category_ids ends at label 3"),
        (changed(scores=np.array([0.5, np.nan], np.float32)), r"scores\[1\] holds NaN or an infinity"),
        (changed(keypoints=np.full((2, 1, 3), np.inf, np.float32)), r"keypoints\[0\] holds NaN or an infinity"),
    ],
)
def test_what_a_file_cannot_say_is_not_written(found, message):
    with pytest.raises(ValueError, match=message):
        write_results(found, 7, IDS)


def entry(**fields):
    return Result(**{"image_id": 7, "category_id": 1, "score": 0.5} | fields)


BOX, MASK = (0.0, 0.0, 2.0, 2.0), rle_to_coco(square(0, 0, 2, 2))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry()], "entry 0 has no bbox, segmentation or keypoints; at least one must say where the object is"),
        (
            [entry(bbox=BOX, category_id=17)],
            "category_id=17, which is none of the 4 of .* nearest valid: 18",
        ),
        ([entry(segmentation=MASK), entry(bbox=BOX)], "entry 1 has no segmentation, but others have"),
        ([entry(bbox=BOX), entry(keypoints=(1, 2, 3))], "entry 0 has no keypoints, but others have"),
        ([entry(keypoints=(1.0, 2.0))], "keypoints have 2 values; all must have 3 for each point"),
        ([entry(keypoints=())], "keypoints have 0 values"),
        ([entry(keypoints=(1, 2, 3)), entry(keypoints=(1, 2, 3) * 2)], "keypoints have 3 and 6 values"),
        ([entry(segmentation={"size": [3, 4], "counts": [12]})], r"objects.masks are of size \(3, 4\)"),
        ([entry(segmentation={"size": [30, 40], "counts": "x"})], "counts of a mask"),
        ([entry(bbox=(0, 0, float("inf"), 1))], r"boxes\[0\]=\[0.0, 0.0, inf, 1.0\] must hold finite numbers"),
    ],
)
def test_malformed_entries_are_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        read_results(entries, SIZE, IDS)


@pytest.mark.parametrize(
    "text",
    [
        '[{"image_id": 1, "category_id": 1}]',
        '[{"image_id": 1, "category_id": 1, "score": NaN}]',
        '[{"image_id": 1, "category_id": 1, "score": 1, "bbox": [1, 2, 3]}]',
    ],
)
def test_a_file_of_other_entries_is_refused(text):
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=list[Result])
