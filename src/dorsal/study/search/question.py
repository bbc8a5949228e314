"""The question of a search as data: the same as command line and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from dorsal.language.reader import suggest
from dorsal.latency.predict import LatencyPredictor, predictors, read_latency_model
from dorsal.space.base import with_edit
from dorsal.space.bounds import read_bounds
from dorsal.space.costs import QUANTITIES
from dorsal.space.named import read_space
from dorsal.space.space import Space
from dorsal.study import question
from dorsal.study.search.records import ERROR


class Effort(NamedTuple):
    """How a sampler is used: the first `draws` networks are random draws of the space, all of them where it is None;
    then it may propose `attempts` points for one network, a matter of seconds."""

    draws: int | None
    attempts: int


SAMPLERS = {
    "tpe": Effort(10, 200),
    "gp": Effort(10, 10),
    "nsga2": Effort(20, 1000),
    "random": Effort(None, 0),
}


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A space to search, by what, for what, and how to train the networks that are asked for.

    - `space`: one name, or TOML or JSON file, as `space.named.read_space` reads it. `edit` changes its base network.
    - `trials`: how many different networks are trained.
    - `sampler`: one of `SAMPLERS`; `random` draws as `dorsal space run` does. `sample_seed` is its seed.
    - `objectives`: all to be as low as possible: `error`, and costs of one image (`space.costs.QUANTITIES`) or what
      the model in the file or folder `latency_model` predicts (`forward_b1_ms`; `latency` where it predicts one thing).
    - `bounds`: quantity → range that every network meets, of costs and of what is predicted.
    - `recipe`, `data`, `epochs`, `seeds`, `out`, `storage`, `name` and where runs are made: as in `Comparison`. The
      error of a network is the mean over seeds.

    Raises ValueError naming the field whose value cannot be.
    """

    space: tuple[str]
    trials: int = 60
    sampler: str = "tpe"
    objectives: tuple[str, ...] = (ERROR,)
    bounds: dict[str, str] = {}
    edit: str = ""
    sample_seed: int = 0
    latency_model: str = ""
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
    out: str = "runs/search"
    storage: str | None = None
    name: str = "search"

    def __post_init__(self) -> None:
        given = ("recipe", "data", "device", "out", "name")
        question.check_asked(self, least={"trials": 1, "epochs": 1, "sample_seed": 0}, given=given)
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}{suggest(self.sampler, SAMPLERS)}")
        _ = self.asked_space, self.asked_objectives  # refuse what cannot be
        read_bounds(self.bounds, self.predicted)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return question.seed_list(self.seeds)

    @property
    def asked_space(self) -> Space:
        """The space, its base edited."""
        return with_edit(read_space(self.space[0]), self.edit)

    @property
    def asked_objectives(self) -> tuple[str, ...]:
        """The objectives, `latency` by its full name.

        Raises ValueError for one that is unknown or there twice, and where `error` is none of them.
        """
        times = list(self._times)
        known = (ERROR, *QUANTITIES, *times)
        found = tuple(times[0] if name == "latency" and len(times) == 1 else name for name in self.objectives)
        for name in found:
            if name == "latency":
                hint = f"valid: {' or '.join(times)}" if times else "give a latency model, of `dorsal space latency`"
                raise ValueError(f"objective 'latency' of what? {hint}")
            if name not in known:
                raise ValueError(f"unknown objective {name!r}{suggest(name, known)}")
            if found.count(name) > 1:
                raise ValueError(f"objective {name!r} is given twice; give it once")
        if ERROR not in found:
            raise ValueError(f"objectives={', '.join(found)}: nothing of this needs training; give error as well")
        return found

    @property
    def predicted(self) -> dict[str, LatencyPredictor]:
        """What predicts each of the quantities of the latency model that are bounded or an objective."""
        used = {*self.bounds, *self.asked_objectives}
        return {name: predictor for name, predictor in self._times.items() if name in used}

    @property
    def _times(self) -> dict[str, LatencyPredictor]:
        return predictors(read_latency_model(Path(self.latency_model))) if self.latency_model else {}


def command_line(asked: Search) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    default = Search(space=asked.space)
    return question.command(("dorsal", "space", "search"), asked, default, {"objectives": "objective"})
