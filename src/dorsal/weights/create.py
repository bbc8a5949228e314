"""`create`: a network with or without weights, as a classifier or as the backbone of another model."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Literal

import torch

from dorsal.language.fields import builtins_of
from dorsal.language.files import PathLike
from dorsal.language.reader import Reader, suggest
from dorsal.nn.backbone import Backbone, Classifier, set_checkpointing
from dorsal.nn.build import build, initialise
from dorsal.nn.inner_features import InnerFeatures
from dorsal.spec.adapt import with_deformable, with_output_stride
from dorsal.spec.network import Network
from dorsal.spec.text import edit
from dorsal.weights.fill import fill
from dorsal.weights.published import PublishedWeights
from dorsal.weights.source import find_weights
from dorsal.zoo import network as read_network
from dorsal.zoo import text_of

NormChoice = Literal["batch", "group", "frozen", "sync"]
NORMS: tuple[NormChoice, ...] = ("batch", "group", "frozen", "sync")


def create(
    name: Network | PathLike,
    *,
    weights: PublishedWeights | PathLike | None = None,
    state: str | None = None,
    prefix: str | None = None,
    features: tuple[int, ...] | tuple[str, ...] | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    deformable: Collection[int] = (),
    norm: NormChoice = "batch",
    freeze: int = 0,
    checkpointing: bool = False,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    dropout: float = 0.0,
    zero_init: bool = False,
) -> Classifier | Backbone | InnerFeatures:
    """A network as a module, on torch's default device and in training mode.

    - `name`: a published name or alias, a name with edits, the path of a JSON file, or a `Network`.
    - `weights`: the id of a published checkpoint (`dorsal weights list`), a model's folder, or a checkpoint file of any
      known format. None: the network is initialised.
    - `state`, `prefix`: which network of a file that holds several: the keys that lead to it, and what its names begin
      with.
    - `features`: levels (0 the stem, 1 the first stage, …) or names of inner nodes. The module then returns a tuple of
      maps, and its `info` has the name, channels and stride of each.
    - `classes`: the number of classes. 0 removes the classifier, so that pooled vectors come out. Another number than
      the weights' makes a new classifier. Default: what the text of `name` says, else what the weights have.
    - `in_channels`: the number of input channels, with the same default. `weights.fill.adapt_stem` says how a stem is
      adapted.
    - `output_stride`: dilation in place of the last strides, such as 8 or 16.
    - `deformable`: stages, from 1, whose 3x3 convolutions become deformable. With weights only their offsets are new.
    - `norm`: "batch", "frozen" (batch norm with fixed statistics, scale and shift), "sync" (batch norm over all
      processes) or "group" (which batch-norm weights cannot fill).
    - `freeze`: how many levels do not learn: 1 the stem, 2 also the first stage, …
    - `checkpointing`: blocks keep only their inputs in training, and run again for the gradient.
    - `zero_init` (for networks without weights) and the rest: as in `dorsal.build`.

    Warns of tensors in a file that the network has no place for, such as another head.

    Raises ValueError naming the argument, its value and what would be valid, before anything is fetched.
    """
    asked = read_network(name, "name")
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is not known{suggest(norm, NORMS)}")
    if norm == "group" and weights is not None:
        raise ValueError(
            "norm='group' with weights: published weights have batch norm, whose statistics do not carry over"
        )
    if weights is None and (state is not None or prefix is not None):
        raise ValueError("state and prefix choose in a checkpoint file, and no weights are given")
    found = None if weights is None else find_weights(weights, asked, state, prefix)
    if found is not None:
        classes, in_channels = _ends(name, asked, found.network, classes, in_channels, features)
    target = _target(asked, classes, in_channels, output_stride, deformable, norm)
    policy: Literal["train", "frozen", "sync"] = norm if norm in ("frozen", "sync") else "train"
    with torch.device("meta"):
        model = build(target, drop_path=drop_path, drop_block=drop_block, dropout=dropout, norm_policy=policy)
    model.freeze(freeze)
    set_checkpointing(model, checkpointing)
    if found is None:
        model.to_empty(device=torch.get_default_device())
        initialise(model, zero_init)
    else:
        _view(model, features)  # a level or node that does not exist is refused here, before anything is fetched
        fill(model, found.network, found.load())
        if found.left:
            warnings.warn(found.left, stacklevel=2)
    return _view(model, features)


def _ends(
    name: Network | PathLike,
    asked: Network,
    own: Network,
    classes: int | None,
    in_channels: int | None,
    features: tuple[int, ...] | tuple[str, ...] | None,
) -> tuple[int, int]:
    """Classes and input channels: what the arguments say, else what the network's text says, else the weights' own."""
    whole = isinstance(name, str) and not name.endswith(".json")
    written = Reader(str(name) if whole else text_of(asked)).whole().arguments
    if classes is None:
        classes = asked.head.classes if "classes" in written else own.head.classes
        if not classes and asked.head.classes and features is None:
            raise ValueError(
                "the weights have no classifier: say classes=… for a new one, classes=0 for pooled vectors, or "
                "features=(1, 2, 3, 4) for maps"
            )
    if in_channels is None:
        in_channels = asked.in_channels if "in_channels" in written else own.in_channels
    return classes, in_channels


def _view(
    model: Classifier, features: tuple[int, ...] | tuple[str, ...] | None
) -> Classifier | Backbone | InnerFeatures:
    if features is None:
        return model
    features = builtins_of(features)
    if isinstance(features, (int, str)):
        raise ValueError(f"features={features!r} must be a tuple: features=({features!r},)")
    levels = tuple(level for level in features if isinstance(level, int))
    nodes = tuple(node for node in features if isinstance(node, str))
    if levels and nodes:
        raise ValueError(f"features={features} mixes levels and names of nodes; give one kind")
    return InnerFeatures(model, nodes) if nodes else model.pyramid(levels)


def _target(
    asked: Network,
    classes: int | None,
    in_channels: int | None,
    output_stride: int | None,
    deformable: Collection[int],
    norm: NormChoice,
) -> Network:
    changes = {"classes": classes, "in_channels": in_channels, "norm": "group" if norm == "group" else None}
    target = edit(asked, {key: value for key, value in changes.items() if value is not None})
    if deformable:
        target = with_deformable(target, deformable)
    return target if output_stride is None else with_output_stride(target, output_stride)
