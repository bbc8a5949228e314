"""Small images of known things in memory, for tasks of every kind: light squares and dark ones on noise."""

from collections.abc import Sequence

import numpy as np

from dorsal.annotations.annotation import IGNORE, Annotation, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels
from dorsal.data.annotated import AnnotatedData
from dorsal.data.memory import annotated_data

LABELS = Labels(classes=("light", "dark"), stuff=("ground",))
SIZES = ((48, 64), (64, 48), (48, 48), (48, 71), (53, 48))
Size = tuple[int, int]


def picture(size: Size, seed: int, objects: int = 2, crowd: bool = False) -> tuple[np.ndarray, Annotation]:
    """An image uint8 [H, W, 3] of up to two things, and all that is known about it; of a crowd the first thing is one.

    Pixels at the edge of the image are of no class.
    """
    random = np.random.default_rng(seed)
    height, width = size
    image = random.integers(110, 146, (height, width, 3), np.uint8)
    semantic = np.full(size, 2, np.uint8)
    boxes, masks = [], []
    for label in range(objects):
        side = int(random.integers(min(size) // 4 + 2, min(size) // 2 - 1))
        x = int(random.integers(0, width // 2 - side + 1)) + label * (width // 2)
        y = int(random.integers(0, height - side + 1))
        mask = np.zeros(size, np.bool_)
        mask[y : y + side, x : x + side] = True
        image[mask] = (235, 235, 235) if label == 0 else (20, 20, 20)
        semantic[mask] = label
        boxes.append((x, y, x + side, y + side))
        masks.append(rle_of_pixels(mask))
    semantic[0] = IGNORE
    crowds = np.arange(objects) < crowd
    found = objects_of(boxes, np.arange(objects), masks=masks, crowd=crowds)
    return image, Annotation(size=size, objects=found, semantic=semantic)


def pictures(sizes: Sequence[Size] = SIZES, size: int = 48, flip: bool = True) -> AnnotatedData:
    """Ten images to learn from and five to score. Of each split one has a crowd, and one no objects."""
    train = [picture(sizes[i % len(sizes)], i, 0 if i == 9 else 2, i == 8) for i in range(10)]
    val = [picture(sizes[i % len(sizes)], 100 + i, 0 if i == 4 else 2, i == 3) for i in range(5)]
    return annotated_data(
        [image for image, _ in train],
        [said for _, said in train],
        LABELS,
        val_images=[image for image, _ in val],
        val_annotations=[said for _, said in val],
        size=size,
        flip=flip,
    )
