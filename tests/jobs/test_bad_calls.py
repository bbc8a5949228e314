"""Calls from Python that cannot be: one sentence that names the argument, instead of what the call would end in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import dorsal
from dorsal.annotations.labels import Labels
from dorsal.spec.layers import Feature

DATA = "scenes(size=64, train=20, val=10)"
NET = "small(depths=[1, 1, 1], widths=[16, 32, 64])"
LABELS = Labels(classes=tuple("0123456789"))
WITH_STUFF = Labels(classes=LABELS.classes, stuff=("ground", "line"))


class Maps(nn.Module):
    """A pyramid of anyone's."""

    info = tuple(Feature(f"p{level}", 8, 2**level) for level in range(2, 5))

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 8, 3, 2**level, padding=1) for level in range(2, 5))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(conv(x) for conv in self.convs)


def detector() -> nn.Module:
    return dorsal.task_model("detect", LABELS, Maps(), 64)


def segmenter() -> nn.Module:
    return dorsal.task_model("semantic", WITH_STUFF, Maps(), 64)


def classifier(classes: int = 10) -> nn.Module:
    return dorsal.build(dorsal.network(f"{NET[:-1]}, classes={classes})"))


@pytest.mark.parametrize(
    ("make", "task", "says"),
    [
        (detector, "classify", "task=classify: the module is a detector"),
        (detector, "semantic", r"task=semantic.*: the module is a detector"),
        (segmenter, "detect", r"task=detect.*: the module is no detector, see dorsal.task_model"),
        (classifier, "instance", "the module is no detector"),
        (classifier, "semantic", r"the model gives a tensor \[8, 10\] where .* need \[8, 12, 64, 64\]"),
        (lambda: classifier(2), "classify", r"the model gives a tensor \[10, 2\] where .* need \[10, 10\]"),
        (nn.Identity, "classify", r"the model gives a tensor \[10, 3, 64, 64\] where .* need \[10, 10\]"),
    ],
)
def test_a_module_of_another_task_is_named(make: Callable[[], nn.Module], task: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dorsal.evaluate(make(), "val", DATA, "cpu", task=task)


def test_the_right_modules_are_scored() -> None:
    for make, task in ((detector, "detect"), (segmenter, "semantic"), (classifier, None)):
        assert dorsal.evaluate(make(), "val", DATA, "cpu", task=task).images == 10


@pytest.mark.parametrize("batch", [0, -1, 1.5])
def test_a_batch_is_a_whole_number_above_0(batch: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"batch={batch} is"):
        dorsal.evaluate(classifier(), "val", DATA, "cpu", batch)


def test_a_saved_model_knows_its_task(tmp_path: Path) -> None:
    fitted = dorsal.fit(NET, "plain(epochs=1)", DATA, seed=0)
    from dorsal.data.dataset import open_data
    from dorsal.jobs.trained import save_trained, trained_card
    from dorsal.recipes.text import recipe

    card = trained_card(dorsal.network(f"{NET[:-1]}, classes=10)"), open_data(DATA), "a test", recipe("plain"))
    save_trained(tmp_path, fitted.model, card, 50.0)
    with pytest.raises(ValueError, match=r"task=semantic.*: .* is of task classify; leave it out"):
        dorsal.evaluate(tmp_path, "val", DATA, "cpu", task="semantic")
    with pytest.raises(
        TypeError, match=r"images='x.png' is of type str; it must be a list of image files: \['x.png'\]"
    ):
        dorsal.predict(tmp_path, "x.png")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("detect", ("a", "b"), Maps()), "labels=.*; it must be a Labels"),
        (("detect", None, Maps()), "labels=None is of type NoneType"),
        (("detect", LABELS, None), "maps=None is of type NoneType; it must be a module whose `info` describes"),
        (("detect", LABELS, nn.Identity()), "it must be a module whose `info` describes its maps"),
        (("detect", LABELS, Maps(), 0), "image_size=0 is below 1"),
    ],
)
def test_arguments_of_a_task_model(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        dorsal.task_model(*arguments)
