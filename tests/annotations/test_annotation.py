"""Annotations: what is filled in, and what is refused."""

import msgspec
import numpy as np
import pytest

from dorsal.annotations.annotation import Annotation, Objects, Segments, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels

BOXES = [[0, 0, 3, 2], [1.5, 1, 2, 3]]
MASK = rle_of_pixels(np.eye(3, 4, dtype=bool))
OTHER = rle_of_pixels(np.eye(4, 3, dtype=bool))


def test_objects_of_lists_have_the_area_of_their_boxes():
    objects = objects_of(BOXES, [2, 0])
    assert (objects.boxes.dtype, objects.labels.dtype) == (np.float32, np.int64)
    assert objects.area.tolist() == [6, 1]
    assert objects.crowd.tolist() == [False, False]
    assert (objects.scores, objects.masks, objects.keypoints) == (None, None, None)


def test_objects_with_masks_have_the_area_of_these():
    objects = objects_of(BOXES, np.array([2, 0], np.int8), scores=[0.5, 1], masks=[MASK, MASK], crowd=[0, 1])
    assert objects.area.tolist() == [3, 3]
    assert objects.crowd.tolist() == [False, True]
    assert objects_of(BOXES, [2, 0], masks=[MASK, MASK], area=[7.5, 8]).area.tolist() == [7.5, 8]


def test_no_objects():
    objects = objects_of([], [], scores=[], masks=[], keypoints=np.zeros((0, 17, 3)))
    assert [each.shape for each in (objects.boxes, objects.labels, objects.crowd, objects.area)] == [
        (0, 4),
        (0,),
        (0,),
        (0,),
    ]
    assert Annotation(size=(3, 4), objects=objects).objects is objects


def test_what_a_check_of_the_data_judges_is_taken():
    objects = objects_of([[-5, 0, 900, 2], [2, 2, 2, 2], [3, 3, 1, 1]], [0, 0, 0], scores=[float("nan"), 2, -1])
    assert objects.area.tolist() == [1810, 0, 0]


