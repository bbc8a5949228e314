"""`dorsal space recheck`: whether a population's schedule is long enough to rank its networks."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dorsal.cli.options import (
    Budget,
    Device,
    Gpus,
    Processes,
    RayAddress,
    Storage,
    Threads,
    ThreeSeeds,
    Workers,
    read_seeds,
)


def recheck(
    folder: Annotated[str, typer.Argument(help="The folder of a population that `dorsal space run` made.")],
    networks: Annotated[
        int | None, typer.Option(help="How many of each space to train again.", show_default="12")
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(help="Longer schedules, e.g. 20,50.", show_default="twice and four times the population's"),
    ] = None,
    seeds: ThreeSeeds = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    ray: RayAddress = None,
    gpus: Gpus = None,
    processes: Processes = None,
    storage: Storage = None,
    budget: Budget = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON.")] = False,
) -> None:
    """Train some networks of a population again, longer and under several seeds, and say whether their order holds.

    Prints rank correlation and top-k agreement between schedules and between seeds with intervals, the noise ceiling,
    and a verdict for single networks and for whole populations. Interrupted, the same command goes on.

    Examples: `dorsal space recheck runs/population`,
    `dorsal space recheck runs/population --networks 20 --epochs 50,100 --seeds 3 --budget 8h`
    """
    given: dict[str, Any] = {
        "networks": networks,
        "epochs": _epochs(epochs),
        "seeds": read_seeds(seeds),
        "workers": workers,
        "threads": threads,
        "device": device,
        "ray": ray,
        "gpus": gpus,
        "processes": processes,
        "storage": storage,
        "budget": budget,
    }
    from pathlib import Path

    from dorsal.cli.finish import show_population
    from dorsal.cli.progress import Watch
    from dorsal.jobs.study_file import load_study
    from dorsal.study.population.saved import load_population
    from dorsal.study.recheck.run import Recheck, run_recheck
    from dorsal.study.recheck.saved import RECHECK_FILE

    given = {field: value for field, value in given.items() if value is not None}
    asked = Recheck(population=(folder,), **given)
    try:
        with Watch() as watch:
            run_recheck(asked, on_event=watch.on_event)
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on, and `dorsal space analyse {folder}` shows what is done\n")
        raise typer.Exit(130) from None
    show_population(load_population(Path(folder), storage), Path(folder), storage, as_json)
    if any(trial.status == "failed" for trial in load_study(Path(folder), storage, RECHECK_FILE).trials):
        raise typer.Exit(1)


def _epochs(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--epochs {text!r} is not a list of whole numbers, e.g. 20,50") from None
