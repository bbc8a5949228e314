"""What the engines cost: milliseconds a trial that does nothing, and how busy they keep workers whose trials only wait.

    python benchmarks/engines.py [--trials 10000] [--waits 20] [--seconds 1]

Overhead is from the first trial to the last. Efficiency is busy time / (workers x wall time): `steady` from the first
trial's beginning to the last one's end, `whole` with the start and the end of the engine. Ray's nodes are simulated,
all in this machine, with one CPU each; trials take no CPU, so that real cores do not limit. Each line is one run.
"""

import argparse
import contextlib
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator

from dorsal.data.spec import Scenes
from dorsal.jobs.engine import Engine, LocalPool, Message
from dorsal.jobs.plan import Run
from dorsal.jobs.ray_engine import RayCluster
from dorsal.jobs.records import Trial
from dorsal.recipes.recipe import Recipe
from dorsal.zoo import network

WORKERS = (1, 2, 4, 8)
# Ray then listens on the loopback address alone, and all its processes share a token.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def make_run(number: int) -> Run:
    return Run(
        key=str(number),
        arm="arm",
        network=network("small"),
        recipe_name="plain",
        recipe=Recipe(epochs=1, warmup_epochs=0),
        seed=number,
        data=Scenes(),
        fingerprint="",
    )


def nothing(run: Run, _: Callable[[Message], None]) -> Trial:
    return Trial(run.key, "finished", 0.0, (), 0.0)


def waits(run: Run, _: Callable[[Message], None], seconds: float) -> Trial:
    """The trial's note holds when it began."""
    began = time.time()
    time.sleep(seconds)
    return Trial(run.key, "finished", 0.0, (), time.time() - began, str(began))


@contextlib.contextmanager
def nodes(count: int) -> Iterator[str]:
    """The address of a cluster of a head without CPUs and so many nodes with one each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def show_overhead(name: str, engine: Engine, trials: int) -> None:
    began = time.perf_counter()
    times = [time.perf_counter() for _ in engine.run_all([make_run(number) for number in range(trials)])]
    ended = time.perf_counter()
    milliseconds = 1e3 * (times[-1] - times[0]) / (trials - 1)
    start = times[0] - began
    print(f"{name:24}{len(times):8}{milliseconds:12.3f}{start:12.2f}{ended - times[-1]:10.2f}", flush=True)


def show_efficiency(name: str, engine: Engine, workers: int, each: int) -> None:
    began = time.time()
    reports = engine.run_all([make_run(number) for number in range(workers * each)])
    trials = [report.what for report in reports if isinstance(report.what, Trial)]
    whole = workers * (time.time() - began)
    begins = [float(trial.error) for trial in trials]
    ends = [float(trial.error) + trial.seconds for trial in trials]
    busy = sum(trial.seconds for trial in trials)
    steady = workers * (max(ends) - min(begins))
    print(f"{name:24}{workers:8}{len(trials):8}{busy / steady:10.1%}{busy / whole:10.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--waits", type=int, default=20, help="trials a worker")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each of these")
    asked = parser.parse_args()
    os.environ |= ALONE

    print(f"{'engine':24}{'trials':>8}{'ms a trial':>12}{'start (s)':>12}{'end (s)':>10}")
    for workers in WORKERS[:2]:
        show_overhead(f"LocalPool, {workers} workers", LocalPool(workers, 1, nothing), asked.trials)
    for workers in WORKERS[:2]:
        engine = RayCluster(None, nothing, cpus=1, most_at_once=workers)
        show_overhead(f"RayCluster, {workers} workers", engine, asked.trials)

    job = functools.partial(waits, seconds=asked.seconds)
    print(f"\n{'engine':24}{'workers':>8}{'trials':>8}{'steady':>10}{'whole':>10}")
    for workers in WORKERS:
        show_efficiency("LocalPool", LocalPool(workers, 1, job), workers, asked.waits)
        with nodes(workers) as address:
            show_efficiency(f"RayCluster, {workers} nodes", RayCluster(address, job, cpus=1), workers, asked.waits)


if __name__ == "__main__":
    main()
