"""The networks of the zoo from implementations that are not ours, and by how much their answers differ.

Both sides get one random state: weights, and the scales, shifts and statistics of every norm, so that no layer hides.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from dorsal.nn.build import build
from dorsal.spec.network import Network
from dorsal.weights.formats import from_ours, to_ours
from dorsal.zoo import ALIASES
from tests.nn.by_hand import CifarResNet, DeformConv, Res2NetPlus
from tests.zoo.names import NAMES

STAGES = json.loads((Path(__file__).parents[1] / "spec" / "published.json").read_text())["stages"]
"""Widths, depths and group widths that pycls's own code derives from its configs."""


class Oracle(msgspec.Struct, frozen=True):
    """One implementation of a network. `make(output_stride)` builds it; `format` is that of its state's names, or None
    when its tensors stand in the order of ours."""

    package: str
    name: str
    make: Callable[[int], nn.Module]
    format: str | None


class Difference(msgspec.Struct, frozen=True):
    """The largest difference of a tensor over its largest magnitude; of parameters' gradients the worst tensor's."""

    logits: float
    image_gradient: float
    parameter_gradients: float | None

    @property
    def largest(self) -> float:
        return max(self.logits, self.image_gradient, self.parameter_gradients or 0.0)


def oracles(name: str) -> list[Oracle]:
    """The implementations of one of our networks, by its canonical name; one a package."""
    found = {}
    for package, make in PACKAGES.items():
        for theirs in reversed(NAMES[package]):
            if ALIASES.get(theirs.lower(), theirs.lower()) == name:
                found[package] = Oracle(package, theirs, partial(make, theirs), package)
    if name in TIMM_EDITS:
        base, edits = TIMM_EDITS[name]
        text = ", ".join(f"{key}={value}" for key, value in edits.items())
        found["timm"] = Oracle("timm", f"{base}({text})", partial(_timm, base, **edits), "timm")
    if name == "resnest101_fast":
        found["resnest"] = Oracle("resnest", "ResNet of PyTorch-Encoding's arguments", _resnest101_fast, "resnest")
    if name in BY_HAND:
        text, make = BY_HAND[name]
        found["by hand"] = Oracle("by hand", text, make, None)
    return list(found.values())


def random_state(network: Network, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
    """A state whose activations neither grow nor vanish, so that gates are not saturated in deep networks."""
    draw = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in build(network).state_dict().items()}
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        drawn = torch.randn(shape, generator=draw).to(dtype)  # drawn in float32, which takes a fifth of the time
        if key.endswith("running_var"):
            state[key] = drawn.abs() + 0.5
        elif len(shape) == 1:
            state[key] = 0.2 * drawn + float(key.endswith("weight"))
        else:
            state[key] = drawn * (0.5 / shape[1:].numel()) ** 0.5
    return state


def compare(
    network: Network,
    oracle: Oracle,
    sizes: Sequence[tuple[int, int]],
    *,
    output_stride: int = 32,
    parameters: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Difference:
    """Our network against an oracle with the same state, in evaluation mode, on one random image of each size."""
    state = random_state(network, dtype)
    with torch.device("meta"):
        ours, theirs = build(network), oracle.make(output_stride)
    # pycls's networks take blue, green, red
    flip = oracle.format == "pycls"
    if oracle.format is None:
        translated = dict(zip(theirs.state_dict(), state.values(), strict=True))
    else:
        translated = from_ours(state, network, oracle.format)
    ours.load_state_dict(state, assign=True)
    theirs.load_state_dict(translated, assign=True)
    worst: list[list[float]] = []
    for size in sizes:
        image = torch.randn(1, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))
        mine = answers(ours, image, parameters)
        other = answers(theirs, image.flip(1) if flip else image, parameters)
        other["image"] = other["image"].flip(1) if flip else other["image"]
        if parameters:
            gradients = theirs.state_dict() | {key: other.pop(key) for key, _ in theirs.named_parameters()}
            if oracle.format is None:
                gradients = dict(zip(state, gradients.values(), strict=True))
            else:
                gradients = to_ours(gradients, network, oracle.format)
            other |= {key: gradients[key] for key, _ in ours.named_parameters()}
        differences = {key: relative_difference(value, other[key]) for key, value in mine.items()}
        worst.append([differences.pop("logits"), differences.pop("image"), max(differences.values(), default=0.0)])
    logits, image_gradient, of_parameters = map(max, zip(*worst, strict=True))
    return Difference(logits, image_gradient, of_parameters if parameters else None)


