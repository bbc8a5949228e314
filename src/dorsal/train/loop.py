"""The training loop. There is one, and it is `fit` with `_train` and `_evaluate`.

A run is a function of (network, recipe, data, seed), the device, the precision and the numbers of threads and of
processes. On the CPU it repeats bit for bit, because nothing is carried over hidden: initialisation draws from (seed),
an epoch's order, augmentation and regularisation from (seed, epoch). A resumed run is therefore the unbroken one.

With several processes (`accelerate launch`, torchrun) each takes its part of every batch of `recipe.batch` images.
Gradients and losses are means over the images of all; batch norm sees the part of one process, and batches are mixed
within it.
"""

import math
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import DataLoader

from dorsal.data.dataset import Evaluation, ImageData, Seeded
from dorsal.nn.build import set_drop_block
from dorsal.recipe.epoch import Epoch, Step
from dorsal.recipe.text import Recipe, recipe_hash
from dorsal.spec.timm import AnyNetwork, hash_of
from dorsal.tasks.classify.loss import loss
from dorsal.tasks.classify.metric import Score
from dorsal.train import checkpoint as store
from dorsal.train.augment import batch_mixer, draws_of, seed_of, train_transform
from dorsal.train.batches import Batches
from dorsal.train.evaluate import score
from dorsal.train.model import make_model
from dorsal.train.optim import drop_block_rate, learning_rate, make_average, make_optimizer

Precision = Literal["no", "bf16"]


class Fit(msgspec.Struct, frozen=True, eq=False):
    """What came of a run. `model` is the one that was evaluated. A diverged run has the epochs before it in `curve`
    and the place in `error`. `notes` are sentences on what happened beside training."""

    status: Literal["finished", "diverged"]
    curve: tuple[Epoch, ...]
    model: nn.Module
    error: str = ""
    notes: tuple[str, ...] = ()


class _DivergedError(Exception):
    """The loss is no longer a number to descend on."""


class _Run(msgspec.Struct, frozen=True, eq=False):
    """The parts of a run in memory: `net` is the network itself, `model` the same as the loop calls it."""

    recipe: Recipe
    seed: int
    classes: int
    accelerator: Accelerator
    net: nn.Module
    model: nn.Module
    average: AveragedModel | None
    optimizer: Optimizer
    batches: Batches
    images: Seeded
    loader: DataLoader[tuple[Tensor, int]]
    validation: Evaluation

    @property
    def evaluated(self) -> nn.Module:
        return self.net if self.average is None else self.average.module


@torch.random.fork_rng(devices=[])
def fit(
    network: AnyNetwork,
    recipe: Recipe,
    data: ImageData,
    *,
    seed: int,
    device: str = "cpu",
    precision: Precision = "no",
    checkpoint: Path | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    loader_processes: int = 0,
) -> Fit:
    """Trains the network from scratch.

    `device` is "cpu", "cuda" or "mps". `checkpoint` is written after every epoch, before `on_epoch` is called, and
    resumed from where it exists; a corrupt one is renamed, noted, and the run starts over. The main process alone
    writes and reads it, and calls the callbacks; what they raise ends the run and leaves the checkpoint whole.

    Raises ValueError when network and data do not fit, the device is not there, or the checkpoint is of another run,
    and OSError when a checkpoint cannot be written. A loss that is not finite is an outcome: `Fit.status` "diverged".
    """
    _check(network, data, seed)
    run = _assemble(network, recipe, data, seed, _accelerator(device, precision), loader_processes)
    identity = _identity(network, recipe, data, seed, precision)
    curve, notes = _resume(run, checkpoint, identity)
    error = ""
    try:
        for epoch in range(len(curve), recipe.epochs):
            began = time.perf_counter()
            train_loss, rate = _train(run, epoch, on_step)
            val = _evaluate(run, epoch)
            seconds = time.perf_counter() - began
            result = Epoch(epoch + 1, train_loss, val.loss, val.accuracy, rate, seconds)
            curve.append(result)
            _save(run, checkpoint, identity, curve)
            if on_epoch is not None and run.accelerator.is_main_process:
                on_epoch(result)
    except _DivergedError as diverged:
        error = str(diverged)
    run.accelerator.unwrap_model(run.model, keep_fp32_wrapper=False)
    return Fit("diverged" if error else "finished", tuple(curve), run.evaluated, error, notes)


def _train(run: _Run, epoch: int, on_step: Callable[[Step], None] | None) -> tuple[float, float]:
    """One pass over the training images. Returns the mean loss over them and the last learning rate."""
    recipe, accelerator, batches = run.recipe, run.accelerator, run.batches
    mix = batch_mixer(recipe, run.classes)
    torch.manual_seed(seed_of(run.seed, epoch, accelerator.process_index))
    batches.epoch = epoch
    run.images.set_epoch(epoch)
    set_drop_block(run.net, drop_block_rate(recipe, epoch))
    run.model.train()
    total, rate = 0.0, 0.0
    for index, batch in enumerate(run.loader):
        rate = learning_rate(recipe, epoch * len(batches) + index, len(batches))
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        images, targets = (tensor.to(accelerator.device, non_blocking=True) for tensor in batch)
        if mix is not None:
            with draws_of(run.seed, epoch, index):
                images, targets = mix(images, targets)

        batch_loss = loss(run.model(images), targets, recipe.label_smoothing)
        # Processes may hold unequal parts of a batch, and the mean of their gradients is what is stepped along.
        part = batch_loss * (batches.share(index) / batches.size(index))
        value = float(accelerator.reduce(part.detach(), "sum"))
        if not math.isfinite(value):
            raise _DivergedError(f"loss is {value} in epoch {epoch + 1}, step {index + 1} of {len(batches)}")
        run.optimizer.zero_grad()
        accelerator.backward(part * accelerator.num_processes)
        run.optimizer.step()
        if run.average is not None:
            run.average.update_parameters(run.net)

        total += value * batches.size(index)
        if on_step is not None and accelerator.is_main_process:
            on_step(Step(epoch + 1, index + 1, len(batches)))
    return total / len(run.images), rate


