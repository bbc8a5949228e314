from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dorsal.data import dataset as dataset_module
from dorsal.data.dataset import ChosenImages, EvaluationBatches, JoinedSplits, eval_transform, open_data
from dorsal.data.spec import Folder, Scenes
from dorsal.data.split import ImageData


@pytest.fixture
def shots(tmp_path: Path) -> Folder:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(6):
            height, width = rng.integers(20, 60, 2)
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    return Folder(str(tmp_path), size=24, val_fraction=0.5)


def test_open_data_opens_either_kind(shots: Folder) -> None:
    scenes = open_data(Scenes(train=10, val=10))
    folder = open_data(shots)
    assert (scenes.size, scenes.flip, len(scenes.train)) == (32, False, 10)
    assert (folder.size, folder.flip, len(folder.train)) == (24, True, 6)


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_evaluation_is_eval_transform_in_order(shots: Folder, batch_size: int) -> None:
    data = open_data(shots)
    evaluation = EvaluationBatches(data.val, data.size, data.normalization, batch_size)
    transform = eval_transform(data.size, data.normalization)
    expected = torch.stack([transform(data.val.image(index)) for index in range(len(data.val))])
    for _ in range(2):
        batches = list(evaluation)
        assert len(batches) == len(evaluation)
        assert all(len(images) == batch_size for images, _ in batches[:-1])
        assert torch.equal(torch.cat([images for images, _ in batches]), expected)
        assert torch.equal(torch.cat([labels for _, labels in batches]), torch.from_numpy(data.val.labels))


def test_evaluation_passes_on_how_to_resize(shots: Folder) -> None:
    data = open_data(shots)
    evaluation = EvaluationBatches(data.val, 24, data.normalization, 100, resize_to=30, interpolation="bicubic")
    transform = eval_transform(24, data.normalization, 30, "bicubic")
    ((images, _),) = evaluation
    assert torch.equal(images, torch.stack([transform(data.val.image(index)) for index in range(len(data.val))]))


def test_groups_stay_with_their_images(shots: Folder) -> None:
    """The groups of joined and shortened splits are those of their images; images of folders have none."""
    data, folder = open_data(Scenes(size=32, train=60, val=30, held_out=1)), open_data(shots)
    assert data.train.groups is not None
    assert data.val.groups is not None
    assert len(set(data.val.groups)) == 10
    joined = JoinedSplits([data.val, data.train], range(10))
    assert joined.groups is not None
    assert joined.groups.tolist() == [*data.val.groups, *data.train.groups]
    first = ChosenImages(joined, np.arange(35)).groups
    assert first is not None
    assert first.tolist() == joined.groups[:35].tolist()
    for split in (
        folder.val,
        ChosenImages(folder.val, np.arange(2)),
        JoinedSplits([folder.train, folder.val], range(2)),
    ):
        assert split.groups is None


def test_joined_splits_are_one_with_labels_in_another_order(shots: Folder) -> None:
    data = open_data(shots)
    joined = JoinedSplits([data.train, data.val], [1, 0])
    assert len(joined) == 12
    assert joined.labels.tolist() == [1 - label for label in (*data.train.labels, *data.val.labels)]
    for index, (split, place) in {0: (data.train, 0), 5: (data.train, 5), 6: (data.val, 0), 11: (data.val, 5)}.items():
        assert torch.equal(joined.image(index), split.image(place))
        assert joined.targets(index).label == joined.labels[index]
    with pytest.raises(IndexError, match="beyond the last of 12"):
        joined.image(12)
    images, labels = zip(*EvaluationBatches(joined, 24, data.normalization, 5), strict=True)
    assert torch.cat(labels).tolist() == joined.labels.tolist()
    first = torch.cat([images for images, _ in EvaluationBatches(data.train, 24, data.normalization, 5)])
    assert torch.equal(torch.cat(images)[:6], first)


def test_a_large_split_is_not_kept_and_gives_the_same(shots: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(shots)
    kept = EvaluationBatches(data.val, data.size, data.normalization, 4)
    monkeypatch.setattr(dataset_module, "_CACHE_BYTES", len(data.val) * 3 * 24 * 24 - 1)
    lazy = EvaluationBatches(data.val, data.size, data.normalization, 4)
    for (images, labels), (other, same) in zip(kept, lazy, strict=True):
        assert torch.equal(images, other)
        assert torch.equal(labels, same)
    assert kept._kept is not None
    assert lazy._kept is None


def test_evaluation_at_another_size(scenes: ImageData) -> None:
    images, labels = next(iter(EvaluationBatches(scenes.val, 64, scenes.normalization, 32)))
    assert images.shape == (32, 3, 64, 64)
    assert labels.tolist() == scenes.val.labels[:32].tolist()
