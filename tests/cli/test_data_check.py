"""`dorsal data check`: lines, ids, JSON and exit codes, for bad and sound data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dorsal.data.formats.problems import MEANINGS
from tests.data.formats.samples import coco_files, write_coco, write_image, write_map, write_pairs, write_yolo

Files = dict[str, dict[str, Any]]


def first(files: Files, **fields: Any) -> None:
    files["train"]["annotations"][0].update(fields)


def without_objects(files: Files) -> None:
    for file in files.values():
        file["annotations"] = []


def unseen(files: Files) -> None:
    files["train"]["annotations"] = [each for each in files["train"]["annotations"] if each["category_id"] == 3]


def crowds(files: Files) -> None:
    for each in files["train"]["annotations"]:
        each["iscrowd"] = 1


@pytest.mark.parametrize(
    ("task", "problems", "change"),
    [
        ("detect", ["no-objects", "no-objects"], without_objects),
        ("detect", ["class-unseen"], unseen),
        ("detect", ["crowd-only"], crowds),
        ("detect", ["box-empty"], lambda files: first(files, bbox=[4, 8, 0, 8])),
        ("detect", ["box-malformed"], lambda files: first(files, bbox=[4, 8, float("nan"), 8])),
        ("instance", ["mask-size"], lambda files: first(files, segmentation={"size": [40, 32], "counts": [0, 1280]})),
    ],
)
def test_problems_have_a_line_each_and_end_in_1(
    dorsal: Any, tmp_path: Path, task: str, problems: list[str], change: Callable[[Files], None]
) -> None:
    files = coco_files()
    change(files)
    root = write_coco(tmp_path / "data", files)
    code, out, _ = dorsal("data", "check", root, "--task", task)
    lines = [line for line in out.splitlines() if line.endswith("]")]
    assert code == 1
    assert [line.rpartition("[")[2].rstrip("]") for line in lines] == problems
    assert all(line.startswith(str(root)) for line in lines)
    assert out.splitlines()[-1].startswith(f"coco:{root}: {len(problems)} problem")
    code, out, _ = dorsal("data", "check", root, "--task", task, "--json")
    said = json.loads(out)
    assert code == 1
    assert said["sound"] is False
    assert [each["id"] for each in said["problems"]] == problems
    assert {each["id"] for each in said["problems"]} <= set(MEANINGS)


def test_sound_data_with_an_image_without_objects(dorsal: Any, tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    code, out, _ = dorsal("data", "check", root, "--task", "instance")
    assert code == 0
    assert "note: 1 image of train without objects, which are kept" in out
    summary = f"{root}: 2 training and 1 validation images of 2 classes: person, car"
    assert out.splitlines()[-1] == f"{summary}: no problems and 3 notes for task instance"
    assert dorsal("data", "check", root, "--task", "instance", "--strict")[0] == 1
    code, out, _ = dorsal("data", "check", root, "--task", "detect", "--max-images", 1, "--json")
    assert (code, json.loads(out)["data"]) == (0, f"coco:{root}(max_images=1)")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["yolo"], ["task classify needs labels of whole images", "--task detect"]),
        (["yolo", "--task", "instance"], ["has boxes, no masks; data sets with masks: coco:, yolo:, cityscapes:"]),
        (["yolo", "--task", "detct"], ["unknown task 'detct'; did you mean detect?"]),
        (["yolo(size=64, val=x)", "--task", "detect"], ["yolo data have no field 'val'", "fields are size"]),
        (["yoloo:yolo", "--task", "detect"], ["'yoloo' is not a format; did you mean 'yolo'?"]),
        (["photos", "--task", "semantic"], ["is a folder of class folders", "no maps of classes"]),
        (["photos", "--max-images", "3"], ["--max-images 3 is for annotated folders", "leave it out"]),
        (["nowhere"], ["'nowhere' is neither 'scenes' nor an existing folder"]),
    ],
)
def test_what_cannot_be_checked_ends_in_2(
    dorsal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_yolo(Path("yolo"), polygons=False)
    for number, name in enumerate(("cat", "dog")):
        write_image(Path("photos") / name / "1.png", (8, 8), number)
    code, out, err = dorsal("data", "check", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert [part for part in parts if part not in err] == []


def test_class_folders_and_scenes(dorsal: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(4):
        write_image(photos / ("cat", "dog")[number % 2] / f"{number}.png", (16, 16), number)
    code, out, _ = dorsal("data", "check", photos)
    assert code == 0
    assert out.splitlines()[-1].endswith("of 2 classes: cat, dog: no problems and no notes for task classify")
    (photos / "cat" / "broken.png").write_bytes(b"x")
    (photos / "bird").mkdir()
    code, out, _ = dorsal("data", "check", photos, "--json")
    assert code == 1
    assert [each["id"] for each in json.loads(out)["problems"]] == ["layout", "image-unreadable"]
    code, out, _ = dorsal("data", "check", "scenes(train=10, val=10, digits=2)", "--task", "detect", "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])


def test_a_format_whose_files_are_missing_is_a_problem_of_layout(dorsal: Any, tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    (root / "annotations" / "instances_val2017.json").unlink()
    code, out, _ = dorsal("data", "check", root, "--task", "detect")
    assert code == 1
    assert f"{root}: has no JSON file of val; name it by val=FILE [layout]" in out


def test_label_images_are_checked_for_semantic(dorsal: Any, tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    (root / "trainannot" / "a_2.png").unlink()
    write_map(root / "trainannot" / "c.png", np.zeros((8, 8), np.uint8))
    code, out, _ = dorsal("data", "check", f"{root}(ignore=11)", "--task", "semantic", "--json")
    assert code == 1
    assert [each["id"] for each in json.loads(out)["problems"]] == ["id-dangling", "label-missing"]
