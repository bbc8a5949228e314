"""How often intervals over test images hold the average precision, and the difference of two, on all images.

    python -m tests.stats.simulate_detectors

Both detectors are fixed, and see the same images, some harder than others. Their true scores are those on 40,000
images. About five minutes on one core. The figures are in docs/statistics.md.
"""

import numpy as np

from dorsal.stats.images import difference_noise, mean_noise
from tests.stats.test_ranked import ranked


def true_score(classes, skill, which):
    whole = [
        ranked(20_000, classes, 10**6 + 10 * i + which, skill=skill, difficulty=10**7 + i).score() for i in range(2)
    ]
    return np.mean(whole)


def simulate(classes, skills, n, studies):
    """Shares of studies whose interval holds the score and the difference, and by how much both are off on average."""
    truth = [true_score(classes, skill, which) for which, skill in enumerate(skills)]
    truth = np.array([truth[0], truth[0] - truth[1]])
    off, spread = [], []
    for study in range(studies):
        first, second = (
            ranked(n, classes, 2 * study + 1 + which, skill=skill, difficulty=5 * study + 3).values()[None]
            for which, skill in enumerate(skills)
        )
        noises = mean_noise(first), difference_noise(first, second)
        off.append([noise.value for noise in noises] - truth)
        spread.append([noise.spread for noise in noises])
    held = (np.abs(off) < 1.96 * np.array(spread)).mean(axis=0)
    return *held.tolist(), *np.mean(off, axis=0).tolist()


def main():
    print("classes  skills      images  covers score  difference   score too high by  difference by")
    for classes in (2, 10):
        for skills in ((0.6, 0.6), (1.5, 0.0), (0.6, 0.3)):
            for n, studies in ((50, 300), (200, 300), (800, 150)):
                score, difference, high, apart = simulate(classes + 1, skills, n, studies)
                line = f"{classes:7}  {skills!s:10} {n:7} {score:13.1%} {difference:11.1%} {high:19.2f} {apart:14.2f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
