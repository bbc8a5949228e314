"""Each task and head learns a few embedded scenes by heart; by the slow tests real images, and scenes that it has not
seen. These take three to eight minutes of one thread each. Every one has one seed; what it reached is beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from dorsal.data.annotated import AnnotatedData, ChosenAnnotated
from dorsal.data.dataset import open_annotated
from dorsal.spec.task import Semantic, parse_task
from dorsal.tasks.score import Score
from dorsal.train.loop import fit

SMALLEST = "small(depths=[1, 1, 1], widths=[16, 32, 64])"
RESNET10 = "resnet18(depths=[1, 1, 1, 1])"


@pytest.fixture(scope="module")
def eight() -> AnnotatedData:
    """Eight scenes of up to four digits to learn from."""
    scenes = open_annotated("scenes(size=64, train=10, val=10, digits=4)", frozenset({"boxes", "masks", "semantic"}))
    few = (ChosenAnnotated(split, np.arange(count)) for split, count in ((scenes.train, 8), (scenes.val, 2)))
    train, val = few
    return msgspec.structs.replace(scenes, train=train, val=val)


@pytest.mark.parametrize(
    "text",
    [
        "semantic(channels=16)",
        "semantic(head=deeplabv3, channels=16)",
        "semantic(head=deeplabv3+, channels=16, auxiliary=true)",
        "detect(channels=16, hidden=64)",
        "detect(box_head=conv, channels=16, hidden=64)",
        "cascade(channels=16, hidden=64)",
        "instance(channels=16, hidden=64)",
        "cascade(masks=true, channels=16, hidden=64)",
    ],
)
def test_eight_images_are_learnt_by_heart(text: str, eight: AnnotatedData) -> None:
    """In 30 steps, each of all images."""
    rate = 0.02 if isinstance(parse_task(text), Semantic) else 0.004
    found = fit(SMALLEST, f"dense(epochs=30, batch=8, lr={rate}, warmup_epochs=2)", eight, seed=0, task=text)
    losses = [epoch.train_loss for epoch in found.curve]
    assert max(losses[-5:]) < 0.5 * losses[0]


def learnt(network: str, recipe: str, data: str, task: str) -> Score:
    found = fit(network, recipe, data, seed=0, task=task)
    assert found.score is not None, found.error
    return found.score


def folder(real_data: Path, name: str) -> Path:
    if not (real_data / name).is_dir():
        pytest.skip(f"no {name} in {real_data}")
    return real_data / name


@pytest.mark.slow
def test_scenes_of_four_digits() -> None:
    """400 steps of 16 scenes: AP50 31.8, AP 14.7."""
    score = learnt("small", "dense(epochs=4)", "scenes(digits=4, size=64, train=1600, val=400)", "detect")
    assert score.scores["AP50"] >= 30


@pytest.mark.slow
def test_penn_fudan(real_data: Path) -> None:
    """297 steps of 4 of its 130 images: box AP50 78.2, mask AP50 63.1."""
    data = f"coco:{folder(real_data, 'pennfudan')}(size=192)"
    score = learnt(RESNET10, "dense(epochs=9, batch=4)", data, "instance")
    assert score.scores["box AP50"] >= 60
    assert score.scores["AP50"] >= 50


@pytest.mark.slow
def test_bccd(real_data: Path) -> None:
    """150 steps of 4 of 200 of its images: AP50 87.8, AP 50.4."""
    data = f"coco:{folder(real_data, 'bccd')}(size=240, max_images=200)"
    assert learnt(RESNET10, "dense(epochs=3, batch=4)", data, "detect").scores["AP50"] >= 70


@pytest.mark.slow
def test_camvid(real_data: Path) -> None:
    """184 steps of 8 of its 367 images: mIoU 34.3. With a last layer that began small it was 22 to 24."""
    data = f"pairs:{folder(real_data, 'camvid')}(size=192, names=camvid, ignore=11)"
    assert learnt(RESNET10, "dense(epochs=4, batch=8, lr=0.002)", data, "semantic").score >= 33