def test_an_annotation_of_everything():
    segments = Segments(
        pixels=np.array([[0, 7, 7, 0]] * 3, np.uint32),
        ids=np.array([7], np.uint32),
        labels=np.array([1]),
        crowd=np.array([False]),
    )
    everything = Annotation(
        size=(3, 4),
        label=1,
        probabilities=np.array([0.25, 0.75], np.float32),
        objects=objects_of(BOXES, [2, 0], masks=[MASK, MASK], keypoints=np.ones((2, 5, 3))),
        semantic=np.full((3, 4), 255, np.uint8),
        segments=segments,
    )
    assert everything.objects.keypoints.shape == (2, 5, 3)
    large = msgspec.structs.replace(everything, semantic=np.full((3, 4), 65535, np.uint16))
    assert large.semantic.dtype == np.uint16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros((2, 5), np.float32)}, r"boxes is float32 \[2, 5\]; it must be float32 \[n, 4\]"),
        ({"boxes": np.zeros((2, 4))}, r"boxes is float64 \[2, 4\]; it must be float32 \[n, 4\]"),
        ({"boxes": BOXES}, r"boxes is of type list; it must be float32 \[n, 4\]"),
        (
            {"boxes": np.array([BOXES[0], [0, np.nan, 1, 1]], np.float32)},
            r"boxes\[1\]=\[0.0, nan, 1.0, 1.0\] must",
        ),
        ({"boxes": np.full((2, 4), np.inf, np.float32)}, r"boxes\[0\]=\[inf, inf, inf, inf\] must hold finite numbers"),
        ({"labels": np.zeros(3, np.int64)}, r"labels is int64 \[3\]; it must be int64 \[2\]"),
        ({"labels": np.zeros(2, np.int32)}, r"labels is int32 \[2\]; it must be int64 \[2\]"),
        ({"labels": np.array([4, -1])}, r"labels\[1\]=-1 must be from 0"),
        ({"crowd": np.zeros(2, np.uint8)}, r"crowd is uint8 \[2\]; it must be bool \[2\]"),
        ({"area": np.zeros((2, 1), np.float32)}, r"area is float32 \[2, 1\]; it must be float32 \[2\]"),
        ({"scores": np.zeros(1, np.float32)}, r"scores is float32 \[1\]; it must be float32 \[2\] or None"),
        ({"keypoints": np.zeros((2, 5, 2), np.float32)}, r"keypoints is float32 \[2, 5, 2\]; .* \[2, K, 3\] or None"),
        ({"masks": [MASK, MASK]}, "masks is of type list; it must be a tuple of Rle, or None"),
        ({"masks": (MASK, None)}, "it must be a tuple of Rle, or None"),
        ({"masks": (MASK,)}, "masks has 1 entries; boxes has 2"),
        ({"masks": (MASK, OTHER)}, r"masks are of the sizes \[\(3, 4\), \(4, 3\)\]; all must be of one image"),
    ],
)
def test_objects_are_checked(change, message):
    fields = msgspec.structs.asdict(objects_of(BOXES, [2, 0]))
    with pytest.raises(ValueError, match=message):
        Objects(**fields | change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0, 3, 1e300]], [0]), r"boxes\[0\]=\[0.0, 0.0, 3.0, inf\] must hold finite"),
        (([[0, 0, 3]], [0]), r"boxes is float32 \[1, 3\]"),
        ((5, [0]), r"boxes is float32 \[\]"),
        ((BOXES, [0]), r"labels is int64 \[1\]; it must be int64 \[2\]"),
        ((BOXES, [0.5, 1]), "labels is float64; it must be whole numbers"),
    ],
)
def test_lists_of_objects_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        objects_of(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": np.zeros((3, 4), np.int32)}, r"pixels is int32 \[3, 4\]; it must be uint32 \[H, W\]"),
        ({"ids": np.array([1, 2])}, r"ids is int64 \[2\]; it must be uint32 \[s\]"),
        ({"ids": np.array([0, 2], np.uint32)}, "ids holds 0, which marks pixels of no segment"),
        ({"ids": np.array([2, 2], np.uint32)}, "ids holds 2 twice"),
        ({"labels": np.array([1])}, r"labels is int64 \[1\]; it must be int64 \[2\]"),
        ({"labels": np.array([-1, 0])}, r"labels\[0\]=-1 must be from 0"),
        ({"crowd": np.array([False])}, r"crowd is bool \[1\]; it must be bool \[2\]"),
    ],
)
def test_segments_are_checked(change, message):
    fields = {
        "pixels": np.zeros((3, 4), np.uint32),
        "ids": np.array([1, 2], np.uint32),
        "labels": np.array([0, 0]),
        "crowd": np.array([False, False]),
    }
    assert Segments(**fields).ids.tolist() == [1, 2]
    with pytest.raises(ValueError, match=message):
        Segments(**fields | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [3, 4]}, r"size=\[3, 4\] must be \(height, width\)"),
        ({"size": (3, 4.0)}, r"size=\(3, 4.0\) must be"),
        ({"label": -1}, "label=-1 must be a whole number from 0, or None"),
        ({"label": "cat"}, "label='cat' must be a whole number"),
        (
            {"probabilities": np.zeros((1, 2), np.float32)},
            r"probabilities is float32 \[1, 2\]; .* \[C\]",
        ),
        ({"semantic": np.zeros((4, 3), np.uint8)}, r"semantic is uint8 \[4, 3\]; it must be uint8 or uint16 \[3, 4\]"),
        ({"semantic": np.zeros((3, 4), np.int64)}, r"semantic is int64 \[3, 4\]; it must be uint8 or uint16 \[3, 4\]"),
        ({"objects": objects_of([BOXES[0]], [0], masks=[OTHER])}, r"objects.masks are of size \(4, 3\); .*\(3, 4\)"),
        (
            {
                "segments": Segments(
                    pixels=np.zeros((4, 3), np.uint32),
                    ids=np.zeros(0, np.uint32),
                    labels=np.zeros(0, np.int64),
                    crowd=np.zeros(0, bool),
                )
            },
            r"segments.pixels is uint32 \[4, 3\]; it must be uint32 \[3, 4\]",
        ),
    ],
)
def test_annotations_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Annotation(**{"size": (3, 4)} | change)


BODY = Labels(
    classes=("person",),
    stuff=("sky",),
    keypoints=("nose", "left eye", "right eye"),
    pairs=((1, 2),),
    sigmas=(0.026, 0.025, 0.025),
    skeleton=((0, 1), (0, 2), (1, 2)),
)


def test_labels_are_the_same_after_json():
    assert msgspec.json.decode(msgspec.json.encode(BODY), type=Labels) == BODY
    assert Labels(classes=(), stuff=("sky",)).stuff == ("sky",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": (), "stuff": ()}, "classes and stuff are both empty"),
        ({"classes": ("person", " ")}, "classes and stuff must hold names, and none that is empty"),
        ({"classes": ("person", "sky")}, "classes and stuff hold the name 'sky' twice"),
        ({"keypoints": ("nose", "eye", "eye")}, "keypoints hold the name 'eye' twice"),
        ({"pairs": ((1, 3),)}, r"pairs holds \(1, 3\); it must be two different numbers from 0 to 2"),
        ({"pairs": ((1, 1),)}, r"pairs holds \(1, 1\)"),
        ({"pairs": ((0, 1), (1, 2))}, "pairs holds point 1 twice; a mirror exchanges it with one other only"),
        ({"skeleton": ((0, -1),)}, r"skeleton holds \(0, -1\); it must be two different numbers from 0 to 2"),
        ({"keypoints": (), "sigmas": ()}, r"pairs holds \(1, 2\); it must be left out without two keypoints"),
        ({"sigmas": (0.1,)}, "sigmas has 1 values; there are 3 keypoints"),
        ({"sigmas": (0.1, 0.0, 0.1)}, "sigmas holds 0.0; each must be a number above 0"),
        ({"sigmas": (0.1, float("inf"), 0.1)}, "sigmas holds inf; each must be a number above 0"),
    ],
)
def test_labels_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        msgspec.structs.replace(BODY, **change)
