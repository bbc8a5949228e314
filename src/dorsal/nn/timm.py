"""Networks of timm as modules, with their cost and features. timm itself is imported when one is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dorsal.language.reader import suggest
from dorsal.nn.build import NormPolicy
from dorsal.spec.cost import Cost
from dorsal.spec.layers import Feature, Size
from dorsal.spec.timm import TimmNetwork


class TimmBackbone(nn.Module):
    """A network of timm with the surface of `Backbone`: `forward` classifies, `features` returns the pyramid.

    `info` says what `features` returns: name, channels and stride in input pixels of each level, as timm states them;
    nothing where timm's model gives no feature maps. `network` is the description it was built from.
    """

    def __init__(self, network: TimmNetwork, model: Any) -> None:
        super().__init__()
        self.network = network
        self.model = model
        levels = model.feature_info if hasattr(model, "forward_intermediates") else ()
        self.info = tuple(Feature(level["module"], level["num_chs"], level["reduction"]) for level in levels)
        self.frozen = 0

    @property
    def level_count(self) -> int:
        """The number of levels: timm's coarse groups of layers, as it has them for rates that fall by layer."""
        return max(self.parameter_levels().values())

    def parameter_levels(self) -> dict[str, int]:
        """The level of each parameter by its name, from 0; `level_count` for the classifier's."""
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=True))
        heads = classifier_prefixes(self.model.default_cfg["classifier"])
        trunk = {name: level for level, names in groups.items() for name in names if not name.startswith(heads)}
        count = max(trunk.values()) + 1
        return {f"model.{name}": trunk.get(name, count) for name, _ in self.model.named_parameters()}

    def freeze(self, levels: int) -> Self:
        """Stops the first levels from learning, as `Classifier.freeze` does. Raises ValueError as that does."""
        count = self.level_count
        if not 0 <= levels <= count:
            raise ValueError(f"freeze={levels} must be from 0 (nothing) to {count} (all levels)")
        self.frozen = levels
        of = self.parameter_levels()
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(of[name] >= levels)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, but for modules all of whose parameters are frozen, which stay in evaluation."""
        super().train(mode)
        for module in self.modules() if self.frozen else ():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps [N, channels, H / stride, W / stride] of `info`, fine to coarse.

        Where timm's network does not pad, a map is a few positions smaller. Raises ValueError when there are none.
        """
        if not self.info:
            raise ValueError(f"{self.network.full_name} gives no feature maps in the installed version of timm")
        return tuple(self.model.forward_intermediates(x, intermediates_only=True))

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → logits [N, classes]."""
        return self.model(x)  # type: ignore[no-any-return]


def build_timm(
    network: TimmNetwork,
    *,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    dropout: float = 0.0,
    norm_policy: NormPolicy = "train",
) -> TimmBackbone:
    """A module of timm's network, initialised by timm, on torch's default device (meta works).

    `drop_path` and `dropout` are handed to timm where they are not 0; else the model keeps what timm gives it.
    `norm_policy` is as in `nn.build`. `drop_block` is always refused: the schedule of `set_drop_block` does not reach
    timm's modules. Unlike Dorsal's own, timm's norms cannot train on a batch of one image whose map is 1x1.

    Raises ValueError for a name that timm does not know, with the nearest ones, and for a probability that the model
    would not put to use; ModuleNotFoundError without timm.
    """
    timm = require_timm(network)
    from timm.layers.drop import DropPath
    from timm.layers.norm_act import convert_sync_batchnorm, freeze_batch_norm_2d

    if drop_block:
        raise _useless(network, "drop_block", drop_block)
    rates: dict[str, Any] = {"drop_path_rate": drop_path, "drop_rate": dropout}
    asked = {argument: rate for argument, rate in rates.items() if rate}
    try:
        model = timm.create_model(network.name, num_classes=network.classes, in_chans=network.in_channels, **asked)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise _useless(network, "drop_path", drop_path) from None
    # A model may take either argument and do nothing with it.
    if drop_path and not any(isinstance(module, DropPath) for module in model.modules()):
        raise _useless(network, "drop_path", drop_path)
    if dropout and dropout not in (getattr(model, "drop_rate", 0), *_dropouts(model)):
        raise _useless(network, "dropout", dropout)
    if norm_policy != "train":
        if not any(isinstance(module, _BatchNorm) for module in model.modules()):
            raise ValueError(f"norm={norm_policy} is for batch norm, which {network.full_name} has not")
        convert: Any = freeze_batch_norm_2d if norm_policy == "frozen" else convert_sync_batchnorm
        model = convert(model)
    return TimmBackbone(network, model)


def classifier_prefixes(classifier: str | Sequence[str]) -> tuple[str, ...]:
    """How the names of a classifier's tensors begin; `classifier` is timm's setting, one module's name or several."""
    names = (classifier,) if isinstance(classifier, str) else classifier
    return tuple(f"{name}." for name in names)


