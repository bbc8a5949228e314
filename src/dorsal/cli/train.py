"""`dorsal train`: one network, one recipe, one seed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dorsal.cli.interrupts import say_when_stopped
from dorsal.cli.options import AsJson
from dorsal.jobs.resources import RunOptions
from dorsal.language.options import option
from dorsal.spec.metric import ACCURACY
from dorsal.study.question import Data, Epochs, Out, RecipeText, own_folder

if TYPE_CHECKING:
    from dorsal.recipes.epoch import Epoch


class TrainingRun(RunOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run, and where its model goes.

    Raises ValueError naming the field whose value cannot be.
    """

    network: Annotated[
        str,
        option("A name, a name with edits, or a JSON file.", metavar="NETWORK", argument=True, path=True),
    ]
    recipe: RecipeText = "plain"
    data: Data = "scenes"
    epochs: Epochs = None
    seed: Annotated[int, option("Decides initialisation, order and augmentation.", least=0)] = 1
    threads: Annotated[int | None, option("CPU threads (default: all cores).", least=1, free=True)] = None
    out: Out = ""

    @property
    def folder(self) -> Path:
        """Where the checkpoint, the model and its card are: `out`, or a folder of its own."""
        name = Path(self.network.partition("(")[0]).stem
        return Path(self.out) if self.out else own_folder("train", [name], self)


def train(asked: TrainingRun, as_json: AsJson = False) -> None:
    """Train one network. Interrupted, the same command goes on from the last whole epoch.

    The result is a folder that `dorsal evaluate` and `dorsal predict` take.

    Examples:
        dorsal train small --epochs 3
        dorsal train resnest50 --recipe tricks --data photos --precision bf16 --out runs/resnest50
    """
    import json

    import msgspec

    from dorsal.data.spec import parse_data
    from dorsal.recipes.text import recipe as read_recipe
    from dorsal.spec.adapt import fitted_to
    from dorsal.zoo import network as read_network
    from dorsal.zoo import written_choices

    net, made, spec = read_network(asked.network), read_recipe(asked.recipe), parse_data(asked.data)
    if asked.epochs is not None:
        made = msgspec.structs.replace(made, epochs=asked.epochs)
    out = asked.folder
    say_when_stopped("stopped; epochs that have ended are kept, and the same command goes on")
    sys.stderr.write(f"training {asked.network} on {asked.data}; epochs: {made.epochs}; folder: {out}\n")

    from dorsal.data.dataset import open_data  # after the quick checks: this imports torch
    from dorsal.jobs.machine import precision_notes
    from dorsal.jobs.train import choose_device

    device = choose_device(asked.device)
    for note in precision_notes(device, asked.precision):
        sys.stderr.write(f"note: {note}\n")
    opened = open_data(spec)
    net = fitted_to(net, len(opened.classes), opened.channels, written_choices(asked.network))
    told = f"recipe {asked.recipe}, {made.epochs} epochs, data {opened.fingerprint[:16]}, seed {asked.seed}"
    origin = f"dorsal train: {told}"

    import torch

    from dorsal.jobs.trained import save_trained, trained_card
    from dorsal.train.loop import fit
    from dorsal.weights.saved import check_savable

    card = trained_card(net, opened, origin)
    check_savable(out, card)
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    for note in (opened.summary, *opened.notes, f"on {device} in {asked.precision}"):
        sys.stderr.write(f"note: {note}\n")
    result = fit(
        net,
        made,
        opened,
        seed=asked.seed,
        device=device,
        precision=asked.precision,
        micro_batch=asked.micro_batch,
        checkpoint=out / "checkpoint.pt",
        on_epoch=partial(_show_epoch, made.epochs),
        loader_processes=asked.loader_processes,
    )
    for note in result.notes:
        sys.stderr.write(f"note: {note}\n")
    (out / "curve.json").write_bytes(msgspec.json.format(msgspec.json.encode(result.curve)))
    if result.status == "diverged":
        sys.stderr.write(f"diverged: {result.error}\n")
        sys.exit(1)
    score = result.curve[-1].score
    save_trained(out, result.model, card, score)
    if as_json:
        whole = {"folder": str(out), "network": card.text, "score": score, "epochs": len(result.curve)}
        print(json.dumps(whole, allow_nan=False))
    else:
        print(f"{ACCURACY.short} {score:.2f} % on {len(opened.val)} images; model in {out}")


def _show_epoch(epochs: int, result: Epoch) -> None:
    say_when_stopped(f"stopped; {result.epoch} of {epochs} epochs are kept, and the same command goes on")
    sys.stderr.write(
        f"epoch {result.epoch:3d}/{epochs}  train loss {result.train_loss:.4f}  "
        f"val loss {result.val_loss:.4f}  {ACCURACY.short} {result.score:6.2f} %  {result.seconds:.1f} s\n"
    )
