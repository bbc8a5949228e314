"""Real data sets open and are what they are known to be; pycocotools reads the same of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dorsal.data.formats.ade20k import read_ade20k
from dorsal.data.formats.check import check_annotated
from dorsal.data.formats.coco import read_coco
from dorsal.data.formats.names import CAMVID
from dorsal.data.formats.pairs import read_pairs
from dorsal.data.formats.recognize import recognize


def data_set(real_data: Path, name: str) -> Path:
    if not (real_data / name).is_dir():
        pytest.skip(f"no {name} in {real_data}")
    return real_data / name


@pytest.mark.parametrize(
    ("name", "images", "objects"),
    [("bccd", (205, 87), (2804, 1137)), ("pennfudan", (130, 40), (313, 110)), ("mouse_pose", (93, 23), (93, 23))],
)
def test_sets_in_cocos_form(real_data: Path, name: str, images: tuple[int, int], objects: tuple[int, int]) -> None:
    root = data_set(real_data, name)
    assert recognize(root) == "coco"
    index = read_coco(root)
    assert (len(index.train), len(index.val)) == images
    assert tuple(sum(len(entry.truth.labels) for entry in split) for split in (index.train, index.val)) == objects
    assert index.problems == ()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' own
@pytest.mark.parametrize("file", ["instances_train.json", "instances_train_polygons.json"])
def test_pycocotools_reads_the_same(real_data: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_set(real_data, "coco_mini")
    oracle = pytest.importorskip("pycocotools.coco").COCO(str(root / file))
    index = read_coco(root, train=file)
    for entry in index.train:
        objects = entry.annotation(index.kinds).objects
        assert objects is not None
        assert objects.masks is not None
        known = oracle.loadAnns(oracle.getAnnIds(imgIds=[entry.id]))
        assert list(entry.truth.ids) == [each["id"] for each in known]
        assert [index.category_ids[label] for label in objects.labels] == [each["category_id"] for each in known]
        assert objects.crowd.tolist() == [bool(each["iscrowd"]) for each in known]
        boxes = np.array([each["bbox"] for each in known]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert (objects.boxes == boxes.astype(np.float32)).all()
        assert (objects.area == np.array([each["area"] for each in known], np.float32)).all()
        for mask, each in zip(objects.masks, known, strict=True):
            assert (mask.pixels() == oracle.annToMask(each).astype(bool)).all()


def test_coco_mini_has_classes_that_train_lacks(real_data: Path) -> None:
    root = data_set(real_data, "coco_mini")
    assert recognize(root) == "coco"
    found = check_annotated(read_coco(root), size=320)
    assert Counter(problem.id for problem in found.problems) == {"class-unseen": 16}


def test_penn_fudan_is_sound(real_data: Path) -> None:
    assert check_annotated(read_coco(data_set(real_data, "pennfudan")), size=320).problems == ()


def test_camvid_is_recognized_and_ade_is_sound(real_data: Path) -> None:
    camvid = data_set(real_data, "camvid")
    assert recognize(camvid) == "pairs"
    index = read_pairs(camvid, names=CAMVID, ignore=11)
    assert (len(index.train), len(index.val)) == (367, 101)
    semantic = index.val[0].truth.annotation((360, 480), index.kinds).semantic
    assert semantic is not None
    assert set(np.unique(semantic)) <= {*range(11), 255}
    ade = read_ade20k(data_set(real_data, "ade_sample"), train="", val="")
    assert ade.labels.classes[:2] == ("wall", "building")
    found = check_annotated(ade, size=320)
    assert found.problems == ()
    assert any("3 validation images are also in train" in note for note in found.notes)
