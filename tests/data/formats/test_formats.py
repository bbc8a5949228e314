"""Every reader keeps the contract, and what is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dorsal.data.formats.ade20k import read_ade20k
from dorsal.data.formats.cityscapes import read_cityscapes
from dorsal.data.formats.coco import read_coco
from dorsal.data.formats.index import AnnotatedIndex
from dorsal.data.formats.pairs import read_pairs
from dorsal.data.formats.voc import read_voc
from dorsal.data.formats.yolo import read_yolo
from dorsal.spec.task import Kind
from tests.contracts.data_format import FormatContract
from tests.data.formats.samples import (
    PICTURES,
    Outlines,
    coco_files,
    write_ade20k,
    write_cityscapes,
    write_coco,
    write_pairs,
    write_voc,
    write_yolo,
)


def kinds(*names: Kind) -> frozenset[Kind]:
    return frozenset(names)


class Coco(FormatContract):
    name = "coco"
    kinds = kinds("boxes", "masks")
    outlines: Outlines = "polygons"

    def write(self, root: Path) -> Path:
        return write_coco(root, coco_files(self.outlines))

    def read(self, root: Path) -> AnnotatedIndex:
        return read_coco(root)


class TestCocoPolygons(Coco):
    pass


class TestCocoRuns(Coco):
    outlines = "runs"


class TestCocoCompressed(Coco):
    outlines = "compressed"


class TestCocoPoints(Coco):
    kinds = kinds("boxes", "keypoints")

    def write(self, root: Path) -> Path:
        return write_coco(root, coco_files(None, points=True))

    def test_points_have_their_middle_at_a_half(self, root: Path) -> None:
        index = self.read(root)
        assert index.labels.pairs == ((0, 1),)
        assert index.labels.skeleton == ((0, 1),)
        assert index.flip
        for picture, entry in zip(PICTURES, [*index.train, *index.val], strict=True):
            objects = entry.annotation(index.kinds).objects
            assert objects is not None
            points = np.array([thing.points for thing in picture.things], np.float32).reshape(-1, 2, 3)
            assert (objects.keypoints == points + np.array([0.5, 0.5, 0])).all()


class TestVoc(FormatContract):
    name = "voc"
    kinds = kinds("boxes", "semantic")

    def write(self, root: Path) -> Path:
        return write_voc(root)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_voc(root)

    def test_zero_is_stuff_named_background(self, root: Path) -> None:
        index = self.read(root)
        semantic = index.train[0].annotation(index.kinds).semantic
        assert semantic is not None
        assert index.labels.stuff == ("background",)
        assert semantic[0, 12] == 20
        assert semantic[31, 0] == 255


class TestVocOfBoxes(FormatContract):
    name = "voc"
    kinds = kinds("boxes")

    def write(self, root: Path) -> Path:
        return write_voc(root, semantic=False)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_voc(root)


class TestYolo(FormatContract):
    name = "yolo"
    kinds = kinds("boxes")
    crowds = False

    def write(self, root: Path) -> Path:
        return write_yolo(root, polygons=False)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_yolo(root)


class TestYoloOfPolygons(TestYolo):
    kinds = kinds("boxes", "masks")

    def write(self, root: Path) -> Path:
        return write_yolo(root, polygons=True)


class TestPairs(FormatContract):
    name = "pairs"
    kinds = kinds("semantic")

    def write(self, root: Path) -> Path:
        return write_pairs(root)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_pairs(root, ignore=11)


class TestCityscapes(FormatContract):
    name = "cityscapes"
    kinds = kinds("boxes", "masks", "semantic")

    def write(self, root: Path) -> Path:
        return write_cityscapes(root, polygons=True)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_cityscapes(root)

    def test_there_are_19_classes(self, root: Path) -> None:
        labels = self.read(root).labels
        assert (len(labels.classes), len(labels.stuff)) == (8, 11)


class TestCityscapesWithoutPolygons(TestCityscapes):
    kinds = kinds("semantic")

    def write(self, root: Path) -> Path:
        return write_cityscapes(root, polygons=False)


class TestAde20k(FormatContract):
    name = "ade20k"
    kinds = kinds("semantic")

    def write(self, root: Path) -> Path:
        return write_ade20k(root)

    def read(self, root: Path) -> AnnotatedIndex:
        return read_ade20k(root)

    def test_classes_have_their_first_name(self, root: Path) -> None:
        names = self.read(root).labels.classes
        assert names[12] == "person"
        assert names[59] == "screen door"
        assert names[131] == "screen"
