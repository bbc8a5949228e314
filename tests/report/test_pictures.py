"""Pictures say what annotations say, at every size, and nothing in an annotation breaks them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageColor, ImageDraw, ImageFont

from dorsal.annotations.annotation import Annotation, Segments, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels
from dorsal.report import painting, pictures
from dorsal.report.painting import PALETTE, colour_of, cut, labels_in, name_in_ascii, paint, shown
from dorsal.report.pictures import as_picture, draw
from tests.report.sight import SIGHT, distance, luminance

Pixels = NDArray[np.uint8]
LABELS = Labels(classes=("person", "car", "dog"), stuff=("sky",))
GREY = 128


def flat(height: int, width: int, channels: int = 3) -> Pixels:
    return np.full((height, width, channels), GREY, dtype=np.uint8)


def boxes(size: tuple[int, int], rows: list[list[float]], labels: list[int], **more: Any) -> Annotation:
    return Annotation(size=size, objects=objects_of(rows, labels, **more))


def rgb(colour: str) -> list[int]:
    return list(ImageColor.getrgb(colour))


def tinted(colour: str, share: float) -> NDArray[np.float64]:
    return share * np.array(rgb(colour)) + (1 - share) * GREY


def has(picture: Pixels, colour: str) -> bool:
    return bool((picture == rgb(colour)).all(axis=-1).any())


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_are_told_apart_by_every_reader(sight: str) -> None:
    assert min(distance(one, other, sight) for one, other in combinations(PALETTE, 2)) > 15
    assert distance("#ff0000", "#00aa00", "all") > 100 > distance("#ff0000", "#777700", "without green")


def test_the_first_colours_are_those_of_okabe_and_ito() -> None:
    published = {
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    }
    assert {ImageColor.getrgb(colour) for colour in PALETTE[:7]} == published


@pytest.mark.parametrize("colour", PALETTE)
def test_words_stand_out_from_their_field(colour: str) -> None:
    light, dark = sorted([luminance(colour), luminance(painting._ink_on(colour))], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_class_has_one_colour_in_every_picture() -> None:
    first = draw(flat(300, 300), boxes((300, 300), [[50, 50, 250, 250]], [1]), LABELS)
    many = [[10, 100, 60, 150], [100, 100, 160, 160], [200, 100, 280, 190.0]]
    second = draw(flat(300, 400), boxes((300, 400), many, [0, 1, 2]), LABELS)
    assert [has(first, PALETTE[label]) for label in range(4)] == [False, True, False, False]
    assert [has(second, PALETTE[label]) for label in range(4)] == [True, True, True, False]
    assert colour_of(1) == PALETTE[1] == colour_of(1 + len(PALETTE))


def test_a_box_is_where_the_annotation_says() -> None:
    picture = paint(as_picture(flat(300, 300)), boxes((300, 300), [[40, 60, 200, 250]], [1]), LABELS, 0.5)
    is_line = (np.asarray(picture) == rgb(PALETTE[1])).all(axis=-1)
    # its tag is above the box
    rows, columns = np.flatnonzero(is_line[60:].any(axis=1)) + 60, np.flatnonzero(is_line[60:].any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (60, 249, 40, 199)
    assert np.asarray(picture)[150, 120].tolist() == [GREY] * 3


def test_a_mask_is_tinted_and_outlined_and_nothing_else_is() -> None:
    mask = np.zeros((300, 300), dtype=bool)
    mask[100:200, 50:150] = True
    found = boxes((300, 300), [[50, 100, 150, 200]], [2], masks=[rle_of_pixels(mask)])
    picture = np.asarray(paint(as_picture(flat(300, 300)), found, LABELS, 0.5)).astype(float)
    np.testing.assert_allclose(picture[150, 100], tinted(PALETTE[2], 0.4), atol=1)
    assert picture[150, 149].tolist() == rgb(PALETTE[2])
    assert (picture[205:, :] == GREY).all()
    assert (picture[:, 160:] == GREY).all()


def test_a_map_is_translucent_and_what_is_not_known_stays() -> None:
    semantic = np.full((260, 300), 255, dtype=np.uint8)
    semantic[:, :100] = 3
    picture = draw(flat(260, 300), Annotation(size=(260, 300), semantic=semantic), LABELS)
    np.testing.assert_allclose(picture[:260, :100].reshape(-1, 3), [tinted(PALETTE[3], 0.6)] * 26000, atol=1)
    assert (picture[:260, 100:] == GREY).all()
    assert has(picture[260:], PALETTE[3])  # in the legend
    assert not has(picture[260:], PALETTE[0])


def test_maps_of_more_than_255_classes_are_drawn() -> None:
    labels = Labels(classes=tuple(f"c{i}" for i in range(400)))
    semantic = np.full((260, 300), 65535, dtype=np.uint16)
    semantic[:10] = 399
    found = Annotation(size=(260, 300), semantic=semantic)
    assert labels_in(found, 0.5) == [399]
    np.testing.assert_allclose(draw(flat(260, 300), found, labels)[5, 5], tinted(colour_of(399), 0.6), atol=1)


def test_segments_have_the_colour_of_their_class_and_a_line_between() -> None:
    ids = np.zeros((260, 300), dtype=np.uint32)
    ids[:, 100:200], ids[:, 200:] = 70000, 9
    ids[0, 0] = 5  # of no segment
    segments = Segments(
        pixels=ids,
        ids=np.array([70000, 9], dtype=np.uint32),
        labels=np.array([0, 0]),
        crowd=np.zeros(2, dtype=bool),
    )
    found = Annotation(size=(260, 300), segments=segments)
    picture = draw(flat(260, 300), found, LABELS)
    assert labels_in(found, 0.5) == [0]
    np.testing.assert_allclose(picture[100, [150, 250]], [tinted(PALETTE[0], 0.6)] * 2, atol=1)
    assert picture[100, 50].tolist() == [GREY] * 3
    assert picture[100, 200].tolist() == [255] * 3


def test_key_points_and_bones_are_drawn_where_they_are_known() -> None:
    labels = Labels(classes=("person",), keypoints=("a", "b", "c"), skeleton=((0, 1), (1, 2)))
    points = [[[60, 60, 2], [60, 160, 1], [160, 160, 0]]]
    found = boxes((300, 300), [[20, 20, 280, 280]], [0], keypoints=points)
    picture = np.asarray(paint(as_picture(flat(300, 300)), found, labels, 0.5))
    for y, x in ((60, 60), (110, 60), (160, 60)):
        assert picture[y, x].tolist() == rgb(PALETTE[0])
    assert (picture[155:166, 70:170] == GREY).all()


def test_objects_below_the_least_score_are_neither_drawn_nor_in_the_legend() -> None:
    rows = [[20, 60, 80, 120], [120, 60, 180, 120], [200, 60, 260, 120]]
    found = boxes((300, 300), rows, [0, 1, 2], scores=[0.6, 0.3, float("nan")])
    picture = draw(flat(300, 300), found, LABELS)
    assert [has(picture, PALETTE[label]) for label in range(3)] == [True, False, False]
    assert has(draw(flat(300, 300), found, LABELS, least_score=0.2), PALETTE[1])


def test_the_surest_is_on_top_and_in_truth_the_smallest() -> None:
    rows = [[0, 0, 10, 10], [0, 0, 50, 50], [0, 0, 30, 30]]
    sure = objects_of(rows, [0, 0, 0], scores=[0.9, 0.7, 0.8])
    assert shown(sure, 0.5).tolist() == [1, 2, 0]
    assert shown(objects_of(rows, [0, 0, 0]), 0.5).tolist() == [1, 2, 0]


def test_the_class_of_a_whole_image_is_written_in_its_corner() -> None:
    sure = np.array([0.1, 0.2, 0.7, 0.0], dtype=np.float32)
    truth, found = Annotation(size=(300, 300), label=0), Annotation(size=(300, 300), probabilities=sure)
    picture = draw(flat(300, 300), found, LABELS, truth)
    upper = picture[20:60]
    assert has(upper[:, :300], PALETTE[0])
    assert has(upper[:, 300:], PALETTE[2])


def test_truth_is_to_the_left_under_a_heading_each() -> None:
    truth, found = boxes((260, 300), [[50, 50, 250, 200]], [0]), boxes((260, 300), [[50, 50, 250, 200]], [1])
    picture = draw(flat(260, 300), found, LABELS, truth)
    alone = draw(flat(260, 300), found, LABELS)
    assert alone.shape[1] == 300
    assert 600 < picture.shape[1] < 620
    heading = picture.shape[0] - alone.shape[0]
    for half in (picture[:heading, :300], picture[:heading, 306:]):
        assert half.min() < 100 < half.max()
    middle = picture[heading : heading + 260]
    assert has(middle[:, :300], PALETTE[0])
    assert not has(middle[:, 300:], PALETTE[0])
    assert has(middle[:, 300:], PALETTE[1])


@pytest.mark.parametrize(
    ("size", "factor"), [((64, 64), 4), ((32, 48), 8), ((100, 90), 2), ((129, 500), 1), ((1, 1), 256), ((2, 600), 1)]
)
def test_small_images_are_enlarged_by_a_whole_factor(size: tuple[int, int], factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = draw(image, Annotation(size=size), LABELS)
    assert picture.shape[:2] == (factor * size[0], max(factor * size[1], 200))
    assert (picture[::factor, ::factor][:, : size[1]] == image).all()


def test_large_images_have_larger_words_and_lines() -> None:
    small, large = (as_picture(flat(side, side, 1)) for side in (400, 4000))
    assert painting.line_for(large) == 13
    assert painting.text_height(large) > 5 * painting.text_height(small)
    found = boxes((4000, 4000), [[1000, 1000, 3000, 3000]], [1], scores=[0.9])
    picture = np.asarray(paint(large, found, LABELS, 0.5))
    assert (picture[1000:1013, 2000] == rgb(PALETTE[1])).all()
    assert picture[1013, 2000].tolist() == [GREY] * 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_images_of_any_number_of_channels_are_shown(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 260, channels), dtype=np.uint8)
    expected = image[..., :3] if channels > 2 else image[..., :1].repeat(3, axis=2)
    assert (draw(image, Annotation(size=(256, 260)), LABELS) == expected).all()


def test_the_image_itself_is_not_changed() -> None:
    image = flat(300, 300)
    image.flags.writeable = False
    picture = draw(image, boxes((300, 300), [[0, 0, 300, 300]], [0]), LABELS)
    picture[0, 0] = 1  # the caller's own
    assert (image == GREY).all()


def test_every_word_lies_within_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = ImageDraw.ImageDraw.text

    def watched(pen: Any, xy: tuple[float, float], text: str, **more: Any) -> None:
        left, top, right, bottom = pen.textbbox(xy, text, font=more["font"], anchor=more.get("anchor"))
        width, height = pen.im.size
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        written.append(text)
        real(pen, xy, text, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", watched)
    labels = Labels(classes=("a" * 500, "words " * 30, "dog"))
    corners = [[0, 0, 5, 5], [60, 60, 64, 64], [-50, 20, -10, 30], [30, 63, 90, 90], [10, 30, 12, 31]]
    for size in ((64, 64), (64, 700), (700, 64), (1, 1), (1, 1500), (1500, 1)):
        found = boxes(size, corners, [0, 1, 2, 0, 1], scores=[0.9] * 5)
        draw(flat(*size), found, labels, found)
    assert {text[:5] for text in written} >= {"aaaaa", "words", "dog 0", "Truth", "Predi"}


NAMES = [
    "straße",
    "größe",
    "日本",
    "👩‍🚀",
    "a\nb\tc",
    "\ud800",
    "\x00",
    "\u0301",
    "العربية",
    "naïve café",
    "x" * 10_000,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_in_any_script_are_written_somehow(name: str) -> None:
    labels = Labels(classes=("cat", name))
    written = name_in_ascii(1, labels)
    assert written.isascii()
    assert written.isprintable()
    assert written.strip()
    picture = draw(flat(64, 64), boxes((64, 64), [[5, 5, 60, 60]], [1], scores=[0.8]), labels)
    assert has(picture, PALETTE[1])


def test_names_keep_what_the_font_can_write() -> None:
    labels = Labels(classes=("naïve  café", "日本", "a b"))
    assert [name_in_ascii(label, labels) for label in range(3)] == ["naive cafe", "class 1", "a b"]


def test_a_long_text_is_cut_to_what_fits() -> None:
    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    for width in (0, 5, 20, 50, 1000):
        short = cut("traffic light", font, width)
        assert font.getlength(short) <= width
        assert short in {"", "traffic light"} or short.endswith("…")
    assert cut("traffic light", font, 1000) == "traffic light"
    assert cut("traffic light", font, 5) == ""


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=12)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.lists(st.tuples(finite, finite, finite, finite), max_size=2),
    st.floats(width=32),
    st.floats(width=32),
)
def test_no_box_or_point_breaks_a_picture(
    size: tuple[int, int], rows: list[tuple[float, ...]], x: float, third: float
) -> None:
    labels = Labels(classes=("person",), keypoints=("a", "b"), skeleton=((0, 1),))
    points = np.full((len(rows), 2, 3), [x, -x, third], dtype=np.float32)
    found = boxes(size, [list(row) for row in rows], [0] * len(rows), keypoints=points)
    picture = draw(flat(*size), found, labels)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3


def test_masks_without_pixels_and_crowds_are_drawn() -> None:
    empty = rle_of_pixels(np.zeros((64, 64), dtype=bool))
    found = boxes((64, 64), [[0, 0, 0, 0]], [0], masks=[empty], crowd=[True])
    assert has(draw(flat(64, 64), found, LABELS), PALETTE[0])
    nothing = boxes((64, 64), [], [])
    assert (draw(flat(64, 64), nothing, LABELS) == GREY).all()


def test_a_picture_of_another_size_takes_the_same_annotation() -> None:
    mask = np.zeros((1000, 2000), dtype=bool)
    mask[250:750, 500:1500] = True
    found = boxes((1000, 2000), [[500, 250, 1500, 750]], [2], masks=[rle_of_pixels(mask)])
    picture = np.asarray(paint(as_picture(flat(100, 200)), found, LABELS, 0.5)).astype(float)
    np.testing.assert_allclose(picture[50, 100], tinted(PALETTE[2], 0.4), atol=1)
    assert picture[50, [50, 149]].tolist() == [rgb(PALETTE[2])] * 2
    assert picture[50, [30, 170]].tolist() == [[GREY] * 3] * 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": flat(9, 9).astype(np.float32)}, r"image is float32 \[9, 9, 3\]; it must be uint8 \[H, W, C\]"),
    ({"image": flat(9, 9)[..., 0]}, r"image is uint8 \[9, 9\]; it must be"),
    ({"image": [[1]]}, "image is of type list; it must be"),
    ({"image": flat(9, 9)[:0]}, r"image is uint8 \[0, 9, 3\]; it must be"),
    ({"found": Annotation(size=(9, 8))}, r"\(9, 9\); the annotation has size=\(9, 8\)"),
    ({"truth": Annotation(size=(8, 9))}, r"\(9, 9\); the annotation has size=\(8, 9\)"),
    ({"found": Annotation(size=(9, 9), label=4)}, "the annotation has label 4; the labels are 0 to 3"),
    ({"found": boxes((9, 9), [[0, 0, 5, 5]], [7])}, "the annotation has label 7; the labels are 0 to 3"),
    (
        {"truth": Annotation(size=(9, 9), semantic=np.full((9, 9), 5, np.uint8))},
        "the annotation has label 5; the labels are 0 to 3",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_cannot_be_drawn_is_said(wrong: dict[str, Any], message: str) -> None:
    sound: dict[str, Any] = {"image": flat(9, 9), "found": Annotation(size=(9, 9)), "labels": LABELS}
    assert pictures.draw(**sound).shape == (252, 252, 3)
    with pytest.raises(ValueError, match=message):
        draw(**{**sound, **wrong})
