"""`dorsal space search`: a sampler asks for networks of a space, knowing how the others did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dorsal.cli.options import Device, Gpus, Processes, RayAddress, SeedList, Storage, Threads, Workers, read_seeds
from dorsal.cli.space import (
    Activations,
    Bounds,
    Edit,
    Latency,
    LatencyModel,
    Macs,
    Params,
    read_bounds_given,
    read_latency_given,
)

_OBJECTIVE = "error, a cost (macs, params, activations, layers) or a predicted time; may be repeated."
_AGAINST = "Folder of a population of random draws of the same space, to compare with."


def search(
    space: Annotated[str, typer.Argument(help="A name that `dorsal space list` prints, or a TOML or JSON file.")],
    trials: Annotated[int | None, typer.Option(help="Different networks to train.", show_default="60")] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, gp, nsga2 or random.", show_default="tpe")] = None,
    objective: Annotated[list[str] | None, typer.Option(help=_OBJECTIVE, show_default="error")] = None,
    macs: Macs = None,
    params: Params = None,
    activations: Activations = None,
    latency: Latency = None,
    latency_model: LatencyModel = None,
    bound: Bounds = None,
    edit: Edit = None,
    sample_seed: Annotated[int | None, typer.Option(help="Of the sampler.", show_default="0")] = None,
    recipe: Annotated[str | None, typer.Option(show_default="regnet-10ep")] = None,
    data: Annotated[
        str | None, typer.Option(help="scenes, or a folder of class folders.", show_default="scenes")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's own.")] = None,
    seeds: SeedList = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    ray: RayAddress = None,
    gpus: Gpus = None,
    processes: Processes = None,
    out: Annotated[str | None, typer.Option(help="Folder of the search.", show_default="runs/search")] = None,
    storage: Storage = None,
    name: Annotated[str | None, typer.Option(help="Title, and name in the storage.", show_default="search")] = None,
    against: Annotated[Path | None, typer.Option(help=_AGAINST, show_default=False)] = None,
    against_storage: Annotated[
        str | None, typer.Option(help="The URL of that population's storage, where it has a password.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead.")] = False,
) -> None:
    """Search a space: train networks that a sampler proposes, each knowing how those before it did.

    Says which is best, or which none beats where there are several objectives, and with --against whether random draws
    would have done as well. Interrupted, the same command goes on; with more --trials it goes on from what is there.

    Examples: `dorsal space search regnetx --macs 360M..400M --trials 60 --data photos`,
    `dorsal space search crossed --sampler nsga2 --objective error --objective activations --params ..5M`,
    `dorsal space search regnetx --macs 360M..400M --against runs/population`
    """
    given: dict[str, Any] = {
        "trials": trials,
        "sampler": sampler,
        "objectives": tuple(objective) if objective else None,
        "bounds": read_bounds_given(macs, params, activations, bound) | read_latency_given(latency, latency_model),
        "edit": edit,
        "latency_model": latency_model,
        "sample_seed": sample_seed,
        "recipe": recipe,
        "data": data,
        "epochs": epochs,
        "seeds": read_seeds(seeds),
        "workers": workers,
        "threads": threads,
        "device": device,
        "ray": ray,
        "gpus": gpus,
        "processes": processes,
        "out": out,
        "storage": storage,
        "name": name,
    }

    from dorsal.cli.finish import show_search
    from dorsal.cli.progress import Watch
    from dorsal.study.population.saved import load_population
    from dorsal.study.search.question import Search
    from dorsal.study.search.run import run_search

    asked = Search(space=(space,), **{field: value for field, value in given.items() if value is not None})
    population = load_population(against, against_storage) if against else None
    try:
        with Watch() as watch:
            found = run_search(asked, against=population, on_event=watch.on_event)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"stopped; the same command goes on, and `dorsal space pick {asked.out}` has the best so far\n"
        )
        raise typer.Exit(130) from None
    show_search(found, population, Path(asked.out), as_json)
    if any(trial.status == "failed" for trial in found.study.trials):
        raise typer.Exit(1)
