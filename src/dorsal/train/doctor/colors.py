"""Red first or blue first? The card says, or labels do; the values of activations do not."""

from __future__ import annotations

import msgspec
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from dorsal.data.transform import to_float
from dorsal.spec.preprocessing import Normalization, Preprocessing
from dorsal.train.doctor.finding import Finding, Verdict
from dorsal.train.doctor.gap import as_input, evaluating

COLORS = "inputs/colors"
CHANCE = 0.05
"""The level of the test between the two orders."""
BATCH = 256
"""Labelled images a forward pass."""


def examine_colors(
    model: nn.Module, images: Tensor, stated: Normalization, card: Preprocessing | None, labels: Tensor | None
) -> Finding:
    """`inputs/colors`: decided by the images if these have no colors, else by the card, else by labels."""
    if images.shape[1] != 3:
        return _finding("sound", f"Images of {images.shape[1]} channels have no order of colors.")
    if torch.equal(images[:, 0], images[:, 2]):
        return _finding("sound", "Red equals blue in all images, so their order changes nothing.")
    if card is not None:
        if card.color_order == stated.color_order:
            return _finding("sound", f"The network gets {stated.color_order}, as its card says.")
        found = f"The network gets {stated.color_order} and its card says {card.color_order}."
        return _finding("wrong", found, card.color_order)
    if labels is None:
        return _finding(
            "cannot tell",
            "Nothing says whether the weights expect rgb or bgr. Their statistics cannot show it, and the wrong order "
            "costs about 6 points of accuracy.",
        )
    return _by_labels(model, images, stated, labels)


def _finding(verdict: Verdict, found: str, better: str = "") -> Finding:
    advice = {
        "sound": "",
        "wrong": f"Set color_order={better}.",
        "cannot tell": "Look up the order where the weights were published (OpenCV and Caffe: bgr; most others: rgb), "
        "or pass a thousand images with labels of the classes that the network names.",
    }
    return Finding(check=COLORS, verdict=verdict, found=found, advice=advice.get(verdict, ""))


def _by_labels(model: nn.Module, images: Tensor, stated: Normalization, labels: Tensor) -> Finding:
    """Both orders scored on the same images, and an exact McNemar test between them."""
    other = msgspec.structs.replace(stated, color_order="bgr" if stated.color_order == "rgb" else "rgb")
    ours, theirs = (_right(model, images, each, labels) for each in (stated, other))
    if ours is None or theirs is None:
        return _finding("cannot tell", "The network's outputs are not scores of the classes that the labels name.")
    first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    p = binomtest(first, first + second).pvalue if first + second else 1.0
    found = (
        f"Of {len(labels)} images the network names {int(ours.sum())} right as {stated.color_order} and "
        f"{int(theirs.sum())} as {other.color_order} (exact McNemar test, p = {p:.2g})."
    )
    if p >= CHANCE:
        return _finding("cannot tell", f"{found} That may be chance, and the wrong order costs about 6 points.")
    return _finding("sound" if first > second else "wrong", found, other.color_order)


def _right(model: nn.Module, images: Tensor, normalization: Normalization, labels: Tensor) -> Tensor | None:
    """Which images are named right, bool [N]; None where the output is no score of the labels' classes."""
    prepare, found = to_float(normalization), []
    with evaluating(model):
        for part, expected in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
            scores = model(as_input(model, part, prepare))
            if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[1] <= int(labels.max()):
                return None
            found.append(scores.argmax(1).cpu() == expected.cpu())
    return torch.cat(found)
