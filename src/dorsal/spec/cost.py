"""Parameters, MACs and activations: one fold over the layer records, without torch.

Conventions, named because published tables differ by them:

- MACs are the multiply-adds of convolutions and linear layers; half of what torch's FLOP counter says. Norms,
  pools, activations and sums count nothing; neither do biases, which `bias_adds` holds apart. pycls's "flops" are
  macs + bias_adds.
- Activations, convention "paper" (RegNet, arXiv 2003.13678 section 2): output elements of all convolutions.
  Convention "pycls": also those of linear layers and of average and max pools (not of global pools), as in pycls's
  complexity code.
- The bilinear sampling of deformable convolutions is not counted.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dorsal.language.notebook import html_table
from dorsal.spec.layers import Layer, Size, plan
from dorsal.spec.network import Network


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts for one image. All are exact integers."""

    params: int
    macs: int
    bias_adds: int
    activations: int
    activations_pycls: int

    @property
    def pycls_flops(self) -> int:
        """What pycls and the RegNet paper call flops: multiply-adds and the adds of biases."""
        return self.macs + self.bias_adds

    def _repr_html_(self) -> str:
        rows = [(name.replace("_", " "), f"{getattr(self, name):,}") for name in self.__struct_fields__]
        return html_table("Cost of one image", ("", "count"), rows)


class CostInfo(NamedTuple):
    """How a cost is called in a sentence, on the axis of a plot, and in the head of a narrow column.

    Plots and columns show it in units of `scale`.
    """

    label: str
    title: str
    head: str
    scale: float


COSTS = {
    "macs": CostInfo("MACs", "MACs, millions", "MACs M", 1e6),
    "params": CostInfo("parameters", "parameters, millions", "params M", 1e6),
    "activations": CostInfo("activations", "activations, millions", "acts M", 1e6),
}
"""The costs by which networks are matched, bounded, compared and plotted: fields of `Cost`."""


def layer_cost(layer: Layer) -> Cost:
    """The cost of one layer record."""
    outputs = layer.out_channels * layer.height * layer.width
    match layer.kind:
        case "norm":
            return Cost(2 * layer.out_channels, 0, 0, 0, 0)
        case "max_pool" | "avg_pool":
            return Cost(0, 0, 0, 0, outputs)
        case "linear" | "conv" | "deform_conv":
            fan_in = layer.kernel * layer.kernel * layer.in_channels // layer.groups
            params = fan_in * layer.out_channels + layer.bias * layer.out_channels
            convolved = 0 if layer.kind == "linear" else outputs
            return Cost(params, fan_in * outputs, layer.bias * outputs, convolved, outputs)


def cost(network: Network, image_size: int | Size = 224) -> Cost:
    """The cost of the whole network for one image of `image_size` pixels (one side, or height and width).

    Raises ValueError if the image is smaller than the network's total stride.
    """
    params = macs = bias_adds = activations = activations_pycls = 0
    for part in plan(network, image_size):
        times = len(part.names)
        for each in map(layer_cost, part.layers):
            params += each.params * times
            macs += each.macs * times
            bias_adds += each.bias_adds * times
            activations += each.activations * times
            activations_pycls += each.activations_pycls * times
    return Cost(params, macs, bias_adds, activations, activations_pycls)
