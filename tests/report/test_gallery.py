"""The gallery of a comparison: every arm beside the truth, in a page that needs nothing else."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.labels import Labels
from dorsal.report.comparison.gallery import GALLERY_STYLE, MOST_BYTES, GalleryImage, gallery
from dorsal.report.painting import PALETTE
from dorsal.report.parts import page_of, top
from tests.report.browser import look_at, needs_browser
from tests.report.test_page import Reader

LABELS = Labels(classes=("person", "<i>car</i>", "日本"), stuff=("sky",))
ARMS = ("resnet_small", 'mixer "<b>&', "regnety_small")
SIZE = (300, 400)


def objects(*rows: tuple[int, float], size: tuple[int, int] = SIZE, truth: bool = False) -> Annotation:
    """Boxes side by side, each of a label and with a score."""
    height, width = size
    boxes = [[(i + 0.1) * width / 5, height / 3, (i + 0.9) * width / 5, 0.9 * height] for i in range(len(rows))]
    scores = None if truth else [score for _, score in rows]
    return Annotation(size=size, objects=objects_of(boxes, [label for label, _ in rows], scores=scores))


def image(name: str = "a.jpg", height: int = 150, width: int = 200, arms: tuple[str, ...] = ARMS) -> GalleryImage:
    return GalleryImage(
        name=name,
        thumbnail=np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8),
        truth=objects((0, 1), (0, 1), (2, 1), truth=True),
        found={arm: objects((0, 0.9), (1, 0.75), (0, 0.2)) for arm in arms},
    )


def pictures(reader: Reader) -> list[tuple[dict[str, str | None], Image.Image]]:
    """Attributes and decoded picture of every img, in order."""
    found = []
    for tag, attributes in reader.tags:
        if tag == "img":
            kind, data = str(attributes["src"]).split(",")
            assert kind == "data:image/jpeg;base64"
            found.append((attributes, Image.open(io.BytesIO(base64.b64decode(data, validate=True)))))
    return found


def test_every_image_has_a_row_of_truth_and_each_arm_in_order() -> None:
    reader = Reader(gallery([image("a.jpg"), image("b.jpg")], ARMS, LABELS))
    assert reader.open == []
    assert [tag for tag, _ in reader.tags].count("tr") == 1 + 2
    alts = [str(attributes["alt"]) for attributes, _ in pictures(reader)]
    assert [alt.split(":")[0] for alt in alts] == [
        f"{name}, {who}" for name in ("a.jpg", "b.jpg") for who in ("truth", *ARMS)
    ]
    assert alts[0] == "a.jpg, truth: 2 person, 1 日本"
    assert alts[1] == "a.jpg, resnet_small: 1 <i>car</i>, 1 person; 1 below 0.5"
    for who in ("truth", *ARMS):
        assert reader.words.count(who) == 1 + 2  # a heading, and below each picture
    assert "2 validation images" in reader.text


def test_strings_of_the_user_stay_text() -> None:
    reader = Reader(gallery([image('"><script>x</script>')], ARMS, LABELS))
    assert {tag for tag, _ in reader.tags} & {"script", "b", "i"} == {"b"}
    assert [attributes for tag, attributes in reader.tags if tag == "b"] == [{}] * 4  # ours
    assert '"><script>x</script>' in reader.words
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)


def test_pictures_show_truth_and_predictions_in_the_colours_of_the_list() -> None:
    plain = GalleryImage(
        name="a", thumbnail=np.full((150, 200, 3), 128, np.uint8), truth=objects((0, 1), truth=True), found={}
    )
    plain.found["x"] = objects((3, 0.9))  # type: ignore[index]
    reader = Reader(gallery([plain], ["x"], LABELS))
    (_, truth), (_, found) = pictures(reader)
    for picture, label in ((truth, 0), (found, 3)):
        away = np.abs(np.asarray(picture).astype(int) - ImageColor.getrgb(PALETTE[label])).sum(axis=-1)
        assert (away < 40).sum() > 100
    chips = [str(attributes["style"]) for tag, attributes in reader.tags if tag == "li"]
    assert chips == [f"--chip:{PALETTE[0]}", f"--chip:{PALETTE[3]}"]
    assert "sky" in reader.words


def test_an_arm_without_a_prediction_says_so() -> None:
    given = image(arms=ARMS[:1])
    reader = Reader(gallery([given], ARMS, LABELS))
    assert len(pictures(reader)) == 2
    assert reader.words.count("no prediction") == 2


def test_maps_are_said_by_the_share_of_each_class() -> None:
    semantic = np.full(SIZE, 255, dtype=np.uint8)
    semantic[:150], semantic[150:225, :200] = 3, 0
    given = GalleryImage(
        name="m",
        thumbnail=np.zeros((30, 40, 1), np.uint8),
        truth=Annotation(size=SIZE, semantic=semantic),
        found={"x": Annotation(size=SIZE, semantic=np.full(SIZE, 255, np.uint8)), "y": Annotation(size=SIZE, label=1)},
    )
    alts = [attributes["alt"] for attributes, _ in pictures(Reader(gallery([given], ["x", "y"], LABELS)))]
    assert alts == ["m, truth: sky 50 %, person 12 %", "m, x: nothing known", "m, y: <i>car</i>"]


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(150, 200, (200, 150)), (30, 40, (240, 180)), (600, 800, (256, 192)), (3, 4, (256, 192))],
)
def test_sides_are_bounded_and_stated(height: int, width: int, shown: tuple[int, int]) -> None:
    for attributes, picture in pictures(Reader(gallery([image(height=height, width=width)], ARMS, LABELS))):
        assert picture.size == shown
        assert (attributes["width"], attributes["height"]) == (str(shown[0]), str(shown[1]))


@pytest.mark.parametrize(("arms", "narrowest"), [(1, 256), (9, 112), (16, 80)])
def test_all_pictures_together_are_bounded(arms: int, narrowest: int) -> None:
    names = tuple(f"arm{i}" for i in range(arms))
    given = [image(f"{i}.jpg", 300, 400, names) for i in range(6)]  # of noise, which no format makes small
    text = gallery(given, names, LABELS)
    assert len(text) < MOST_BYTES + 250 * 6 * (arms + 1)  # and the words
    assert min(picture.width for _, picture in pictures(Reader(text))) >= narrowest


def test_without_images_there_is_no_section() -> None:
    assert gallery([], ARMS, LABELS) == ""


def test_a_thumbnail_of_another_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg: the thumbnail is 200 x 150 pixels, which is no scale of 300 x 400"):
        gallery([image(height=200, width=150)], ARMS, LABELS)
    with pytest.raises(ValueError, match="the thumbnail is 148 x 200 pixels"):
        gallery([image(height=148)], ARMS, LABELS)
    mixed = image()
    mixed.found["x"] = objects((0, 1), size=(400, 300))  # type: ignore[index]
    with pytest.raises(ValueError, match=r"a\.jpg: found\['x'\] has size=\(400, 300\); truth has size=\(300, 400\)"):
        gallery([mixed], ARMS, LABELS)


@pytest.mark.parametrize(("height", "width"), [(37, 50), (38, 50), (7, 10), (1, 1)])
def test_a_thumbnail_whose_sides_were_rounded_is_taken(height: int, width: int) -> None:
    assert len(pictures(Reader(gallery([image(height=height, width=width)], ARMS, LABELS)))) == 4


@needs_browser
def test_the_gallery_scrolls_within_itself_on_a_phone(tmp_path: Path) -> None:
    body = (top("Gallery", "", ["x"]), gallery([image("a" * 90), image()], ("x" * 120, *ARMS), LABELS))
    seen = look_at(page_of("Gallery", body, GALLERY_STYLE), 390, tmp_path)
    assert (seen["wrong"], seen["overflow"]) == ([], 0)
