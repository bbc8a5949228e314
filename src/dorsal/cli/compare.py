"""`dorsal compare`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
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

_FILE = "Read the comparison from a TOML file; options given beside it replace its fields."


def compare(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, names with edits, JSON files, or timm:NAME; each may have a label as in label=text."
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe; may be repeated.", show_default="plain, tricks")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="scenes, or a folder of class folders.", show_default="scenes")
    ] = None,
    seeds: ThreeSeeds = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipes' own.")] = None,
    match: Annotated[str | None, typer.Option(help="Scale widths to a cost: macs, macs=20M, params=1M …")] = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    ray: RayAddress = None,
    gpus: Gpus = None,
    processes: Processes = None,
    out: Annotated[str | None, typer.Option(help="Folder of the study.", show_default="runs/compare")] = None,
    storage: Storage = None,
    budget: Budget = None,
    name: Annotated[
        str | None, typer.Option(help="Title of the study, and its name in the storage.", show_default="compare")
    ] = None,
    file: Annotated[Path | None, typer.Option(help=_FILE)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead of tables.")] = False,
) -> None:
    """Train networks under the same recipes and seeds, and say which is better, by how much, and how sure that is.

    Without a network: plain, Res2Net, ResNeSt and RegNet forms of one small network at equal MACs, in a few minutes.
    Interrupted, the same command goes on; runs that have ended are not made again.

    Examples: `dorsal compare`,
    `dorsal compare resnet50 resnest50 --data photos --recipe tricks --seeds 5 --device cuda`,
    `dorsal compare small "small(mixer=split_attention)" --match macs=20M --budget 10m`
    """
    import msgspec

    from dorsal.study.comparison.question import Comparison, from_toml

    given: dict[str, Any] = {
        "networks": tuple(networks) if networks else None,
        "recipes": tuple(recipe) if recipe else None,
        "data": data,
        "seeds": read_seeds(seeds),
        "epochs": epochs,
        "match": match,
        "workers": workers,
        "threads": threads,
        "device": device,
        "ray": ray,
        "gpus": gpus,
        "processes": processes,
        "out": out,
        "storage": storage,
        "budget": budget,
        "name": name,
    }
    given = {field: value for field, value in given.items() if value is not None}
    base = Comparison() if file is None else from_toml(_read(file))
    asked = msgspec.structs.replace(base, **given)

    from dorsal.cli.finish import show_outcome
    from dorsal.cli.progress import Watch
    from dorsal.study.comparison.run import compare as run

    try:
        with Watch() as watch:
            study = run(asked, on_event=watch.on_event)
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on, and `dorsal report {asked.out}` shows what is done\n")
        raise typer.Exit(130) from None
    show_outcome(study, Path(asked.out), as_json)
    if any(trial.status == "failed" for trial in study.trials):
        raise typer.Exit(1)


def _read(file: Path) -> str:
    if not file.is_file():
        raise ValueError(f"--file {str(file)!r} does not exist")
    return file.read_text(encoding="utf-8")
