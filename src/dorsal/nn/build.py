"""Network → torch module, from the same layer records that costs are counted on."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torchvision.ops import DropBlock2d, FrozenBatchNorm2d

from dorsal.language.files import PathLike
from dorsal.language.reader import suggest
from dorsal.nn.backbone import Classifier
from dorsal.nn.blocks import ResidualBlock
from dorsal.nn.layers import DeformConv
from dorsal.spec.network import Network
from dorsal.zoo import network as read_network

NormPolicy = Literal["train", "frozen", "sync"]
POLICIES: tuple[NormPolicy, ...] = ("train", "frozen", "sync")


def build(
    network: Network | PathLike,
    *,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    dropout: float = 0.0,
    zero_init: bool = False,
    norm_policy: NormPolicy = "train",
) -> Classifier:
    """A freshly initialised module of the network, a value or text, on torch's default device.

    `with torch.device(...)` chooses another; meta works.

    - `drop_path`: stochastic depth, probability at the last block, growing linearly from 0 (arXiv 1603.09382).
    - `drop_block`: DropBlock (arXiv 1810.12890) with 3x3 squares in the last two stages; see `set_drop_block`.
    - `dropout`: before the classifier.
    - `zero_init`: the last norm's scale of every residual branch starts at 0, so each block starts as its shortcut.
    - `norm_policy`: what every batch norm does in training: use its batch, stay `frozen`, or `sync` with all processes.

    Every family is initialised alike: convolutions normal with std sqrt(2 / (k*k*C_out)) (arXiv 1502.01852, fan out,
    groups not divided: as pycls), classifier normal with std 0.01, norms 1 and 0, biases 0.

    Raises ValueError for a probability outside [0, 1), or a policy that the network's norm does not have, and as
    `dorsal.network` does.
    """
    network = read_network(network)
    for name, rate in (("drop_path", drop_path), ("drop_block", drop_block), ("dropout", dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name}={rate} must be at least 0 and below 1")
    if norm_policy not in POLICIES:
        raise ValueError(f"norm_policy={norm_policy!r} is not known{suggest(norm_policy, POLICIES)}")
    if norm_policy != "train" and network.norm != "batch":
        raise ValueError(f"norm_policy={norm_policy} is for batch norm and this network has norm={network.norm}")
    device = torch.get_default_device()
    with torch.device("meta"):  # nothing is initialised twice
        norm = network.norm if norm_policy == "train" else norm_policy
        model = Classifier(network, norm, drop_path, drop_block, dropout)
    if device.type != "meta":
        model.to_empty(device=device)
        initialise(model, zero_init)
    return model


def set_drop_block(model: nn.Module, probability: float) -> None:
    """Sets the probability of every DropBlock in the model, as a schedule does during training."""
    for module in model.modules():
        if isinstance(module, DropBlock2d):
            module.p = probability


def initialise(model: nn.Module, zero_init: bool = False) -> None:
    """Fills the parameters and statistics of the model and of all modules in it, as `build` says."""
    for module in model.modules():
        match module:
            case nn.Conv2d() | DeformConv():
                fan_out = module.weight.shape[0] * module.weight.shape[2] * module.weight.shape[3]
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            case nn.BatchNorm2d() | nn.GroupNorm():
                module.reset_parameters()
            case FrozenBatchNorm2d():
                for name, buffer in module.named_buffers():
                    buffer.fill_(float(name in ("weight", "running_var")))
            case nn.Linear():
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
            case _:
                pass
    for module in model.modules():
        match module:
            case DeformConv():
                nn.init.zeros_(module.offset.weight)
            case ResidualBlock() if zero_init:
                nn.init.zeros_(getattr(module.expand.norm, "weight"))  # noqa: B009 - a parameter, or frozen a buffer
            case _:
                pass
