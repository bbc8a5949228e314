"""The question of a recheck as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.jobs.resources import ResourceOptions
from dorsal.language.options import described, option
from dorsal.study import question


@described
class Recheck(ResourceOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to check the schedule of a population: some of its networks are trained again, longer and with more seeds.

    The networks of each space are the first ones drawn: a random subset, whose range of errors is the population's.

    Raises ValueError naming the field whose value cannot be.
    """

    population: Annotated[
        str,
        option("The folder of a population that `dorsal space run` made.", metavar="FOLDER", argument=True, path=True),
    ]
    networks: Annotated[int, option("Networks of each space to train again.", least=1)] = 12
    epochs: Annotated[
        tuple[int, ...],
        option("Longer schedules, e.g. 20,50 (default: twice and four times the population's).", metavar="N,N"),
    ] = ()
    seeds: question.Seeds = 3
    storage: question.Storage = None
    keep_models: question.KeepModels = True
    budget: question.Budget = None

    def __post_init__(self) -> None:
        super().__post_init__()
        question.seed_list(self.seeds)
        question.check_budget(self.budget)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return question.seed_list(self.seeds)

    @property
    def folder(self) -> Path:
        """The population's."""
        return Path(self.population)


def command_line(asked: Recheck) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    return question.command(("dorsal", "space", "recheck"), asked)
