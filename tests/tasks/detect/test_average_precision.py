"""Average precision against pycocotools, beside it and as stored."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from dorsal.tasks.detect.average_precision import LongTail, average_precision
from tests.tasks.detect.coco import by_masks, drawn, objects, pycocotools

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "golden_tasks"


def agrees(ours, theirs, evaluation, tolerance=1e-10):
    """All twelve scores and those of each class; `tolerance` in percent."""
    said = {"AP": ours.score, **ours.scores}
    there = {name: 100 * value for name, value in theirs.items() if value >= 0}
    assert said.keys() == there.keys()
    assert said == pytest.approx(there, abs=tolerance, rel=0)
    assert ours.ranked.score() == ours.score
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    expected = [None if each < 0 else 100 * each for each in precision]
    assert [each is None for each in ours.per_class] == [each is None for each in expected]
    known = [each for each in ours.per_class if each is not None]
    assert known == pytest.approx([each for each in expected if each is not None], abs=tolerance, rel=0)


@pytest.mark.parametrize("levels", [None, 10], ids=["apart", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_scored_as_pycocotools_does(seed, levels):
    truth, found = drawn(40, 5, seed, levels)
    agrees(average_precision(truth, found, 5), *pycocotools(truth, found, 5))


def test_a_hundred_of_each_image_and_class_count():
    truth, found = drawn(3, 2, 1, most=30, copies=20, others=100)
    assert max(len(each.labels) for each in found) > 400
    agrees(average_precision(truth, found, 2), *pycocotools(truth, found, 2))


@pytest.mark.parametrize("levels", [None, 10], ids=["apart", "ties"])
def test_masks_are_scored_as_pycocotools_does(levels):
    truth, found = drawn(15, 4, 5, levels)
    measured, matrices = by_masks(truth, found)
    agrees(average_precision(truth, measured, 4, overlaps=matrices), *pycocotools(truth, found, 4, kind="segm"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_small_sets_are_scored_as_pycocotools_does(data):
    """Boxes on a grid of few places, so that overlaps, scores and areas are often the same."""
    corner, side, scores = st.integers(0, 3), st.sampled_from([4, 8, 32, 96]), st.sampled_from([0.1, 0.5, 0.9])

    def boxes(n):
        each = [[data.draw(corner) * 8, data.draw(corner) * 8] for _ in range(n)]
        return [[x, y, x + data.draw(side), y + data.draw(side)] for x, y in each]

    def some(many, scored):
        n = data.draw(st.integers(0, many))
        labels = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
        if scored:
            return objects(boxes(n), labels, data.draw(st.lists(scores, min_size=n, max_size=n)))
        return objects(boxes(n), labels, crowd=data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))

    images = data.draw(st.integers(1, 3))
    truth, found = [some(4, False) for _ in range(images)], [some(6, True) for _ in range(images)]
    if all(each.crowd.all() for each in truth):
        with pytest.raises(ValueError, match="truth holds no object that counts"):
            average_precision(truth, found, 3)
    elif any(len(each.labels) for each in found):
        agrees(average_precision(truth, found, 3), *pycocotools(truth, found, 3, size=128))


def test_truth_fed_as_found_is_perfect_and_nothing_found_is_0():
    truth, _ = drawn(60, 5, 2)
    certain = [objects(each.boxes, each.labels, np.ones(len(each.labels)), each.area) for each in truth]
    perfect = average_precision(truth, certain, 5)
    assert perfect.score == 100
    assert set(perfect.per_class) == {100, None}
    assert {value for name, value in perfect.scores.items() if name.startswith("AP")} == {100}
    assert perfect.scores["AR100"] == 100
    nothing = average_precision(truth, [objects([], [], []) for _ in truth], 5)
    assert nothing.score == 0
    assert set(nothing.scores.values()) == {0}
    assert set(nothing.per_class) == {0, None}


def test_the_order_of_images_decides_between_equal_scores():
    """COCO's is by number, and a tie goes to the first."""
    truth = [objects([[0, 0, 50, 50]], [0]), objects([], [])]
    found = [objects([[0, 0, 50, 50]], [0], [0.5]), objects([[0, 0, 50, 50]], [0], [0.5])]
    assert average_precision(truth, found, 1).score == 100
    assert average_precision(truth[::-1], found[::-1], 1).score == pytest.approx(50)


def test_a_weight_counts_as_so_many_copies_of_an_image():
    truth, found = drawn(30, 4, 3)
    weights = np.random.default_rng(0).integers(0, 4, (3, 30))
    folded = average_precision(truth, found, 4).ranked.fold(weights.astype(float))
    for weight, score in zip(weights, folded, strict=True):
        copies = [[each for each, n in zip(every, weight, strict=True) for _ in range(n)] for every in (truth, found)]
        assert score == pytest.approx(100 * pycocotools(*copies, 4)[0]["AP"], abs=1e-10)


ONE = objects([[0, 0, 9, 9]], [0], [0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.full((1, 4), np.nan)}, "boxes of image 0 must hold finite numbers"),
        ({"scores": np.array([np.inf])}, "scores of image 0 must hold finite numbers"),
        ({"scores": None}, "scores of image 0 is missing"),
        ({"labels": np.array([2])}, "labels of image 0 holds 2: there are classes 0 to 1"),
        ({"labels": np.array([0, 1])}, "image 0 holds 2 labels"),
    ],
)
def test_objects_that_cannot_be_scored_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        average_precision([ONE], [SimpleNamespace(**(vars(ONE) | change))], 2)


