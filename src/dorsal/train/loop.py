"""The training loop. There is one, and it is `fit` with `_train` and `_evaluate`.

A run is a function of (network, recipe, data, seed), the device, the precision and the numbers of threads and of
processes. On the CPU it repeats bit for bit, because nothing is carried over hidden: initialisation draws from (seed),
an epoch's order, augmentation and regularisation from (seed, epoch). A resumed run is therefore the unbroken one.

With several processes (`accelerate launch`, torchrun) each takes its part of every batch of `recipe.batch` images.
Gradients and losses are means over the images of all; batch norm sees the part of one process, and batches are mixed
within it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, send_to_device
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import DataLoader

from dorsal.data.sampling import draws_of, seed_of
from dorsal.data.spec import DataSpec
from dorsal.data.split import ImageData
from dorsal.language.fields import show
from dorsal.language.files import PathLike, as_path
from dorsal.language.reader import whole_number
from dorsal.nn.build import set_drop_block
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.recipe import Precision
from dorsal.recipes.suits import check_suits
from dorsal.recipes.text import Recipe, check_start
from dorsal.recipes.text import recipe as read_recipe
from dorsal.spec.adapt import fitted_to
from dorsal.spec.network import Network
from dorsal.spec.start import split_start
from dorsal.spec.task import AnyTask, Classify, any_task, at, task_text
from dorsal.spec.text import choices_of
from dorsal.spec.timm import AnyNetwork, TimmNetwork, timm_text
from dorsal.tasks.classify.augment import batch_mixer
from dorsal.tasks.data import AnyData, open_for
from dorsal.tasks.method import Method, Validation, method_of
from dorsal.tasks.model import Trainable
from dorsal.tasks.score import Evidence, NotFiniteError, Score, Scorer
from dorsal.tasks.training import Training
from dorsal.train import checkpoint as store
from dorsal.train.batches import Batches
from dorsal.train.evaluate import scored
from dorsal.train.optim import drop_block_rate, learning_rate, make_average, make_optimizer
from dorsal.weights.start import StartingWeights, load_start
from dorsal.zoo import any_network, written_choices

_STEPS_BETWEEN_READS = 50
_Found = tuple[Score, Evidence]


class Fit(msgspec.Struct, frozen=True, eq=False):
    """What came of a run. `model` is the one that was evaluated. A diverged run has the epochs before it in `curve`
    and the place in `error`. `score` and `evidence` are of the last epoch's evaluation, None of a diverged run. `notes`
    are sentences on what happened beside training."""

    status: Literal["finished", "diverged"]
    curve: tuple[Epoch, ...]
    model: nn.Module
    score: Score | None = None
    evidence: Evidence | None = None
    error: str = ""
    notes: tuple[str, ...] = ()


class _DivergedError(Exception):
    """The loss is no longer a number to descend on."""


class _Run(msgspec.Struct, frozen=True, eq=False):
    """The parts of a run in memory: `net` is the network itself, `model` the same as the loop calls it."""

    recipe: Recipe
    seed: int
    classes: int
    method: Method
    micro_batch: int
    accelerator: Accelerator
    net: Trainable
    model: nn.Module
    average: AveragedModel | None
    optimizer: Optimizer
    batches: Batches
    training: Training
    loader: DataLoader[Any]
    validation: Validation

    @property
    def evaluated(self) -> nn.Module:
        return self.net if self.average is None else self.average.module


@torch.random.fork_rng(devices=[])
def fit(
    network: AnyNetwork | PathLike,
    recipe: Recipe | PathLike,
    data: AnyData | DataSpec | PathLike,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
    checkpoint: PathLike | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    loader_processes: int = 0,
    micro_batch: int | None = None,
    task: AnyTask | str = Classify(),
    start: StartingWeights | PathLike | None = None,
) -> Fit:
    """Trains the network for a task, from scratch or from weights.

    Network, recipe, data and task are values or texts, some of them paths. A network that is given as text gets the
    classes and channels of the data; a value must have them. For all tasks but classification only its trunk is
    used, and what the task leaves open is filled in by the size of the images (`spec.task.at`).

    `start` names weights: the id or tag of published ones, a model's folder or a checkpoint file; a text may name them
    too, as in `resnet50@torchvision_v1`. The classifier is new all the same, and images are prepared as for the weights
    where that is known.

    `device` is "cpu", "cuda" or "mps". `checkpoint` is written after every epoch, before `on_epoch` is called, and
    resumed from where it exists; a corrupt one is renamed, noted, and the run starts over. The main process alone
    writes and reads it, and calls the callbacks; what they raise ends the run and leaves the checkpoint whole.

    `micro_batch` is the largest number of images that a process holds at a time: the gradients of a larger batch are
    added up over several passes before each step. The result is that of the whole batch but for batch norm, which sees
    one micro-batch, for the draws of dropout, drop path and boxes to learn from, and for losses that are means over
    pixels or boxes: of each micro-batch, and then over micro-batches by their images.

    Raises ValueError when network and data do not fit, the device is not there, or the checkpoint is of another run,
    and OSError when a checkpoint cannot be written. A loss that is not finite is an outcome: `Fit.status` "diverged".
    """
    task = any_task(task)
    recipe = read_recipe(recipe)
    check_suits(recipe, task)
    data = open_for(task, data)
    task = at(task, data.size)
    network, start = _network_for(data, network, start, task)
    check_start(recipe, start is not None)
    data = data if start is None else data.prepared_as(start.about.preprocessing)
    device, seed = str(device), whole_number("seed", seed)
    path = None if checkpoint is None else as_path("checkpoint", checkpoint)
    _check(network, data, seed, micro_batch, task)
    train = data.train if isinstance(data, ImageData) else None
    method = method_of(task, data.labels, train)
    accelerator = _accelerator(device, precision, recipe.head_epochs > 0 or _leaves_unused(network, task))
    size = micro_batch or recipe.batch
    if recipe.norm == "sync" and size < recipe.batch and accelerator.num_processes > 1:
        raise ValueError(
            f"micro_batch={size} does not go with norm=sync in several processes: norms wait for each other in every "
            "pass, and processes may have unequal numbers of these; leave one of them out"
        )
    run = _assemble(network, recipe, data, seed, method, accelerator, loader_processes, size, start)
    identity = _identity(network, recipe, data, seed, precision, run.micro_batch, start, task)
    curve, found, notes = _resume(run, path, identity)
    error = ""
    try:
        for epoch in range(len(curve), recipe.epochs):
            began = time.perf_counter()
            train_loss, rate = _train(run, epoch, on_step)
            scorer = _evaluate(run, epoch)
            val = scorer.score()
            seconds = time.perf_counter() - began
            result = Epoch(epoch + 1, train_loss, val.loss, val.score, rate, seconds)
            curve.append(result)
            found = (val, scorer.evidence()) if epoch + 1 == recipe.epochs else None
            _save(run, path, identity, curve, found)
            if on_epoch is not None and run.accelerator.is_main_process:
                on_epoch(result)
    except _DivergedError as diverged:
        error = str(diverged)
    run.accelerator.unwrap_model(run.model, keep_fp32_wrapper=False)
    if found is None:
        return Fit("diverged", tuple(curve), run.evaluated, error=error, notes=notes)
    return Fit("finished", tuple(curve), run.evaluated, *found, notes=notes)


def _train(run: _Run, epoch: int, on_step: Callable[[Step], None] | None) -> tuple[float, float]:
    """One pass over the training images. Returns the mean loss over them and the last learning rate.

    Losses stay on the device and are read every `_STEPS_BETWEEN_READS` steps, for reading one makes the host wait until
    the device has made the step. A loss that is not finite ends the run then, and is reported with its own step.
    """
    recipe, accelerator, batches = run.recipe, run.accelerator, run.batches
    mix = batch_mixer(recipe, run.classes)
    torch.manual_seed(seed_of(run.seed, epoch, accelerator.process_index))
    batches.epoch = epoch
    run.training.items.set_epoch(epoch)
    set_drop_block(run.net, drop_block_rate(recipe, epoch))
    _thaw(run, epoch)
    run.model.train()
    total, rate = 0.0, 0.0
    unread: list[Tensor] = []
    for index, batch in enumerate(run.loader):
        rate = learning_rate(recipe, epoch * len(batches) + index, len(batches))
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        images, targets = send_to_device(batch, accelerator.device, non_blocking=True)
        if mix is not None:
            with draws_of(run.seed, epoch, index):
                images, targets = mix(images, targets)

        run.optimizer.zero_grad()
        unread.append(_descend(run, images, targets, batches.share(index) / batches.size(index)))
        if recipe.clip:
            accelerator.clip_grad_norm_(run.net.parameters(), recipe.clip)
        run.optimizer.step()
        if run.average is not None:
            run.average.update_parameters(run.net)

        if len(unread) == _STEPS_BETWEEN_READS or index + 1 == len(batches):
            total += _read(run, epoch, index + 1 - len(unread), unread)
            unread = []
        if on_step is not None and accelerator.is_main_process:
            on_step(Step(epoch + 1, index + 1, len(batches)))
    return total / run.training.length, rate


def _thaw(run: _Run, epoch: int) -> None:
    """Lets learn what the recipe says, where it begins with the classifier alone."""
    recipe, net = run.recipe, run.net
    if epoch <= recipe.head_epochs and recipe.head_epochs:
        net.freeze(net.level_count if epoch < recipe.head_epochs else int(recipe.freeze))


def _descend(run: _Run, images: Tensor, targets: Any, share: float) -> Tensor:
    """Adds up the gradients of this process's part of a batch, and returns its part of the batch's loss.

    `share` is the part's share of the images: processes may hold unequal parts, and the mean of their gradients is what
    is stepped along.
    """
    accelerator, count, losses = run.accelerator, len(images), []
    pieces = range(0, count, run.micro_batch)
    for start in pieces:
        piece = slice(start, start + run.micro_batch)
        last = start == pieces[-1]
        with contextlib.nullcontext() if last else accelerator.no_sync(run.model):
            terms = run.method.losses(run.model, images[piece], _rows(targets, piece), run.recipe)
            loss = functools.reduce(operator.add, terms.values())
            # Multiplied by 1.0 only where there is one piece, which leaves the loss as it is.
            part = loss * (share * (len(images[piece]) / count))
            accelerator.backward(part * accelerator.num_processes)
        losses.append(part.detach())
    return functools.reduce(operator.add, losses)


def _rows(targets: Any, piece: slice) -> Any:
    """The targets of some images: of a tensor, or of each tensor of a named tuple."""
    if isinstance(targets, Tensor):
        return targets[piece]
    return type(targets)(*(None if each is None else each[piece] for each in targets))


def _read(run: _Run, epoch: int, first: int, losses: list[Tensor]) -> float:
    """The sum over images of the losses of these steps, of which `first` is the first, from 0."""
    total = 0.0
    values: list[float] = run.accelerator.reduce(torch.stack(losses), "sum").tolist()
    for index, value in enumerate(values, start=first):
        if not math.isfinite(value):
            raise _DivergedError(f"loss is {value} in epoch {epoch + 1}, step {index + 1} of {len(run.batches)}")
        total += value * run.batches.size(index)
    return total


def _evaluate(run: _Run, epoch: int) -> Scorer:
    """What the evaluated model says on the validation split, after measuring its norms anew if the recipe says."""
    accelerator, recipe, model = run.accelerator, run.recipe, run.evaluated
    rank, world = accelerator.process_index, accelerator.num_processes
    with accelerator.autocast():
        if recipe.precise_bn:
            count = math.ceil(min(recipe.precise_bn, run.training.length) / recipe.batch)
            update_bn(islice(run.loader, count), model, accelerator.device)
        if world > 1:  # each process has seen its own images
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(accelerator.reduce(buffer, "mean"))
        try:
            scorer = scored(run.method, model, run.validation, accelerator.device, rank, world)
        except NotFiniteError as error:
            raise _DivergedError(f"after epoch {epoch + 1} {error}") from None
    loss = scorer.score().loss
    if loss is not None and not math.isfinite(loss):
        raise _DivergedError(f"validation loss is {loss} after epoch {epoch + 1}")
    return scorer


def _assemble(
    network: AnyNetwork,
    recipe: Recipe,
    data: AnyData,
    seed: int,
    method: Method,
    accelerator: Accelerator,
    loader_processes: int,
    micro_batch: int,
    start: StartingWeights | None,
) -> _Run:
    torch.manual_seed(seed_of(seed))
    net = method.build(network, recipe, start)
    # On one core of an AVX-512 CPU a training step is 1.2 to 1.6 times as fast in this layout (docs/log.md).
    net = net.to(memory_format=torch.channels_last)
    average = make_average(net, recipe.ema).to(accelerator.device) if recipe.ema else None
    model = accelerator.prepare(net)
    training = method.training(recipe, data, seed)
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = Batches(training.length, recipe.batch, training.orders, rank, world)
    return _Run(
        recipe=recipe,
        seed=seed,
        classes=len(data.classes),
        method=method,
        micro_batch=micro_batch,
        accelerator=accelerator,
        net=net,
        model=model,
        average=average,
        # Not prepared: without loss scaling or accumulation Accelerate's wrapper has nothing to do, and looks for an
        # optional package twice in every step, which took half a millisecond.
        optimizer=make_optimizer(net, recipe),
        batches=batches,
        training=training,
        loader=DataLoader(
            training.items,
            batch_sampler=batches,
            collate_fn=training.collate,
            num_workers=loader_processes,
            persistent_workers=loader_processes > 0,
            generator=torch.Generator(),  # or it draws from the global one, less often with processes than without
            pin_memory=accelerator.device.type == "cuda",
        ),
        validation=method.validation(data, max(recipe.batch, 64) if isinstance(data, ImageData) else recipe.batch),
    )


def _leaves_unused(network: AnyNetwork, task: AnyTask) -> bool:
    """Whether parameters of the network stay without a gradient: of timm's the classifier is part of the trunk."""
    return isinstance(network, TimmNetwork) and not isinstance(task, Classify)


