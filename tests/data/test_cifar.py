"""CIFAR-10 as a user would bring it: a folder of class folders."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dorsal.data.dataset import open_data
from dorsal.data.spec import Folder, parse_data

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = 60


def test_cifar_as_class_folders(tmp_path: Path, real_data: Path) -> None:
    sheets = real_data / "cifar10_png"
    with Image.open(sheets / "cifar10_batch_0.png") as sheet:
        images = np.asarray(sheet)[..., :3].reshape(1000, 32, 32, 3)
    labels = np.load(sheets / "labels.npy")[:1000]
    for label, name in enumerate(CLASSES):
        (tmp_path / name).mkdir()
        for index in np.flatnonzero(labels == label)[:PER_CLASS]:
            Image.fromarray(images[index]).save(tmp_path / name / f"{index:04}.png")

    spec = parse_data(f"{tmp_path}(size=32, val_fraction=0.25)")
    assert isinstance(spec, Folder)
    data = open_data(spec)

    assert data.classes == CLASSES
    assert np.bincount(data.train.labels).tolist() == [45] * 10
    assert np.bincount(data.val.labels).tolist() == [15] * 10
    assert data.train.image(449).shape == (3, 32, 32)
    # the known figures of all 50,000 images, within four standard errors of 450
    np.testing.assert_allclose(data.normalization.mean, (0.4914, 0.4822, 0.4465), atol=0.03)
    np.testing.assert_allclose(data.normalization.std, (0.2470, 0.2435, 0.2616), atol=0.02)
    known = {images[index].tobytes(): int(labels[index]) for index in range(1000)}
    for index in range(len(data.val)):
        pixels = data.val.image(index).permute(1, 2, 0).contiguous()
        assert pixels.dtype == torch.uint8
        assert known[pixels.numpy().tobytes()] == data.val.labels[index]
