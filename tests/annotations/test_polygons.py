"""Polygons as masks, against pycocotools to the byte."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco
from safetensors.numpy import load_file

from dorsal.annotations.polygons import rasterize
from dorsal.annotations.rle import rle_from_coco, rle_to_coco


def same(parts, size):
    reference = coco.merge(coco.frPyObjects(parts, *size))["counts"].decode()
    return rle_to_coco(rasterize(parts, size))["counts"] == reference


def polygon(random, kind):
    """Corners of one random outline, most of them concave and crossing themselves, many partly outside the image."""
    corners = random.uniform(-20, 80, (random.integers(3, 12), 2))
    match kind:
        case "whole":
            return np.round(corners)
        case "halves":
            return np.round(corners * 2) / 2
        case "fifths":  # exactly on the grid on which the outline is walked, some of them upright lines
            corners = np.round(corners * 5) / 5
            corners[:, 0] = np.where(random.random() < 0.3, corners[0, 0], corners[:, 0])
        case "tiny":  # points that are the same, and areas below a pixel
            corners[1:] = corners[0] + random.integers(-1, 2, corners[1:].shape) * random.choice([0, 0.2, 1])
        case "huge":
            corners *= 40
    return corners


@pytest.mark.parametrize(
    ("kind", "images"), [("any", 150), ("whole", 150), ("halves", 150), ("fifths", 150), ("tiny", 150), ("huge", 30)]
)
def test_random_polygons_are_drawn_as_by_pycocotools(kind, images):
    random = np.random.default_rng(0)
    differing = []
    for _ in range(images):
        size = tuple(random.integers(1, 60, 2).tolist())
        parts = [polygon(random, kind).ravel().tolist() for _ in range(random.integers(1, 4))]
        if not same(parts, size):
            differing.append((parts, size))
    assert differing == []


def test_all_polygons_of_coco_mini_are_drawn_as_by_pycocotools(real_data):
    file = json.loads((real_data / "coco_mini" / "instances_train_polygons.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in file["images"]}
    drawn = [(each["segmentation"], sizes[each["image_id"]]) for each in file["annotations"]]
    polygons = [(parts, size) for parts, size in drawn if isinstance(parts, list)]
    assert len(polygons) == 422
    assert [parts for parts, size in polygons if not same(parts, size)] == []
    runs = [(form, size) for form, size in drawn if isinstance(form, dict)]
    assert len(runs) == 2  # crowds, as lists of runs
    for form, size in runs:
        assert rle_to_coco(rle_from_coco(form))["counts"] == coco.frPyObjects(form, *size)["counts"].decode()


def test_polygons_of_the_reference_mask_head(real_data):
    golden = real_data / "golden_tasks"
    config = json.loads((golden / "det_mask_head.json").read_text())["config"]
    arrays = load_file(golden / "det_mask_head.safetensors")
    for image, (size, objects) in enumerate(zip(config["image_sizes"], config["polygons"], strict=True)):
        drawn = np.stack([rasterize(parts, tuple(size)).pixels() for parts in objects])
        np.testing.assert_array_equal(drawn, arrays[f"out.bitmasks_{image}"].astype(bool))


def test_polygons_by_hand():
    square = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]
    expected = np.zeros((5, 6), bool)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(rasterize([square], (5, 6)).pixels(), expected)
    np.testing.assert_array_equal(rasterize([square, [value + 0.4 for value in square]], (5, 6)).pixels(), expected)
    assert rasterize([square * 2], (5, 6)).area() == 0  # around twice
    assert rasterize([square, square], (5, 6)).area() == 6  # two parts
    assert rasterize([[-9, -9, 9, -9, 9, 9, -9, 9]], (5, 6)).area() == 30


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "polygons is empty; an object needs at least one"),
        ([[0, 0, 4, 4]], r"polygons\[0\] has shape \[4\]; it must be a flat list of 6 numbers or more"),
        ([[0, 0, 4, 4, 2, 1], [0, 0, 4, 4, 2, 1, 3]], r"polygons\[1\] has shape \[7\]"),
        ([[[0, 0], [4, 4], [2, 1]]], r"polygons\[0\] has shape \[3, 2\]"),
        ([[[0, 0], [4], [2, 1]]], r"polygons\[0\] must be a flat list of numbers"),
        ([[0, 0, 4, None, 2, 1]], r"polygons\[0\] holds nan; it must be finite"),
        ([["x", 0, 4, 4, 2, 1]], r"polygons\[0\] must be a flat list of numbers"),
        ([[0, 0, 4, float("nan"), 2, 1]], r"polygons\[0\] holds nan; it must be finite"),
        ([[0, 0, 4, 2e6, 2, 1]], r"polygons\[0\] holds 2000000.0; .*within 100,000 pixels of the image"),
    ],
)
def test_a_malformed_polygon_is_refused(polygons, message):
    with pytest.raises(ValueError, match=message):
        rasterize(polygons, (10, 10))


def test_a_malformed_size_is_refused():
    with pytest.raises(ValueError, match=r"size=\(0, 10\) must be"):
        rasterize([[0, 0, 4, 0, 4, 4]], (0, 10))