def _accelerator(device: str, precision: Precision, thaws: bool) -> Accelerator:
    # Accelerate keeps one device and precision for the life of a process and refuses others; a process may hold
    # several runs. The process group of a distributed run stays.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bf16" else "no",
        # Where the classifier learns alone at first, the other parameters have no gradient yet.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)] if thaws else None,
    )
    if accelerator.device.type != device:
        raise ValueError(f"device={device} is not there; nearest valid: {accelerator.device.type}")
    return accelerator


def _network_for(
    data: AnyData, network: AnyNetwork | PathLike, start: StartingWeights | PathLike | None, task: AnyTask
) -> tuple[AnyNetwork, StartingWeights | None]:
    """The network, one that is given as text fitted to the data, and the weights that it begins from."""
    if isinstance(network, str):
        text, named = split_start(network)
        if named and start is not None:
            raise ValueError(f"start={start!r} and {network!r} both name weights; leave one out")
        start = named or start
        classes = len(data.classes) if isinstance(task, Classify) else 0
        network = fitted_to(any_network(text), classes, data.channels, written_choices(text))
    network = any_network(network)
    if start is None or isinstance(start, StartingWeights):
        return network, start
    return network, load_start(str(as_path("start", start)), network)


def _check(network: AnyNetwork, data: AnyData, seed: int, micro_batch: int | None, task: AnyTask) -> None:
    if isinstance(task, Classify) and network.head.classes != len(data.classes):
        raise ValueError(
            f"classes={network.head.classes} of the network, but the data have {len(data.classes)}; "
            f"nearest valid: classes={len(data.classes)}"
        )
    if network.in_channels != data.channels:
        raise ValueError(
            f"in_channels={network.in_channels} of the network, but the images have {data.channels}; "
            f"nearest valid: in_channels={data.channels}"
        )
    if micro_batch is not None and micro_batch < 1:
        raise ValueError(f"micro_batch={micro_batch} is below 1; nearest valid: 1")
    if seed < 0:
        raise ValueError(f"seed={seed} is below 0; nearest valid: 0")


