"""Our networks as encoders of segmentation_models.pytorch: any network text, under a name its models take."""

from __future__ import annotations

from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from dorsal.nn.backbone import Backbone
from dorsal.spec.layers import features
from dorsal.weights.create import create
from dorsal.zoo import network

PREFIX = "dorsal-"


class SmpEncoder(nn.Module, EncoderMixin):  # type: ignore[misc]  # their package has no types
    """A network as an encoder: the image and a map at each stride 2, 4, 8, 16, 32 (fewer with a smaller `depth`)."""

    def __init__(self, text: str, weights: str | None, depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        self.text, self.weights = text, weights
        self._depth, self._in_channels, self._output_stride = depth, 3, output_stride
        self.body = self._make(3)
        self._out_channels = [3, *(level.channels for level in self.body.info)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images [N, C, H, W] → the images and the maps, fine to coarse."""
        return [x, *self.body(x)]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:  # noqa: ARG002 - their signature
        """Makes the network again for another number of channels, with our policy for the stem (`adapt_stem`)."""
        if in_channels != self._in_channels:
            self._in_channels = in_channels
            self._out_channels[0] = in_channels
            self.body = self._make(in_channels)

    def make_dilated(self, output_stride: int) -> None:
        """Nothing: the network was made with its output stride."""

    def _make(self, in_channels: int) -> Backbone:
        model = create(
            self.text,
            weights=self.weights,
            in_channels=None if in_channels == 3 else in_channels,
            output_stride=None if self._output_stride == 32 else self._output_stride,
            features=tuple(range(self._depth)),
        )
        assert isinstance(model, Backbone)
        return model


def register_smp(text: str, weights: str | None = None) -> str:
    """Registers a network, with the weights that `dorsal.create` takes, and returns its encoder name.

        smp.DeepLabV3Plus(dorsal.register_smp("resnest50(stem=deep)"), encoder_weights=None, classes=19)

    Weights are said here and not in `encoder_weights`, which must be None. Raises ValueError for a text that is no
    network, or for one whose maps are not at strides 2, 4, 8, …, as these models need.
    """
    net = network(text)
    strides = [level.stride for level in features(net)]
    if strides != [2 * 2**index for index in range(len(strides))]:
        raise ValueError(
            f"{text!r} has maps at strides {', '.join(map(str, strides))}; an encoder needs 2, 4, 8, … in turn, as all "
            "ImageNet networks have"
        )
    name = PREFIX + text if weights is None else f"{PREFIX}{text}@{weights}"
    params = {"text": text, "weights": weights}
    encoders[name] = {"encoder": SmpEncoder, "pretrained_settings": {}, "params": params}
    return name
