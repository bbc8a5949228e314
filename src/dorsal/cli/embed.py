"""`dorsal embed`: the features of images, in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from dorsal.cli.options import AsJson
from dorsal.jobs.plan import ScoredSplit
from dorsal.jobs.resources import Device
from dorsal.language.options import option
from dorsal.study.question import Data


def embed(
    model: Annotated[
        str,
        option(
            "A folder that `dorsal train` or `dorsal weights` made, or NETWORK@WEIGHTS.",
            metavar="MODEL",
            argument=True,
            path=True,
        ),
    ],
    data: Data = "scenes",
    split: Annotated[
        ScoredSplit | None, option("val, train, or all (default: val where the data have splits, else all).")
    ] = None,
    level: Annotated[
        int | None,
        option(
            "Whose map is averaged: 0 the stem, 1 the first stage, ... (default: what the classifier sees).", least=0
        ),
    ] = None,
    out: Annotated[Path, option("The file, .npz or .safetensors.", metavar="FILE")] = Path("features.npz"),
    batch: Annotated[int, option("Images at a time.", least=1)] = 128,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write the features of images by a model: one row of numbers an image, for whatever you do with them.

    The file holds `features`, `labels`, and `about`: classes, names of the images, network, and how the images were
    prepared (as the model's card says, or what is known of the weights). The classes of the data may be others than the
    model's.

    Examples:
        dorsal embed runs/train --data photos --split all
        dorsal embed resnet50@torchvision_v2 --data photos --level 2 --out level2.safetensors
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from dorsal.jobs import embed as jobs

    jobs.check_file(out)
    sys.stderr.write(f"features of {data} by {model}\n")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("batches", total=None)
        made = jobs.embed(
            model,
            data,
            split,
            level,
            batch=batch,
            device=device,
            on_batch=lambda number, of: progress.update(bar, completed=number, total=of),
        )
    for note in made.notes:
        sys.stderr.write(f"note: {note}\n")
    jobs.write_embedding(out, made)
    images, channels = made.features.shape
    if as_json:
        shape = {"file": str(out), "images": images, "channels": channels}
        print(msgspec.json.encode(shape | jobs.facts(made)).decode())
        return
    where = "what its classifier sees" if level is None else f"level {level}"
    print(f"{out}: {images:,} x {channels:,} features of {made.network}, {where}, on {made.summary}")
