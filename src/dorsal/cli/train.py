"""`dorsal train`: one network, one recipe, one seed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dorsal.data.spec import DATA_HELP

if TYPE_CHECKING:
    from dorsal.recipes.epoch import Epoch


def train(
    network: Annotated[str, typer.Argument(help="A name, a name with edits, or a JSON file.")],
    recipe: Annotated[str, typer.Option(help="A named recipe, one with edits, or a TOML or JSON file.")] = "plain",
    data: Annotated[str, typer.Option(help=DATA_HELP)] = "scenes",
    seed: Annotated[int, typer.Option(min=0, help="Decides initialisation, order and augmentation.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's own.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores.", show_default=False)] = None,
    precision: Annotated[str, typer.Option(help="no (float32) or bf16 (autocast).")] = "no",
    loader_processes: Annotated[int, typer.Option(min=0, help="Processes that prepare images.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, the model and its card.")] = Path("runs/train"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train a network. Interrupted, the same command goes on from the last whole epoch.

    The result is a folder that `dorsal evaluate` and `dorsal predict` take.

    Examples: `dorsal train small --epochs 3`, `dorsal train resnest50 --recipe resnest --data photos --device cuda`
    """
    import json

    import msgspec

    from dorsal.data.dataset import open_data
    from dorsal.data.spec import parse_data
    from dorsal.recipes.text import recipe as read_recipe
    from dorsal.spec.adapt import fitted_to
    from dorsal.zoo import network as read_network

    if precision not in ("no", "bf16"):
        raise ValueError(f"--precision {precision!r} is not known; valid: no, bf16")
    net, made, spec = read_network(network), read_recipe(recipe), parse_data(data)
    if epochs is not None:
        made = msgspec.structs.replace(made, epochs=epochs)
    from dorsal.jobs.train import check_device  # after the quick checks: this imports torch

    check_device(device)
    opened = open_data(spec)
    net = fitted_to(net, len(opened.classes), opened.channels)
    origin = f"dorsal train: recipe {recipe}, {made.epochs} epochs, data {opened.fingerprint[:16]}, seed {seed}"

    import torch

    from dorsal.jobs.trained import save_trained, trained_card
    from dorsal.train.loop import fit
    from dorsal.weights.saved import check_savable

    card = trained_card(net, opened, origin)
    check_savable(out, card)
    if threads is not None:
        torch.set_num_threads(threads)
    for note in (opened.summary, *opened.notes):
        sys.stderr.write(f"note: {note}\n")
    try:
        result = fit(
            net,
            made,
            opened,
            seed=seed,
            device=device,
            precision="bf16" if precision == "bf16" else "no",
            checkpoint=out / "checkpoint.pt",
            on_epoch=partial(_show_epoch, made.epochs),
            loader_processes=loader_processes,
        )
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on from {out / 'checkpoint.pt'}\n")
        raise typer.Exit(130) from None
    for note in result.notes:
        sys.stderr.write(f"note: {note}\n")
    (out / "curve.json").write_bytes(msgspec.json.format(msgspec.json.encode(result.curve)))
    if result.status == "diverged":
        sys.stderr.write(f"diverged: {result.error}\n")
        raise typer.Exit(1)
    accuracy = result.curve[-1].accuracy
    save_trained(out, result.model, card, accuracy)
    if as_json:
        whole = {"folder": str(out), "network": card.text, "accuracy": accuracy, "epochs": len(result.curve)}
        print(json.dumps(whole, allow_nan=False))
    else:
        print(f"accuracy {accuracy:.2f} % on {len(opened.val)} images; model in {out}")


def _show_epoch(epochs: int, result: Epoch) -> None:
    sys.stderr.write(
        f"epoch {result.epoch:3d}/{epochs}  train loss {result.train_loss:.4f}  "
        f"val loss {result.val_loss:.4f}  accuracy {result.accuracy:6.2f} %  {result.seconds:.1f} s\n"
    )
