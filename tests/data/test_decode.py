"""What is read from one image file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from dorsal.data.decode import SUFFIXES, Reading, pixels, read_pixels, scan
from tests.data.pictures import picture, png16, ppm, tiff16

TWELVE = np.arange(4096).reshape(64, 64)  # all values of 12 bits


def colours(rng: np.random.Generator, bands: int = 3) -> NDArray[np.integer]:
    values = np.stack([rng.permutation(4096).reshape(64, 64) for _ in range(bands)], axis=-1)
    if bands in (2, 4):
        values[..., -1] = 0xFFFF
    return values


def stored(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_of_grey_keep_all_256_levels(tmp_path: Path, channels: int) -> None:
    reading = Reading(channels=channels)
    path = stored(tmp_path / "x.png", png16(TWELVE[..., None]))
    found = scan(path, reading)
    assert (found.deep, found.low, found.high) == (True, (0,) * channels, (4095,) * channels)
    read = read_pixels(path, reading, ((0, 4095),) * channels)
    assert read.shape == (channels, 64, 64)
    np.testing.assert_array_equal(read[0], np.round(TWELVE * 255 / 4095).astype(np.uint8))


@pytest.mark.parametrize(
    "encode",
    [
        png16,
        tiff16,
        lambda values: tiff16(values, ">"),
        lambda values: png16(np.dstack([values, np.full((64, 64), 0xFFFF)])),
        lambda values: tiff16(np.dstack([values, np.full((64, 64), 0xFFFF)])),
    ],
    ids=["png", "tiff", "tiff of the other order", "png and opaque alpha", "tiff and opaque alpha"],
)
def test_all_16_bits_of_colour_are_read(encode, tmp_path: Path) -> None:
    values = colours(np.random.default_rng(0))
    path = stored(tmp_path / "x", encode(values))
    found = scan(path, Reading())
    assert (found.problem, found.deep, found.low, found.high) == ("", True, (0, 0, 0), (4095, 4095, 4095))
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.square, (values.astype(float) ** 2).mean(axis=(0, 1)))
    read = read_pixels(path, Reading(), ((0, 4095),) * 3)
    np.testing.assert_array_equal(np.moveaxis(read, 0, -1), np.round(values * 255 / 4095).astype(np.uint8))
    luma = values @ np.array([19595, 38470, 7471]) / 65536
    grey = read_pixels(path, Reading(channels=1), ((0, 4095),))
    assert np.abs(grey[0] - luma * 255 / 4095).max() < 0.6  # of rounding twice


def test_a_pixmap_is_scaled_by_the_range_it_declares_as_a_graymap_is() -> None:
    values = colours(np.random.default_rng(0))
    read = pixels(ppm(values, 4095), Reading())
    np.testing.assert_array_equal(np.moveaxis(read, 0, -1), np.round(values * 255 / 4095).astype(np.uint8))
    graymap = b"P5 64 64 4095\n" + TWELVE.astype(">u2").tobytes()
    np.testing.assert_array_equal(pixels(graymap, Reading())[0], np.round(TWELVE * 255 / 4095).astype(np.uint8))


def test_grey_of_16_bits_with_opaque_alpha(tmp_path: Path) -> None:
    values = colours(np.random.default_rng(0), bands=2)
    read = pixels(png16(values), Reading(), ((0, 4095),) * 3)
    np.testing.assert_array_equal(read[2], np.round(values[..., 0] * 255 / 4095).astype(np.uint8))


def test_transparency_of_16_bits_is_laid_over_white_and_said_to_lose_bits(tmp_path: Path) -> None:
    values = colours(np.random.default_rng(0), bands=4)
    values[:8, :, 3] = 0
    found = scan(stored(tmp_path / "x.png", png16(values)), Reading())
    assert not found.deep
    assert "laid over white" in found.note
    assert "more than 8 bits a channel, of which the upper 8 are kept" in found.note
    assert (read_pixels(tmp_path / "x.png", Reading())[:, :8] == 255).all()


def test_values_beyond_the_training_range_are_clipped() -> None:
    read = pixels(png16(TWELVE[..., None]), Reading(channels=1), ((1000, 2000),))[0]
    assert (read[TWELVE <= 1000] == 0).all()
    assert (read[TWELVE >= 2000] == 255).all()
    constant = pixels(png16(np.full((8, 8, 1), 7)), Reading(channels=1), ((7, 7),))
    assert (constant == 0).all()


def test_negative_values_of_16_bits_are_scaled_like_others(tmp_path: Path) -> None:
    Image.fromarray((TWELVE - 2048).astype(np.int32)).save(tmp_path / "x.tif")
    found = scan(tmp_path / "x.tif", Reading(channels=1))
    assert (found.low, found.high) == ((-2048,), (2047,))
    read = read_pixels(tmp_path / "x.tif", Reading(channels=1), ((-2048, 2047),))
    np.testing.assert_array_equal(read[0], np.round(TWELVE * 255 / 4095).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_moments_are_those_of_the_pixels(tmp_path: Path, mode: str) -> None:
    for channels in (1, 3):
        image = picture(3, (200, 150)).convert(mode)
        image.save(path := tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png"))
        found, read = scan(path, Reading(channels=channels)), read_pixels(path, Reading(channels=channels))
        assert (found.height, found.width) == read.shape[1:]
        np.testing.assert_allclose(found.mean, read.mean(axis=(1, 2)))
        np.testing.assert_allclose(found.square, (read.astype(float) ** 2).mean(axis=(1, 2)))
        assert read.shape[0] == channels


def test_grey_is_pillows_luma(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(
        read_pixels(tmp_path / "x.png", Reading(channels=1))[0], np.asarray(image.convert("L"))
    )


def test_four_bands_are_taken_as_stored(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    for name, mode in (("x.png", "RGBA"), ("x.tif", "CMYK")):
        Image.frombytes(mode, (16, 16), values.tobytes()).save(tmp_path / name)
        np.testing.assert_array_equal(np.moveaxis(read_pixels(tmp_path / name, Reading(channels=4)), 0, -1), values)
    deep = colours(np.random.default_rng(0), bands=4)
    found = scan(stored(tmp_path / "deep.tif", tiff16(deep)), Reading(channels=4))
    assert (found.low, found.high) == ((0, 0, 0, 0xFFFF), (4095, 4095, 4095, 0xFFFF))
    picture(1).save(tmp_path / "rgb.png")
    assert scan(tmp_path / "rgb.png", Reading(channels=4)).problem == "has 3 channels (mode RGB), not 4"
    picture(1).convert("L").save(tmp_path / "grey.png")
    assert scan(tmp_path / "grey.png", Reading(channels=4)).problem == "has 1 channel (mode L), not 4"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_arrays_of_many_bands(tmp_path: Path, kind: type[np.integer]) -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 9, 7)).astype(kind)
    np.save(tmp_path / "x.npy", values)
    found = scan(tmp_path / "x.npy", Reading(channels=7))
    assert (found.height, found.width, found.deep) == (12, 9, kind is np.uint16)
    read = read_pixels(tmp_path / "x.npy", Reading(channels=7), ((0, 255),) * 7)
    np.testing.assert_array_equal(np.moveaxis(read, 0, -1), values)
    assert "is an array [12, 9, 7]" in scan(tmp_path / "x.npy", Reading(channels=5)).problem
    np.save(tmp_path / "x.npy", values.astype(np.float32))
    assert "of float32" in scan(tmp_path / "x.npy", Reading(channels=7)).problem
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "allow_pickle=False" in scan(tmp_path / "x.npy", Reading(channels=7)).problem


def test_large_images_are_refused_by_size_and_can_be_allowed(tmp_path: Path) -> None:
    picture(1, (40, 30)).save(tmp_path / "x.png")
    problem = scan(tmp_path / "x.png", Reading(max_pixels=1000)).problem
    assert problem == "is 40x30 px, more than max_pixels=1000; max_pixels=1200 allows it"
    assert not scan(tmp_path / "x.png", Reading(max_pixels=1200)).problem


def test_pillows_own_limit_is_neither_in_the_way_nor_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(1, (40, 30)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert not scan(tmp_path / "x.png", Reading()).problem
    assert Image.MAX_IMAGE_PIXELS == 500


@pytest.mark.parametrize(("suffix", "kind"), [(".jfif", "JPEG"), (".avif", "AVIF"), (".jp2", "JPEG2000")])
def test_formats_of_other_suffixes(suffix: str, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    if kind == "JPEG2000" and not features.check_codec("jpg_2000"):
        pytest.skip("this Pillow was built without JPEG 2000")
    assert suffix in SUFFIXES
    data = io.BytesIO()
    picture(2, (48, 48)).save(data, kind)
    read = pixels(data.getvalue(), Reading())
    assert np.abs(np.moveaxis(read, 0, -1).astype(int) - np.asarray(picture(2, (48, 48)))).mean() < 8


def test_a_known_file_is_not_decoded_again(tmp_path: Path) -> None:
    path = stored(tmp_path / "x.png", b"no image at all")
    assert scan(path, Reading()).problem
    assert scan(path, Reading(), bytes(32)).problem
    picture(1).save(path)
    first = scan(path, Reading())
    again = scan(path, Reading(), first.digest)
    assert (again.digest, again.width, again.problem) == (first.digest, 0, "")
