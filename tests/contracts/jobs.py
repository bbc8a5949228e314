"""Jobs without training, for engines: what a worker does is all that matters here."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from dorsal.data.spec import Scenes
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.plan import Evaluate, Measure, Run
from dorsal.jobs.records import ModelScore, Outcome, Trial, Visit
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.recipe import Recipe
from dorsal.zoo import network


def make_run(seed: int) -> Run:
    return Run(
        key=f"key{seed}",
        arm="arm",
        network=network("small"),
        recipe_name="plain",
        recipe=Recipe(epochs=1, warmup_epochs=0),
        seed=seed,
        data=Scenes(),
        fingerprint="",
    )


def make_evaluation(number: int) -> Evaluate:
    return Evaluate(
        key=f"model{number}",
        name=f"model {number}",
        model="nowhere",
        data=Scenes(),
        split=None,
        digest="",
        image_size=None,
        batch=number,
    )


def make_measurement(number: int) -> Measure:
    return Measure(
        key=f"visit{number}",
        name=f"visit {number}",
        network=network("small"),
        image_size=32,
        call="forward",
        batch=number,
        recipe=Recipe(epochs=1, warmup_epochs=0),
        bfloat16=False,
    )


def of_every_kind(job: Run | Evaluate | Measure, tell: Callable[[Message], None]) -> Outcome:
    """What each kind of job comes to; the first of each kind kills its workers."""
    match job:
        case Run(seed=number):
            outcome: Outcome = trial_of(job)
        case Evaluate(batch=number):
            outcome = ModelScore(key=job.key, score=float(number), seconds=0.0)
        case Measure(batch=number):
            outcome = Visit(job.key, float(number))
    tell(Predictions(f"{job.key} says".encode()))
    if number == 1:
        os.kill(os.getpid(), 9)
    return outcome


def trial_of(run: Run, error: str = "") -> Trial:
    return Trial(run.key, "finished", float(run.seed), (), 0.0, error)


def at_once(run: Run, tell: Callable[[Message], None]) -> Trial:
    return trial_of(run)


def one_epoch(run: Run, tell: Callable[[Message], None]) -> Trial:
    for step in range(1, 101):
        tell(Step(1, step, 100))
    tell(Epoch(1, 0.5, 0.5, 50.0, 0.1, 0.01))
    return trial_of(run)


def says_pid_and_threads(run: Run, tell: Callable[[Message], None]) -> Trial:
    return trial_of(run, f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")


def says_environment(run: Run, tell: Callable[[Message], None]) -> Trial:
    return trial_of(run, " ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("TEST_")))


def seed_1_waits_for_seed_3(run: Run, tell: Callable[[Message], None], folder: Path) -> Trial:
    """Says which process made a run; that of seed 1 has something to tell until seed 3 is made."""
    (folder / run.key).touch()
    while run.seed == 1 and not (folder / "key3").exists():
        tell(Epoch(1, 0.5, 0.5, 50.0, 0.1, 0.01))
        time.sleep(0.05)
    return trial_of(run, str(os.getpid()))


def dies_of_seed_2(run: Run, tell: Callable[[Message], None], times: int, folder: Path) -> Trial:
    """Kills its own process for the first `times` tries of seed 2, and leaves a file for every try of any seed."""
    tries = len(list(folder.glob(f"{run.key}.*")))
    (folder / f"{run.key}.{tries}").touch()
    if run.seed == 2 and tries < times:
        os.kill(os.getpid(), 9)
    return trial_of(run)


def half_unless_negative(number: int) -> tuple[int, int, str]:
    """Half of a number, by whom, and with how many threads; a negative one is the death of the process."""
    if number < 0:
        os.kill(os.getpid(), 9)
    return number // 2, os.getpid(), os.environ["OMP_NUM_THREADS"]


def never_ends(run: Run, tell: Callable[[Message], None], folder: Path) -> Trial:
    (folder / str(os.getpid())).touch()
    while True:
        tell(Step(1, 1, 1))
        time.sleep(0.05)


def raises(run: Run, tell: Callable[[Message], None]) -> Trial:
    raise SystemExit(7)
