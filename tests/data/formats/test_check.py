"""Each problem that the check knows: one change to a sound data set is named by its id and by no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dorsal.data.formats.check import Checked, check_annotated
from dorsal.data.formats.coco import read_coco
from dorsal.data.formats.index import AnnotatedIndex
from dorsal.data.formats.pairs import read_pairs
from dorsal.data.formats.problems import MEANINGS, Problem, ProblemId
from dorsal.data.formats.voc import read_voc
from dorsal.data.formats.yolo import read_yolo
from dorsal.data.spec import DataError
from tests.data.formats.samples import NAMES, coco_files, write_coco, write_map, write_pairs, write_voc, write_yolo

Files = dict[str, dict[str, Any]]
NAN = float("nan")


def checked(index: AnnotatedIndex) -> Checked:
    return check_annotated(index, size=32)


def ids(index: AnnotatedIndex) -> list[ProblemId]:
    return [problem.id for problem in checked(index).problems]


def first(files: Files, **fields: Any) -> None:
    files["train"]["annotations"][0].update(fields)


def of_all(files: Files, change: Callable[[dict[str, Any]], None]) -> None:
    for file in files.values():
        for each in file["annotations"]:
            change(each)


def as_shares(files: Files) -> None:
    of_all(files, lambda each: each.update(bbox=[value / 50 for value in each["bbox"]]))


def as_corners(files: Files) -> None:
    def change(each: dict[str, Any]) -> None:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x, y, x + width, y + height]

    of_all(files, change)


def without_train(files: Files) -> None:
    files["train"]["annotations"] = []


def crowds(files: Files) -> None:
    for each in files["val"]["annotations"]:
        each["iscrowd"] = 1


def unseen(files: Files) -> None:
    files["val"]["categories"].append({"id": 9, "name": "dog"})
    files["val"]["annotations"][0]["category_id"] = 9


def image_twice(files: Files) -> None:
    files["train"]["images"].append(files["train"]["images"][1])


def file_twice(files: Files) -> None:
    files["train"]["images"].append({**files["train"]["images"][0], "id": 77})
    files["train"]["annotations"][0]["image_id"] = 77


def annotation_twice(files: Files) -> None:
    files["train"]["annotations"][1]["id"] = files["train"]["annotations"][0]["id"]


CHANGES: list[tuple[ProblemId, Callable[[Files], object]]] = [
    ("id-duplicate", image_twice),
    ("id-duplicate", file_twice),
    ("id-duplicate", annotation_twice),
    ("id-dangling", lambda files: files["train"]["annotations"][2].update(image_id=5)),
    ("id-dangling", lambda files: files["train"]["annotations"][2].update(category_id=5)),
    ("image-size", lambda files: files["train"]["images"][0].update(width=41)),
    ("image-missing", lambda files: files["train"]["images"][1].update(file_name="")),
    ("file-malformed", lambda files: files["train"]["annotations"][2].update(bbox="wide")),
    ("file-malformed", lambda files: files["train"]["annotations"][2].update(area=[])),
    ("file-malformed", lambda files: files["train"]["images"][1].update(width="wide")),
    ("box-malformed", lambda files: first(files, bbox=[4, 8, NAN, 8])),
    ("box-malformed", lambda files: first(files, bbox=[4, 8, 8])),
    ("box-malformed", lambda files: first(files, bbox=None)),
    ("box-outside", lambda files: first(files, bbox=[4, 8, 80, 8])),
    ("box-outside", lambda files: first(files, bbox=[-3, 8, 15, 8])),
    ("box-empty", lambda files: first(files, bbox=[4, 8, 0, 8])),
    ("box-empty", lambda files: first(files, bbox=[4, 8, 8, -2])),
    ("mask-malformed", lambda files: first(files, segmentation=[[4, 8, 12, 8]])),
    ("mask-malformed", lambda files: first(files, segmentation=[])),
    ("mask-malformed", lambda files: first(files, segmentation={"size": [32, 40], "counts": "P"})),
    ("mask-malformed", lambda files: first(files, segmentation=[4, 8, 12, 8, 12, 16])),
    ("mask-empty", lambda files: first(files, segmentation=[[4, 8, 4, 8, 4, 8]])),
    ("mask-size", lambda files: first(files, segmentation={"size": [40, 32], "counts": [0, 1280]})),
    ("mask-box", lambda files: first(files, segmentation=[[20, 20, 30, 20, 30, 30, 20, 30]])),
    ("no-objects", without_train),
    ("crowd-only", crowds),
    ("class-unseen", unseen),
]


@pytest.mark.parametrize(("problem", "change"), CHANGES)
def test_a_change_of_coco(tmp_path: Path, problem: ProblemId, change: Callable[[Files], object]) -> None:
    files = coco_files()
    change(files)
    assert ids(read_coco(write_coco(tmp_path / "data", files))) == [problem]


def test_one_problem_of_coco_hides_no_other(tmp_path: Path) -> None:
    files = coco_files()
    files["train"]["images"][0]["width"] = 41  # all boxes are in this image
    first(files, bbox=None)
    files["train"]["annotations"][1]["bbox"] = [4, 8, 0, 8]
    files["train"]["annotations"][2]["iscrowd"] = "no"
    files["val"]["images"][0]["file_name"] = ""
    found = check_annotated(read_coco(write_coco(tmp_path / "data", files)), size=8)
    text = "\n".join(map(str, found.problems))
    assert [each.id for each in found.problems] == [
        "file-malformed",
        "image-missing",
        "image-size",
        "box-malformed",
        "box-empty",
        "no-objects",
    ]
    assert re.search(r"annotations\[2\]: Expected .*, got `str` - at `\$.iscrowd` \[file-malformed\]", text)
    assert "annotation 101: has no box of four numbers [box-malformed]" in text


@pytest.mark.parametrize(("problem", "change"), [("box-normalized", as_shares), ("box-corners", as_corners)])
def test_what_all_boxes_have_is_said_once_for_each_split(
    tmp_path: Path, problem: ProblemId, change: Callable[[Files], object]
) -> None:
    files = coco_files()
    change(files)
    assert ids(read_coco(write_coco(tmp_path / "data", files))) == [problem, problem]


@pytest.mark.parametrize(
    ("problem", "points"),
    [
        ("keypoint-count", [5, 9, 2]),
        ("keypoint-flag", [5, 9, 2, 11, 15, 3]),
        ("keypoint-outside", [5, 9, 1, 60, 15, 2]),
        ("keypoint-outside", [5, 9, 1, NAN, 15, 2]),
    ],
)
def test_a_change_of_points(tmp_path: Path, problem: ProblemId, points: list[float]) -> None:
    files = coco_files(None, points=True)
    first(files, keypoints=points)
    assert ids(read_coco(write_coco(tmp_path / "data", files))) == [problem]


def test_hidden_points_and_those_not_labelled_may_lie_outside(tmp_path: Path) -> None:
    files = coco_files(None, points=True)
    first(files, keypoints=[-70, 9, 1, 60, 15, 0])
    assert ids(read_coco(write_coco(tmp_path / "data", files))) == []


def test_boxes_may_reach_a_pixel_beyond(tmp_path: Path) -> None:
    files = coco_files()
    first(files, bbox=[-1, 8, 13, 8])
    files["train"]["annotations"][2]["bbox"] = [34, 2, 7, 10]
    assert ids(read_coco(write_coco(tmp_path / "data", files))) == []


def oriented(path: Path, size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.effect_noise(size, 50).convert("RGB").save(path, exif=exif)


@pytest.mark.parametrize(("size", "turned"), [((32, 40), True), ((40, 32), False)])
def test_the_frame_of_the_declared_size_is_taken(tmp_path: Path, size: tuple[int, int], turned: bool) -> None:
    index = read_coco(write_coco(tmp_path / "data"))
    oriented(index.train[0].path, size, 6)
    found = checked(index)
    assert found.problems == ()
    assert (found.index.train[0].size, found.index.train[0].turned) == ((32, 40), turned)
    assert any("as stored" in note for note in found.notes) is not turned


def test_an_orientation_that_leaves_the_size_is_a_problem(tmp_path: Path) -> None:
    index = read_coco(write_coco(tmp_path / "data"))
    oriented(index.train[0].path, (40, 32), 3)
    assert ids(index) == ["image-orientation"]


def test_the_label_image_tells_the_frame(tmp_path: Path) -> None:
    index = read_pairs(write_pairs(tmp_path / "data"), ignore=11)
    oriented(index.train[0].path, (40, 32), 6)
    assert [ids(index), checked(index).index.train[0].turned] == [[], False]


def test_a_label_image_without_an_image_is_dangling(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "data")
    write_map(root / "trainannot" / "c.png", np.zeros((8, 8), np.uint8))
    assert ids(read_pairs(root, ignore=11)) == ["id-dangling"]


def label_image(problem: ProblemId, path: Path) -> None:
    match problem:
        case "label-missing":
            path.unlink()
        case "label-unreadable":
            path.write_bytes(path.read_bytes()[:40])
        case "label-size":
            values = np.asarray(Image.open(path))
            write_map(path, values[:-1])
        case "label-colors":
            Image.open(path).convert("RGB").save(path)
        case "label-value":
            values = np.asarray(Image.open(path)).copy()
            values[0, 0] = 2
            write_map(path, values)


@pytest.mark.parametrize("problem", ["label-missing", "label-unreadable", "label-size", "label-colors", "label-value"])
def test_a_change_of_a_label_image(tmp_path: Path, problem: ProblemId) -> None:
    root = write_pairs(tmp_path / "data")
    path = root / "trainannot" / "a_2.png"
    label_image(problem, path)
    found = checked(read_pairs(root, ignore=11))
    assert [(each.id, each.path) for each in found.problems] == [(problem, str(path))]


def test_a_palette_of_indices_is_sound(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "data")
    path = root / "SegmentationClass" / "a_1.png"
    image = Image.fromarray(np.asarray(Image.open(path)))
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    assert image.mode == "P"
    image.save(path)
    assert ids(read_voc(root)) == []


@pytest.mark.parametrize("text", [None, "<annotation>", "<annotation><size><width>wide</width></size></annotation>"])
def test_a_malformed_file_of_voc(tmp_path: Path, text: str | None) -> None:
    root = write_voc(tmp_path / "data")
    path = root / "Annotations" / "a_2.xml"
    path.unlink() if text is None else path.write_text(text)
    problems = checked(read_voc(root)).problems
    assert [(each.id, each.path) for each in problems] == [("file-malformed", str(path))]


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ("file-malformed", "0 0.5 0.5 0.1"),
        ("file-malformed", "car 0.5 0.5 0.1 0.1"),
        ("id-dangling", "2 0.5 0.5 0.1 0.1"),
        ("box-malformed", "0 0.5 0.5 nan 0.1"),
        ("box-outside", "0 0.5 0.5 1.5 0.1"),
        ("box-empty", "0 0.5 0.5 0 0.1"),
    ],
)
def test_a_line_of_yolo(tmp_path: Path, problem: ProblemId, line: str) -> None:
    root = write_yolo(tmp_path / "data", polygons=False)
    (root / "labels" / "train" / "a_2.txt").write_text(f"\n{line}\n")
    problems = checked(read_yolo(root)).problems
    assert [(each.id, each.place) for each in problems] == [(problem, "line 2")]


def test_an_image_that_a_list_has_twice(tmp_path: Path) -> None:
    voc, yolo = write_voc(tmp_path / "voc"), write_yolo(tmp_path / "yolo", polygons=False)
    with (voc / "ImageSets" / "Main" / "train.txt").open("a") as file:
        file.write("a_1\n")
    (yolo / "list.txt").write_text("images/train/a_1.png\n" * 2)
    (yolo / "data.yaml").write_text(f"names: {list(NAMES)}\ntrain: [list.txt, images/train]\nval: images/val\n")
    for index in (read_voc(voc), read_yolo(yolo)):
        assert ids(index) == ["id-duplicate"]
        assert "is there 2 times" in index.problems[0].found


def test_a_label_file_without_an_image_is_dangling(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "data", polygons=False)
    (root / "labels" / "train" / "classes.txt").write_text("car\n")
    (root / "list.txt").write_text("images/train/a_1.png\n")  # a_2 is in no split
    (root / "data.yaml").write_text(f"names: {list(NAMES)}\ntrain: list.txt\nval: images/val\n")
    assert ids(read_yolo(root)) == []
    (root / "labels" / "train" / "ghost.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (problem,) = checked(read_yolo(root)).problems
    assert (problem.id, problem.path) == ("id-dangling", str(root / "labels" / "train" / "ghost.txt"))


def test_a_problem_of_no_file_begins_with_what_was_found() -> None:
    assert str(Problem("layout", "", "", "nothing is there")) == "nothing is there [layout]"
    assert str(Problem("layout", "a", "b", "c")) == "a, b: c [layout]"


def test_problems_of_all_images_are_in_one_list_and_the_others_stay(tmp_path: Path) -> None:
    files = coco_files()
    first(files, bbox=[4, 8, 0, 8])
    index = read_coco(write_coco(tmp_path / "data", files))
    index.train[1].path.unlink()
    found = checked(index)
    assert [each.id for each in found.problems] == ["box-empty", "image-missing"]
    assert str(found.problems[0]) == (
        f"{index.train[0].path}, annotation 101: has the box (4, 8, 4, 16) of no area, as corners [box-empty]"
    )
    assert [len(found.index.train), len(found.index.val)] == [0, 1]


def test_notes(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    files = coco_files()
    files["val"]["images"] += [
        {"id": 50, "file_name": "same.png", "height": 32, "width": 40},
        {"id": 51, "file_name": "near.png", "height": 28, "width": 36},
    ]
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(files["val"]))
    (root / "val2017" / "same.png").write_bytes((root / "train2017" / "a_1.png").read_bytes())
    near = np.asarray(Image.open(root / "train2017" / "a_2.png")).astype(int)
    Image.fromarray((near + 1).clip(0, 255).astype(np.uint8)).save(root / "val2017" / "near.png")
    found = check_annotated(read_coco(root), size=8)
    assert found.problems == ()
    text = "\n".join(found.notes)
    assert "2 classes of fewer than 5 objects in train: person (1), car (1)" in text
    assert "1 image of train without objects" in text
    assert "2 images of val without objects" in text
    assert "1 crowd in train, which is neither learned nor scored" in text
    assert "under 4 px" in text
    assert "the same, in class and box" not in text
    assert f"1 validation image is also in train, first: {root / 'val2017' / 'same.png'}" in text
    assert f"1 validation image is nearly the same as one of train, first: {root / 'val2017' / 'near.png'}" in text


def test_an_object_that_is_there_twice_is_a_note(tmp_path: Path) -> None:
    files = coco_files()
    files["train"]["annotations"].append({**files["train"]["annotations"][0], "id": 999})
    found = check_annotated(read_coco(write_coco(tmp_path / "data", files)), size=8)
    assert found.problems == ()
    assert any("1 object is the same, in class and box, as another of the image" in note for note in found.notes)


def test_of_many_images_only_headers_are_checked(tmp_path: Path) -> None:
    files = coco_files()
    first(files, segmentation=[[20, 20, 30, 20, 30, 30, 20, 30]])
    index = read_coco(write_coco(tmp_path / "data", files))
    found = check_annotated(index, size=32, whole=2)
    assert found.problems == ()
    note = "of more than 2 images only headers, boxes and points were checked, no pixels but those of 2 training images"
    assert found.notes[-1] == note


def test_each_problem_is_tested_and_has_a_sentence() -> None:
    tests = Path(__file__).parents[2]
    others = [tests / "contracts" / "data_format.py", tests / "cli" / "test_data_check.py"]
    text = "".join(path.read_text() for path in (Path(__file__), *others))
    assert [problem for problem in get_args(ProblemId) if f'"{problem}"' not in text] == []
    assert all(meaning.endswith(".") for meaning in MEANINGS.values())


VALUES = [
    None,
    -1,
    0,
    2**70,
    1e308,
    NAN,
    -NAN,
    float("inf"),
    "x",
    [],
    [[]],
    [1],
    [[1, 2, 3]],
    {},
    [None] * 4,
    [["a"] * 6],
]


@pytest.fixture(scope="module")
def any_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("any") / "data")


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_whatever_an_annotation_holds_is_named_or_usable(any_coco: Path, data: st.DataObject) -> None:
    files = coco_files(data.draw(st.sampled_from(("polygons", "runs", "compressed"))), points=data.draw(st.booleans()))
    each = data.draw(st.sampled_from(files["train"]["annotations"]))
    place, field = each, data.draw(st.sampled_from(sorted(each)))
    while isinstance(place[field], list | dict) and data.draw(st.booleans()):
        place = place[field]
        field = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
    place[field] = data.draw(st.sampled_from(VALUES))
    for split, file in files.items():
        (any_coco / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(file))
    found, said = None, ""
    try:
        found = checked(read_coco(any_coco))
    except DataError as error:
        said = str(error)
    if found is None:
        assert "$.annotations" in said  # the place, as the reader of JSON tells it
        return
    assert found.problems or len(found.index.train) == 2
    for entry in (*found.index.train, *found.index.val):
        assert entry.annotation(found.index.kinds).size == entry.size
