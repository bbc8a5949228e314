"""CIFAR-10 images as class folders, for the study of tasks.

    python experiments/tasks/prepare.py SHEETS OUT

SHEETS holds `cifar10_batch_0.png` to `_9.png` (the first 10,000 training images) and `_50.png` (the first 1,000 test
images), 1,000 rows of 32x32x3 pixels each, as in Karpathy's ConvNetJS demo, and `labels.npy` with the labels in order.
Writes OUT/train and OUT/val.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAINING = 4000


def main(sheets: Path, out: Path) -> None:
    """Writes both splits."""
    labels = np.load(sheets / "labels.npy").reshape(-1)
    for split, numbers, first in (("train", range(TRAINING // 1000), 0), ("val", (50,), len(labels) - 1000)):
        for place, number in enumerate(numbers):
            rows = np.asarray(Image.open(sheets / f"cifar10_batch_{number}.png").convert("RGB")).reshape(
                1000, 32, 32, 3
            )
            for row, pixels in enumerate(rows):
                name = CLASSES[labels[first + 1000 * place + row]]
                folder = out / split / name
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / f"{number:02}_{row:03}.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
