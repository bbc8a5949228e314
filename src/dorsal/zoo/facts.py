"""What `spec` knows of a network, for networks as people have them: a value, a text, or the path of a JSON file.

The front door has these functions; within the project those of `spec` are called, with values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dorsal.language.amounts import read_amount
from dorsal.language.fields import builtins_of, convert
from dorsal.language.files import PathLike
from dorsal.language.reader import whole_number, wrong_type
from dorsal.spec import cost as spec_cost
from dorsal.spec import layers as spec_layers
from dorsal.spec import text as spec_text
from dorsal.spec import widths as spec_widths
from dorsal.spec.cost import Cost
from dorsal.spec.layers import Feature, Layer, Size
from dorsal.spec.network import Network
from dorsal.spec.text import TYPES, read_choice
from dorsal.spec.widths import MatchedWidths
from dorsal.zoo import network as read_network


def cost(network: Network | PathLike, image_size: int | Size = 224) -> Cost:
    """Parameters, MACs and activations for one image of `image_size` pixels (one side, or height and width).

    Raises ValueError when the image is smaller than the network's total stride, and as `dorsal.network` does.
    """
    return spec_cost.cost(read_network(network), _size(image_size))


def layers(network: Network | PathLike, image_size: int | Size = 224) -> tuple[Layer, ...]:
    """Every layer of the network in order, with its sizes for one image of `image_size` pixels.

    Raises as `cost` does.
    """
    return spec_layers.layers(read_network(network), _size(image_size))


def features(network: Network | PathLike) -> tuple[Feature, ...]:
    """The maps that the network has as a backbone, fine to coarse: name, channels and stride of each."""
    return spec_layers.features(read_network(network))


def difference(a: Network | PathLike, b: Network | PathLike) -> dict[str, tuple[str, str]]:
    """The named choices in which two networks differ, each as text of `a` and of `b`."""
    return spec_text.difference(read_network(a, "a"), read_network(b, "b"))


def edit(network: Network | PathLike, changes: str | Mapping[str, Any]) -> Network:
    """The network with some of its choices replaced.

    `changes` is a text, `"stem=deep, widths=[32, 64]"`, or a mapping, whose values are texts or what
    `spec.text.choices_of` gives. Raises ValueError for a choice that is not one, a list of the wrong length, or a
    combination that cannot exist.
    """
    old = read_network(network)
    if isinstance(changes, str):
        return spec_text.edit_by_text(old, changes)
    if not isinstance(changes, Mapping):
        raise wrong_type("changes", changes, "a text such as 'stem=deep', or a mapping such as {'stem': 'deep'}")
    return spec_text.edit(old, {key: _choice(key, builtins_of(value)) for key, value in changes.items()})


def match_cost(
    network: Network | PathLike, measure: str, target: int | str, image_size: int | Size = 224, tolerance: float = 0.02
) -> MatchedWidths:
    """The network with its stage widths scaled until `measure`, "macs", "params" or "activations", is `target`.

    A target is a number, or a text such as "400M". It may be missed by the share `tolerance`. All stages scale by one
    factor, rounded to the coarsest step of 32, 16, 8 or 4 channels that reaches the target; then single stages may move
    by one step. The stem, the depths and all other choices stay.

    Raises ValueError for an unknown measure, or with the nearest value reached when none is within the tolerance.
    """
    wanted = read_amount("target", target) if isinstance(target, str) else whole_number("target", target)
    return spec_widths.match_cost(read_network(network), measure, wanted, _size(image_size), tolerance)


def _size(image_size: Any) -> int | Size:
    if isinstance(image_size, (tuple, list)) and len(image_size) == 2:
        height, width = (whole_number("image_size", side) for side in image_size)
        return height, width
    return whole_number("image_size", image_size)


def _choice(key: str, value: Any) -> Any:
    """The value of one choice as `spec.text.edit` takes it; texts are read."""
    if isinstance(value, list):
        return [_choice(key, each) for each in value]
    if isinstance(value, str):
        return read_choice(key, value)
    return convert(key, value, TYPES[key]) if key in TYPES else value
