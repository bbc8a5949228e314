"""The format of a folder, by the names in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorsal.data.formats.recognize import recognize
from tests.data.formats.samples import write_coco, write_image, write_pairs, write_yolo


def folder_of(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        write_image(root / name / f"{seed}.png", (8, 8), seed)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "dog"),
        ("train/cat", "train/dog", "val/cat", "val/dog"),
        ("cat/indoors", "dog"),
    ],
)
def test_class_folders(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert recognize(folder_of(tmp_path, *names)) == "folder"


@pytest.mark.parametrize("file", ["train.json", "instances_train2017.json", "annotations/person_keypoints_train.json"])
def test_coco_by_one_file(tmp_path: Path, file: str) -> None:
    folder_of(tmp_path, "images", "panoptic_train")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("{}")
    assert recognize(tmp_path) == "coco"


def test_roboflows_form_of_coco(tmp_path: Path) -> None:
    folder_of(tmp_path, "train", "valid")
    (tmp_path / "train" / "_annotations.coco.json").write_text("{}")
    assert recognize(tmp_path) == "coco"


def test_two_formats_are_an_error_that_says_how_to_name_one(tmp_path: Path) -> None:
    root = write_coco(write_yolo(tmp_path / "data", polygons=False))
    with pytest.raises(ValueError, match=f"may be coco or yolo; say which: coco:{root} or yolo:{root}"):
        recognize(root)


def test_class_folders_beside_a_format(tmp_path: Path) -> None:
    root = folder_of(write_pairs(tmp_path / "data"), "cat", "dog")
    with pytest.raises(ValueError, match="may be pairs or folder; say which"):
        recognize(root)


@pytest.mark.parametrize("names", [(), ("images", "annotations"), ("cat",)])
def test_nothing_known(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"is of no known format; looked for ade20k: .*yolo: data.yaml; folder: two"):
        recognize(folder_of(tmp_path, *names))


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        recognize(tmp_path / "absent")
