import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2

from dorsal.data.transform import Interpolation, eval_transform, histogram, measured, to_float
from dorsal.spec.preprocessing import IMAGENET, Normalization


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 300, 400), (3, 225, 301), (3, 100, 90), (2, 3, 256, 256)])
def test_eval_transform_is_torchvisions(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    peer = v2.Compose(
        [
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET.mean), list(IMAGENET.std)),
        ]
    )
    torch.testing.assert_close(eval_transform(224, IMAGENET)(image), peer(image), atol=1e-5, rtol=0)


def test_images_of_the_right_size_are_only_normalized() -> None:
    image = noise(5, 3, 48, 48)
    assert torch.equal(eval_transform(48, IMAGENET)(image), to_float(IMAGENET)(image))


@pytest.mark.parametrize(("size", "short_side"), [(160, 183), (32, 37), (256, 293)])
def test_short_side_is_rounded(size: int, short_side: int) -> None:
    image = noise(3, short_side, short_side + 40)
    expected = to_float(IMAGENET)(v2.functional.center_crop(image, [size, size]))
    assert torch.equal(eval_transform(size, IMAGENET)(image), expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "resize_to"), [(288, 288), (224, 232), (224, 235)])
def test_a_given_short_side_and_interpolation(interpolation: Interpolation, size: int, resize_to: int) -> None:
    image = noise(3, 300, 401)
    resized = v2.functional.resize(
        image, [resize_to], interpolation=v2.InterpolationMode(interpolation), antialias=True
    )
    expected = to_float(IMAGENET)(v2.functional.center_crop(resized, [size, size]))
    assert torch.equal(eval_transform(size, IMAGENET, resize_to, interpolation)(image), expected)


def test_bgr_turns_the_channels_after_normalizing_them() -> None:
    image = noise(2, 3, 8, 9)
    bgr = Normalization(mean=IMAGENET.mean, std=IMAGENET.std, color_order="bgr")
    assert torch.equal(to_float(bgr)(image), to_float(IMAGENET)(image)[:, [2, 1, 0]])


def test_to_float_leaves_its_input_alone() -> None:
    image = noise(3, 8, 8)
    before = image.clone()
    result = to_float(IMAGENET)(image)
    assert torch.equal(image, before)
    assert result.dtype == torch.float32


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_measured_is_the_mean_and_deviation(count: int, side: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    result = measured(histogram(images))
    np.testing.assert_allclose(result.mean, images.mean(axis=(0, 2, 3)) / 255, rtol=1e-9)
    np.testing.assert_allclose(result.std, np.maximum(images.std(axis=(0, 2, 3)) / 255, 1 / 255), rtol=1e-9)


def test_normalized_training_images_have_mean_0_and_deviation_1() -> None:
    images = noise(20, 3, 16, 16)
    result = to_float(measured(histogram(images.numpy())))(images)
    torch.testing.assert_close(result.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_a_constant_channel_stays_finite() -> None:
    images = np.zeros((1, 3, 4, 4), np.uint8)
    assert measured(histogram(images)) == Normalization(mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
