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
from dorsal.spec.task import Classify, at, metric_of, parse_task
from dorsal.study.question import Accept, Data, Epochs, Out, TaskText, own_folder, own_recipe, recipe_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dorsal.data.spec import DataSpec
    from dorsal.recipes.epoch import Epoch
    from dorsal.recipes.recipe import Recipe
    from dorsal.spec.network import Network
    from dorsal.spec.task import AnyTask
    from dorsal.tasks.data import AnyData
    from dorsal.train.loop import Fit
    from dorsal.weights.start import StartingWeights


class TrainingRun(RunOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run, and where its model goes.

    Raises ValueError naming the field whose value cannot be.
    """

    network: Annotated[
        str,
        option(
            "A name, a name with edits, or a JSON file. It may begin from weights, NETWORK@WEIGHTS: an id or tag of "
            "`dorsal weights list`, a model's folder, or a checkpoint file.",
            metavar="NETWORK",
            argument=True,
            path=True,
        ),
    ]
    task: TaskText = "classify"
    recipe: Annotated[str, recipe_option("plain")] = ""
    data: Data = "scenes"
    epochs: Epochs = None
    seed: Annotated[int, option("Decides initialisation, order and augmentation.", least=0)] = 1
    accept: Accept = False
    threads: Annotated[int | None, option("CPU threads (default: all cores).", least=1, free=True)] = None
    out: Out = ""

    @property
    def asked_recipe(self) -> str:
        """The recipe, that of the task where none is named."""
        return self.recipe or own_recipe("plain", parse_task(self.task))

    @property
    def folder(self) -> Path:
        """Where the checkpoint, the model and its card are: `out`, or a folder of its own."""
        name = Path(self.network.partition("@")[0].partition("(")[0]).stem
        return Path(self.out) if self.out else own_folder("train", [name], self)


def train(asked: TrainingRun, as_json: AsJson = False) -> None:
    """Train one network. Interrupted, the same command goes on from the last whole epoch.

    The result is a folder that `dorsal evaluate` and `dorsal predict` take.

    Examples:
        dorsal train small --epochs 3
        dorsal train resnest50 --recipe tricks --data photos --precision bf16 --out runs/resnest50
        dorsal train resnet50@torchvision_v1 --recipe finetune --data photos
        dorsal train resnest50 --task "detect(head=cascade, masks=true)" --data coco:pets
    """
    net, weights, made, task, spec = _read(asked)
    say_when_stopped("stopped; the same command goes on")
    sys.stderr.write(f"training {asked.network} on {asked.data}; epochs: {made.epochs}; folder: {asked.folder}\n")

    from dorsal.jobs.ahead import check_model
    from dorsal.jobs.device import choose_device
    from dorsal.jobs.machine import precision_remarks  # after the quick checks: some of these import torch
    from dorsal.jobs.remarks import recipe_remarks
    from dorsal.jobs.study_file import OF_A_MODEL, refuse_others
    from dorsal.jobs.trained import save_trained, trained_card
    from dorsal.report.words.remarks import remark_sentence
    from dorsal.spec.adapt import fitted_to
    from dorsal.spec.start import split_start
    from dorsal.tasks.data import open_for
    from dorsal.weights.card import CHECKPOINT_FILE, MODEL_FILE
    from dorsal.weights.saved import check_savable
    from dorsal.zoo import written_choices

    refuse_others(asked.folder, *OF_A_MODEL)
    if (asked.folder / MODEL_FILE).is_file() and not (asked.folder / CHECKPOINT_FILE).is_file():
        raise ValueError(f"out={str(asked.folder)!r} holds a model that was not trained there; name another folder")
    device = choose_device(asked.device)
    _note(map(remark_sentence, precision_remarks(device, asked.precision)))
    opened = open_for(task, spec)
    task = at(task, opened.size)
    classes = len(opened.classes) if isinstance(task, Classify) else 0
    net = fitted_to(net, classes, opened.channels, written_choices(split_start(asked.network)[0]))
    check_model(net, task, opened.labels)
    start = None if weights is None else _start(asked, weights, net, opened)
    told = f"recipe {asked.asked_recipe}, {made.epochs} epochs, data {opened.fingerprint[:16]}, seed {asked.seed}"
    card = trained_card(net, opened, f"dorsal train: {told}", made, start.about if start else None, task)
    check_savable(asked.folder, card)
    remarks = map(remark_sentence, recipe_remarks({asked.asked_recipe: made}, len(opened.train)))
    _note((opened.summary, *opened.notes, *remarks, f"on {device} in {asked.precision}"))
    result = _fit(asked, net, made, opened, device, start, task)
    score, metric = result.curve[-1].score, metric_of(task)
    save_trained(asked.folder, result.model, card, score)
    if as_json:
        import json

        whole = {"folder": str(asked.folder), "network": card.text, "score": score, "epochs": len(result.curve)}
        print(json.dumps(whole, allow_nan=False))
    else:
        print(f"{metric.short} {score:.2f} % on {len(opened.val)} images; model in {asked.folder}")


def _read(asked: TrainingRun) -> tuple[Network, str | None, Recipe, AnyTask, DataSpec]:
    """Network, weights, recipe, task and data that the texts name."""
    import msgspec

    from dorsal.data.spec import parse_data
    from dorsal.recipes.suits import check_suits
    from dorsal.recipes.text import check_start, recipe
    from dorsal.spec.start import split_start
    from dorsal.zoo import network

    text, weights = split_start(asked.network)
    task = parse_task(asked.task)
    net, made, spec = network(text), recipe(asked.asked_recipe), parse_data(asked.data, task)
    check_suits(made, task)
    check_start(made, weights is not None)
    made = made if asked.epochs is None else msgspec.structs.replace(made, epochs=asked.epochs)
    return net, weights, made, task, spec


def _start(asked: TrainingRun, weights: str, net: Network, data: AnyData) -> StartingWeights:
    """The weights to begin from, where images are prepared as they learnt them. Tells what is not well with that."""
    from dorsal.jobs.ahead import examine_images
    from dorsal.report.words.remarks import remark_sentence
    from dorsal.weights.start import load_start

    start = load_start(weights, net)
    _note(map(remark_sentence, examine_images(asked.network, net, start, data, asked.accept)))
    return start


def _fit(
    asked: TrainingRun,
    net: Network,
    made: Recipe,
    data: AnyData,
    device: str,
    start: StartingWeights | None,
    task: AnyTask,
) -> Fit:
    """Trains, and writes the learning curve. Ends the verb where that is interrupted or diverges."""
    import msgspec
    import torch

    from dorsal.train.loop import fit
    from dorsal.weights.card import CHECKPOINT_FILE

    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    result = fit(
        net,
        made,
        data,
        seed=asked.seed,
        device=device,
        precision=asked.precision,
        micro_batch=asked.micro_batch,
        checkpoint=asked.folder / CHECKPOINT_FILE,
        on_epoch=partial(_show_epoch, made.epochs, metric_of(task).short),
        loader_processes=asked.loader_processes,
        start=start,
        task=task,
    )
    _note(result.notes)
    (asked.folder / "curve.json").write_bytes(msgspec.json.format(msgspec.json.encode(result.curve)))
    if result.status == "diverged":
        sys.stderr.write(f"diverged: {result.error}\n")
        sys.exit(1)
    return result


def _note(notes: Iterable[str]) -> None:
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def _show_epoch(epochs: int, score: str, result: Epoch) -> None:
    say_when_stopped(f"stopped; {result.epoch} of {epochs} epochs are kept, and the same command goes on")
    val = "" if result.val_loss is None else f"val loss {result.val_loss:.4f}  "
    sys.stderr.write(
        f"epoch {result.epoch:3d}/{epochs}  train loss {result.train_loss:.4f}  "
        f"{val}{score} {result.score:6.2f} %  {result.seconds:.1f} s\n"
    )