def require_timm(network: TimmNetwork) -> Any:
    """The package timm, where it knows the network. Raises ValueError for a name that it does not know, with the
    nearest ones, and ModuleNotFoundError without timm."""
    try:
        import timm
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{network.full_name} needs an extra: pip install 'dorsal[timm]'") from None
    known = timm.list_models()
    if network.name not in known:
        name, dot, tag = network.name.partition(".")
        hint = (
            f"; weights stand after an @: timm:{name}@{tag}"
            if name in known and dot
            else suggest(name, known, "timm.list_models()")
        )
        raise ValueError(f"{network.full_name} is not a model of timm{hint}")
    return timm


def timm_features(network: TimmNetwork) -> tuple[Feature, ...]:
    """The pyramid as timm states it, fine to coarse. Raises as `build_timm` does."""
    with torch.device("meta"):
        return build_timm(network).info


def timm_cost(network: TimmNetwork, image_size: int | Size = 224) -> Cost:
    """The cost of timm's network for one image of `image_size` pixels (one side, or height and width).

    Counted on the operations of one pass in evaluation mode, by the conventions of spec/cost.py: equal to `cost` for
    a network that Dorsal has too. What Dorsal's networks do not have counts as follows. MACs: every product of
    matrices, those of attention included. Activations: outputs of every convolution, those that stand for a fixed blur
    included. A network that is folded after training counts as it is trained.

    Raises ValueError when the network does not take images of this size, and as `build_timm` does.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    with torch.device("meta"):
        model = build_timm(network).eval().requires_grad_(False)
        image = torch.empty(1, network.in_channels, height, width)
    try:
        with _Outputs() as outputs, FlopCounterMode(display=False) as flops:
            model(image)
    except (AssertionError, RuntimeError) as error:
        side = model.model.default_cfg["input_size"][-1]
        reason = " ".join(str(error).split())
        raise ValueError(
            f"image_size={min(height, width)} does not suit {network.full_name}, which timm made for {side}: {reason}"
        ) from None
    return Cost(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=flops.get_total_flops() // 2,
        bias_adds=outputs.biased,
        activations=outputs.convolved,
        activations_pycls=outputs.convolved + outputs.others,
    )


class _Outputs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts output elements: of convolutions, of linear layers and pools, and of those of them that add a bias."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolved = self.others = self.biased = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        match func.overloadpacket:
            case aten.convolution:
                self.convolved += out.numel()
                self.biased += out.numel() if args[2] is not None else 0
            case aten.addmm:
                self.others += out.numel()
                self.biased += out.numel()
            case aten.mm | aten.avg_pool2d:
                self.others += out.numel()
            case aten.max_pool2d_with_indices:
                self.others += out[0].numel()
        return out


def _dropouts(model: nn.Module) -> list[float]:
    return [module.p for module in model.modules() if isinstance(module, nn.Dropout)]


def _useless(network: TimmNetwork, field: str, rate: float) -> ValueError:
    return ValueError(f"{field}={rate} would do nothing in {network.full_name}; nearest valid: {field}=0")
