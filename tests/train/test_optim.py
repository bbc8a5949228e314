import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dorsal.nn.build import build
from dorsal.recipes.text import NAMED, Recipe, recipe
from dorsal.train.optim import drop_block_rate, learning_rate, make_optimizer, parameter_groups
from dorsal.zoo import named, network


def test_regnet_rate_of_every_epoch() -> None:
    # pycls: lr = 0.8 * (1 + cos(pi e / 100)) / 2, times 0.1 + 0.9 e / 5 in the first five epochs, once per epoch
    regnet = NAMED["regnet-100ep"]
    for epoch in range(100):
        expected = 0.4 * (1 + math.cos(math.pi * epoch / 100))
        if epoch < 5:
            expected *= 0.1 * (1 - epoch / 5) + epoch / 5
        for step in (0, 3, 6):
            assert learning_rate(regnet, 7 * epoch + step, 7) == pytest.approx(expected)


def test_resnest_rate_of_some_steps() -> None:
    resnest = NAMED["resnest"]
    rates = [learning_rate(resnest, step, 10) for step in (0, 25, 50, 50 + 1325, 2699)]
    assert rates == pytest.approx([0, 1.6, 3.2, 1.6, 3.2 * (1 - math.cos(math.pi / 2650)) / 2])


def test_res2net_falls_tenfold_every_thirty_epochs() -> None:
    rates = [learning_rate(NAMED["res2net"], 3 * epoch, 3) for epoch in (0, 29, 30, 59, 60, 89, 90, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


@given(st.integers(1, 40), st.integers(1, 30), st.floats(0, 0.99), st.sampled_from(["start", "warmup_end"]))
def test_rate_rises_through_warm_up_then_falls(epochs: int, steps: int, warm: float, start: str) -> None:
    made = Recipe(epochs=epochs, warmup_epochs=warm * epochs, cosine_starts_at=start, lr=1.0)
    rates = [learning_rate(made, step, steps) for step in range(epochs * steps)]
    after = [rate for step, rate in enumerate(rates) if step / steps >= made.warmup_epochs]
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(early >= late for early, late in pairwise(after))


def test_drop_block_grows_linearly_over_epochs() -> None:
    made = Recipe(epochs=5, drop_block=0.2)
    assert [drop_block_rate(made, epoch) for epoch in range(5)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert drop_block_rate(msgspec.structs.replace(made, epochs=1, warmup_epochs=0), 0) == 0


NETWORKS = (
    "resnet18",
    "resnet50(mixer=conv(deformable=true))",
    "resnest50",
    "res2net50_26w_4s",
    "skresnet50",
    "regnety_002",
    "resnet18(norm=group)",
)


@pytest.mark.parametrize("text", NETWORKS)
def test_decay_spares_norms_and_biases_of_every_family(text: str) -> None:
    import torch

    with torch.device("meta"):
        model = build(network(text))
    groups = parameter_groups(model, NAMED["resnest"])
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    spared = {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    everything = {id(p): p for p in model.parameters()}
    assert decayed | spared == everything.keys()
    assert not decayed & spared
    # Weights of convolutions and linear layers are the parameters with more than one axis, whatever their names.
    assert decayed == {key for key, p in everything.items() if p.ndim > 1}


def test_decay_of_all_parameters_is_one_group() -> None:
    model = build(named("resnet20"))
    (group,) = parameter_groups(model, NAMED["res2net"])
    assert (len(group["params"]), group["weight_decay"]) == (len(list(model.parameters())), 1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain(optimizer=sgd, momentum=0.8)", ("SGD", 0.8, False)),
        ("plain(optimizer=nesterov)", ("SGD", 0.9, True)),
        ("plain(optimizer=adamw, momentum=0.7)", ("AdamW", (0.7, 0.999), None)),
    ],
)
def test_optimisers(text: str, expected: tuple[object, ...]) -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), recipe(text))
    group = optimizer.param_groups[0]
    momentum = group.get("momentum", group.get("betas"))
    assert (type(optimizer).__name__, momentum, group.get("nesterov")) == expected
