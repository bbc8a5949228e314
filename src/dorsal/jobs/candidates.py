"""Weights to choose from: those that this machine has, and those in folders, as texts of arms. Imports torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dorsal.jobs.kept import model_folder
from dorsal.jobs.study_file import STUDY_FILE, load_plan
from dorsal.language.files import absence
from dorsal.spec.adapt import fitted_to
from dorsal.spec.network import Network
from dorsal.spec.timm import AnyNetwork
from dorsal.weights.card import MODEL_FILE
from dorsal.weights.fetch import has_copy
from dorsal.weights.published import published
from dorsal.weights.saved import read_card
from dorsal.weights.source import find_weights
from dorsal.weights.start import timm_license
from dorsal.zoo import named, text_of

FOLDERS = ("models", "runs", "weights")
"""Where models are looked for, in the working folder."""


def own_weights() -> tuple[str, ...]:
    """The weights that this machine has: models' folders in `FOLDERS`, and published ones with a copy here, as
    NETWORK@ID, unless a model was made of them."""
    folders = [model for name in FOLDERS for model in _models_below(Path(name))]
    sources = set[str]()
    for folder in folders:
        with suppress(ValueError):  # of a card that cannot be read it is told later
            sources.add(read_card(folder).source)
    copies = (entry for entry in published() if entry.source not in sources and has_copy(entry))
    return (*map(str, folders), *(f"{entry.network}@{entry.id}" for entry in copies))


def models_in(folder: str) -> tuple[str, ...]:
    """The model in a folder, those in folders below it, or those that a study in it has kept, as LABEL=NETWORK@FOLDER.

    Raises ValueError where there is none, or a card cannot be read.
    """
    home = Path(folder)
    if (home / MODEL_FILE).is_file():
        return (_text(home),)
    study = (home / STUDY_FILE).is_file()
    found = tuple(_kept_by_study(home) if study else map(_text, _models_below(home)))
    if not found:
        raise ValueError(
            f"{folder!r} holds no model: {absence(home, MODEL_FILE)}; `dorsal train` and `dorsal weights` make them"
        )
    return found


def license_of(weights: str, network: AnyNetwork) -> str:
    """The license of the weights that `network@weights` names, "" where nobody says. Nothing is fetched.

    Raises ValueError as `find_weights` does.
    """
    return find_weights(weights, network).license if isinstance(network, Network) else timm_license(weights, network)


def _models_below(folder: Path) -> list[Path]:
    return sorted(card.parent for card in folder.glob(f"*/{MODEL_FILE}"))


def _kept_by_study(folder: Path) -> Iterator[str]:
    for run in {run.key: run for run in load_plan(folder).study.runs}.values():
        if (model := model_folder(folder, run.key)).is_dir():
            yield _text(model, f"{run.arm}-{run.recipe}-{run.seed}")


def _text(folder: Path, name: str = "") -> str:
    """A model as LABEL=NETWORK@FOLDER, its network without the classes and channels that it was trained with."""
    network = read_card(folder).network
    usual = (named("resnet18"), named("small"))  # 1,000 and 10 classes: those of the data count, and the shorter text
    texts = (text_of(fitted_to(network, each.head.classes, each.in_channels)) for each in usual)
    label = re.sub(r"[^\w.+-]+", "-", name or folder.resolve().name)
    return f"{label}={min(texts, key=len)}@{folder}"
