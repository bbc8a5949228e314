"""How long probes of 10,000 images take, beside scikit-learn on the same problem.

python benchmarks/probe_speed.py [--threads 2] [--cases 512x100,2048x10] [--rounds 3] [--sklearn]

Features are drawn: classes that overlap in correlated channels, rectified as those of a network are. 8,000 images are
learnt from in the sweep, since 2,000 are its inner split, and all 10,000 in the end; 2,000 others are answered. With
--sklearn the same sweep by LogisticRegression, each penalty from the solution of the one before, at its own tolerance,
and KNeighborsClassifier. Wall and processor seconds, least of the rounds: the first grow with what else the machine
does.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dorsal.data.sampling import held_out
from dorsal.recipes.probe import INNER_SHARE, Neighbors, Probe
from dorsal.train.probe import answer

IMAGES, ASKED = 10_000, 2_000


def drawn(channels, classes):
    """Features and labels of 12,000 images."""
    random = np.random.default_rng(0)
    size = np.arange(1, channels + 1) ** -0.6
    turn, _ = np.linalg.qr(random.normal(size=(channels, channels)))
    means = random.normal(size=(classes, channels)) * size * (0.35 if classes > 10 else 0.15)
    labels = random.integers(0, classes, IMAGES + ASKED)
    found = np.maximum((means[labels] + random.normal(size=(len(labels), channels)) * size) @ turn.T, 0)
    return torch.from_numpy(found).float(), torch.from_numpy(labels)


def timed(call, rounds):
    """Least wall and processor seconds, and what the last call gave."""
    seconds = []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        found = call()
        seconds.append((time.perf_counter() - wall, time.process_time() - processor))
    return (*map(min, zip(*seconds, strict=True)), found)


def by_sklearn(features, labels, asked, truth):
    """Accuracy on the images that are asked, and the chosen penalty."""
    x = ((features - features.mean(0)) / features.std(0)).numpy()
    z = ((asked - features.mean(0)) / features.std(0)).numpy()
    learnt, held = held_out(labels.numpy(), INNER_SHARE, 0)
    model = LogisticRegression(warm_start=True, max_iter=1000)
    scores = {}
    for penalty in reversed(Probe().penalties):
        model.set_params(C=1 / (penalty * len(learnt))).fit(x[learnt], labels.numpy()[learnt])
        scores[penalty] = model.score(x[held], labels.numpy()[held])
    best = max(scores, key=scores.get)
    return model.set_params(C=1 / (best * len(x))).fit(x, labels.numpy()).score(z, truth.numpy()), best


def compare(channels, classes, given):
    """Prints the seconds of one case."""
    features, labels = drawn(channels, classes)
    (features, asked), (labels, truth) = (each.split([IMAGES, ASKED]) for each in (features, labels))

    def tell(name, call, rounds):
        wall, processor, (accuracy, penalty) = timed(call, rounds)
        chosen = f", penalty {penalty:g}" if penalty else ""
        seconds = f"{wall:6.1f} s ({processor:.1f} s of processors)"
        print(f"{channels:4} x {classes:3}  {name:9} {seconds}, {100 * accuracy:.1f} %{chosen}", flush=True)

    def ours(recipe):
        logits, choice = answer(recipe, features, labels, classes, asked, 0)
        return float((logits.argmax(1) == truth).float().mean()), choice and choice.penalty

    tell("probe", lambda: ours(Probe()), given.rounds)
    tell("neighbors", lambda: ours(Neighbors()), given.rounds)
    if given.sklearn:
        votes = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(features.numpy(), labels.numpy())
        tell("its probe", lambda: by_sklearn(features, labels, asked, truth), 1)
        tell("its votes", lambda: (votes.score(asked.numpy(), truth.numpy()), None), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", default="512x100,2048x10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sklearn", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {torch.backends.cpu.get_cpu_capability()}")
    for case in given.cases.split(","):
        compare(*map(int, case.split("x")), given)


if __name__ == "__main__":
    main()
