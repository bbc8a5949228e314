"""Masks as runs, against pycocotools."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco

from dorsal.annotations.rle import Rle, mask_iou, rle_from_coco, rle_of_flips, rle_of_pixels, rle_to_coco, union

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
PIXELS = SIZES.flatmap(lambda size: npst.arrays(np.bool_, size))
SEVERAL = SIZES.flatmap(lambda size: st.lists(npst.arrays(np.bool_, size), min_size=1, max_size=5))
NO_CROWD = np.zeros(1, dtype=bool)


def theirs(pixels):
    return coco.encode(np.asfortranarray(pixels.astype(np.uint8)))


def big_masks(n, seed):
    """Discs and their unions in 120 x 200 pixels, some cut by the border, one empty, one full."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :200]
    masks = []
    for _ in range(n):
        discs = random.uniform([0, 0, 4], [120, 200, 50], (2, 3))
        masks.append(np.any([(y - cy) ** 2 + (x - cx) ** 2 < r * r for cy, cx, r in discs], axis=0))
    return [*masks, np.zeros((120, 200), bool), np.ones((120, 200), bool)]


@given(PIXELS)
def test_pixels_come_back_and_all_figures_are_those_of_pycocotools(pixels):
    mask, other = rle_of_pixels(pixels), theirs(pixels)
    np.testing.assert_array_equal(mask.pixels(), pixels)
    assert rle_to_coco(mask) == {"size": other["size"], "counts": other["counts"].decode()}
    assert mask.area() == coco.area(other)
    x, y, width, height = coco.toBbox(other)
    assert mask.box() == (x, y, x + width, y + height)


