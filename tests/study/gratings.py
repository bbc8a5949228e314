"""Pictures that tell what a start is worth: gratings of four directions in random colors, and tiny starts for them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dorsal
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.text import recipe

NET = "small(depths=[1, 1], widths=[16, 32], strides=[2, 2], stem=simple(width=8, stride=1))"
SIZE = 32


def write_gratings(folder: Path, each: int, val: int, seed: int = 0) -> None:
    """A folder of classes with `each` training and `val` validation images of every class."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    for split, count in (("train", each), ("val", val)):
        for turn in range(4):
            place = folder / split / f"turn{turn}"
            place.mkdir(parents=True)
            for index in range(count):
                angle = np.pi * (turn + random.uniform(-0.2, 0.2)) / 4
                along = row * np.sin(angle) + column * np.cos(angle)
                wave = np.sin(2 * np.pi * (random.uniform(3, 6) * along + random.random()))
                ink, paper = random.uniform(0, 1, (2, 3))
                pixels = paper + (wave[..., None] + 1) / 2 * (ink - paper) + random.normal(0, 0.05, (SIZE, SIZE, 3))
                Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8)).save(place / f"{index}.png")


def write_starts(folder: Path, data: str, *, trained: bool = False) -> None:
    """Models: `random`, not trained; `dead`, whose features are all alike; and `good`, trained on such pictures."""
    opened = dorsal.open_data(data)
    made = recipe("plain(epochs=8, batch=16)")
    net = dorsal.network(f"{NET[:-1]}, classes=4)")
    card = trained_card(net, opened, "tests", made)
    if trained:
        save_trained(folder / "good", dorsal.fit(net, made, opened, seed=1).model, card, 100.0)
    torch.manual_seed(7)
    save_trained(folder / "random", dorsal.build(net), card, 25.0)
    dead = dorsal.build(net)
    with torch.no_grad():
        for parameter in dead.stem.parameters():
            parameter.zero_()
    save_trained(folder / "dead", dead, card, 25.0)
