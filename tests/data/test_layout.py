"""Which folders are splits and which are classes."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

from dorsal.data import layout
from dorsal.data.dataset import open_data, open_for_scoring
from dorsal.data.layout import role_of
from dorsal.data.spec import DataError
from tests.data.pictures import all_paths, fill, paths, picture


def problem(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_data(root)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def two(root: Path, seed: int = 0) -> Path:
    """A folder of two classes."""
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(3):
            picture(100 * seed + 10 * number + index).save(root / name / f"{index}.png")
    return root


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ("train Train TRAIN training Training_Set train-set trainset train2017 TrainingData", "train"),
        ("val VAL valid validation Validation_set dev Dev-Set eval evaluation val2017 ValData", "val"),
        ("test Test testing TEST_SET test-data test2019", "test"),
        ("cat trains trainer validity tests testament 2017 training7 developer evaluate", None),
    ],
)
def test_names_of_splits(names: str, role: str | None) -> None:
    assert {role_of(name) for name in names.split()} == {role}


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(layout).failed == 0


@pytest.mark.parametrize(
    ("train", "val"), [("training", "validation"), ("Train", "Val"), ("TRAIN", "dev"), ("train_set", "eval")]
)
def test_splits_of_other_names_are_read_with_a_note(tmp_path: Path, train: str, val: str) -> None:
    two(tmp_path / train)
    two(tmp_path / val, seed=1)
    data = open_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert {path.parts[-3] for path in paths(data.train)} == {train}
    assert {path.parts[-3] for path in paths(data.val)} == {val}
    assert data.notes == (f"{tmp_path / train} is read as train", f"{tmp_path / val} is read as val")
    assert data.summary == f"{tmp_path}: 6 training and 6 validation images of 2 classes: cat, dog"


def test_test_is_read_as_val_where_there_is_none_and_else_left_out(tmp_path: Path) -> None:
    two(tmp_path / "train")
    two(tmp_path / "test", seed=1)
    data = open_data(tmp_path)
    assert {path.parts[-3] for path in paths(data.val)} == {"test"}
    assert data.notes == (f"{tmp_path / 'test'} is read as val, as there is no folder of that name",)
    two(tmp_path / "val", seed=2)
    data = open_data(tmp_path)
    assert {path.parts[-3] for path in all_paths(data)} == {"train", "val"}
    assert data.notes == (f"{tmp_path / 'test'} is left out; to score a model on it, name that folder itself",)


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "training", "val"):
        two(tmp_path / name)
    assert "train, training are names of one split; leave one of them" in problem(tmp_path)


def test_folders_beside_splits_are_left_out_by_name(tmp_path: Path) -> None:
    two(tmp_path / "train")
    two(tmp_path / "val", seed=1)
    (tmp_path / "annotations").mkdir()
    assert open_data(tmp_path).notes == ("folders beside the splits are left out: annotations",)


def test_unlabelled_test_images_are_left_out(tmp_path: Path) -> None:
    """As Kaggle's archives are."""
    two(tmp_path / "train")
    (tmp_path / "test").mkdir()
    picture(1).save(tmp_path / "test" / "1.png")
    assert "has train and no val; add a folder `val`" in problem(tmp_path)
    two(tmp_path / "val", seed=1)
    assert open_data(tmp_path).notes == ("folders beside the splits are left out: test",)


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    data = open_data(fill(tmp_path, {"bus": 3, "car": 3, "train": 3}))
    assert data.classes == ("bus", "car", "train")


def test_splits_without_class_folders_are_not_classes(tmp_path: Path) -> None:
    fill(tmp_path, {"train": 3, "val": 3})
    with pytest.raises(DataError) as caught:
        open_data(tmp_path)
    assert [text.split(": ")[1] for text in caught.value.problems] == [
        "has no class folders; put the images of each class into their own"
    ] * 2


def test_classes_beside_a_lone_split_are_refused(tmp_path: Path) -> None:
    two(tmp_path)
    two(tmp_path / "validation", seed=1)
    message = problem(tmp_path)
    assert "holds a split, validation, beside folders of images, cat, dog" in message
    assert "put them into a folder `train`" in message


@pytest.mark.parametrize(
    ("outer", "inner", "advice"),
    [
        (("fold1", "fold2"), ("cat", "dog"), "name the outer folders `train` and `val`"),
        (("cat", "dog"), ("train", "val"), "put the splits outside and the classes inside, as in train/cat"),
        (("cat", "dog"), ("train",), "put the splits outside and the classes inside, as in train/cat"),
    ],
)
def test_folders_of_the_same_names_in_every_class_are_refused(
    tmp_path: Path, outer: tuple[str, ...], inner: tuple[str, ...], advice: str
) -> None:
    for number, name in enumerate(outer):
        fill(tmp_path / name, dict.fromkeys(inner, 3 + number))
    message = problem(tmp_path)
    assert f"every folder in it ({', '.join(outer)}) holds folders of the same names ({', '.join(inner)})" in message
    assert advice in message