def _evaluate(run: _Run, epoch: int) -> Score:
    """The score of the evaluated model on the validation split, after measuring its norms anew if the recipe says."""
    accelerator, recipe, model = run.accelerator, run.recipe, run.evaluated
    rank, world = accelerator.process_index, accelerator.num_processes
    with accelerator.autocast():
        if recipe.precise_bn:
            count = math.ceil(min(recipe.precise_bn, len(run.images)) / recipe.batch)
            update_bn(islice(run.loader, count), model, accelerator.device)
        if world > 1:  # each process has seen its own images
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(accelerator.reduce(buffer, "mean"))
        result = score(model, run.validation, run.classes, accelerator.device, rank, world)
    if not math.isfinite(result.loss):
        raise _DivergedError(f"validation loss is {result.loss} after epoch {epoch + 1}")
    return result


def _assemble(
    network: AnyNetwork, recipe: Recipe, data: ImageData, seed: int, accelerator: Accelerator, loader_processes: int
) -> _Run:
    torch.manual_seed(seed_of(seed))
    net = make_model(network, recipe)
    # On one core of an AVX-512 CPU a training step is 1.2 to 1.6 times as fast in this layout (docs/log.md).
    net = net.to(memory_format=torch.channels_last)
    average = make_average(net, recipe.ema).to(accelerator.device) if recipe.ema else None
    model = accelerator.prepare(net)
    images = Seeded(data.train, train_transform(recipe, data), seed)
    batches = Batches(len(images), recipe.batch, seed, accelerator.process_index, accelerator.num_processes)
    return _Run(
        recipe=recipe,
        seed=seed,
        classes=len(data.classes),
        accelerator=accelerator,
        net=net,
        model=model,
        average=average,
        # Not prepared: without loss scaling or accumulation Accelerate's wrapper has nothing to do, and looks for an
        # optional package twice in every step, which took half a millisecond.
        optimizer=make_optimizer(net, recipe),
        batches=batches,
        images=images,
        loader=DataLoader(
            images,
            batch_sampler=batches,
            num_workers=loader_processes,
            persistent_workers=loader_processes > 0,
            generator=torch.Generator(),  # or it draws from the global one, less often with processes than without
            pin_memory=accelerator.device.type == "cuda",
        ),
        validation=Evaluation(data.val, data.size, data.normalization, batch_size=max(recipe.batch, 64)),
    )


def _accelerator(device: str, precision: Precision) -> Accelerator:
    # Accelerate keeps one device and precision for the life of a process and refuses others; a process may hold
    # several runs. The process group of a distributed run stays.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    if accelerator.device.type != device:
        raise ValueError(f"device={device} is not there; nearest valid: {accelerator.device.type}")
    return accelerator


def _check(network: AnyNetwork, data: ImageData, seed: int) -> None:
    if network.head.classes != len(data.classes):
        raise ValueError(
            f"classes={network.head.classes} of the network, but the data have {len(data.classes)}; "
            f"nearest valid: classes={len(data.classes)}"
        )
    if network.in_channels != 3:
        raise ValueError(f"in_channels={network.in_channels}, but images are RGB; nearest valid: in_channels=3")
    if seed < 0:
        raise ValueError(f"seed={seed} is below 0; nearest valid: 0")


def _identity(
    network: AnyNetwork, recipe: Recipe, data: ImageData, seed: int, precision: Precision
) -> dict[str, str | int]:
    """What makes two runs the same run, in plain values."""
    return {
        "network": hash_of(network),
        "recipe": recipe_hash(recipe),
        "seed": seed,
        "data": data.fingerprint,
        "image size": data.size,
        "normalization": f"{data.normalization.mean} {data.normalization.std}",
        "precision": precision,
    }


def _save(run: _Run, path: Path | None, identity: dict[str, str | int], curve: list[Epoch]) -> None:
    if path is None or not run.accelerator.is_main_process:
        return
    state = {
        "curve": msgspec.to_builtins(curve),
        "model": run.net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average and run.average.state_dict(),
    }
    store.save(path, identity, state)


def _resume(run: _Run, path: Path | None, identity: dict[str, str | int]) -> tuple[list[Epoch], tuple[str, ...]]:
    """The curve so far, with the run's state set to its end, and notes.

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
        return [], notes
    run.net.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.average is not None:
        run.average.load_state_dict(state["average"])
    return msgspec.convert(state["curve"], list[Epoch]), ()
