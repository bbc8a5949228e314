"""Jobs for Ray clusters, and a driver that stores what they return as `compare` does, which tests may kill.

python ray_driver.py ADDRESS|here STORE FOLDER RUNS
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dorsal.jobs.engine import Message
from dorsal.jobs.plan import Run
from dorsal.jobs.ray_engine import RayCluster
from dorsal.jobs.records import Trial
from dorsal.jobs.store import SEEDS, Store
from dorsal.recipes.epoch import Step
from tests.contracts.jobs import make_run, trial_of


def sleeps(run: Run, tell: Callable[[Message], None], folder: Path, seconds: float) -> Trial:
    """Leaves a file `key.pid` for every try, and says in the trial when it began and ended."""
    began = time.time()
    (folder / f"{run.key}.{os.getpid()}").touch()
    tell(Step(1, 1, 1))
    time.sleep(seconds)
    return trial_of(run, f"{began} {time.time()}")


def sleeps_at_first(run: Run, tell: Callable[[Message], None], folder: Path) -> Trial:
    """Never ends its first try."""
    first = not list(folder.iterdir())
    return sleeps(run, tell, folder, 600.0 if first else 0.0)


def sleeps_when_so_many_have_begun(run: Run, tell: Callable[[Message], None], folder: Path, count: int) -> Trial:
    """The first tries wait for each other, so that all nodes are at work when one of them ends."""
    (folder / f"{run.key}.{os.getpid()}").touch()
    for _ in range(600):
        if len(list(folder.iterdir())) >= count:
            return sleeps(run, tell, folder, 0.5)
        time.sleep(0.1)
    raise TimeoutError(f"fewer than {count} tries have begun")


def says_rank(run: Run, tell: Callable[[Message], None], folder: Path) -> Trial:
    """A process tells its rank, and dies of seed 2 where it is the second in its first try."""
    rank = int(os.environ["RANK"])
    tell(Step(rank + 1, 1, 1))
    if run.seed == 2 and rank == 1 and not list(folder.iterdir()):
        (folder / "died").touch()
        os.kill(os.getpid(), 9)
    return trial_of(run, " ".join(os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR")))


def adds_up_ranks(run: Run, tell: Callable[[Message], None]) -> Trial:
    """The processes of a run find each other and add up 1, 2, ..."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor(dist.get_rank() + 1)
    dist.all_reduce(total)
    return trial_of(run, str(total.item()))


def grows(run: Run, tell: Callable[[Message], None]) -> Trial:
    """Holds 5 GB, all of it written, for longer than a memory monitor needs to see it."""
    held = bytearray(os.urandom(1 << 20)) * 5000
    time.sleep(30)
    return trial_of(run, str(len(held)))


def main(address: str, url: str, folder: Path, count: int) -> None:
    runs = [make_run(seed) for seed in range(count)]
    job = partial(sleeps, folder=folder, seconds=0.4)
    cluster = RayCluster(None if address == "here" else address, job, cpus=1)
    with Store(url, "study") as store:
        ended = store.trials()
        with contextlib.closing(cluster.run_all([run for run in runs if run.key not in ended])) as reports:
            for report in reports:
                if isinstance(report.what, Trial):
                    store.add(report.what, {"seed": SEEDS}, {"seed": report.job.seed})
                    print(report.job.key, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
