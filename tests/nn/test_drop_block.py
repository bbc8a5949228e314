"""DropBlock on maps of any size."""

import pytest
import torch

from dorsal.nn.build import build
from dorsal.zoo import network


@pytest.mark.parametrize("side", [32, 33, 64, 128])
def test_maps_of_any_size_can_be_dropped_from(side: int) -> None:
    """The last maps of these images are of 1, 2, 2 and 4 pixels a side; torchvision refuses squares of 2."""
    torch.manual_seed(0)
    model = build(network("resnet18(widths=[8, 8, 8, 8])"), drop_block=0.5)
    output = model.train()(torch.randn(4, 3, side, side))
    output.sum().backward()
    assert output.isfinite().all()
    assert all(parameter.grad is not None for parameter in model.parameters())
