"""Coverage of intervals of a mean IoU over images, by simulation: `python -m tests.stats.simulate_ious` prints it.

Five classes are in all images, in four of five, in half, in a share of them (the rare one), and in none. Each is found
with errors that an image has in common; the last is found in some images too. The truth is the mean IoU of 200,000.
"""

from __future__ import annotations

import numpy as np

from dorsal.stats import Ratios
from dorsal.stats.images import mean_noise

RARE = 3
"""The index of the class that is in a share of the images; the next one is in none."""


def ious(random: np.random.Generator, n: int, rare: float = 0.1) -> Ratios:
    """Pixel counts of n images."""
    truth = random.integers(1, 60, (n, 5)) * (random.random((n, 5)) < [1, 0.8, 0.5, rare, 0])
    top = np.floor(truth * random.beta(4, 2, (n, 1)) * [1, 0.9, 0.7, 0.5, 1])
    bottom = truth + random.integers(0, 20, (n, 5)) * (random.random((n, 5)) < 0.3)
    return Ratios(top=top, bottom=bottom.astype(float), present=truth.astype(float))


def coverage(n: int, rare: float, studies: int = 1000) -> tuple[float, float]:
    """The share of studies of n images whose 95 % interval has the truth, and the mean error."""
    truth = ious(np.random.default_rng(0), 200_000, rare).score()
    random = np.random.default_rng(1)
    noises = [mean_noise(ious(random, n, rare).values()[None]) for _ in range(studies)]
    errors = np.array([noise.value - truth for noise in noises])
    inside = np.abs(errors) <= 1.96 * np.array([noise.spread for noise in noises])
    return float(inside.mean()), float(errors.mean())


def main() -> None:
    print("images, of the rare class | coverage, mean error in points")
    for n in (100, 400):
        for rare in (0.3, 0.1, 0.05, 0.03, 0.02, 0.01):
            share, error = coverage(n, rare)
            print(f"{n:6} {rare * n:17.0f} | {100 * share:7.1f} % {error:+6.2f}", flush=True)


if __name__ == "__main__":
    main()
