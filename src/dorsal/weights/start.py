"""Networks that begin from weights: finding them, and putting them into a module with a new classifier."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from dorsal.language.files import at_home, sha256_of
from dorsal.language.reader import suggest
from dorsal.nn.backbone import Classifier
from dorsal.nn.timm import TimmBackbone, classifier_prefixes, require_timm
from dorsal.spec.adapt import fitted_to
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.start import Start
from dorsal.spec.timm import AnyNetwork, TimmNetwork
from dorsal.weights.fill import fill
from dorsal.weights.published import trained_on
from dorsal.weights.source import find_weights

_COUNTER = "num_batches_tracked"


class StartingWeights(msgspec.Struct, frozen=True, eq=False):
    """Weights in memory. `network` is their own, without a classifier; `state` has its tensors."""

    about: Start
    network: AnyNetwork
    state: dict[str, Tensor]


def load_start(weights: str, network: AnyNetwork) -> StartingWeights:
    """The weights that `network@weights` names: a model's folder, a checkpoint file, the id or the tag of a published
    checkpoint; for a network of timm a checkpoint file, or a tag of timm's, which timm fetches.

    Classes, input channels, strides and dilations of the network may differ from the weights', and it may have
    deformable convolutions. Raises ValueError where there are no such weights, they cannot be had, or they are of
    another network.
    """
    if isinstance(network, TimmNetwork):
        return _load_timm(weights, network)
    found = find_weights(weights, network)
    state = {name: tensor for name, tensor in found.load().items() if not name.startswith("fc.")}
    return StartingWeights(found.about(), fitted_to(found.network, 0, found.network.in_channels), state)


def begin(model: Classifier | TimmBackbone, start: StartingWeights) -> None:
    """Puts copies of the weights into a model, one of ours on the meta device; its classifier is new."""
    state = {name: tensor.clone() for name, tensor in start.state.items()}
    if isinstance(model, Classifier):
        assert isinstance(start.network, Network)
        with warnings.catch_warnings():  # what is guessed of the stem is told when the run is planned
            warnings.simplefilter("ignore")
            fill(model, start.network, state)
        return
    missing, surplus = model.model.load_state_dict(state, strict=False)
    heads = {
        name.removeprefix("model.") for name, level in model.parameter_levels().items() if level == model.level_count
    }
    lacking = [name for name in missing if name not in heads and not name.endswith(_COUNTER)]
    wrong = [*lacking, *(name for name in surplus if not name.endswith(_COUNTER))]
    if wrong:
        raise ValueError(f"the weights have other tensors than {model.network.full_name}: {', '.join(wrong[:3])}")


def _load_timm(weights: str, network: TimmNetwork) -> StartingWeights:
    timm = require_timm(network)
    path = Path(at_home(weights))
    if path.is_dir():
        raise ValueError(f"weights={weights!r} is a folder; a network of timm begins from a checkpoint file, or a tag")
    state, about = _timm_file(timm, path) if path.is_file() else _timm_tag(timm, network, weights)
    config = timm.get_pretrained_cfg(network.name)
    heads = classifier_prefixes(config.classifier)
    stem = f"{config.first_conv}.weight"
    state = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
    if stem in state and state[stem].ndim == 4 and state[stem].shape[1] == 3:
        state[stem] = timm.models.adapt_input_conv(network.in_channels, state[stem])
    return StartingWeights(about, network, state)


def _timm_file(timm: Any, path: Path) -> tuple[dict[str, Tensor], Start]:
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, safetensors and pickle raise their own
        raise ValueError(f"weights={str(path)!r} cannot be read: {str(error).splitlines()[0]}") from None
    return dict(state), Start(weights=str(path.resolve()), sha256=sha256_of(path))


def timm_license(weights: str, network: TimmNetwork) -> str:
    """The license of the weights that `network@weights` names, "" where timm does not say. Nothing is fetched.

    Raises ValueError where timm has no such weights.
    """
    if Path(at_home(weights)).is_file():
        return ""
    timm = require_timm(network)
    return timm.get_pretrained_cfg(_timm_name(timm, network, weights)).license or ""


def _timm_name(timm: Any, network: TimmNetwork, tag: str) -> str:
    """What timm calls the weights with this tag. Raises ValueError where it has none."""
    name = tag if tag.startswith(f"{network.name}.") else f"{network.name}.{tag}"
    known = timm.list_pretrained(f"{network.name}.*")
    if name not in known:
        tags = [each.partition(".")[2] for each in known]
        raise ValueError(f"{tag!r} is no file, nor a tag of timm's weights of {network.name}{suggest(tag, tags)}")
    return name


def _timm_tag(timm: Any, network: TimmNetwork, tag: str) -> tuple[dict[str, Tensor], Start]:
    name = _timm_name(timm, network, tag)
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client raises many kinds
        raise ValueError(f"timm cannot fetch {name} ({' '.join(str(error).split())[:200]})") from None
    said = timm.get_pretrained_cfg(name)
    side = said.input_size[-1]
    about = Start(
        weights=name,
        sha256=_digest(model),
        preprocessing=Preprocessing(
            image_size=side,
            resize=round(side / said.crop_pct),
            interpolation="bicubic" if said.interpolation == "bicubic" else "bilinear",
            mean=tuple(said.mean),
            std=tuple(said.std),
        ),
        trained_on=trained_on(tag),
        source=f"{said.hf_hub_id} on the Hugging Face hub" if said.hf_hub_id else said.url or "",
        license=said.license or "",
    )
    return model.state_dict(), about


def _digest(model: nn.Module) -> str:
    """The sha256 of a module's tensors with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
