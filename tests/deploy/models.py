"""Models with random weights and running statistics, so that no norm does nothing."""

import torch
from torch import nn

from dorsal.nn.layers import DeformConv


def randomised(model: nn.Module) -> nn.Module:
    """The model in evaluation mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, DeformConv):  # at first no place is moved
            nn.init.normal_(module.offset.weight, 0, 0.1)
            assert module.offset.bias is not None
            nn.init.normal_(module.offset.bias)
    return model.eval()