def answers(model: nn.Module, image: Tensor, parameters: bool) -> dict[str, Tensor]:
    """Logits, and the gradients of a random sum of them by the image and by the parameters, under their names."""
    leaf = image.clone().requires_grad_()
    logits = model.eval()(leaf)
    direction = torch.randn(logits.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(2))
    named = dict(model.named_parameters()) if parameters else {}
    gradient, *gradients = torch.autograd.grad((logits * direction).sum(), [leaf, *named.values()])
    return {"logits": logits.detach(), "image": gradient, **dict(zip(named, gradients, strict=True))}


def relative_difference(a: Tensor, b: Tensor) -> float:
    difference, scale = (a - b).abs().max().item(), b.abs().max().item()
    return difference / scale if scale else difference


def _timm(name: str, output_stride: int, **edits: object) -> nn.Module:
    import timm

    model = timm.create_model(name, output_stride=output_stride, **edits)
    # Dilated, timm's -D shortcuts pool 2x2 at stride 1, which neither torchvision nor the ResNeSt authors do.
    for module in model.modules():
        shortcut = getattr(module, "downsample", None)
        if isinstance(shortcut, nn.Sequential) and type(shortcut[0]).__name__ == "AvgPool2dSame":
            shortcut[0] = nn.Identity()
    return model


def _torchvision(name: str, output_stride: int) -> nn.Module:
    from torchvision.models import get_model

    if name.startswith("regnet"):
        with torch.device("cpu"):  # it reads its widths off tensors
            return get_model(name, weights=None)
    return get_model(name, weights=None, replace_stride_with_dilation=[False, output_stride < 16, output_stride < 32])


def _pycls(name: str, output_stride: int) -> nn.Module:
    """Through the classes, since the package's functions read their configurations from the net."""
    from pycls.core.config import cfg
    from pycls.models.anynet import AnyNet
    from pycls.models.resnet import ResNet

    family, size = name.split("-")
    if family.startswith("RegNet"):
        (row,) = (row for row in STAGES if row["name"] == ALIASES[name.lower()])
        return AnyNet(
            stem_type="simple_stem_in",
            stem_w=32,
            block_type="res_bottleneck_block",
            ds=row["depths"],
            ws=row["widths"],
            ss=[2] * 4,
            bms=[1.0] * 4,
            gws=row["group_ws"],
            se_r=0.25 if family == "RegNetY" else None,
            nc=1000,
        )
    cfg.MODEL.DEPTH, cfg.MODEL.NUM_CLASSES = int(size), 1000
    cfg.TRAIN.DATASET = cfg.TEST.DATASET = "imagenet"
    cfg.RESNET.TRANS_FUN, cfg.RESNET.STRIDE_1X1 = "bottleneck_transform", False
    cfg.RESNET.NUM_GROUPS, cfg.RESNET.WIDTH_PER_GROUP = (32, 4) if family == "ResNeXt" else (1, 64)
    return ResNet()


def _resnest(name: str, output_stride: int) -> nn.Module:
    import resnest.torch

    return getattr(resnest.torch, name)(dilation=32 // output_stride)


def _resnest101_fast(output_stride: int) -> nn.Module:
    from resnest.torch.resnet import Bottleneck, ResNet

    kind = {"radix": 2, "deep_stem": True, "stem_width": 64, "avg_down": True, "avd": True, "avd_first": True}
    return ResNet(Bottleneck, [3, 4, 23, 3], dilation=32 // output_stride, **kind)


def _resnest200_dcn(output_stride: int) -> nn.Module:
    model = _resnest("resnest200", output_stride)
    for stage in (model.layer2, model.layer3, model.layer4):
        for block in stage:
            block.conv2.conv = DeformConv(block.conv2.conv, offset_groups=2)
    return model


PACKAGES: dict[str, Callable[..., nn.Module]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "pycls": _pycls,
    "resnest": _resnest,
}
TIMM_EDITS: dict[str, tuple[str, dict[str, object]]] = {
    "res2net50_18w_6s": ("res2net50_26w_4s", {"base_width": 18, "block_args": {"scale": 6}}),
    "res2net152d": ("res2net50d", {"layers": [3, 8, 36, 3]}),
    "res2net200d": ("res2net50d", {"layers": [3, 12, 48, 3]}),
    "res2next101": ("res2next50", {"layers": [3, 4, 23, 3]}),
}
BY_HAND: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    **{f"resnet{n}": ("CifarResNet", lambda _, n=n: CifarResNet(n)) for n in (20, 32, 44, 56, 110, 1202)},
    **{f"res2netplus{n}": ("Res2NetPlus", lambda _, n=n: Res2NetPlus(n, aliased=False)) for n in (50, 101, 152)},
    "res2netplus50_aliased": ("Res2NetPlus, aliased", lambda _: Res2NetPlus(50, aliased=True)),
    "resnest200_dcn": ("resnest's resnest200 with DeformConv", _resnest200_dcn),
}
