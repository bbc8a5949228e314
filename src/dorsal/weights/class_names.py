"""Label sets: the classes that the logits of a checkpoint stand for. No torch."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import msgspec

from dorsal.language.files import at_home, read_text_file

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Labels(msgspec.Struct, frozen=True):
    """The names of class folders in the order of the logits; `names` are readable names where these differ."""

    classes: tuple[str, ...]
    names: tuple[str, ...] = ()


def read_labels(text: str, count: int) -> Labels:
    """The labels of a network with `count` classes.

    `text` is imagenet (WordNet ids as folders, names as in torchvision), cifar10, numbered (0, 1, …), none (no
    classifier), or the path of a file with one class a line; a tab and a readable name may follow.

    Raises ValueError if the file cannot be read, names a class twice, or has another number of classes.
    """
    match text:
        case "imagenet":
            content = files("dorsal.weights").joinpath("imagenet.tsv").read_text(encoding="utf-8")
            labels = _parse(content)
        case "cifar10":
            labels = Labels(CIFAR10)
        case "numbered":
            labels = Labels(tuple(map(str, range(count))))
        case "none":
            labels = Labels(())
        case _:
            if not Path(at_home(text)).is_file():
                raise ValueError(f"classes={text!r} is neither imagenet, cifar10, numbered, none nor an existing file")
            labels = _parse(read_text_file("classes", text))
    if repeated := [name for name, times in Counter(labels.classes).items() if times > 1]:
        raise ValueError(f"classes={text!r} names {repeated[0]!r} twice")
    if len(labels.classes) != count:
        raise ValueError(f"classes={text!r} has {len(labels.classes)} classes and the network {count}")
    return labels


def _parse(content: str) -> Labels:
    rows = [line.split("\t") for line in content.splitlines() if line.strip()]
    classes = tuple(row[0] for row in rows)
    names = tuple(row[-1] for row in rows)
    return Labels(classes, names if names != classes else ())
