"""What is set up beside a network to train it: optimizer, weight decay, schedules, moving average."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from dorsal.nn.backbone import Classifier
from dorsal.nn.timm import TimmBackbone
from dorsal.recipes.recipe import Recipe
from dorsal.tasks.trunk import OnTrunk

POWER = 0.9
"""Of the "poly" schedule."""
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The parameters that learn, by their share of the learning rate and by whether they decay.

    With `decay_on="weights"` no bias and nothing of a norm decays. `share` is 1 for the head, and for a level of the
    trunk `trunk_rate` times `level_decay` for each step from the head down. Only a recipe with such rates asks the
    model for its levels.
    """
    shares = _shares(model, recipe)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            spare = recipe.decay_on == "weights" and (name == "bias" or isinstance(module, NORMS))
            share = shares.get(f"{prefix}.{name}" if prefix else name, 1.0)
            groups.setdefault((share, not spare), []).append(parameter)
    return [
        {"params": groups[share, decays], "weight_decay": recipe.weight_decay * decays, "share": share}
        for share, decays in sorted(groups, reverse=True)
    ]


def _shares(model: nn.Module, recipe: Recipe) -> dict[str, float]:
    """Each parameter's share of the learning rate, where the recipe has several."""
    if recipe.trunk_rate == recipe.level_decay == 1:
        return {}
    assert isinstance(model, (Classifier, TimmBackbone, OnTrunk))
    head = model.level_count
    return {
        name: 1.0 if level == head else recipe.trunk_rate * recipe.level_decay ** (head - level)
        for name, level in model.parameter_levels().items()
    }


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over the parameters that learn; `learning_rate` times a group's "share" is its rate."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "adamw":
        return AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.optimizer == "nesterov")


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate of optimizer step `step`, counted from 0 over the whole training."""
    if recipe.lr_per == "epoch":
        step -= step % steps_per_epoch
    epoch = step / steps_per_epoch
    if recipe.schedule == "cosine":
        start = recipe.warmup_epochs if recipe.cosine_starts_at == "warmup_end" else 0
        gone = max(epoch - start, 0) / (recipe.epochs - start)
        factor = (1 + math.cos(math.pi * gone)) / 2
    elif recipe.schedule == "poly":
        factor = (1 - step / (steps_per_epoch * recipe.epochs)) ** POWER
    else:
        gone = step / (steps_per_epoch * recipe.epochs)
        factor = 0.1 ** sum(gone >= share for share in recipe.steps)
    if epoch < recipe.warmup_epochs:
        factor *= recipe.warmup_from + (1 - recipe.warmup_from) * epoch / recipe.warmup_epochs
    return recipe.lr * factor


def drop_block_rate(recipe: Recipe, epoch: int) -> float:
    """DropBlock's probability in `epoch`, counted from 0: 0 in the first, the recipe's in the last."""
    return recipe.drop_block * epoch / max(recipe.epochs - 1, 1)


def make_average(model: nn.Module, decay: float) -> AveragedModel:
    """A moving average of parameters and buffers, to be updated after every step.

    After update n it has decayed by min(decay, n / (9 + n)), which is the rule of TensorFlow's
    ExponentialMovingAverage: a short run is not spent forgetting the initial weights. The first update copies.
    """

    def update(averages: PARAM_LIST, values: PARAM_LIST, updates: Tensor | int) -> None:
        n = int(updates) + 1
        get_ema_multi_avg_fn(min(decay, n / (9 + n)))(averages, values, updates)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
