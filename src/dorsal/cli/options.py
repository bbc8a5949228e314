"""Options of every verb that trains many networks: where runs are made and stored."""

from __future__ import annotations

from typing import Annotated

import typer

Workers = Annotated[
    int | None, typer.Option(help="Worker processes; with --ray, most runs at once.", show_default="cores / threads")
]
Threads = Annotated[int | None, typer.Option(help="Threads of each worker.", show_default="1")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="cpu")]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", help="Run on a Ray cluster: HOST:PORT of its head, or local.", show_default="no Ray"),
]
Gpus = Annotated[float | None, typer.Option(help="With --ray: GPUs of each process of a run.", show_default="0")]
Processes = Annotated[int | None, typer.Option(help="With --ray: processes of each run.", show_default="1")]
Storage = Annotated[str | None, typer.Option(help="An Optuna storage URL.", show_default="a SQLite file in the folder")]
Budget = Annotated[str | None, typer.Option(help="Run what fits in this time, e.g. 10m or 2h.")]
_SEEDS = "How many, or which: 5 or 1,2,7."
SeedList = Annotated[str | None, typer.Option("--seeds", help=_SEEDS, show_default="1")]
ThreeSeeds = Annotated[str | None, typer.Option("--seeds", help=_SEEDS, show_default="3")]


def read_seeds(text: str | None) -> int | tuple[int, ...] | None:
    """`5` is five seeds, `1,2,7` are these, `7,` is the seed 7."""
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        raise ValueError(f"--seeds {text!r} is neither a number nor a list like 1,2,7") from None
    return numbers if "," in text else numbers[0]
