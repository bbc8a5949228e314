"""How often a round of a choice drops candidates that are as good as the best: `python -m tests.study.simulate_choice`.

The features of all candidates are the same numbers, turned, with noise of their own: over all draws of images, each
is as good as the others. Half of the noise of an image is common to all candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.jobs.plan import Portion
from dorsal.recipes.probe import Probe
from dorsal.stats import Ratios
from dorsal.study.choice.records import Round
from dorsal.study.choice.run import judged
from dorsal.train.probe import fit_probe

CHANNELS = 32
PENALTIES = Probe().penalties


class Case(NamedTuple):
    """`each` images of every class in so many draws, and how far classes lie apart: for a last candidate `worse` as
    far."""

    candidates: int
    classes: int
    each: int
    draws: int
    apart: float
    worse: float = 1.0
    held: int = 500


GRID = (
    *(Case(count, 10, 40, 4, 0.3) for count in (2, 4, 8)),
    Case(4, 3, 40, 4, 0.3),
    Case(4, 10, 160, 4, 0.2),
    Case(4, 10, 40, 4, 0.3, 0.85),
    Case(4, 10, 40, 4, 0.3, 0.5),
    Case(4, 10, 10, 1, 0.3),
    Case(4, 10, 40, 1, 0.3),
    Case(4, 10, 200, 1, 0.2),
)


def rounds_of(case: Case, studies: int, state: int = 0, penalties: Sequence[float] = PENALTIES) -> list[Round]:
    """So many rounds, each with new images, of which one alone is to be made."""
    random = np.random.default_rng([state, case.candidates, case.classes, case.each, case.draws])
    centers = random.normal(size=(case.classes, CHANNELS))
    turns = [np.linalg.qr(random.normal(size=(CHANNELS, CHANNELS)))[0] for _ in range(case.candidates)]
    return [_round(case, centers, turns, random, penalties) for _ in range(studies)]


def _round(
    case: Case,
    centers: NDArray[np.float64],
    turns: list[NDArray[np.float64]],
    random: np.random.Generator,
    penalties: Sequence[float],
) -> Round:
    known = np.repeat(np.arange(case.classes), case.each)
    asked = random.integers(0, case.classes, case.held)
    draw_of = np.tile(np.arange(case.each) % case.draws, case.classes)
    common = random.normal(size=(len(known) + case.held, CHANNELS))
    said = dict[str, list[Ratios]]()
    for number, turn in enumerate(turns):
        apart = case.apart * (case.worse if number == case.candidates - 1 else 1.0)
        own = random.normal(size=common.shape)
        features = apart * centers[np.concatenate([known, asked])] + np.sqrt(0.5) * (common + own)
        turned = torch.from_numpy(features @ turn).float()
        said[str(number)] = [
            _right(
                turned[: len(known)][draw_of == draw], known[draw_of == draw], turned[len(known) :], asked, penalties
            )
            for draw in range(case.draws)
        ]
    return judged(Portion(case.each, len(known), case.held, case.draws), said, {}, rounds=1)


def _right(
    known: Tensor, labels: NDArray[np.int64], asked: Tensor, truth: NDArray[np.int64], penalties: Sequence[float]
) -> Ratios:
    classes = int(labels.max()) + 1
    logits, _ = fit_probe(known, torch.from_numpy(labels), classes, asked, Probe(penalties=tuple(penalties)), 0)
    right = (logits.argmax(1).numpy() == truth).astype(np.float64)[:, None]
    return Ratios(top=right, bottom=np.ones_like(right))


def shares(case: Case, rounds: Sequence[Round]) -> tuple[float, float]:
    """Percent of rounds that drop a candidate as good as the best, and that drop the worse one."""
    worse = str(case.candidates - 1) if case.worse < 1 else ""
    equal = sum(bool(made.dropped.keys() - {worse}) for made in rounds)
    return 100 * equal / len(rounds), 100 * sum(worse in made.dropped for made in rounds) / len(rounds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("candidates classes each draws worse | as good, dropped % | worse, dropped %")
    for case in GRID:
        equal, worse = shares(case, rounds_of(case, 100))
        print(f"{case.candidates:10} {case.classes:7} {case.each:4} {case.draws:5} {case.worse:5} |", end="")
        print(f" {equal:18.1f} | {worse:16.1f}", flush=True)
