"""How to use the cores: many workers of one thread, or one worker of many threads, on the default arms.

    python benchmarks/workers.py [--repeats 3] [--train 640]

Prints images per second of both, alternating, medians and their ratio; and what the engine itself costs a run, by runs
that do nothing. Starting workers is not in the rates, and is printed apart.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dorsal.data.spec import Scenes
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.engine import LocalPool, Message
from dorsal.jobs.machine import available_cores
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.train import run_trial
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison


def nothing(run: Run, _: Callable[[Message], None]) -> Trial:
    return Trial(run.key, "finished", 0.0, (), 0.0)


def rate(runs: tuple[Run, ...], images: int, workers: int, threads: int) -> tuple[float, float]:
    """Training images per second of all runs together, from the first step to the last trial; and seconds before it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Resources(threads=threads, device="cpu")
        job = functools.partial(run_trial, folder=Path(folder), place=place, keep_models=False)
        began = time.perf_counter()
        first = 0.0
        for report in LocalPool(workers, threads, job).run_all(runs):
            first = first or time.perf_counter()
            if isinstance(report.what, Trial) and report.what.status != "finished":
                raise RuntimeError(report.what.error)
        return len(runs) * images / (time.perf_counter() - first), first - began


def overhead(runs: tuple[Run, ...]) -> float:
    """Milliseconds a run between handing it out and having its trial, when there is nothing to do."""
    times = [time.perf_counter() for _ in LocalPool(1, 1, nothing).run_all(runs)]
    return 1e3 * (times[-1] - times[0]) / (len(times) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--train", type=int, default=640)
    asked = parser.parse_args()
    data = data_summary(Scenes(train=asked.train, val=64))
    runs = plan_comparison(Comparison(seeds=2), data, read_recipes(["plain"], 1)).runs
    cores = available_cores()
    many, one = [], []
    for _ in range(asked.repeats):
        for rates, workers, threads in ((many, cores, 1), (one, 1, cores)):
            each, start = rate(runs, asked.train, workers, threads)
            rates.append(each)
            print(f"{workers} workers x {threads} threads: {each:.0f} images/s, {start:.1f} s to the first step")
    fast, slow = statistics.median(many), statistics.median(one)
    print(f"median: {cores} x 1 {fast:.0f}, 1 x {cores} {slow:.0f} images/s; ratio {fast / slow:.2f}")
    print(f"engine: {overhead(runs * 50):.2f} ms a run")


if __name__ == "__main__":
    main()
