"""What a design space is: a base network and the axes along which it varies. Frozen data, checked when made. As TOML:

name = "regnetx_pycls"
base = "regnetx_002"
linear = { stages = [4, 4] }

[axes."linear.depth"]
draw = { type = "uniform", low = 12, high = 28 }

[axes."mixer.group_width"]
draw = { type = "log_uniform", low = 8, high = 128, quantum = 8 }
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, TypeVar

import msgspec

from dorsal.language.fields import check_fields
from dorsal.language.reader import suggest
from dorsal.space.axis import Axis, Linear
from dorsal.space.compiled import CompiledSpace
from dorsal.space.distributions import DISTRIBUTIONS
from dorsal.spec.network import Network
from dorsal.zoo import network

_Read = TypeVar("_Read", bound=msgspec.Struct)


class Refinement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a space's history: the change, and the name and size of the space it changed."""

    change: str
    of: str
    points: float


class Space(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, dict=True):
    """A design space. Each point of it is a network and an image size.

    - `base`: a network as text. Choices without an axis are as they are there.
    - `axes`: by choice: those of `spec.text.CHOICES`, fields of elements (`mixer.radix`, `mixer.inner.groups`,
      `stem.width`), `image_size`, `stages` (their number), and the four axes of the linear rule.
    - `non_decreasing`: axes by stage whose values never fall from one stage to the next. They are drawn from the
      product distribution conditional on that, as if all other draws were rejected.
    - `groups`: "fitted" moves the widths of stages with a group width to the nearest width it divides, and lowers group
      widths above the inner width (pycls `adjust_block_compatibility`, arXiv 2003.13678 appendix D). "as_drawn" rejects
      widths that the group width does not divide. The other rules look at the values before the fit.
    - `history`: how the space was made from a wider one (`space.refine`), oldest first.

    Raises ValueError for an unknown axis, with near matches, and for axes that contradict each other.
    """

    name: str
    base: str
    axes: Mapping[str, Axis]
    linear: Linear | None = None
    non_decreasing: tuple[str, ...] = ()
    groups: Literal["fitted", "as_drawn"] = "fitted"
    image_size: int = 224
    history: tuple[Refinement, ...] = ()

    def __post_init__(self) -> None:
        if not self.axes:
            raise ValueError(f"space {self.name!r} is empty: it has no axes; give at least one, e.g. widths")
        if self.image_size < 1:
            raise ValueError(f"image_size={self.image_size} is below 1; nearest valid: 1")
        _ = self.compiled  # checks the axes

    @cached_property
    def base_network(self) -> Network:
        """The network that `base` describes."""
        return network(self.base)

    @cached_property
    def compiled(self) -> CompiledSpace:
        """The space compiled for sampling. It is made once, with the space, and is not a field."""
        return CompiledSpace(
            self.base_network, self.axes, self.linear, self.non_decreasing, self.groups == "fitted", self.image_size
        )


def to_json(space: Space) -> str:
    """The space as one line of JSON."""
    return msgspec.json.encode(space).decode()


def to_toml(space: Space) -> str:
    """The space as TOML."""
    return msgspec.toml.encode(space).decode()


def from_json(text: str | bytes) -> Space:
    """A space from JSON. Raises ValueError for a wrong value, and for an unknown field or axis, with near matches."""
    try:
        return _convert(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise ValueError(f"not a space: {error}") from None


def from_toml(text: str | bytes) -> Space:
    """A space from TOML. Raises ValueError for a wrong value, and for an unknown field or axis, with near matches."""
    try:
        return _convert(msgspec.toml.decode(text))
    except msgspec.DecodeError as error:
        raise ValueError(f"not a space: {error}") from None


def _convert(data: Any) -> Space:
    """A space from plain data. Unlike msgspec, it answers misspelt words with near matches."""
    if isinstance(data, dict):
        check_fields(data, Space.__struct_fields__, "a space")
        if isinstance(data.get("linear"), dict):
            check_fields(data["linear"], Linear.__struct_fields__, "linear")
        axes = data.get("axes")
        for name, axis in axes.items() if isinstance(axes, dict) else ():
            if isinstance(axis, dict):
                check_fields(axis, Axis.__struct_fields__, f"axis {name!r}")
                if isinstance(axis.get("draw"), dict):
                    _check_draw(name, axis["draw"])
            _read(f"axis {name!r}", axis, Axis)
    return _read("not a space", data, Space)


def _read(what: str, data: Any, kind: type[_Read]) -> _Read:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what}: {error}") from None


def _check_draw(name: str, draw: dict[str, Any]) -> None:
    kind = str(draw.get("type"))
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"axis {name!r}: unknown type {kind!r} of a draw{suggest(kind, DISTRIBUTIONS)}")
    check_fields(draw, ("type", *DISTRIBUTIONS[kind].__struct_fields__), f"{kind} in axis {name!r}")
