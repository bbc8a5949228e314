"""The images of the study of starts, as folders that `dorsal` reads.

    python experiments/starts/prepare.py SHEETS CELLS OUT

SHEETS holds `cifar10_batch_0.png` to `_9.png` (the first 10,000 training images) and `_50.png` (the first 1,000 test
images), 1,000 rows of 32x32x3 pixels each, as in Karpathy's ConvNetJS demo, and `labels.npy` with the labels in order.
CELLS holds the images of BCCD and `train.json`, `val.json`, `test.json` with their boxes in COCO's format.

Writes OUT/first, five classes to learn a start from; OUT/other200, /other1000 and /other5000, the other five classes,
each set with all images of the smaller ones and the same images to be tested on; and OUT/cells60, /cells150 and
/cells600, single cells of three kinds, each cut out as a square and scaled to 32 px.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FIRST = CLASSES[::2]  # three animals and two vehicles, as in the other half
SIZES = {200: 40, 1000: 200, 5000: 10_000}  # by the number of images about how many of each class; the last has all
CELLS = {60: 20, 150: 50, 600: 200}
TESTED = 150  # cells of each kind
SIDE = 32

Named = tuple[str, str, Image.Image]
"""Class, name and pixels."""


def sheet(sheets: Path, number: int) -> Iterator[Named]:
    """The images of one sheet."""
    with Image.open(sheets / f"cifar10_batch_{number}.png") as opened:
        images = np.asarray(opened)[..., :3].reshape(1000, 32, 32, 3)
    labels = np.load(sheets / "labels.npy")[1000 * number : 1000 * (number + 1)]
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield CLASSES[label], f"{1000 * number + row:05}", Image.fromarray(image)


def cells(folder: Path, part: str) -> Iterator[Named]:
    """The cells of a part: a square around the box, which may reach beyond the image.

    The first cell of each kind in each photograph comes before the second in any: cells of one photograph are alike,
    so that few photographs would count for less than so many cells.
    """
    told = json.loads((folder / f"{part}.json").read_text())
    names = {kind["id"]: kind["name"] for kind in told["categories"]}
    files = {image["id"]: image["file_name"] for image in told["images"]}
    turns = Counter[tuple[int, int]]()
    in_turn = list[tuple[int, int, dict[str, Any]]]()
    for box in sorted(told["annotations"], key=lambda box: box["id"]):
        kind = (box["image_id"], box["category_id"])
        in_turn.append((turns[kind], box["id"], box))
        turns[kind] += 1
    for _, _, box in sorted(in_turn, key=lambda each: each[:2]):
        left, top, width, height = box["bbox"]
        side, x, y = max(width, height), left + width / 2, top + height / 2
        around = (round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
        with Image.open(folder / "images" / files[box["image_id"]]) as opened:
            cut = opened.convert("RGB").crop(around)
        yield names[box["category_id"]], f"{part}{box['id']:05}", cut.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def write(images: Iterator[Named], folder: Path, most: int) -> None:
    """Writes the first `most` images of each class, losslessly."""
    counts: dict[str, int] = {}
    for kind, name, image in images:
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= most:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image.save(folder / kind / f"{name}.png")


def prepare(sheets: Path, bccd: Path, out: Path) -> None:
    """Writes all folders."""

    def half(numbers: range, first: bool) -> Iterator[Named]:
        return (named for number in numbers for named in sheet(sheets, number) if (named[0] in FIRST) == first)

    every = max(SIZES.values())
    for name, first, sizes in (("first", True, {"": every}), ("other", False, SIZES)):
        for size, most in sizes.items():
            write(half(range(10), first), out / f"{name}{size}" / "train", most)
            write(half(range(50, 51), first), out / f"{name}{size}" / "val", every)
    for size, most in CELLS.items():
        write(cells(bccd, "train"), out / f"cells{size}" / "train", most)
        write(cells(bccd, "val"), out / f"cells{size}" / "val", TESTED // 2)
        write(cells(bccd, "test"), out / f"cells{size}" / "val", TESTED // 2)


if __name__ == "__main__":
    prepare(*map(Path, sys.argv[1:4]))
