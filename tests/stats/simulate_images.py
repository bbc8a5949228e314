"""Coverage of intervals over seeds and test images, by simulation: `python -m tests.stats.simulate_images` prints it.

Every run answers each image right with a probability whose logit is

    arm + image + arm x image + arm x seed + arm x seed x image

with normal effects. The truth of a pair is the difference of the expected accuracies over new seeds and new images.
"""

from __future__ import annotations

from itertools import combinations, product
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import expit, gammaln

from dorsal.stats.arms import fit_blocks, reach
from dorsal.stats.images import difference_noise
from dorsal.stats.tukey import critical_t

DIFFICULTY = 1.5
"""Standard deviation of the logits of images."""
APART = 3.0
"""The best arm and the worst differ by this many points, or by half the error."""


class Noise(NamedTuple):
    """Standard deviations in logits: of a seed, of an image within an arm, and of an image within a run. The arms'
    deviations reach from 1 / `unequal` to `unequal` times these."""

    seed: float
    arm_image: float
    seed_image: float
    unequal: float = 1.0


SEEDS_WEIGH = Noise(0.3, 0.5, 0.7)
IMAGES_WEIGH = Noise(0.05, 1.5, 0.3)
UNEQUAL = Noise(0.1, 1.0, 1.0, unequal=1.5)


class Cell(NamedTuple):
    arms: int
    seeds: int
    images: int
    accuracy: float
    noise: Noise


class Coverage(NamedTuple):
    """Shares of studies in which all intervals hold the truth, for three methods, and the width of ours.

    `width` is the mean half-width, divided by that of an oracle: it knows the true standard deviation of a difference
    of means over new seeds and new images, and takes Tukey's quantile for known noise.
    """

    both: float
    seeds_only: float
    images_only: float
    width: float


def simulate(cell: Cell, studies: int = 1000, state: int = 0) -> Coverage:
    random = np.random.default_rng([state, *cell[:3], int(cell.accuracy)])
    logits, deviations, truth = _truth(cell)
    pairs = list(combinations(range(cell.arms), 2))
    freedom = (cell.arms - 1) * (cell.seeds - 1)
    z, t = critical_t(cell.arms, inf, 0.95), critical_t(cell.arms, freedom, 0.95)
    errors, halves, inside = [], [], []
    for _ in range(studies):
        values = 100.0 * _answers(cell, logits, deviations, random)
        scores = values.mean(axis=2)
        fit = fit_blocks(scores)
        found = []
        for first, second in pairs:
            images = difference_noise(values[first], values[second])
            error = scores[first].mean() - scores[second].mean() - truth[first] + truth[second]
            by_seeds = t * sqrt(fit.noise_variance * fit.scale[first, second])
            ends = [reach(by_seeds, images, z), (by_seeds, by_seeds), reach(None, images, z)]
            found.append([error, sum(ends[0]) / 2, *(-above <= error <= below for below, above in ends)])
        table = np.array(found)
        errors.append(table[:, 0])
        halves.append(table[:, 1])
        inside.append(table[:, 2:].all(axis=0))
    deviation = np.sqrt(np.mean(np.square(errors), axis=0))
    width = np.mean(halves) / (z * deviation.mean())
    return Coverage(*np.mean(inside, axis=0).tolist(), float(width))


def tukeys_own_width(cell: Cell) -> float:
    """The width, by the same measure, of Tukey's exact interval where seeds are the only noise: what the few degrees of
    freedom cost whoever has to estimate that noise."""
    freedom = (cell.arms - 1) * (cell.seeds - 1)
    mean_deviation = sqrt(2 / freedom) * float(np.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2)))
    return critical_t(cell.arms, freedom, 0.95) * mean_deviation / critical_t(cell.arms, inf, 0.95)


def _truth(cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean logits [arms], deviations [arms, 3] of seed, arm x image and seed x image, expected accuracies [arms]."""
    factors = np.geomspace(1 / cell.noise.unequal, cell.noise.unequal, cell.arms)
    deviations = np.stack(
        [cell.noise.seed * factors, cell.noise.arm_image * factors[::-1], cell.noise.seed_image * factors]
    )
    total = np.sqrt(DIFFICULTY**2 + (deviations**2).sum(axis=0))
    truth = cell.accuracy + np.linspace(0, min(APART, (100 - cell.accuracy) / 2), cell.arms)
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    low, high = np.full(cell.arms, -20.0), np.full(cell.arms, 20.0)
    for _ in range(60):
        middle = (low + high) / 2
        accuracy = 100 * (expit(middle[:, None] + total[:, None] * points) * weights).sum(axis=1) / weights.sum()
        low, high = np.where(accuracy < truth, middle, low), np.where(accuracy < truth, high, middle)
    return low, deviations.T, truth


def _answers(cell: Cell, logits: np.ndarray, deviations: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whether each run is right on each image, [arms, seeds, images]."""
    shape = (cell.arms, cell.seeds, cell.images)
    seed, arm_image, seed_image = deviations.astype(np.float32).T[:, :, None, None]
    chances = seed_image * random.standard_normal(shape, dtype=np.float32)
    chances += arm_image * random.standard_normal((cell.arms, 1, cell.images), dtype=np.float32)
    chances += seed * random.standard_normal((cell.arms, cell.seeds, 1), dtype=np.float32)
    chances += DIFFICULTY * random.standard_normal(cell.images, dtype=np.float32)
    chances += logits.astype(np.float32)[:, None, None]
    return random.random(shape, dtype=np.float32) < expit(chances)


NOISES = {"seeds weigh": SEEDS_WEIGH, "images weigh": IMAGES_WEIGH, "unequal": UNEQUAL}
GRID = [
    Cell(arms, seeds, images, accuracy, noise)
    for arms, seeds, images, accuracy, noise in product(
        (2, 4, 8), (2, 3, 10), (50, 1000, 10_000), (20.0, 80.0, 99.0), NOISES.values()
    )
    if images < 10_000 or accuracy == 80
]


def studies_of(cell: Cell) -> int:
    """How many studies are simulated: fewer where each takes long."""
    return 1000 if cell.images < 10_000 or cell.arms == 2 else 300


def line(cell: Cell, found: Coverage) -> str:
    name = next(name for name, noise in NOISES.items() if noise == cell.noise)
    shares = "  ".join(f"{100 * share:5.1f}" for share in found[:3])
    return (
        f"{cell.arms:2} {cell.seeds:3} {cell.images:6} {cell.accuracy:4g} {name:12} | {shares} | "
        f"{found.width:5.2f} {tukeys_own_width(cell):5.2f}"
    )


def main(first: int = 0) -> None:
    print("arms seeds images accuracy noise | coverage: both, seeds only, images only | width, of Tukey over seeds")
    for cell in GRID[first:]:
        print(line(cell, simulate(cell, studies_of(cell))), flush=True)


if __name__ == "__main__":
    main()
