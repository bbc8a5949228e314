"""The question of a search as data: the same as command line and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from dorsal.language.options import described, option
from dorsal.language.reader import suggest
from dorsal.latency.predict import LatencyPredictor, named_bounds, predictors, read_latency_model
from dorsal.space.base import with_edit
from dorsal.space.bounds import read_bounds
from dorsal.space.costs import QUANTITIES
from dorsal.space.named import read_space, space_text
from dorsal.space.space import Space
from dorsal.study import question
from dorsal.study.population.question import OF_CLASSES
from dorsal.study.population.records import PopulationStudy
from dorsal.study.population.saved import load_population
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


@described
class Search(question.TaskTraining, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A space to search, by what, for what, and how to train the networks that are asked for.

    All objectives are to be as low as possible. The error of a network is the mean over seeds.

    Raises ValueError naming the field whose value cannot be.
    """

    space: Annotated[
        str,
        option(
            "A name that `dorsal space list` prints, or a TOML or JSON file.",
            metavar="SPACE",
            argument=True,
            path=True,
            text=space_text,
        ),
    ]
    trials: Annotated[int, option("Different networks to train.", least=1, free=True)] = 60
    sampler: Annotated[str, option(f"{', '.join(SAMPLERS)}; random draws as `dorsal space run` does.")] = "tpe"
    objectives: Annotated[
        tuple[str, ...],
        option(
            "error, a cost (macs, params, activations, layers), or what the latency model predicts.", name="objective"
        ),
    ] = (ERROR,)
    bounds: question.Bounds = msgspec.field(default_factory=dict)
    latency_model: question.LatencyFile = ""
    edit: question.Edit = ""
    sample_seed: question.SampleSeed = 0
    against: Annotated[
        str,
        option(
            "Folder of a population of random draws of the same space, to compare with.",
            metavar="FOLDER",
            path=True,
            free=True,
        ),
    ] = ""
    against_storage: Annotated[
        str | None,
        option("The URL of that population's storage, where it has a password.", metavar="URL", free=True),
    ] = None
    recipe: Annotated[str, question.recipe_option(OF_CLASSES)] = ""
    name: question.Name = "search"
    data: question.Data = "scenes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipe == question.own_recipe(OF_CLASSES, self.asked_task):  # the same question as without it
            msgspec.structs.force_setattr(self, "recipe", "")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}{suggest(self.sampler, SAMPLERS)}")
        msgspec.structs.force_setattr(self, "bounds", named_bounds(self.bounds, self.latency_model))
        _ = self.asked_space, self.asked_objectives  # refuse what cannot be
        read_bounds(self.bounds, self.predicted)

    @property
    def asked_recipe(self) -> str:
        """The recipe, that of the task where none is named."""
        return self.recipe or question.own_recipe(OF_CLASSES, self.asked_task)

    @property
    def folder(self) -> Path:
        """Where the study is: `out`, or a folder of its own."""
        names = (Path(self.space).stem,)
        return Path(self.out) if self.out else question.own_folder("search", names, self)

    @property
    def asked_space(self) -> Space:
        """The space, its base edited."""
        return with_edit(read_space(self.space), self.edit)

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
    def population(self) -> PopulationStudy | None:
        """The population to compare with.

        Raises ValueError where its folder holds none.
        """
        return load_population(Path(self.against), self.against_storage) if self.against else None

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
    return question.command(("dorsal", "space", "search"), asked)