def _identity(
    network: AnyNetwork,
    recipe: Recipe,
    data: AnyData,
    seed: int,
    precision: Precision,
    micro_batch: int,
    start: StartingWeights | None,
    task: AnyTask,
) -> dict[str, str | int]:
    """What makes two runs the same run, in plain values that a message can show."""
    if isinstance(network, Network):
        choices = {f"{name} of the network": show(value) for name, value in choices_of(network).items()}
    else:
        choices = {"the network": timm_text(network)}
    return {
        **choices,
        **{f"{name} of the recipe": show(value) for name, value in msgspec.structs.asdict(recipe).items()},
        "task": task_text(task),
        "seed": seed,
        "fingerprint of the data": data.fingerprint[:16],
        "image size": data.size,
        "normalization": f"{data.normalization.mean} {data.normalization.std}",
        "precision": precision,
        "micro-batch": min(micro_batch, recipe.batch),
        "start": start.about.sha256[:16] if start else "none",
    }


def _save(
    run: _Run, path: Path | None, identity: dict[str, str | int], curve: list[Epoch], found: _Found | None
) -> None:
    """Writes the checkpoint; the last one has what was `found`, for measuring norms anew would find something else."""
    if path is None or not run.accelerator.is_main_process:
        return
    state = {
        "curve": msgspec.to_builtins(curve),
        "model": run.net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average and run.average.state_dict(),
        "score": found and msgspec.to_builtins(found[0]),
        "evidence": found and {name: torch.from_numpy(column) for name, column in found[1].items()},
    }
    store.save(path, identity, state)


def _resume(
    run: _Run, path: Path | None, identity: dict[str, str | int]
) -> tuple[list[Epoch], _Found | None, tuple[str, ...]]:
    """The curve so far, with the run's state set to its end, what was found in the last epoch, and notes.

    The main process, which writes the checkpoint, reads it for all: others may have no folder in common with it.
    """
    state: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    if path is not None and run.accelerator.is_main_process and path.exists():
        try:
            state = store.load(path, identity)
        except store.CorruptError as corrupt:
            notes = (f"{corrupt}; it is kept as {store.set_aside(path).name}, and the run started over",)
    [state] = broadcast_object_list([state])
    if state is None:
        return [], None, notes
    run.net.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.average is not None:
        run.average.load_state_dict(state["average"])
    found = None
    if state["score"] is not None:
        evidence = {name: column.numpy() for name, column in state["evidence"].items()}
        found = (msgspec.convert(state["score"], Score), evidence)
    return msgspec.convert(state["curve"], list[Epoch]), found, ()
