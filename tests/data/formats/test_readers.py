"""What each reader refuses, and what it finds by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dorsal.data.formats.ade20k import read_ade20k
from dorsal.data.formats.cityscapes import read_cityscapes
from dorsal.data.formats.coco import read_coco
from dorsal.data.formats.pairs import read_pairs
from dorsal.data.formats.voc import read_voc
from dorsal.data.formats.yolo import read_yolo
from dorsal.data.spec import DataError
from tests.data.formats.samples import (
    NAMES,
    coco_files,
    write_ade20k,
    write_cityscapes,
    write_coco,
    write_map,
    write_pairs,
    write_voc,
    write_yolo,
)


def test_labels_are_categories_in_the_order_of_their_ids(tmp_path: Path) -> None:
    index = read_coco(write_coco(tmp_path / "data"))
    assert index.labels.classes == ("person", "car")
    assert index.category_ids == (3, 7)
    assert index.train[0].id == 11
    assert index.train[0].truth.labels.tolist() == [1, 0, 0]


def test_the_likeliest_file_of_a_split_is_read(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    text = (root / "annotations" / "instances_train2017.json").read_text()
    for name in ("panoptic_train2017", "captions_train2017", "person_keypoints_train2017", "instances_train2017_v2"):
        (root / "annotations" / f"{name}.json").write_text(text)
    notes = read_coco(root).notes
    assert len(notes) == 1
    assert "instances_train2017.json is read as train; passed over: " in notes[0]
    assert "panoptic" not in notes[0]
    assert read_coco(root, train="annotations/person_keypoints_train2017.json").notes == ()


def test_a_test_file_is_val_where_there_is_no_other(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    path = root / "annotations" / "instances_val2017.json"
    path.rename(path.with_name("instances_test2017.json"))
    index = read_coco(root)
    assert len(index.val) == 1
    assert any("is read as val" in note for note in index.notes)


@pytest.mark.parametrize("folder", ["", "images", "images/train2017", "train", "annotations"])
def test_the_folder_of_images_is_found(tmp_path: Path, folder: str) -> None:
    root = write_coco(tmp_path / "data")
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in sorted((root / "train2017").iterdir()):
        path.rename(root / folder / path.name)
    assert read_coco(root).train[0].path == root / folder / "a_1.png"


def test_the_folder_of_images_may_be_given(tmp_path: Path) -> None:
    index = read_coco(write_coco(tmp_path / "data"), images="{split}2017")
    assert [index.train[0].path.parent.name, index.val[0].path.parent.name] == ["train2017", "val2017"]


def test_points_without_left_and_right_are_not_mirrored(tmp_path: Path) -> None:
    files = coco_files(None, points=True)
    for file in files.values():
        for category in file["categories"]:
            category["keypoints"], category["skeleton"] = ["nose", "tail"], [[1, 2], [1, 3]]
    index = read_coco(write_coco(tmp_path / "data", files))
    assert not index.flip
    assert index.labels.skeleton == ((0, 1),)
    assert any("not mirrored" in note for note in index.notes)
    assert any("join no two points: [1, 3]" in note for note in index.notes)


def test_an_area_that_is_not_said_is_that_of_the_mask_or_box(tmp_path: Path) -> None:
    files = coco_files()
    files["train"]["annotations"][0].update(area=None, segmentation=[[4, 8, 12, 8, 12, 12, 4, 12]])
    entry = read_coco(write_coco(tmp_path / "data", files)).train[0]
    drawn, boxed = entry.annotation(frozenset({"boxes", "masks"})), entry.annotation(frozenset({"boxes"}))
    assert drawn.objects is not None
    assert boxed.objects is not None
    assert [drawn.objects.area[0], boxed.objects.area[0]] == [32, 64]
    assert boxed.objects.masks is None


def renamed(files: dict[str, dict[str, Any]]) -> None:
    files["val"]["categories"][0]["name"] = "bus"


def doubled(files: dict[str, dict[str, Any]]) -> None:
    files["train"]["categories"].append({"id": 3, "name": "person"})


def same_name(files: dict[str, dict[str, Any]]) -> None:
    for file in files.values():
        file["categories"].append({"id": 4, "name": "person"})


def other_points(files: dict[str, dict[str, Any]]) -> None:
    points = [{"id": 8, "name": "a", "keypoints": ["x"]}, {"id": 9, "name": "b", "keypoints": ["y"]}]
    files["train"]["categories"] += points


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "category 7 is 'car' in train and 'bus' in val"),
        (doubled, "category id 3 is there twice in train"),
        (same_name, "hold the name 'person' twice"),
        (other_points, "categories a, b have different keypoints"),
        (lambda files: files["val"].pop("images"), "missing required field `images`"),
        (lambda files: files["val"]["categories"][0].update(name=5), r"categories\[0\]: Expected `str`, got `int`"),
    ],
)
def test_coco_files_that_make_no_sense(tmp_path: Path, change: Any, message: str) -> None:
    files = coco_files()
    change(files)
    with pytest.raises(DataError, match=message):
        read_coco(write_coco(tmp_path / "data", files))


def test_coco_files_that_are_not_there(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    with pytest.raises(DataError, match=r"there is no such file; did you mean 'annotations/instances_val2017.json'"):
        read_coco(root, val="annotations/instances_val2018.json")
    (root / "annotations" / "instances_val2017.json").write_text("[1, 2")
    with pytest.raises(DataError, match="is not a COCO file"):
        read_coco(root)
    (root / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match="has no JSON file of val; name it by val=FILE"):
        read_coco(root)


def test_voc_of_own_classes_leaves_label_images_out(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "data")
    for path in (root / "Annotations").iterdir():
        path.write_text(path.read_text().replace("person", "pedestrian"))
    index = read_voc(root)
    assert index.labels.classes == ("car", "pedestrian")
    assert index.kinds == {"boxes"}
    assert any("label images are left out" in note for note in index.notes)
    assert read_voc(root, names=("pedestrian", "car")).kinds == {"boxes", "semantic"}


def test_voc_where_some_images_have_label_images(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "data")
    (root / "SegmentationClass" / "a_2.png").unlink()
    index = read_voc(root)
    assert index.kinds == {"boxes"}
    assert any("2 images of 3 have label images" in note for note in index.notes)


def test_voc_names_that_are_not_known_are_dangling(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "data", semantic=False)
    index = read_voc(root, names=("person",))
    assert [(problem.id, problem.place) for problem in index.problems] == [
        ("id-dangling", "object 1"),
        ("id-dangling", "object 2"),
    ]


def test_voc_without_a_list(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "data")
    with pytest.raises(DataError, match=r"Segmentation/train.txt: there is no such list of images"):
        read_voc(root, sets="Segmentation")
    with pytest.raises(DataError, match="lists there: train, val"):
        read_voc(root, val="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a, b]\ntrain: images/train\n", "has no val"),
        ("name: [a, b]\ntrain: images/train\nval: images/val\n", "has no names; did you mean 'name'"),
        ("names: [a, b]\ntrain: images/train\nval: images/test\n", "images/test is not there"),
        ("names: [a, b]\nnc: 3\ntrain: images/train\nval: images/val\n", "there are 2, but nc=3"),
        ("names: {1: a, 2: b}\ntrain: images/train\nval: images/val\n", "names by number from 0"),
        ("names: [a, a]\ntrain: images/train\nval: images/val\n", "hold the name 'a' twice"),
        ("names: [a, b]\ntrain: images/train\nval: images/val\nkpt_shape: [4, 3]\n", "has points"),
        ("names: [a, b\n", "cannot be read as YAML"),
        ("- a\n", "must have the fields"),
    ],
)
def test_yolo_files_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    root = write_yolo(tmp_path / "data", polygons=False)
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_yolo(root)


def test_yolo_takes_lists_of_images_and_roboflows_paths(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "data", polygons=False)
    (root / "train.txt").write_text("./images/train/a_1.png\n./images/train/a_2.png\n")
    (root / "data.yaml").write_text(f"names: {list(NAMES)}\ntrain: [train.txt]\nval: ../images/val\n")
    index = read_yolo(root)
    assert [entry.id for entry in (*index.train, *index.val)] == ["a_1", "a_2", "b_1"]
    assert [len(entry.truth.labels) for entry in (*index.train, *index.val)] == [3, 0, 2]


def test_yolo_with_some_polygons_has_boxes(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "data", polygons=True)
    path = root / "labels" / "train" / "a_1.txt"
    path.write_text(path.read_text() + "0 0.5 0.5 0.2 0.2\n")
    index = read_yolo(root)
    assert index.kinds == {"boxes"}
    assert index.notes != ()


def test_names_that_begin_with_a_dot_are_no_images(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    (root / "train" / "._a_1.png").write_bytes(b"what another system keeps beside a file")
    assert len(read_pairs(root).train) == 2


def test_pairs_need_names(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    (root / "names.txt").unlink()
    with pytest.raises(DataError, match=r"add names.txt, with one name a line"):
        read_pairs(root)
    with pytest.raises(DataError, match="have 254 at most"):
        read_pairs(root, names=[f"c{number}" for number in range(256)])
    with pytest.raises(DataError, match="photos/train: holds no images"):
        read_pairs(root, names=NAMES, images="photos/{split}")


def test_an_ignored_number_within_the_names_is_no_class(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    index = read_pairs(root, names=("car", "void", "person"), ignore=1)
    assert index.labels.classes == ("car", "person")
    assert index.category_ids == (0, 2)
    write_map(root / "trainannot" / "a_2.png", np.array([[0, 1, 2, 255]], np.uint8))
    semantic = index.train[1].truth.annotation((1, 4), index.kinds).semantic
    assert semantic is not None
    assert semantic.tolist() == [[0, 255, 1, 255]]


def test_ade20k_without_its_table_has_numbers_for_names(tmp_path: Path) -> None:
    root = write_ade20k(tmp_path / "data")
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n")
    with pytest.raises(DataError, match="150 rows"):
        read_ade20k(root)
    (root / "objectInfo150.txt").unlink()
    assert read_ade20k(root).labels.classes[12] == "13"


def test_cityscapes_polygons_that_make_no_sense(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path / "data", polygons=True)
    path = next((root / "gtFine" / "train").rglob("*_polygons.json"))
    path.write_text(json.dumps({"objects": []}))
    assert [(problem.id, problem.path) for problem in read_cityscapes(root).problems] == [("file-malformed", str(path))]
