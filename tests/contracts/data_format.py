"""What every reader of annotated data does. A suite inherits this and says how its format is written and read."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorsal.data.formats.check import check_annotated
from dorsal.data.formats.index import AnnotatedIndex, Entry
from dorsal.data.formats.recognize import recognize
from dorsal.spec.task import Kind
from tests.data.formats.samples import PICTURES, Picture


class FormatContract:
    name: str
    kinds: frozenset[Kind]
    crowds = True

    def write(self, root: Path) -> Path:
        raise NotImplementedError

    def read(self, root: Path) -> AnnotatedIndex:
        raise NotImplementedError

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return self.write(tmp_path / "data")

    def test_names_tell_the_format(self, root: Path) -> None:
        assert recognize(root) == self.name == self.read(root).format

    def test_the_sample_comes_back(self, root: Path) -> None:
        index = check_annotated(self.read(root), size=32).index
        assert index.kinds == self.kinds
        assert [len(index.train), len(index.val)] == [2, 1]
        for picture, entry in zip(PICTURES, [*index.train, *index.val], strict=True):
            assert entry.path.name.startswith(picture.stem)
            assert entry.path.is_file()
            self.assert_equal(picture, entry, index)

    def assert_equal(self, picture: Picture, entry: Entry, index: AnnotatedIndex) -> None:
        found = entry.annotation(index.kinds)
        names = (*index.labels.classes, *index.labels.stuff)
        assert found.size == picture.size
        if "boxes" in self.kinds:
            assert found.objects is not None
            assert [names[label] for label in found.objects.labels] == [thing.name for thing in picture.things]
            boxes = np.array([thing.box for thing in picture.things], np.float32).reshape(-1, 4)
            np.testing.assert_allclose(found.objects.boxes, boxes, atol=1e-5)
            assert found.objects.crowd.tolist() == [thing.crowd and self.crowds for thing in picture.things]
        if "masks" in self.kinds:
            assert found.objects is not None
            assert found.objects.masks is not None
            for mask, thing in zip(found.objects.masks, picture.things, strict=True):
                assert (mask.pixels() == picture.pixels(thing)).all()
        if "semantic" in self.kinds:
            assert found.semantic is not None
            known = picture.semantic({name: names.index(name) for name in ("car", "person")}, 255)
            within = known != 255
            assert (found.semantic[within] == known[within]).all()
            assert not np.isin(found.semantic[~within], known[within]).any()

    def test_reading_opens_no_image(self, root: Path) -> None:
        before = self.read(root)
        for path in root.rglob("*"):
            if path.suffix in (".png", ".jpg"):
                path.write_bytes(b"")
        after = self.read(root)
        assert [entry.path for entry in after.train] == [entry.path for entry in before.train]

    def test_the_index_goes_to_another_process(self, root: Path) -> None:
        checked = check_annotated(self.read(root), size=32).index
        index = pickle.loads(pickle.dumps(checked))
        for picture, entry in zip(PICTURES, [*index.train, *index.val], strict=True):
            self.assert_equal(picture, entry, index)

    def test_the_sample_is_sound(self, root: Path) -> None:
        assert check_annotated(self.read(root), size=32).problems == ()

    def test_a_missing_image_is_named(self, root: Path) -> None:
        index = self.read(root)
        index.val[0].path.unlink()
        problems = check_annotated(index, size=32).problems
        assert [(each.id, each.path) for each in problems] == [("image-missing", str(index.val[0].path))]

    def test_a_truncated_image_is_named(self, root: Path) -> None:
        index = self.read(root)
        path = index.train[0].path
        path.write_bytes(path.read_bytes()[:-300])
        checked = check_annotated(index, size=32)
        assert [(each.id, each.path) for each in checked.problems] == [("image-unreadable", str(path))]
        assert len(checked.index.train) == 1

    def test_an_image_of_another_size_is_named(self, root: Path) -> None:
        index = self.read(root)
        Image.new("RGB", (64, 64)).save(index.val[0].path)
        problems = {each.id for each in check_annotated(index, size=32).problems}
        declared = index.val[0].size is not None
        assert problems == ({"image-size"} if declared else {"label-size"} if "semantic" in self.kinds else set())
