"""Hooks on any module of any family: they neither fail nor change anything, and what they keep is not overwritten."""

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from dorsal.nn.backbone import StemModule
from dorsal.nn.build import build
from dorsal.zoo import network
from tests.nn.test_forms import close, costly, families, made

IMAGES = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


UNUSED = {nn.Identity, StochasticDepth}
"""What a block without a residual, or a tree that does not keep its input, has and does not call."""


def model_of(family, training):
    return made(family, drop_path=0.5, dropout=0.1).double().train(training)


def run(model):
    """The answer, and gradients by the images and all parameters."""
    torch.manual_seed(0)
    images = IMAGES.clone().requires_grad_()
    answer = model(images)
    weights = torch.randn(answer.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return [answer, *torch.autograd.grad((answer * weights).sum(), [images, *model.parameters()])]


def check(mine, others):
    for one, other in zip(mine, others, strict=True):
        assert close(one, other, 1e-7) or other.abs().max() < 1e-9


def called_modules(model):
    """All but those that only hold others."""
    return [module for module in model.modules() if not isinstance(module, nn.ModuleList | StemModule)]


def check_backward_hooks(family, training):
    expected = run(model_of(family, training))
    model = model_of(family, training)
    fired: set[nn.Module] = set()
    for module in model.modules():
        module.register_full_backward_hook(lambda module, *_: fired.add(module))
        module.register_full_backward_pre_hook(lambda *_: None)
    check(run(model), expected)
    assert {type(module) for module in set(called_modules(model)) - fired} <= UNUSED


@families
def test_full_backward_hooks_on_every_module_in_training(family):
    check_backward_hooks(family, training=True)


@costly
def test_full_backward_hooks_on_every_module_in_evaluation(family):
    check_backward_hooks(family, training=False)


@pytest.mark.parametrize("training", [True, False])
@costly
def test_a_full_backward_hook_on_all_modules_at_once(family, training):
    expected = run(model_of(family, training))
    handle = nn.modules.module.register_module_full_backward_hook(lambda *_: None)
    try:
        check(run(model_of(family, training)), expected)
    finally:
        handle.remove()


@pytest.mark.parametrize("start", range(11))
@costly
def test_what_forward_hooks_keep_is_not_overwritten(family, start):
    """Every 11th module is watched, so that of modules that hand on the same map only one is: they stand together."""
    model = model_of(family, training=False)
    kept = []
    for module in called_modules(model)[start::11]:
        module.register_forward_hook(lambda _, inputs, output: kept.extend(copied(*inputs, output)))
    with torch.no_grad():
        model(IMAGES)
    assert kept
    assert all(torch.equal(value, copy) for value, copy in kept)


def copied(*values):
    return [(value, value.clone()) for value in values]


def test_maps_are_overwritten_where_nobody_watches():
    """A tensor counts how often it was written over."""
    block, x = model_of("resnet", training=False).stages[0][0], torch.randn(2, 64, 8, 8, dtype=torch.float64)
    assert block.reduce_drop(block.mixer(x))._version == 1  # the activation
    assert block(x)._version == 2  # the sum and the activation
    handle = block.expand_drop.register_forward_hook(lambda *_: None)
    assert block(x)._version == 1
    handle.remove()
    block.act.register_forward_pre_hook(lambda *_: None)
    assert block(x)._version == 0


def test_an_input_is_not_overwritten_by_a_block_that_was_emptied():
    block, x = build(network("resnet18")).eval().double().stages[0][0], torch.randn(2, 64, 8, 8, dtype=torch.float64)
    block.mixer = nn.Identity()
    for name in ("conv", "norm"):
        setattr(block.expand, name, nn.Identity())
    before = x.clone()
    assert torch.equal(block(x), (2 * before).relu())
    assert torch.equal(x, before)
