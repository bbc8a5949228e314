"""Puts weights into a network: those that fit, with an adapted stem and a new classifier where they do not."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from dorsal.nn.backbone import Classifier
from dorsal.nn.build import initialise
from dorsal.spec.network import Network
from dorsal.zoo import text_of

FIRST_CONVOLUTION = "stem.convs.0.conv.weight"


def fill(model: Classifier, own: Network, state: dict[str, Tensor]) -> None:
    """Puts the weights of the network `own` into a model on the meta device, and initialises what these do not have.

    The classifier is new where the number of classes differs. Raises ValueError where the weights cannot be adapted to
    the model's input channels, or have other tensors than it.
    """
    device = torch.get_default_device()
    target = model.network
    state = dict(state)
    new = set()
    if target.head.classes != own.head.classes:
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        new = {"fc.weight", "fc.bias"} if target.head.classes else set()
    if target.in_channels != own.in_channels:
        if own.in_channels != 3:
            raise ValueError(
                f"in_channels={target.in_channels}: the weights take in_channels={own.in_channels}, which fits, and "
                "only weights for RGB images can be adapted to another number"
            )
        state[FIRST_CONVOLUTION] = adapt_stem(state[FIRST_CONVOLUTION], target.in_channels)
    new |= {key for key in model.state_dict() if ".offset." in key and key not in state}
    # Published in half precision or not, the parts of a network have one type.
    kind = torch.get_default_dtype()
    state = {key: value.to(device, kind if value.is_floating_point() else None) for key, value in state.items()}
    missing, surplus = model.load_state_dict(state, strict=False, assign=True)
    if set(missing) != new or surplus:
        named = ", ".join([*(set(missing) ^ new), *surplus][:3])
        raise ValueError(f"the weights have other tensors than {text_of(target)}: {named}")
    for module in model.modules():
        if any(value.is_meta for value in module.parameters(recurse=False)):
            module.to_empty(device=device, recurse=False)
            initialise(module)
    for key in new:
        if ".offset." in key:
            nn.init.zeros_(model.get_parameter(key))


def adapt_stem(weight: Tensor, channels: int) -> Tensor:
    """The first convolution's weight [C_out, 3, k, k] of RGB images for another number of input channels.

    - 1: the sum over red, green and blue. Exact for a grey image that was repeated three times.
    - 4 or more: the first three channels are taken to be red, green and blue, and the filters of the others start at
      zero. At first the network answers as it does for the first three alone. That these are RGB is a guess.
    - 2: the mean over the colours, scaled to keep the size of the response. A guess.

    A guess is told as a warning.
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    if channels == 2:
        warnings.warn(
            "in_channels=2: both start from the mean of the RGB filters, a guess; check it by training", stacklevel=2
        )
        return weight.mean(1, keepdim=True).repeat(1, 2, 1, 1) * 1.5
    warnings.warn(
        f"in_channels={channels}: the first three are taken to be red, green and blue, the others start unused; "
        "reorder the channels if that is not so",
        stacklevel=2,
    )
    extra = weight.new_zeros(weight.shape[0], channels - 3, *weight.shape[2:])
    return torch.cat((weight, extra), 1)