def test_the_same_in_a_split_is_refused(tmp_path: Path) -> None:
    for name in ("train/north", "train/south", "val/north", "val/south"):
        two(tmp_path / name)
    with pytest.raises(DataError, match="every folder in it"):
        open_data(tmp_path)


def test_one_folder_of_images_in_each_class_is_no_layout_of_its_own(tmp_path: Path) -> None:
    """As Tiny ImageNet is laid out."""
    for name in ("cat", "dog"):
        fill(tmp_path / name, {"images": 3})
    assert open_data(tmp_path).classes == ("cat", "dog")


def test_a_folder_too_high_says_which_is_meant(tmp_path: Path) -> None:
    two(tmp_path / "archive" / "photos")
    message = problem(tmp_path / "archive")
    assert (
        f"has one class only, 'photos'; two are needed; did you mean {str(tmp_path / 'archive' / 'photos')!r}?"
        in message
    )


def test_a_class_whose_name_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    two(tmp_path)
    try:
        (tmp_path / "cat").rename(os.fsdecode(os.fsencode(tmp_path / "cat") + b"\xff"))
    except OSError:
        pytest.skip("this file system takes names of valid text only")
    message = problem(tmp_path)
    assert f"{tmp_path / 'cat'}\\xff: the name of this class is not valid UTF-8" in message
    with pytest.raises(DataError, match="not valid UTF-8"):
        open_for_scoring(tmp_path)


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    two(tmp_path)
    os.mkfifo(tmp_path / "cat" / "endless.png")
    assert "endless.png: is neither a file nor a folder" in problem(tmp_path)


# --- scoring takes what it is given


def test_a_folder_without_splits_is_scored_whole(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 1, "dog": 4})
    (tmp_path / "bird").mkdir()
    found = open_for_scoring(tmp_path)
    assert (len(found.images), found.classes) == (5, ("cat", "dog"))
    assert found.images.labels.tolist() == [0, 1, 1, 1, 1]
    assert found.summary == f"5 images of {tmp_path}, all of it"
    assert found.notes == ("1 of 3 classes has no images here",)
    assert found.fingerprint == ""  # it cannot be trained on


def test_a_folder_without_any_image_cannot_be_scored(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        open_for_scoring(tmp_path)


def test_one_class_alone_can_be_scored(tmp_path: Path) -> None:
    assert open_for_scoring(fill(tmp_path, {"cat": 1})).classes == ("cat",)


def test_a_split_of_a_folder_without_splits_is_the_one_of_training(tmp_path: Path) -> None:
    data = open_data(fill(tmp_path, {"cat": 10, "dog": 5}))
    for split, part in (("val", data.val), ("train", data.train)):
        found = open_for_scoring(tmp_path, split)
        assert paths(found.images) == paths(part)
        assert "that training " in found.summary
        assert "(val_fraction=0.2, seed=0)" in found.summary
        assert found.fingerprint == data.fingerprint
    assert "holds out" in open_for_scoring(tmp_path, "val").summary


def test_a_folder_that_cannot_be_split_says_why(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 1, "dog": 4})
    with pytest.raises(DataError, match=r"split=val is not to be had: .*only image of its class"):
        open_for_scoring(tmp_path, "val")


def test_splits_of_a_folder_are_chosen_by_name(tmp_path: Path) -> None:
    two(tmp_path / "training")
    fill(tmp_path / "validation", {"dog": 2})
    assert open_for_scoring(tmp_path).summary == f"2 images of {tmp_path / 'validation'}"
    assert open_for_scoring(tmp_path).classes == ("dog",)
    assert open_for_scoring(tmp_path).images.labels.tolist() == [0, 0]
    assert open_for_scoring(tmp_path, "train").summary == f"6 images of {tmp_path / 'training'}"
    assert open_for_scoring(tmp_path, "all").summary == f"8 images of all splits of {tmp_path}"
    two(tmp_path / "only" / "val")
    with pytest.raises(ValueError, match="has no split 'train'; nearest valid: 'val'"):
        open_for_scoring(tmp_path / "only", "train")
    assert len(open_for_scoring(tmp_path / "only").images) == 6


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split='vall' is not known; valid: val, train, all"):
        open_for_scoring(two(tmp_path), "vall")
