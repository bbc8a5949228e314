"""Annotated data opened: in every format, from what an earlier check kept, from memory, and with what they lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels
from dorsal.data import entries
from dorsal.data.annotated import AnnotatedData
from dorsal.data.dataset import annotated_data, open_annotated, open_annotated_images, open_data, open_for_scoring
from dorsal.data.errors import DataError
from dorsal.data.formats import facts
from dorsal.spec.preprocessing import IMAGENET
from dorsal.spec.task import Kind
from tests.data.formats.samples import (
    PICTURES,
    coco_files,
    write_ade20k,
    write_cityscapes,
    write_coco,
    write_map,
    write_pairs,
    write_voc,
    write_yolo,
)

BOXES: frozenset[Kind] = frozenset({"boxes"})
MASKS: frozenset[Kind] = frozenset({"boxes", "masks"})
SEMANTIC: frozenset[Kind] = frozenset({"semantic"})
Files = dict[str, dict[str, Any]]
WRITERS: dict[str, tuple[Callable[[Path], Path], frozenset[Kind], str]] = {
    "coco": (write_coco, MASKS, ""),
    "voc": (write_voc, frozenset({"boxes", "semantic"}), ""),
    "yolo": (lambda root: write_yolo(root, polygons=True), MASKS, ""),
    "pairs": (write_pairs, SEMANTIC, "(ignore=11)"),
    "cityscapes": (lambda root: write_cityscapes(root, polygons=True), MASKS | SEMANTIC, ""),
    "ade20k": (write_ade20k, SEMANTIC, ""),
}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "data")


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_opens(tmp_path: Path, name: str) -> None:
    write, kinds, fields = WRITERS[name]
    root = write(tmp_path / "data")
    data = open_annotated(f"{root}{fields}", kinds)
    assert [len(data.train), len(data.val)] == [2, 1]
    assert data.kinds == kinds
    assert data.size == 320
    assert len(data.category_ids) == len(data.classes)
    for picture, split, place in zip(PICTURES, (data.train, data.train, data.val), (0, 1, 0), strict=True):
        assert tuple(split.image(place).shape) == (3, *picture.size)
        assert split.annotation(place).size == picture.size == tuple(split.sizes[place].tolist())
        assert (split.annotation(place).objects is not None) == ("boxes" in kinds)
        assert (split.annotation(place).semantic is not None) == ("semantic" in kinds)
    assert open_annotated(f"{name}:{root}{fields}", kinds).fingerprint == data.fingerprint


def test_pixels_and_normalization_are_those_of_the_files(coco: Path) -> None:
    data = open_annotated(coco, BOXES)
    files = [np.asarray(Image.open(path)) for path in sorted((coco / "train2017").iterdir())]
    for place, pixels in enumerate(files):
        assert (data.train.image(place).numpy() == np.moveaxis(pixels, 2, 0)).all()
    means = np.mean([pixels.reshape(-1, 3).mean(axis=0) / 255 for pixels in files], axis=0)
    squares = np.mean([(pixels.reshape(-1, 3) / 255.0).__pow__(2).mean(axis=0) for pixels in files], axis=0)
    assert data.normalization.mean == pytest.approx(means)
    assert data.normalization.std == pytest.approx(np.sqrt(squares - means**2))
    assert open_annotated(f"{coco}(normalization=imagenet)", BOXES).normalization == IMAGENET
    grey = open_annotated(f"{coco}(channels=1)", BOXES)
    assert grey.channels == 1
    assert tuple(grey.val.image(0).shape) == (1, 24, 48)


@pytest.mark.parametrize(("size", "turned"), [((32, 40), True), ((40, 32), False)])
def test_an_image_is_decoded_in_the_frame_of_its_annotations(coco: Path, size: tuple[int, int], turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.effect_noise(size, 50).convert("RGB")
    image.save(coco / "train2017" / "a_1.png", exif=exif)
    upright = image.transpose(Image.Transpose.ROTATE_270) if turned else image
    data = open_annotated(coco, BOXES)
    assert (data.train.image(0).numpy() == np.moveaxis(np.asarray(upright), 2, 0)).all()
    assert any("annotated as stored" in note for note in data.notes) is not turned


def test_a_second_opening_decodes_and_judges_nothing(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "SETTLED", 0)  # as if the files were older than two seconds
    first = open_annotated(coco, MASKS)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was checked again")

    monkeypatch.setattr(facts, "look_at", lambda paths, **_: refuse() if paths else [])
    monkeypatch.setattr(entries, "check_annotated", refuse)
    again = open_annotated(coco, MASKS)
    assert (again.fingerprint, again.notes, again.normalization) == (
        first.fingerprint,
        first.notes,
        first.normalization,
    )
    monkeypatch.setattr(entries, "gather", refuse)  # a worker does not even look at times
    worker = open_annotated(coco, MASKS, fingerprint=first.fingerprint)
    assert (worker.fingerprint, worker.notes) == (first.fingerprint, first.notes)
    assert (worker.val.image(0) == first.val.image(0)).all()
    with pytest.raises(AssertionError):
        open_annotated(coco, MASKS, fingerprint="f" * 64)


def test_what_was_kept_is_made_anew_where_it_is_damaged(coco: Path) -> None:
    first = open_annotated(coco, BOXES)
    (coco / ".dorsal" / "annotated-3.msgpack").write_bytes(b"\x81\xa4kind\xa1x")
    assert open_annotated(coco, BOXES).fingerprint == first.fingerprint


def test_a_changed_annotation_is_judged_again_and_a_changed_image_is_seen(coco: Path) -> None:
    first = open_annotated(coco, BOXES)
    files = coco_files()
    files["train"]["annotations"][0]["bbox"] = [4, 8, 0, 8]
    (coco / "annotations" / "instances_train2017.json").write_text(json.dumps(files["train"]))
    with pytest.raises(DataError, match=r"annotation 101: .* of no area, as corners \[box-empty\]"):
        open_annotated(coco, BOXES)
    with pytest.raises(DataError, match="box-empty"):
        open_annotated(coco, BOXES, fingerprint=first.fingerprint)
    image = coco / "val2017" / "b_1.png"
    Image.effect_noise((48, 24), 50).convert("RGB").save(image)
    with pytest.raises(DataError, match="changed after it was checked"):
        first.val.image(0)
    (coco / "annotations" / "instances_train2017.json").write_text(json.dumps(coco_files()["train"]))
    assert open_annotated(coco, BOXES).fingerprint != first.fingerprint


def test_the_fingerprint_is_of_content_and_not_of_places(coco: Path, tmp_path: Path) -> None:
    first = open_annotated(coco, BOXES)
    moved = coco.rename(tmp_path / "moved")
    assert open_annotated(moved, BOXES).fingerprint == first.fingerprint
    assert open_annotated(f"{moved}(size=64)", BOXES).fingerprint == first.fingerprint
    assert open_annotated(moved, MASKS).fingerprint != first.fingerprint
    files = coco_files()
    files["val"]["annotations"][0]["bbox"][2] += 1
    (moved / "annotations" / "instances_val2017.json").write_text(json.dumps(files["val"]))
    assert open_annotated(moved, BOXES).fingerprint != first.fingerprint


def test_a_label_image_counts_in_the_fingerprint(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    first = open_annotated(f"{root}(ignore=11)", SEMANTIC)
    path = root / "trainannot" / "a_1.png"
    values = np.asarray(Image.open(path)).copy()
    values[0, 0] = 0
    write_map(path, values)
    assert open_annotated(f"{root}(ignore=11)", SEMANTIC).fingerprint != first.fingerprint


def test_kinds_that_are_not_asked_for_are_not_judged(tmp_path: Path) -> None:
    files = coco_files()
    files["train"]["annotations"][0]["segmentation"] = [[20, 20, 30, 20, 30, 30, 20, 30]]
    root = write_coco(tmp_path / "data", files)
    assert open_annotated(root, BOXES).kinds == BOXES
    with pytest.raises(DataError, match="mask-box"):
        open_annotated(root, MASKS)


def test_data_that_lack_a_kind_name_those_that_have_it(tmp_path: Path, coco: Path) -> None:
    boxes = write_yolo(tmp_path / "yolo", polygons=False)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence follows
        open_annotated(boxes, MASKS)
    assert str(caught.value) == (
        f"data='{boxes}' is yolo and has boxes, no masks; data sets with masks: coco:, yolo:, cityscapes:, scenes"
    )
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="is a folder of class folders and has labels of whole images, no boxes; data"):
        open_annotated(tmp_path / "photos", BOXES)
    with pytest.raises(ValueError, match=r"scenes.*no keypoints; data sets with keypoints: coco:"):
        open_annotated("scenes(train=10, val=10)", frozenset({"keypoints"}))
    for opening in (open_data, open_for_scoring):
        with pytest.raises(ValueError, match=r"classify needs labels of whole images; .* is coco, .*--task detect"):
            opening(coco)


def test_a_missing_split_says_what_to_give(coco: Path) -> None:
    (coco / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match="has no JSON file of val; name it by val=FILE"):
        open_annotated(coco, BOXES)


def test_a_quick_look_takes_some_images_spread_evenly(coco: Path) -> None:
    whole = open_annotated(coco, BOXES)
    some = open_annotated(f"{coco}(max_images=1)", BOXES)
    assert [len(some.train), len(some.val)] == [1, 1]
    assert (some.train.image(0) == whole.train.image(0)).all()
    assert some.fingerprint != whole.fingerprint


def test_a_quick_look_does_not_refuse_a_class_that_it_did_not_see(tmp_path: Path) -> None:
    files = coco_files()
    person = {"image_id": 12, "bbox": [2, 2, 8, 8], "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}
    files["train"]["annotations"][1].update(person)  # in the second image, not in the first
    root = write_coco(tmp_path / "data", files)
    assert open_annotated(root, BOXES).notes
    some = open_annotated(f"{root}(max_images=1)", BOXES)
    assert some.notes[-1] == "of the images looked at (max_images=1) none in train has what val has: class 'person'"


def test_images_to_score_on(coco: Path) -> None:
    val = open_annotated_images(coco, BOXES)
    whole = open_annotated_images(coco, BOXES, "all")
    assert [len(val.images), len(whole.images)] == [1, 3]
    assert [val.has_training, whole.has_training] == [False, True]
    assert val.digest != whole.digest
    assert whole.images.annotation(2).size == (24, 48)
    assert whole.summary == f"3 training and validation images of {coco}"
    scenes = open_annotated_images("scenes(train=10, val=12)", BOXES, "all")
    assert len(scenes.images) == 22
    with pytest.raises(ValueError, match="split='test' is not known"):
        open_annotated_images(coco, BOXES, "test")  # type: ignore[arg-type]


def test_names_of_classes_by_file_and_camvids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_pairs(tmp_path / "data")
    (root / "names.txt").rename(tmp_path / "mine.txt")
    monkeypatch.chdir(tmp_path)
    assert open_annotated(f"{root}(names=mine.txt, ignore=11)", SEMANTIC).classes == ("car", "person")
    assert open_annotated(f"{root}(names=camvid, ignore=11)", SEMANTIC).classes[:2] == ("Sky", "Building")
    with pytest.raises(DataError, match=r"names=absent\.txt: there is no such file"):
        open_annotated(f"{root}(names=absent.txt)", SEMANTIC)


def picture(label: int, box: tuple[int, int, int, int], **others: Any) -> tuple[np.ndarray, Annotation]:
    rng = np.random.default_rng(label)
    mask = np.zeros((32, 40), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    objects = objects_of([box], [label], masks=[rle_of_pixels(mask)], crowd=others.pop("crowd", None))
    return rng.integers(0, 256, (32, 40, 3), np.uint8), Annotation(size=(32, 40), objects=objects, **others)


SOUND = [picture(0, (2, 3, 20, 25)), picture(1, (5, 5, 30, 30))]


def pixels(label: int) -> tuple[np.ndarray, Annotation]:
    """An image whose pixels are all of a class."""
    return SOUND[0][0], Annotation(size=(32, 40), semantic=np.full((32, 40), label, np.uint8))


EMPTY = (SOUND[0][0], Annotation(size=(32, 40), objects=objects_of([], [], masks=[])))


def in_memory(train: list[Any], val: list[Any]) -> AnnotatedData:
    return annotated_data(
        [image for image, _ in train],
        [said for _, said in train],
        Labels(classes=("cat", "dog")),
        val_images=[image for image, _ in val],
        val_annotations=[said for _, said in val],
    )


def test_data_in_memory_open() -> None:
    data = in_memory([*SOUND, EMPTY], [SOUND[1]])
    assert data.kinds == MASKS
    assert data.size == 32
    assert (data.train.image(1).numpy() == np.moveaxis(SOUND[1][0], 2, 0)).all()
    assert data.train.annotation(0) is SOUND[0][1]
    assert open_annotated(data, MASKS).fingerprint == data.fingerprint
    assert open_annotated(data, BOXES).kinds == BOXES
    assert data.fingerprint == in_memory([*SOUND, EMPTY], [SOUND[1]]).fingerprint
    assert data.fingerprint != in_memory([SOUND[0], SOUND[1]], [SOUND[1]]).fingerprint
    with pytest.raises(ValueError, match="no maps of classes"):
        open_annotated(data, SEMANTIC)


@pytest.mark.parametrize("kind", ["boxes", "semantic"])
def test_names_of_stuff_are_kept_where_pixels_are_annotated(tmp_path: Path, kind: Kind) -> None:
    cityscapes = write_cityscapes(tmp_path / "cityscapes", polygons=True)
    for source in ("scenes(digits=2, train=10, val=10, size=64)", str(cityscapes), str(write_voc(tmp_path / "voc"))):
        data = open_annotated(source, frozenset({kind}))
        assert data.kinds == {kind}
        assert bool(data.labels.stuff) is (kind == "semantic")
        assert len(data.category_ids) == len(data.classes)
        assert f" {len(data.classes)} class" in data.summary


@pytest.mark.parametrize(
    ("problem", "train", "val"),
    [
        ("id-dangling", [*SOUND, picture(5, (2, 3, 20, 25))], SOUND),
        ("box-outside", [*SOUND, picture(0, (2, 3, 80, 25))], SOUND),
        (
            "box-empty",
            [*SOUND, (SOUND[0][0], Annotation(size=(32, 40), objects=objects_of([[3, 3, 3, 9]], [0])))],
            SOUND,
        ),
        ("image-size", [*SOUND, (SOUND[0][0][1:], SOUND[0][1])], SOUND),
        ("class-unseen", [SOUND[0]], SOUND),
        ("no-objects", SOUND, [EMPTY]),
        ("crowd-only", SOUND, [picture(0, (2, 3, 20, 25), crowd=[True])]),
        ("label-value", [pixels(0), pixels(2)], None),
    ],
)
def test_data_in_memory_are_checked(problem: str, train: list[Any], val: list[Any] | None) -> None:
    with pytest.raises(DataError) as caught:
        in_memory(train, train if val is None else val)
    assert all(f"[{problem}]" in each for each in caught.value.problems)


@pytest.mark.parametrize(
    "image", [np.zeros((3, 32, 99), np.uint8), np.zeros((32, 40), np.uint8), np.zeros((32, 40, 3), np.float32)]
)
def test_images_of_another_form_are_refused_by_name(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"images\[2\] is .*; it must be uint8 \[height, width, channels\]"):
        in_memory([*SOUND, (image, SOUND[0][1])], SOUND)


def linked(real_data: Path, name: str, tmp_path: Path) -> Path:
    """The data set in a folder of its own, so that nothing is written beside it."""
    if not (real_data / name).is_dir():
        pytest.skip(f"no {name} in {real_data}")
    (tmp_path / name).mkdir()
    for each in (real_data / name).iterdir():
        if each.name != ".dorsal":
            (tmp_path / name / each.name).symlink_to(each)
    return tmp_path / name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields", "kinds", "images"),
    [
        ("pennfudan", "", MASKS, (130, 40)),
        ("bccd", "", BOXES, (205, 87)),
        ("camvid", "(names=camvid, ignore=11)", SEMANTIC, (367, 101)),
        ("mouse_pose", "", frozenset({"keypoints"}), (93, 23)),
    ],
)
def test_real_data_open(
    real_data: Path, tmp_path: Path, name: str, fields: str, kinds: frozenset[Kind], images: tuple[int, int]
) -> None:
    data = open_annotated(f"{linked(real_data, name, tmp_path)}{fields}", kinds)
    assert (len(data.train), len(data.val)) == images
    assert open_annotated(f"{tmp_path / name}{fields}", kinds, fingerprint=data.fingerprint).notes == data.notes


def test_what_the_other_split_lacks_does_not_keep_from_scoring(tmp_path: Path) -> None:
    files = coco_files()
    files["train"]["annotations"] = []  # nothing to learn, and every class of val is unseen
    root = write_coco(tmp_path / "data", files)
    with pytest.raises(DataError, match="nothing is annotated in any image"):
        open_annotated(str(root), BOXES)
    opened = open_annotated_images(str(root), BOXES)
    assert (len(opened.images), opened.images.annotation(0).objects is not None) == (1, True)
    with pytest.raises(DataError, match="train: nothing is annotated in any image"):
        open_annotated_images(str(root), BOXES, "train")
    digests = {open_annotated_images(str(root), BOXES).digest}
    files["val"]["annotations"][0]["bbox"][0] += 1
    digests.add(open_annotated_images(str(write_coco(tmp_path / "other", files)), BOXES).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("write", [write_coco, lambda root: write_yolo(root, polygons=True)])
def test_data_without_any_object_lack_objects_and_not_masks(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    root = write(tmp_path / "data")
    for path in root.rglob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    for path in root.rglob("labels/*/*.txt"):
        path.write_text("")
    with pytest.raises(DataError, match="nothing is annotated in any image"):
        open_annotated(str(root), MASKS)
