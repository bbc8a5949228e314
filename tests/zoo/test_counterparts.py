"""Parameters, multiply-adds and activations of every network against those of every other implementation of it.

All of them: `pytest -m "slow or not slow" tests/zoo/test_counterparts.py`.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dorsal.spec.cost import cost
from dorsal.zoo import NETWORKS, named
from tests.nn.oracles import oracles

QUICK_MACS = 3e9
PAIRS = [
    pytest.param(
        name,
        oracle,
        id=f"{name}-{oracle.package}",
        marks=() if index == 0 and cost(net).macs < QUICK_MACS else pytest.mark.slow,
    )
    for name, net in NETWORKS.items()
    for index, oracle in enumerate(oracles(name))
    if name != "resnest200_dcn"  # whose deformable convolution by hand is nine of 1x1
]


@pytest.mark.parametrize(("name", "oracle"), PAIRS)
def test_cost_is_that_of_the_other_implementation(name, oracle):
    if oracle.package not in ("by hand", "torchvision"):
        pytest.importorskip(oracle.package, reason=f"{oracle.package} is not installed")
    with torch.device("meta"):
        model = oracle.make(32).eval().to("meta")
        images = torch.empty(1, 3, 224, 224)
    elements = 0

    def add(module, inputs, output):
        nonlocal elements
        elements += output.numel()

    for key, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and key != "fc":  # DLA's classifier is a 1x1 convolution
            module.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    found = cost(named(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == found.params
    assert counter.get_total_flops() == 2 * found.macs
    assert elements == found.activations
