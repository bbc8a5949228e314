"""The question of a population as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dorsal.latency.predict import LatencyPredictor, predictors, read_latency_model
from dorsal.space.base import with_edit
from dorsal.space.bounds import read_bounds
from dorsal.space.named import read_space
from dorsal.space.space import Space
from dorsal.study import question


class Population(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
        given = ("spaces", "recipe", "data", "device", "out", "name")
        question.check_asked(self, least={"count": 1, "epochs": 1, "sample_seed": 0}, given=given)
        _ = self.asked_spaces  # refuses what cannot be
        read_bounds(self.bounds, self.predicted)

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


def from_toml(text: str) -> Population:
    """A question from TOML with the fields of `Population` as keys. Raises ValueError as for `Comparison`."""
    return question.from_toml(text, Population, "a population")


def command_line(asked: Population) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    default = Population(spaces=asked.spaces)
    return question.command(("dorsal", "space", "run"), asked, default, {})
