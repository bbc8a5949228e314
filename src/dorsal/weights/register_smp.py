"""Networks as encoders of segmentation_models.pytorch, under names that its models take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from dorsal.language.files import PathLike
from dorsal.nn.backbone import Backbone
from dorsal.spec.layers import features
from dorsal.spec.network import Network
from dorsal.weights.create import create
from dorsal.weights.published import PublishedWeights
from dorsal.weights.source import find_weights
from dorsal.zoo import network as read_network
from dorsal.zoo import text_of

PREFIX = "dorsal-"
STRIDES = [2, 4, 8, 16, 32]


class SmpEncoder(nn.Module, EncoderMixin):  # type: ignore[misc]  # their package has no types
    """A network as an encoder: the image, and maps at strides 2, 4, 8, 16, 32 (fewer with a smaller `depth`)."""

    def __init__(self, make: Callable[..., Backbone], depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        self.make = partial(
            make, features=tuple(range(depth)), output_stride=None if output_stride == 32 else output_stride
        )
        self._depth, self._output_stride = depth, output_stride
        self._take(self.make())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images [N, C, H, W] → the images and the maps, fine to coarse."""
        return [x, *self.body(x)]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:  # noqa: ARG002 - their signature
        """Makes the network again for another number of channels; see `weights.fill.adapt_stem` for the stem."""
        if in_channels != self._in_channels:
            self._take(self.make(in_channels=in_channels))

    def make_dilated(self, output_stride: int) -> None:
        """Does nothing: the network was made with its output stride."""

    def _take(self, body: Backbone) -> None:
        self.body = body
        self._in_channels = body.network.in_channels
        self._out_channels = [self._in_channels, *(level.channels for level in body.info)]


def register_smp(
    name: Network | PathLike,
    weights: PublishedWeights | PathLike | None = None,
    *,
    state: str | None = None,
    prefix: str | None = None,
) -> str:
    """Registers a network as an encoder and returns the encoder's name.

        smp.DeepLabV3Plus(dorsal.register_smp("resnest50(stem=deep)"), encoder_weights=None, classes=19)

    The arguments are those of `dorsal.create`. Weights are named here and not in `encoder_weights`, which must be None.
    An encoder takes as many channels as its weights do, or as the model's `in_channels` says.

    Raises ValueError for a network without maps at strides 2, 4, 8, 16 and 32, and for weights that `dorsal.create`
    refuses, before the network is registered.
    """
    network = read_network(name, "name")
    text = name if isinstance(name, str) else text_of(network)
    strides = [level.stride for level in features(network)]
    if strides != STRIDES:
        raise ValueError(
            f"{text!r} has maps at strides {', '.join(map(str, strides))}, and an encoder needs "
            f"{', '.join(map(str, STRIDES))}; resnet18 has them, as all ImageNet networks do"
        )
    if weights is not None:
        find_weights(weights, network, state, prefix)
    chosen = [str(part) for part in (weights, state, prefix) if part is not None]
    encoder = "@".join([PREFIX + text, *chosen])
    make = partial(create, name, weights=weights, state=state, prefix=prefix)
    encoders[encoder] = {"encoder": SmpEncoder, "pretrained_settings": {}, "params": {"make": make}}
    return encoder
