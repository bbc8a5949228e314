"""The study of starts in experiments/starts: where its analysis says that training from scratch catches up."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from dorsal.findings.comparison import Compared
from dorsal.findings.learning import Learning
from dorsal.report.shell import prose
from dorsal.stats import Estimate, compare_arms
from dorsal.stats.images import difference_noise
from dorsal.stats.interval import Array
from tests.findings.studies import make_case

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
STUDY = make_case("tuned").study


def _gains(*points: tuple[int, float, float]) -> list[Any]:
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


def _compared(random: np.random.Generator, skill: dict[str, float], seeds: int, images: int) -> Compared:
    """Right and wrong answers, 100 or 0: images are hard or easy for all arms, and each seed has its own noise."""
    hard = random.normal(size=images)
    by_image: dict[str, list[Array | None]] = {
        arm: [100.0 * (hard + level + random.normal(0, 0.05) + random.normal(size=images) > 0) for _ in range(seeds)]
        for arm, level in skill.items()
    }
    results: dict[str, list[float | None]] = {
        arm: [None if run is None else float(run.mean()) for run in runs] for arm, runs in by_image.items()
    }
    return Compared({"plain": results}, {"plain": by_image}, Learning(constant=20.0, results=1, unlearnt=()))


def _four(random: np.random.Generator) -> Compared:
    starts = {f"{form}-{way}": 0.3 for form in script.FORMS for way in script.WAYS}
    return _compared(random, dict.fromkeys(script.FORMS, 0.0) | starts, seeds=4, images=400)


def test_a_gain_of_one_network_is_the_comparison_of_two_arms() -> None:
    """That is the paired t test over seeds, with what test images add."""
    skill = {"resnet20": 0.0, "resnet20-tuned": 0.4, "resnet20-probed": -0.4}
    found = _compared(np.random.default_rng(0), skill, seeds=4, images=400)
    for gain, sign in zip(script.gains(found, ("resnet20",), 60), (1, -1), strict=True):
        arms = ("resnet20", f"resnet20-{gain.way}")
        (pair,) = compare_arms(
            {arm: found.results["plain"][arm] for arm in arms}, images={arm: found.images["plain"][arm] for arm in arms}
        ).pairs
        assert (gain.network, gain.images, pair.better) == ("resnet20", 60, arms[sign == 1])
        ends = (pair.difference.value, pair.difference.low, pair.difference.high)
        if sign < 0:
            ends = (-pair.difference.value, -(pair.difference.high or 0), -(pair.difference.low or 0))
        assert (gain.gain.value, gain.gain.low, gain.gain.high) == pytest.approx(ends, abs=1e-6)
        assert gain.started - gain.scratch == pytest.approx(gain.gain.value)


def test_gains_of_four_networks_pool_their_noise_and_hold_together() -> None:
    found = _four(np.random.default_rng(3))
    results, seen = found.results["plain"], found.images["plain"]
    every = script.gains(found, script.FORMS, 200)
    assert [(gain.way, gain.network) for gain in every] == [
        (way, network) for way in script.WAYS for network in (*script.FORMS, script.MEAN)
    ]
    paired = {form: np.subtract(results[f"{form}-tuned"], results[form]) for form in script.FORMS}
    variance = np.mean([each.var(ddof=1) for each in paired.values()])
    for gain in every[:4]:
        by_seeds = stats.t.ppf(1 - 0.05 / 8, 12) * np.sqrt(variance / 4)
        form = gain.network
        noise = difference_noise(np.array(seen[f"{form}-tuned"]), np.array(seen[form]))
        by_images = stats.norm.ppf(1 - 0.05 / 8) * noise.spread
        half = max(np.hypot(by_seeds, np.sqrt(noise.own) * by_images), by_images)
        assert gain.gain.high - gain.gain.value == pytest.approx(half)
    mean = every[4]
    together = np.mean(list(paired.values()), axis=0)
    assert mean.gain.value == pytest.approx(together.mean())
    assert mean.gain.value - mean.gain.low >= stats.t.ppf(0.975, 3) * together.std(ddof=1) / 2 - 1e-9


@pytest.mark.parametrize(("truth", "least", "most"), [(1000.0, 0.925, 0.985), (450.0, 0.925, 1.0)])
def test_catch_up_covers(truth: float, least: float, most: float) -> None:
    """The interval holds the true number of images as often as it says; between two that were tried at least so."""
    random, hits, rounds = np.random.default_rng(1), 0, 300
    for _ in range(rounds):
        every = []
        for size in (200, 1000, 5000):
            skill = {"resnet20": 0.0, "resnet20-probed": 0.0, "resnet20-tuned": 0.12 * float(np.log(truth / size))}
            every.append(script.gains(_compared(random, skill, seeds=5, images=400), ("resnet20",), size)[0])
        found = script.catch_up(every)
        hits += (found.low or np.inf) <= truth <= (found.high or np.inf)
    assert least <= hits / rounds <= most


def test_what_is_said() -> None:
    gains = [*_gains((200, 5, 2), (1000, 0.5, 2), (5000, -4, 1))]
    found = script.Move(
        title="Cells",
        seeds=3,
        tested=100,
        gains=(*gains, *(replace(gain, way="probed") for gain in gains)),
        catch_up={way: {"resnet": script.catch_up(gains)} for way in script.WAYS},
    )
    assert script.gain_sentences(found)[0] == (
        "Against training from scratch, a fine-tuned start gains 5.0 points (3.0 to 7.0) with 200 images, is not shown "
        "to gain or lose with 1,000 images (+0.5 points, -1.5 to +2.5) and loses 4.0 points (3.0 to 5.0) with 5,000 "
        "images."
    )
    assert script.catch_up_rows(found) == [["resnet", *["with 1,200 images (580 to 2,100)"] * 2]]
    for points, words in (
        (((200, 5, 1), (1000, 4, 1)), "not with up to 1,000 images"),
        (((200, 5, 1), (1000, 1, 2)), "not with up to 1,000 images (720 to more than 1,000)"),
        (((200, -5, 1), (1000, -4, 1)), "with 200 or fewer images"),
    ):
        assert script.ended(script.catch_up(_gains(*points)), [200, 1000]) == words


def test_the_page_shows_every_gain() -> None:
    random = np.random.default_rng(5)
    studies = [(replace(STUDY, data=replace(STUDY.data, train_images=images)), _four(random)) for images in (200, 1000)]
    found = script.move("Five classes, from five others", studies, script.FORMS)
    page = script.page([found])
    assert page.count("<td>fine-tuned</td>") == page.count("<td>probed</td>") == 10
    assert "<h2>Five classes, from five others</h2>" in page
    for line in script.gain_sentences(found):
        assert prose(line) in page
    assert all(prose(cell) in page for row in script.catch_up_rows(found) for cell in row)


RECORDS = FOLDER / "records"


def test_findings_are_those_of_the_records() -> None:
    """Page and README say what the analysis of today finds in the runs."""
    moves = script.read_moves(RECORDS)
    kept = msgspec.json.decode((RECORDS / "catch_up.json").read_bytes(), type=list[script.Move])
    for found, written in zip(moves, kept, strict=True):
        assert (found.title, found.seeds, found.tested) == (written.title, written.seeds, written.tested)
        for now, then in zip(found.gains, written.gains, strict=True):
            assert (now.network, now.way, now.images) == (then.network, then.way, then.images)
            ends = [(each.gain.value, each.gain.low, each.gain.high) for each in (now, then)]
            assert ends[0] == pytest.approx(ends[1], abs=1e-3)
    assert script.said(moves) in (FOLDER / "README.md").read_text(encoding="utf-8")
    page = (RECORDS / "catch_up.html").read_text(encoding="utf-8")
    for found in moves:
        assert all(prose(line) in page for line in script.gain_sentences(found))
