"""One affine map for images, boxes, points, masks and maps: against torchvision and OpenCV, and by round trips."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2
from torchvision.tv_tensors import BoundingBoxes

from dorsal.data.geometry import (
    Affine,
    map_boxes,
    map_image,
    map_mask,
    map_points,
    map_semantic,
    mirrored,
    pairs_swapped,
    resized,
    rotated,
    shifted,
)

GENERATOR = torch.Generator().manual_seed(0)
BYTES = torch.randint(256, (3, 23, 31), generator=GENERATOR, dtype=torch.uint8)
FLOATS = torch.rand(3, 23, 31, generator=GENERATOR)
HEIGHT, WIDTH = 23, 31
BOXES = np.array([[2, 3, 17, 9], [0, 0, 31, 23], [5.5, 7.25, 6, 20]], dtype=np.float32)

numbers = st.floats(-50, 50)


def any_affine(turn, x, y, scale, stretch, flip):
    linear = Affine(np.array([[scale, 0, y], [0, scale * stretch, x]]))
    return rotated(turn, (x, y)).then(mirrored(x) if flip else shifted(0, 0)).then(linear)


affines = st.builds(
    any_affine, st.floats(-180, 180), numbers, numbers, st.floats(0.1, 8), st.floats(0.5, 2), st.booleans()
)
points = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5).map(np.array)


@settings(max_examples=50)
@given(affines, affines, points)
def test_maps_compose_and_come_back(first, second, some):
    assert map_points(map_points(some, first), first.inverse()) == pytest.approx(some, abs=1e-8)
    one_by_one = map_points(map_points(some, first), second)
    assert map_points(some, first.then(second)) == pytest.approx(one_by_one, abs=1e-7)
    assert first.then(first.inverse()).matrix == pytest.approx(np.eye(3)[:2], abs=1e-9)
    assert first.then(second).determinant == pytest.approx(first.determinant * second.determinant)


@settings(max_examples=50)
@given(affines, points)
def test_a_box_holds_what_it_held_and_touches_it(affine, some):
    box = np.concatenate([some.min(axis=0), some.max(axis=0)])[None]
    corners = box[0, [0, 2, 0, 2]], box[0, [1, 1, 3, 3]]
    moved = map_points(np.stack(corners, axis=-1), affine)
    found = map_boxes(box, affine)[0]
    assert found[:2] == pytest.approx(moved.min(axis=0))
    assert found[2:] == pytest.approx(moved.max(axis=0))


def test_what_is_empty_stays_empty_and_types_are_kept():
    turn = rotated(30, (3, 4))
    assert map_boxes(np.zeros((0, 4), np.float32), turn).shape == (0, 4)
    assert map_points(np.zeros((2, 0, 2), np.float32), turn).shape == (2, 0, 2)
    assert map_boxes(BOXES, turn).dtype == np.float32
    assert map_mask(np.zeros((0, 5, 6), bool), turn, (7, 8)).shape == (0, 7, 8)


def boxes(function, *arguments):
    given_boxes = BoundingBoxes(torch.from_numpy(BOXES), format="XYXY", canvas_size=(HEIGHT, WIDTH))
    return function(given_boxes, *arguments).numpy()


@pytest.mark.parametrize("image", [BYTES, FLOATS])
def test_flips_and_crops_are_torchvisions(image):
    flip, window = mirrored(WIDTH), shifted(-4, -5)
    assert torch.equal(map_image(image, flip, (HEIGHT, WIDTH)), v2.horizontal_flip(image))
    assert np.array_equal(map_boxes(BOXES, flip), boxes(v2.horizontal_flip))
    upside_down = Affine(np.array([[1, 0, 0], [0, -1, HEIGHT]], dtype=np.float64))
    assert torch.equal(map_image(image, upside_down, (HEIGHT, WIDTH)), v2.vertical_flip(image))
    assert torch.equal(map_image(image, window, (10, 12)), v2.crop(image, 5, 4, 10, 12))
    assert torch.equal(map_image(image, shifted(4, -5), (30, 40)), v2.crop(image, 5, -4, 30, 40))
    assert torch.equal(map_image(image, shifted(-100, 0), (5, 6)), torch.zeros_like(image[:, :5, :6]))
    both = flip.then(window)
    assert torch.equal(map_image(image, both, (10, 12)), v2.crop(v2.horizontal_flip(image), 5, 4, 10, 12))


@pytest.mark.parametrize("to", [(11, 16), (46, 62), (12, 40), (23, 31), (40, 9)])
def test_resizes_are_torchvisions(to):
    affine = resized((HEIGHT, WIDTH), to)
    assert torch.equal(map_image(BYTES, affine, to), v2.resize(BYTES, list(to), antialias=True))
    assert torch.equal(map_image(FLOATS, affine, to), v2.resize(FLOATS, list(to), antialias=True))
    assert map_boxes(BOXES, affine) == pytest.approx(boxes(v2.resize, list(to)), abs=1e-4)
    flipped = map_image(FLOATS, affine.then(mirrored(to[1])), to)
    assert (flipped - v2.horizontal_flip(v2.resize(FLOATS, list(to)))).abs().max() < 1e-4


def test_crops_that_are_resized_and_resizes_that_are_cropped_are_torchvisions():
    crop = shifted(-3, -2).then(resized((10, 15), (24, 24)))
    assert torch.equal(map_image(BYTES, crop, (24, 24)), v2.resized_crop(BYTES, 2, 3, 10, 15, [24, 24]))
    smaller = resized((HEIGHT, WIDTH), (17, 20)).then(shifted(-2, 1))
    expected = v2.crop(v2.resize(FLOATS, [17, 20]), -1, 2, 18, 16)
    assert torch.equal(map_image(FLOATS, smaller, (18, 16)), expected)


def test_a_large_view_of_a_small_part_takes_no_more_room_than_the_view():
    affine = resized((HEIGHT, WIDTH), (23, 31)).then(Affine(np.array([[1e-4, 0, 7.0], [0, 1e-4, 7.0]])))
    found = map_image(FLOATS, affine, (64, 64), fill=0.5)
    assert found.shape == (3, 64, 64)
    assert (found[:, 20:, 20:] == 0.5).all()
    enlarged = map_image(FLOATS, shifted(0.25, -1).then(Affine(np.diag([5000.0, 5000, 1])[:2])), (8, 8))
    assert enlarged.shape == (3, 8, 8)


@pytest.mark.parametrize("degrees", [-30.0, 17.5, 90.0, 180.0])
def test_turns_are_torchvisions(degrees):
    """There a positive angle turns to the left."""
    affine = rotated(degrees, (WIDTH / 2, HEIGHT / 2))
    found = map_image(FLOATS, affine, (HEIGHT, WIDTH))
    expected = v2.rotate(FLOATS, -degrees, InterpolationMode.BILINEAR)
    assert (found - expected).abs().max() < 1e-4
    assert map_image(FLOATS.bfloat16(), affine, (HEIGHT, WIDTH)).sub(expected).abs().max() < 0.01
    levels = map_image(BYTES, affine, (HEIGHT, WIDTH)).int() - v2.rotate(BYTES, -degrees, InterpolationMode.BILINEAR)
    assert levels.abs().max() <= 1


def test_fractions_of_pixels_are_bilinear_and_a_fill_is_faded_into():
    row = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    assert map_image(row, shifted(0.25, 0), (1, 4), fill=8)[0, 0].tolist() == [2.0, 0.75, 1.75, 2.75]


def test_a_map_to_less_than_half_averages_what_it_skips():
    stripes = torch.zeros(1, 64, 64)
    stripes[..., ::2] = 1
    affine = rotated(1, (32, 32)).then(resized((64, 64), (10, 10)))
    assert (map_image(stripes, affine, (10, 10))[:, 1:-1, 1:-1] - 0.5).abs().max() < 0.05


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(0, 22), affines)
def test_a_pixel_of_a_mask_goes_where_its_middle_goes(x, y, affine):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y, x] = True
    middle = map_points(np.array([[x + 0.5, y + 0.5]]), affine)[0]
    centered = affine.then(shifted(*(40 - middle)))
    found = np.argwhere(map_mask(mask, centered, (80, 80)))
    corners = map_boxes(np.array([[x, y, x + 1.0, y + 1.0]]), centered)[0]
    assert all((corners[:2] <= place[::-1] + 0.5).all() for place in found)
    assert all((place[::-1] + 0.5 <= corners[2:]).all() for place in found)
    if min(np.linalg.svd(affine.matrix[:, :2])[1]) > 1.5:  # then some middle of the view lies in it
        assert len(found)


@settings(max_examples=50)
@given(st.booleans(), st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, 2, 3]))
def test_masks_maps_and_images_move_alike(flip, x, y, factor):
    """Whole pixels, whole factors: an image of labels is the map of labels."""
    labels = BYTES[0].numpy()
    affine = mirrored(WIDTH) if flip else shifted(0, 0)
    affine = affine.then(shifted(x, y)).then(Affine(np.diag([factor, factor, 1.0])[:2]))
    size = (25 * factor, 27 * factor)
    found = map_semantic(labels, affine, size)
    blocks = found.reshape(25, factor, 27, factor)
    assert (blocks == blocks[:, :1, :, :1]).all()
    image = map_image(torch.from_numpy(labels)[None], affine.then(resized(size, (25, 27))), (25, 27), fill=255)
    assert np.array_equal(blocks[:, 0, :, 0], image[0].numpy())
    for label in (0, 7):
        assert np.array_equal(map_mask(labels == label, affine, size), found == label)


def test_labels_are_those_of_torchvisions_exact_nearest_neighbors():
    labels = torch.arange(HEIGHT * WIDTH, dtype=torch.int32).reshape(HEIGHT, WIDTH)
    for to in ((46, 62), (12, 17), (37, 20)):
        found = map_semantic(labels.numpy().astype(np.uint16), resized((HEIGHT, WIDTH), to), to)
        expected = v2.resize(labels[None].float(), list(to), InterpolationMode.NEAREST_EXACT)[0].numpy()
        assert np.array_equal(found, expected)


def test_what_is_outside_has_no_label():
    for kind, none in ((np.uint8, 255), (np.uint16, 65535)):
        found = map_semantic(np.ones((2, 2), kind), shifted(1, 0), (2, 3))
        assert found.dtype == kind
        assert found.tolist() == [[none, 1, 1]] * 2
        turned = map_semantic(np.ones((2, 2), kind), rotated(45, (1, 1)).then(shifted(1, 1)), (4, 4))
        assert turned[0].tolist() == [none] * 4


def test_mirroring_exchanges_left_and_right():
    keypoints = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    found = pairs_swapped(keypoints, [(1, 2), (3, 4)])
    assert np.array_equal(found[:, [0, 2, 1, 4, 3]], keypoints)
    assert np.array_equal(pairs_swapped(found, [(1, 2), (3, 4)]), keypoints)
    assert np.array_equal(pairs_swapped(keypoints, []), keypoints)


def test_matrices_and_crops_are_those_of_the_pose_baseline(real_data):
    """There coordinates are indices of pixels, and cv2.warpAffine has fractions of 1/32: hence three grey levels."""
    path = real_data / "golden_tasks" / "pose_affine"
    if not path.with_suffix(".json").is_file():
        pytest.skip(f"no reference numbers at {path}")
    stored, config = load_file(path.with_suffix(".safetensors")), json.loads(path.with_suffix(".json").read_text())
    for forward, inverse, some, expected in zip(
        *(stored[name] for name in ("out.forward", "out.inverse", "in.points", "out.points_forward")), strict=True
    ):
        assert Affine(forward).inverse().matrix == pytest.approx(inverse, abs=1e-6)
        assert map_points(some, Affine(forward)) == pytest.approx(expected, abs=1e-9)
    crop = config["config"]["crop"]
    image = torch.from_numpy(stored["in.image"]).permute(2, 0, 1)
    cases = zip(crop["boxes_xywh"], crop["rotations_degrees"], stored["out.crops"], strict=True)
    for (x, y, w, h), turn, expected in cases:
        wide = 1.25 * max(w, 0.75 * h)
        center = (x + w / 2, y + h / 2)
        scale = 48 / wide
        affine = rotated(-turn, center).then(shifted(-center[0], -center[1]))
        affine = affine.then(Affine(np.array([[scale, 0, 24], [0, scale, 32]])))
        affine = shifted(-0.5, -0.5).then(affine).then(shifted(0.5, 0.5))
        found = map_image(image, affine, (64, 48))
        assert (found.int() - torch.from_numpy(expected).permute(2, 0, 1).int()).abs().max() <= 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(np.eye(3)), r"float64 \(3, 3\); it must be float64 \(2, 3\)"),
        (lambda: Affine(np.eye(3, dtype=np.float32)[:2]), "float32"),
        (lambda: Affine(np.full((2, 3), np.nan)), "not finite"),
        (lambda: Affine(np.zeros((2, 3))), "no inverse"),
        (lambda: map_semantic(np.zeros((2, 2), np.int64), shifted(0, 0), (2, 2)), "labels is int64"),
        (lambda: map_image(torch.zeros(2, 2), shifted(0, 0), (2, 2)), r"image is torch.float32 \[2, 2\]"),
        (lambda: map_image(torch.zeros(1, 2, 2).int(), shifted(0, 0), (2, 2)), "must be uint8 or float"),
    ],
)
def test_what_is_no_map_or_image_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
