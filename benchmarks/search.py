"""What samplers find of a made-up error on a real space, and what it costs workers to wait for what is asked.

Samplers: the true error of the network that a search of 60 picks by its noisy errors (noise of 0.5 points), the mean
over searches with its standard error. The error has its least at growing widths, a depth of 20, no bottleneck and group
width 16. Waiting: searches of 16 runs of 5 s, more or less (30 %), that train nothing, on real workers; the share of
their time in which workers make runs. In rounds, each round asks for as many networks as there are workers.

python benchmarks/search.py samplers [--space anynetx_e] [--macs 300M..400M] [--searches 12]
python benchmarks/search.py waiting [--workers 2]
"""

import argparse
import math
import random
import time

import numpy as np
import torch  # noqa: F401 - a worker that trains imports it, which takes its time

from dorsal.data.spec import Scenes
from dorsal.jobs.engine import LocalPool
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.recipes.recipe import Recipe
from dorsal.space.bounds import read_bounds
from dorsal.space.named import SPACES
from dorsal.space.sample import sample
from dorsal.study.search.proposals import Asker, Feedback
from dorsal.zoo import network

TRIALS, NOISE, RUNS, SECONDS = 60, 0.5, 16, 5.0


def true_error(net):
    widths = np.log([stage.width for stage in net.stages])
    block = net.stages[-1].block
    return (
        40
        + 3 * abs(math.log(sum(stage.depth for stage in net.stages) / 20))
        + 2 * abs(widths[-1] - widths[0] - math.log(8))
        + 1.5 * np.std(np.diff(widths))
        + (block.expansion > 1)
        + 0.5 * abs(math.log2((block.mixer.group_width or 16) / 16))
    )


def one_search(space, bounds, sampler, seed, ahead):
    """True error of the picked network, points passed over, seconds of asking."""
    start = time.perf_counter()
    asker = Asker(space, read_bounds(bounds), {}, ("error",), sampler, seed)
    drawn = sample(space, TRIALS, bounds, seed)
    draws = ({axis: index[[row]] for axis, index in drawn.points.items()} for row in range(len(drawn)))
    random = np.random.default_rng(seed)
    told, known, errors, passed_over = [], set(), [], 0
    for place in range(TRIALS):
        unknown = max(place + 1 - ahead, 0)
        found = asker.propose([*told[:unknown], *(each._replace(result=None) for each in told[unknown:])], known, draws)
        known.add(found.judged.key)
        passed_over += sum(found.passed_over.values())
        errors.append(true_error(found.judged.network))
        noisy = errors[-1] + random.normal(0, NOISE)
        told.append(Feedback(found.point, found.judged.costs, found.memory, (noisy,)))
    best = min(range(TRIALS), key=lambda place: told[place].result)
    return errors[best], passed_over, time.perf_counter() - start


def samplers(name, macs, searches):
    print(f"{name}, macs {macs}: sampler, ahead, true error, ±, passed over, seconds a search")
    for sampler, ahead in (("random", 1), ("tpe", 1), ("tpe", 3), ("tpe", 6), ("nsga2", 1)):
        rows = np.array([one_search(SPACES[name], {"macs": macs}, sampler, seed, ahead) for seed in range(searches)])
        errors, passed_over, seconds = rows.T
        error = errors.std(ddof=1) / math.sqrt(searches)
        print(f"{sampler:7} {ahead} {errors.mean():6.2f} {error:.2f} {passed_over.mean():6.0f} {seconds.mean():5.1f}")


def seconds_of(seed):
    sigma = math.sqrt(math.log(1 + 0.3**2))
    return SECONDS * math.exp(random.Random(seed).gauss(-(sigma**2) / 2, sigma))


def sleep(run, _):
    time.sleep(seconds_of(run.seed))
    return Trial(run.key, "finished", 1.0, (), 0.0)


def run_of(seed):
    return Run(
        key=str(seed),
        arm="",
        network=network("small"),
        recipe_name="",
        recipe=Recipe(epochs=1, warmup_epochs=0),
        seed=seed,
        data=Scenes(),
        fingerprint="",
    )


def in_rounds(workers):
    for first in range(0, RUNS, workers):
        list(LocalPool(workers, 1, sleep).run_all([run_of(first + place) for place in range(workers)]))


def as_they_end(workers, ahead):
    asked, ended = [], set()

    def more():
        new = []
        while len(asked) < RUNS and all(seed in ended for seed in asked[: max(len(asked) + 1 - ahead, 0)]):
            asked.append(len(asked))
            new.append(run_of(asked[-1]))
        return new

    for report in LocalPool(workers, 1, sleep).run_all(more(), more):
        ended.add(report.job.seed)


def waiting(workers):
    ideal = sum(map(seconds_of, range(RUNS))) / workers
    ways = {"rounds": in_rounds}
    ways |= {f"ahead {n}": lambda w, n=n: as_they_end(w, n) for n in (workers, workers + workers // 2)}
    for name, way in ways.items():
        start = time.perf_counter()
        way(workers)
        taken = time.perf_counter() - start
        print(f"{workers} workers, {name}: {taken:.1f} s, at work {100 * ideal / taken:.0f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("samplers", "waiting"))
    parser.add_argument("--space", default="anynetx_e")
    parser.add_argument("--macs", default="300M..400M")
    parser.add_argument("--searches", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if asked.what == "samplers":
        samplers(asked.space, asked.macs, asked.searches)
    else:
        waiting(asked.workers)
