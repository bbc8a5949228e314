"""CIFAR-10 from its sheets as a folder that `dorsal` reads: OUT/train/CLASS/N.png and OUT/val/CLASS/N.png.

    python experiments/cifar10_spaces/prepare.py SHEETS OUT

SHEETS holds `cifar10_batch_0.png` to `_9.png` (the first 10,000 training images) and `_50.png` (the first 1,000 test
images), 1,000 rows of 32x32x3 pixels each, as in Karpathy's ConvNetJS demo, and `labels.npy` with the labels in order.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def unpack(sheets: Path, number: int, out: Path) -> None:
    """Writes the images of one sheet, losslessly."""
    with Image.open(sheets / f"cifar10_batch_{number}.png") as sheet:
        images = np.asarray(sheet)[..., :3].reshape(1000, 32, 32, 3)
    labels = np.load(sheets / "labels.npy")[1000 * number : 1000 * (number + 1)]
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = out / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{1000 * number + row:05}.png")


if __name__ == "__main__":
    given, wanted = Path(sys.argv[1]), Path(sys.argv[2])
    for sheet in range(10):
        unpack(given, sheet, wanted / "train")
    unpack(given, 50, wanted / "val")
