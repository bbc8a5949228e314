"""The study of starts in experiments/starts: where its analysis says that training from scratch catches up."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dorsal.stats import Estimate, compare_arms
from dorsal.stats.interval import Array

FOLDER = Path(__file__).parents[2] / "experiments" / "starts"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"starts_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where msgspec looks for the types of its fields
    spec.loader.exec_module(module)
    return module


script = _script("catch_up")


def _gains(*points: tuple[int, float, float]) -> list[object]:
    """Gains with so many images, of this size, and half as wide an interval as the last number."""
    return [
        script.Gain(
            network="resnet",
            way="tuned",
            images=images,
            scratch=50.0,
            started=50.0 + gain,
            gain=Estimate(value=gain, low=gain - half, high=gain + half),
        )
        for images, gain, half in points
    ]


@pytest.mark.parametrize(
    ("points", "value", "low", "high"),
    [
        # Gain, lower and upper end fall by 2 points a factor of 10, so they reach 0 half a factor of 10 apart.
        (((100, 2, 1), (1000, 0, 1), (10000, -2, 1)), 1000, 10**2.5, 10**3.5),
        (((100, 9, 1), (1000, 6, 1), (10000, 3, 1)), None, None, None),  # scratch never catches up
        (((100, -3, 1), (1000, -4, 1), (10000, -5, 1)), 100, 100, 100),  # it was never behind
        (((100, 2, 3), (1000, 1, 3), (10000, 2, 3)), None, 100, None),  # nothing is shown
        (((100, 2, 1), (1000, -2, 1), (10000, 2, 1)), None, 100 * 10**0.25, None),  # a dip is not the end
    ],
)
def test_catch_up_known(
    points: tuple[tuple[int, float, float], ...], value: float | None, low: float | None, high: float | None
) -> None:
    found = script.catch_up(_gains(*points))
    for field, wanted in (("value", value), ("low", low), ("high", high)):
        assert getattr(found, field) == (None if wanted is None else pytest.approx(wanted)), field


def test_catch_up_without_interval() -> None:
    """Where a gain has no interval, nothing is shown on that side."""
    none = Estimate(value=1.0, low=None, high=None)
    found = script.catch_up([script.Gain(network="a", way="tuned", images=9, scratch=1.0, started=2.0, gain=none)])
    assert (found.value, found.high) == (None, None)
    assert found.low == pytest.approx(9)


def _simulated(random: np.random.Generator, arms: dict[str, float], seeds: int, images: int) -> dict[str, list[Array]]:
    """Right and wrong answers, 100 or 0: images are hard or easy for all arms, and each seed has its own noise."""
    hard = random.normal(size=images)
    return {
        arm: [100.0 * (hard + skill + random.normal(0, 0.05) + random.normal(size=images) > 0) for _ in range(seeds)]
        for arm, skill in arms.items()
    }


def test_contrast_is_comparison_of_two() -> None:
    images = _simulated(np.random.default_rng(0), {"one": 0.4, "two": 0.0}, seeds=4, images=400)
    values = {arm: [float(run.mean()) for run in runs] for arm, runs in images.items()}
    (pair,) = compare_arms(values, images=images).pairs
    found = script.contrast(values, images, "one", "two", 0.95)
    assert (found.value, found.low, found.high) == pytest.approx(
        (pair.difference.value, pair.difference.low, pair.difference.high), abs=1e-6
    )
    turned = script.contrast(values, images, "two", "one", 0.95)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_catch_up_covers() -> None:
    """The interval holds the true number of images, where the gain is 0, at least as often as it says."""
    random, sizes = np.random.default_rng(1), (200, 1000, 5000)
    truth = 900.0
    hits, rounds = 0, 300
    for _ in range(rounds):
        every = []
        for size in sizes:
            skill = {"scratch": 0.0, "started": 0.12 * float(np.log(truth / size))}
            images = _simulated(random, skill, seeds=5, images=400)
            values = {arm: [float(run.mean()) for run in runs] for arm, runs in images.items()}
            gain = script.contrast(values, images, "started", "scratch", 0.95)
            every.append(script.Gain(network="a", way="tuned", images=size, scratch=0.0, started=0.0, gain=gain))
        found = script.catch_up(every)
        hits += (found.low or np.inf) <= truth <= (found.high or np.inf)
    assert hits / rounds >= 0.93
