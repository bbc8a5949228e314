"""`dorsal space pick`: the winner of a population or a search, handed over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dorsal.cli.options import Storage
from dorsal.cli.space import Activations, Bounds, Macs, Params, read_bounds_given


def pick(
    folder: Annotated[Path, typer.Argument(help="The folder of a population or of a search.")],
    space: Annotated[
        str | None, typer.Option(help="Of this space, where the folder has several.", show_default=False)
    ] = None,
    by: Annotated[str, typer.Option(help="error, or pareto for all that none beats.")] = "error",
    macs: Macs = None,
    params: Params = None,
    activations: Activations = None,
    bound: Bounds = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the network as JSON; of several NAME-1.json …", show_default=False)
    ] = None,
    storage: Storage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with everything that is known.")] = False,
) -> None:
    """Print the best network as text that `dorsal train`, `compare` and `show` and `dorsal.create` take.

    What its error is worth goes to stderr. The network has the classes of the data it was trained on; `train` and
    `compare` set those of theirs.

    Examples: `dorsal train "$(dorsal space pick runs/population)" --data photos`,
    `dorsal space pick runs/search --by pareto`,
    `dorsal space pick runs/both --space regnetx --macs ..200M --out winner.json && dorsal compare winner.json resnet18`
    """
    from dorsal.study.search.pick import pick_networks

    if out is not None and out.suffix != ".json":
        raise ValueError(f"--out {str(out)!r} must end in .json, so that other verbs can read it")
    found = pick_networks(folder, space, by, read_bounds_given(macs, params, activations, bound), storage)
    for sentence in found.sentences:
        sys.stderr.write(f"{sentence}\n")
    if out is not None:
        from dorsal.report.files import write_whole
        from dorsal.spec.network import to_json

        several = len(found.networks) > 1
        for place, network in enumerate(found.networks, 1):
            file = out.with_stem(f"{out.stem}-{place}") if several else out
            write_whole(file, f"{to_json(network.network)}\n".encode())
            sys.stderr.write(f"{network.label} in {file}\n")
    if as_json:
        import msgspec

        print(msgspec.json.encode(found).decode())
    else:
        for network in found.networks:
            print(network.text)
