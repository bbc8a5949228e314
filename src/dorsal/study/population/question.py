"""The question of a population as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dorsal.language.options import described, option
from dorsal.latency.predict import LatencyPredictor, named_bounds, predictors, read_latency_model
from dorsal.space.base import with_edit
from dorsal.space.bounds import read_bounds
from dorsal.space.named import read_space, space_text
from dorsal.space.space import Space
from dorsal.study import question

OF_CLASSES = "regnet-10ep"
"""The recipe of a classification that names none."""


@described
class Population(question.TaskTraining, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spaces to sample, and how to train what is drawn.

    Networks meet all bounds at the size and with the classes of the data. Bounds may be of what the latency model
    predicts.

    Raises ValueError naming the field whose value cannot be.
    """

    spaces: Annotated[
        tuple[str, ...],
        option(
            "Names that `dorsal space list` prints, or TOML or JSON files.",
            metavar="SPACE",
            argument=True,
            path=True,
            text=space_text,
        ),
    ]
    count: Annotated[int, option("Networks of each space.", least=1, free=True)] = 100
    bounds: question.Bounds = msgspec.field(default_factory=dict)
    latency_model: question.LatencyFile = ""
    edit: question.Edit = ""
    sample_seed: question.SampleSeed = 0
    recipe: Annotated[str, question.recipe_option(OF_CLASSES)] = ""
    budget: question.Budget = None
    name: question.Name = "population"
    data: question.Data = "scenes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipe == question.own_recipe(OF_CLASSES, self.asked_task):  # the same question as without it
            msgspec.structs.force_setattr(self, "recipe", "")
        question.check_budget(self.budget)
        msgspec.structs.force_setattr(self, "bounds", named_bounds(self.bounds, self.latency_model))
        _ = self.asked_spaces  # refuses what cannot be
        read_bounds(self.bounds, self.predicted)

    @property
    def asked_recipe(self) -> str:
        """The recipe, that of the task where none is named."""
        return self.recipe or question.own_recipe(OF_CLASSES, self.asked_task)

    @property
    def folder(self) -> Path:
        """Where the study is: `out`, or a folder of its own."""
        names = (Path(text).stem for text in self.spaces)
        return Path(self.out) if self.out else question.own_folder("population", names, self)

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
    return question.from_toml(text, Population)


def command_line(asked: Population) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    return question.command(("dorsal", "space", "run"), asked)
