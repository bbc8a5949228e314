"""What a network begins from, beside chance: weights, and what is known of them. No torch."""

from __future__ import annotations

import msgspec

from dorsal.spec.preprocessing import Preprocessing


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The weights that an arm begins from.

    - `weights`: what finds them: an id of `dorsal weights list`, the absolute path of a model's folder or of a
      checkpoint file, or the name with a tag of a model of timm. `sha256`: of the file, or of the tensors of timm's.
    - `preprocessing`: how images are prepared for them; None where nobody says.
    - `trained_on`, `recipe`: the data and recipe of the weights. `metrics`: published scores in percent. `source`,
      `license`: as on the model's card. Each is empty where nobody says.
    """

    weights: str
    sha256: str
    preprocessing: Preprocessing | None = None
    trained_on: str = ""
    recipe: str = ""
    metrics: dict[str, float] = {}
    source: str = ""
    license: str = ""


def split_start(text: str) -> tuple[str, str | None]:
    """The text of a network and that of its weights, of `network@weights`; None where no weights are named.

    The first @ outside brackets divides them; where the network is a JSON file, the first after the file's name.
    Raises ValueError where there is nothing on one side of it.
    """
    if text.endswith(".json"):
        return text, None
    depth, first = 0, text.find(".json@")
    for position, sign in enumerate(text[max(first, 0) :], start=max(first, 0)):
        depth += (sign in "([") - (sign in ")]")
        if sign == "@" and depth == 0:
            network, weights = text[:position].strip(), text[position + 1 :].strip()
            if network and weights:
                return network, weights
            lacking = "weights after" if network else "a network before"
            raise ValueError(f"{text!r} lacks {lacking} the @; e.g. resnet50@torchvision_v1, or resnet50@runs/mine")
    return text, None
