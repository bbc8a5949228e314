"""The outputs of any inner modules by name, e.g. `stages.2.5.mixer`, through torch.fx."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from dorsal.language.reader import suggest
from dorsal.nn.backbone import Classifier
from dorsal.spec.layers import Feature


class InnerFeatures(nn.Module):
    """The maps of chosen inner nodes, in the order asked for; what no chosen node needs is left out.

    `info` has the name, channels and stride of each. A node is named by its module (`stages.2.5.mixer`: the output of
    that module) or by an operation inside one, as torchvision's feature extraction names them.
    """

    def __init__(self, model: Classifier, names: tuple[str, ...]) -> None:
        super().__init__()
        known = get_graph_node_names(model, suppress_diff_warning=True)[1]
        for name in names:
            if not any(node == name or node.startswith(f"{name}.") for node in known):
                hint = suggest(name, known, "dorsal show --layers")
                raise ValueError(f"features node {name!r} does not exist in this network{hint}")
        self.names = names
        self.body = create_feature_extractor(model, list(names), suppress_diff_warning=True)
        self.body.train(not model.training).train(model.training)  # a switch compiles the graph it switches to
        self.info = self._measured(model)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps of `info`."""
        maps = self.body(x)
        return tuple(maps[name] for name in self.names)

    def _measured(self, model: Classifier) -> tuple[Feature, ...]:
        """Channels and strides, read off maps of an image that all strides divide."""
        side = 4 * model.network.total_stride
        like = next(model.parameters())
        with torch.no_grad():
            training = self.body.training
            maps = self.body.eval()(
                torch.zeros(1, model.network.in_channels, side, side, device=like.device, dtype=like.dtype)
            )
            self.body.train(training)
        for name in self.names:
            if maps[name].ndim != 4:
                raise ValueError(f"features node {name!r} is no feature map: its output is {list(maps[name].shape)}")
        return tuple(Feature(name, maps[name].shape[1], side // maps[name].shape[2]) for name in self.names)