def test_lists_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="found is of 2 images and truth of 1"):
        average_precision([ONE], [ONE, ONE], 1)
    with pytest.raises(ValueError, match=r"overlaps of image 0 has shape \(2, 1\): it must be \(1, 1\)"):
        average_precision([ONE], [ONE], 1, overlaps=[np.ones((2, 1))])
    with pytest.raises(ValueError, match="frequency has 1 entries"):
        average_precision([ONE], [ONE], 2, long_tail=LongTail(frequency="r", negative=[[]], not_exhaustive=[[]]))
    with pytest.raises(ValueError, match="hold 1 to 1: classes are 0 to 0"):
        average_precision([ONE], [ONE], 1, long_tail=LongTail(frequency="r", negative=[[1]], not_exhaustive=[[]]))
    with pytest.raises(ValueError, match="truth holds no object that counts"):
        average_precision([objects([], [])], [ONE], 1)


def golden(name):
    """A stored item; its classes in order; objects of truth and of what was found, with their masks' codes."""
    path = GOLDEN / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the reference numbers of {name} are not beside this checkout")
    stored = json.loads(path.read_text())
    data = stored["config"]["ground_truth"]
    return data, stored["config"]["predictions"], stored["values"]


def encoded(record, sizes):
    """The mask of a record as run lengths."""
    outline = record["segmentation"]
    return mask.merge(mask.frPyObjects(outline, *sizes[record["image_id"]])) if isinstance(outline, list) else outline


def by_image(records, data, *, masks):
    """Objects of each image in the order of their numbers, and their masks."""
    labels = {each["id"]: place for place, each in enumerate(data["categories"])}
    sizes = {each["id"]: (each["height"], each["width"]) for each in data["images"]}
    found, codes = [], []
    for image in sorted(sizes):
        own = [record for record in records if record["image_id"] == image]
        boxes = np.array([record["bbox"] for record in own], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        codes.append([encoded(record, sizes) for record in own] if masks else [])
        measured = mask.area(codes[-1]).astype(np.float64) if codes[-1] else np.zeros(len(own))
        area = [record.get("area", area) for record, area in zip(own, measured, strict=True)]
        scores = [record["score"] for record in own] if "score" in records[0] else None
        crowd = [record.get("iscrowd", 0) for record in own]
        found.append(objects(boxes, [labels[record["category_id"]] for record in own], scores, area, crowd))
    return found, codes


def overlaps_of(found, truth, codes, others):
    """The overlaps of masks of each image."""
    return [
        np.asarray(mask.iou(own, other, each.crowd.astype(np.uint8).tolist())).reshape(len(mine.labels), len(own_truth))
        for mine, each, own, other, own_truth in zip(found, truth, codes, others, others, strict=True)
    ]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_stored_numbers_of_coco(kind):
    data, predictions, values = golden("ap_coco")
    masks = kind == "segm"
    truth, others = by_image(data["annotations"], data, masks=masks)
    found, codes = by_image(predictions, data, masks=masks)
    matrices = overlaps_of(found, truth, codes, others) if masks else None
    ours = average_precision(truth, found, len(data["categories"]), overlaps=matrices)
    stored = values[kind]
    assert {"AP": ours.score, **ours.scores} == pytest.approx(
        {name: 100 * value for name, value in stored["stats"].items()}, abs=1e-7
    )
    by_class = stored["ap_per_class_all_small_medium_large"].values()
    assert ours.per_class == pytest.approx([None if each[0] < 0 else 100 * each[0] for each in by_class], abs=1e-7)
    thresholds = np.nanmean(ours.ranked.precisions(), axis=0)
    assert thresholds == pytest.approx(100 * np.array(stored["ap_per_iou_threshold"]), abs=1e-7)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_stored_numbers_of_lvis(kind):
    data, predictions, values = golden("ap_lvis")
    masks = kind == "segm"
    truth, others = by_image(data["annotations"], data, masks=masks)
    found, codes = by_image(predictions, data, masks=masks)
    matrices = overlaps_of(found, truth, codes, others) if masks else None
    labels = {each["id"]: place for place, each in enumerate(data["categories"])}
    images = sorted(data["images"], key=lambda each: each["id"])
    said = [
        [[labels[each] for each in image[name]] for image in images]
        for name in ("neg_category_ids", "not_exhaustive_category_ids")
    ]
    frequency = [each["frequency"] for each in data["categories"]]
    ours = average_precision(
        truth,
        found,
        len(labels),
        overlaps=matrices,
        long_tail=LongTail(frequency=frequency, negative=said[0], not_exhaustive=said[1]),
    )
    stored = values[kind]
    expected = {
        name.replace("@300", "300" if name == "AR@300" else ""): 100 * value
        for name, value in stored["results"].items()
    }
    assert {"AP": ours.score, **ours.scores} == pytest.approx(expected, abs=1e-7)
    by_class = stored["ap_per_class"].values()
    assert ours.per_class == pytest.approx([None if each < 0 else 100 * each for each in by_class], abs=1e-7)