@given(st.lists(st.integers(0, 2**17), min_size=1, max_size=40))
def test_a_compressed_text_of_any_runs_is_read_as_pycocotools_wrote_it(counts):
    counts[-1] += 1 + -sum(counts) % 7  # an image of at least a pixel
    total = sum(counts)
    height = next(side for side in (7, 1) if total % side == 0)
    size = [height, total // height]
    other = coco.frPyObjects({"size": size, "counts": counts}, *size)
    from_list = rle_from_coco({"size": size, "counts": counts})
    for text in (other["counts"], other["counts"].decode()):
        np.testing.assert_array_equal(rle_from_coco({"size": size, "counts": text}).runs, from_list.runs)
    assert rle_from_coco(rle_to_coco(from_list)).runs.tolist() == from_list.runs.tolist()
    assert from_list.area() == coco.area(other)


def test_a_text_of_the_greatest_numbers():
    for counts in ([2**32 - 1], [0, 2**32 - 1], [1, 2**31, 2, 2**31 - 7], [1, 1, 1, 2**32 - 5, 1]):
        size = [1, sum(counts)]
        text = rle_to_coco(rle_from_coco({"size": size, "counts": counts}))["counts"]
        assert text == coco.frPyObjects({"size": size, "counts": counts}, *size)["counts"].decode()
        assert rle_from_coco({"size": size, "counts": text}).runs.tolist() == counts


def test_a_mask_by_hand():
    pixels = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    mask = rle_of_pixels(pixels)
    assert mask.runs.tolist() == [2, 3, 1]
    assert mask.limits().tolist() == [2, 5]
    assert rle_to_coco(mask) == {"size": [2, 3], "counts": "231"}
    assert (mask.area(), mask.box()) == (3, (1, 0, 3, 2))
    assert rle_of_pixels(~pixels).runs.tolist() == [0, 2, 3, 1]
    assert rle_of_pixels(np.zeros((2, 3), bool)).box() == (0, 0, 0, 0)
    assert pickle.loads(pickle.dumps(mask)).runs.tolist() == [2, 3, 1]  # masks travel between processes


def test_runs_of_0_are_joined_so_that_a_mask_has_one_form():
    mask = rle_from_coco({"size": [2, 3], "counts": [0, 0, 2, 2, 0, 1, 1, 0]})
    assert mask.runs.tolist() == [2, 3, 1]
    assert rle_of_flips((2, 3), np.array([5, 2, 1, 1, 6])).runs.tolist() == [2, 3, 1]


@given(SEVERAL)
def test_a_union_is_any_of_the_masks_in_any_order(several):
    masks = [rle_of_pixels(pixels) for pixels in several]
    together = union(masks)
    np.testing.assert_array_equal(together.pixels(), np.any(several, axis=0))
    assert rle_to_coco(together)["counts"] == coco.merge([theirs(pixels) for pixels in several])["counts"].decode()
    assert union(masks[::-1]).runs.tolist() == together.runs.tolist()


@given(SEVERAL, st.data())
def test_overlaps_are_those_of_pycocotools(several, data):
    split = data.draw(st.integers(0, len(several)))
    crowd = np.array(data.draw(st.lists(st.booleans(), min_size=len(several) - split, max_size=len(several) - split)))
    masks, others = [rle_of_pixels(pixels) for pixels in several], [theirs(pixels) for pixels in several]
    ours = mask_iou(masks[:split], masks[split:], crowd)
    assert ours.shape == (split, len(several) - split)
    assert ours.dtype == np.float64
    if ours.size:
        np.testing.assert_array_equal(ours, coco.iou(others[:split], others[split:], crowd.astype(np.uint8)))


@pytest.mark.parametrize("crowds", [0.0, 0.4])
def test_overlaps_of_large_masks(crowds):
    found, truth = big_masks(20, 0), big_masks(6, 1)
    crowd = np.random.default_rng(2).random(len(truth)) < crowds
    ours = mask_iou([rle_of_pixels(each) for each in found], [rle_of_pixels(each) for each in truth], crowd)
    reference = coco.iou([theirs(each) for each in found], [theirs(each) for each in truth], crowd.astype(np.uint8))
    np.testing.assert_array_equal(ours, reference)
    assert 0.2 < (ours > 0).mean() < 1


@given(SEVERAL)
def test_overlap_without_crowds_is_symmetric_and_1_with_itself(several):
    masks = [rle_of_pixels(pixels) for pixels in several]
    overlaps = mask_iou(masks, masks, np.zeros(len(masks), bool))
    np.testing.assert_array_equal(overlaps, overlaps.T)
    np.testing.assert_array_equal(np.diag(overlaps), [float(pixels.any()) for pixels in several])


def test_overlaps_of_no_masks():
    mask = rle_of_pixels(np.ones((2, 3), bool))
    assert mask_iou([], [], NO_CROWD[:0]).shape == (0, 0)
    assert mask_iou([mask], [], NO_CROWD[:0]).shape == (1, 0)
    assert mask_iou([], [mask], NO_CROWD).shape == (0, 1)


def test_masks_of_coco_mini(real_data):
    file = json.loads((real_data / "coco_mini" / "instances_val.json").read_text())
    assert len(file["annotations"]) == 273
    for each in file["annotations"]:
        form = each["segmentation"]
        mask = rle_from_coco(form)
        reference = coco.frPyObjects(form, *form["size"])["counts"].decode()
        assert rle_to_coco(mask) == {"size": form["size"], "counts": reference}
        assert rle_from_coco(rle_to_coco(mask)).runs.tolist() == mask.runs.tolist()
        x0, y0, x1, y1 = mask.box()
        assert (mask.area(), [x0, y0, x1 - x0, y1 - y0]) == (each["area"], each["bbox"])


@given(PIXELS, st.data())
def test_every_cut_text_is_refused(pixels, data):
    form = rle_to_coco(rle_of_pixels(pixels))
    kept = data.draw(st.integers(0, len(form["counts"]) - 1))
    with pytest.raises(ValueError, match=r"counts of a mask (sum to|end within)"):
        rle_from_coco(form | {"counts": form["counts"][:kept]})


@given(st.text(st.characters(min_codepoint=47, max_codepoint=112), max_size=12))
def test_any_text_is_a_mask_or_refused(text):
    try:
        mask = rle_from_coco({"size": [2, 3], "counts": text})
    except ValueError:
        return
    assert 0 <= mask.area() <= 6


TEXT = "jRm1aP2b0E;F9G9F8"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"counts": [6]}, r"size=None of a mask must be \[height, width\]"),
        ({"size": [2, 3, 1], "counts": [6]}, r"size=\[2, 3, 1\] of a mask must be"),
        ({"size": [2.0, 3.0], "counts": [6]}, r"size=\(2.0, 3.0\) must be \(height, width\): two whole numbers"),
        ({"size": [0, 3], "counts": []}, r"size=\(0, 3\) must be"),
        ({"size": [2**16, 2**16], "counts": [2**32]}, "at most 4,294,967,295 pixels"),
        ({"size": [2, 3]}, "counts of a mask must be a list of whole numbers or text, not None"),
        ({"size": [2, 3], "counts": [2.0, 4.0]}, r"list of whole numbers or text, not \[2.0, 4.0\]"),
        ({"size": [2, 3], "counts": [1, 2]}, r"counts of a mask sum to 3; size=\[2, 3\] has 6 pixels"),
        ({"size": [2, 3], "counts": [1, 2**70]}, "counts of a mask sum to 1,180,591,620,717,411,303,425;"),
        ({"size": [2, 3], "counts": []}, "counts of a mask sum to 0;"),
        ({"size": [2, 3], "counts": [9, -3]}, "counts of a mask hold -3 at position 1; none may be below 0"),
        ({"size": [2, 3], "counts": ""}, "counts of a mask sum to 0;"),
        ({"size": [2, 3], "counts": "6V"}, "end within a number: their text '6V' is cut"),
        ({"size": [2, 3], "counts": TEXT[:5]}, "counts of a mask end within a number"),
        ({"size": [2, 3], "counts": TEXT[:4]}, "counts of a mask sum to"),
        ({"size": [2, 3], "counts": "6 "}, "counts of a mask have ' ' at position 1, which is in no compressed mask"),
        ({"size": [2, 3], "counts": "6€"}, "counts of a mask have '€' at position 1"),
        ({"size": [2, 3], "counts": b"6\xff"}, "counts of a mask have 'ÿ' at position 1"),
        ({"size": [2, 3], "counts": "\ud800"}, "at position 0, which is in no"),
        ({"size": [2, 3], "counts": "PPPPPPP0"}, "have a number of 8 digits; at most 7 are possible"),
        ({"size": [2, 3], "counts": "O7"}, "counts of a mask hold -1 at position 0"),
    ],
)
def test_a_malformed_mask_is_refused(form, message):
    with pytest.raises(ValueError, match=message):
        rle_from_coco(form)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([6], "runs must be an array of uint32"),
        (np.array([6]), "runs must be an array of uint32"),
        (np.array([[6]], dtype=np.uint32), "with one dimension"),
        (np.array([2, 3], dtype=np.uint32), r"runs sum to 5; size=\(2, 3\) has 6 pixels"),
        (np.array([2**32 - 1, 7], dtype=np.uint32), "runs sum to 4,294,967,302;"),
        (np.array([2, 0, 4], dtype=np.uint32), "runs holds a 0 after its first run"),
    ],
)
def test_runs_are_checked(runs, message):
    with pytest.raises(ValueError, match=message):
        Rle((2, 3), runs)


def test_other_bad_input():
    small, large = rle_of_pixels(np.ones((2, 3), bool)), rle_of_pixels(np.ones((3, 2), bool))
    with pytest.raises(ValueError, match=r"size=\[2, 3\] must be \(height, width\)"):
        Rle([2, 3], np.array([6], dtype=np.uint32))
    with pytest.raises(ValueError, match=r"pixels is uint8 \[2, 3\]; it must be bool \[H, W\]"):
        rle_of_pixels(np.ones((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"pixels is bool \[6\]; it must be bool \[H, W\]"):
        rle_of_pixels(np.ones(6, bool))
    with pytest.raises(ValueError, match="masks is empty; a union needs at least one mask"):
        union([])
    for function in (lambda: union([small, large]), lambda: mask_iou([small], [large], NO_CROWD)):
        with pytest.raises(ValueError, match=r"masks are of different sizes, \(2, 3\) and \(3, 2\)"):
            function()
    with pytest.raises(ValueError, match="crowd has 1 values; truth has 2 masks"):
        mask_iou([], [small, small], NO_CROWD)
