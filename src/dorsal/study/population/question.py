"""The question of a population as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dorsal.space.bounds import read_bounds
from dorsal.space.named import read_space
from dorsal.space.space import Space
from dorsal.spec.network import Network
from dorsal.spec.reader import Call, Reader
from dorsal.spec.text import format_network
from dorsal.study import question
from dorsal.study.duration import read_duration
from dorsal.study.latency.prediction import LatencyPredictor, predictors, read_latency_model
from dorsal.study.placement import place_of
from dorsal.zoo import named, network


class PopulationQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spaces to sample, and how to train what is drawn.

    - `spaces`: names, or TOML or JSON files, that `space.named.read_space` reads. `edit` changes their base networks
      ("stem=simple(stride=1), strides=[1, 2, 2, 2]").
    - `count` networks of each space, drawn with `sample_seed`, that meet all `bounds` (quantity → range, as
      `space.bounds.read_bounds` reads them) at the size and with the classes of the data. Quantities may be what the
      model in the file or folder `latency_model` predicts (`forward_b1_ms`).
    - `recipe`, `data`, `epochs`, `seeds`, `out`, `storage`, `name` and where runs are made: as in `Comparison`.
    - `budget`: the time this call may take; as many networks of every space are trained as fit.

    Raises ValueError naming the field whose value cannot be.
    """

    spaces: tuple[str, ...]
    count: int = 100
    bounds: dict[str, str] = {}
    edit: str = ""
    latency_model: str = ""
    sample_seed: int = 0
    recipe: str = "regnet-10ep"
    data: str = "scenes"
    epochs: int | None = None
    seeds: question.Seeds = 1
    workers: int | None = None
    threads: int = 1
    device: str = "cpu"
    ray: str | None = None
    gpus: float = 0
    processes: int = 1
    out: str = "runs/population"
    storage: str | None = None
    budget: str | None = None
    name: str = "population"

    def __post_init__(self) -> None:
        for field, least in (("count", 1), ("epochs", 1), ("sample_seed", 0)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field}={value} is below {least}; nearest valid: {least}")
        for field in ("spaces", "recipe", "data", "device", "out", "name"):
            if not getattr(self, field):
                raise ValueError(f"{field} is empty; leave it out for the default or name at least one")
        _ = place_of(self), self.seed_list, self.asked_spaces  # refuse what cannot be
        read_bounds(self.bounds, self.predicted)
        if self.budget is not None:
            read_duration(self.budget)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return question.seed_list(self.seeds)

    @property
    def predicted(self) -> dict[str, LatencyPredictor]:
        """What predicts each of the bounded quantities that the latency model has."""
        if not self.latency_model:
            return {}
        known = predictors(read_latency_model(Path(self.latency_model)))
        return {name: known[name] for name in self.bounds if name in known}

    @property
    def asked_spaces(self) -> tuple[Space, ...]:
        """The spaces, their bases edited. Raises ValueError for one that is unknown or there twice."""
        spaces = tuple(with_edit(read_space(text), self.edit) for text in self.spaces)
        names = [space.name for space in spaces]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"space {name!r} is there twice; give one of them another name")
        return spaces


def from_toml(text: str) -> PopulationQuestion:
    """A question from TOML with the fields of `PopulationQuestion` as keys. Raises ValueError as for `Comparison`."""
    return question.from_toml(text, PopulationQuestion, "a population")


def command_line(asked: PopulationQuestion) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    default = PopulationQuestion(spaces=asked.spaces)
    return question.command(("dorsal", "space", "run"), asked, default, {})


def with_edit(space: Space, changes: str) -> Space:
    """The space with its base network edited by text as in `name(choice=value, …)`.

    Raises ValueError as `zoo.network` does, and for a choice that the space draws, which the edit would not change.
    """
    if not changes:
        return space
    base = space.base.strip()
    text = f"{base[:-1]}, {changes})" if base.endswith(")") else f"{base}({changes})"
    edited = replace(space, base=based_on(text, network(text)))
    linear = ("depths", "widths") if space.linear is not None else ()
    for name in _named("", Reader(f"edit({changes})").whole()):
        if name in space.axes or name in linear:
            raise ValueError(
                f"edit: {space.name} draws its {name}, so that an edit would not change it; leave it out, or write a "
                f"space without that axis (`dorsal space show {space.name}` prints one to begin with)"
            )
    return edited


def _named(path: str, value: Any) -> Iterator[str]:
    """Every choice and field that an edit names, as axes are called: `mixer`, `mixer.inner`, `mixer.inner.radix`."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, Call):
            for field, inner in each.arguments.items():
                yield f"{path}{field}"
                yield from _named(f"{path}{field}.", inner)


def based_on(base: str, net: Network) -> str:
    """The network as an edit of the one that the text `base` begins with."""
    name = base.partition("(")[0].strip()
    return format_network(net, {name: named(name)})
