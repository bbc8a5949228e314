"""Which model is deployed, and for what, as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dorsal.deploy.bundle import is_bundle
from dorsal.deploy.quantize import check_calibration
from dorsal.deploy.runtime import Aim
from dorsal.jobs.machine import available_cores
from dorsal.jobs.plan import ScoredSplit
from dorsal.language.options import check_options, described, option
from dorsal.study.question import Data, command, own_folder


@described
class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model to be deployed on this machine: the fastest form of it that is right is kept.

    Raises ValueError naming the field, the value and what would be valid.
    """

    model: Annotated[
        str,
        option(
            "A folder that `dorsal train` or `dorsal weights` made, or with --again one that `dorsal deploy` made.",
            metavar="FOLDER",
            argument=True,
            path=True,
        ),
    ]
    data: Data = "scenes"
    split: Annotated[
        ScoredSplit | None,
        option("What forms are proven on: val, train, or all (default: val, or all where none can be held out)."),
    ] = None
    batch: Annotated[int, option("Images a call.", least=1)] = 1
    threads: Annotated[int | None, option("Threads of a call (default: all cores).", least=1)] = None
    aim: Annotated[Aim, option("latency, or throughput: as many calls at once as the runtime likes.", name="for")] = (
        "latency"
    )
    max_drop: Annotated[float, option("Points of the score that a form may lose.", least=0)] = 1.0
    accept_unshown: Annotated[
        bool, option("Keep a form also where the images are too few to show that it is right.")
    ] = False
    calibration: Annotated[
        int,
        option("Images from which int8 learns ranges, 16 at least: of the training split, or not proven on.", least=1),
    ] = 128
    again: Annotated[
        bool,
        option(
            "Deploy a deployed model anew on this machine, from the weights that it was made of; what is left at its "
            "default is as it was asked then."
        ),
    ] = False
    test: Annotated[
        bool, option("Do all of it with a small network of the same grammar with random weights, and keep nothing.")
    ] = False
    out: Annotated[
        str,
        option(
            "Folder of the deployed model (default: one in runs/ named after the question).",
            metavar="FOLDER",
            path=True,
            free=True,
        ),
    ] = ""

    def __post_init__(self) -> None:
        check_options(self)
        check_calibration(self.calibration)
        if not 0 <= self.max_drop <= 100:
            raise ValueError(f"max_drop={self.max_drop:g} must be from 0 to 100 points")
        deployed = is_bundle(Path(self.model))
        if deployed and not self.again:
            raise ValueError(f"{self.model!r} is a deployed model; --again deploys it anew from its source")
        if self.again and not deployed:
            raise ValueError(f"again: {self.model!r} holds no deployed model; leave --again out")

    @property
    def folder(self) -> Path:
        """Where the deployed model is: `out`, or a folder of its own."""
        return Path(self.out) if self.out else own_folder("deploy", [Path(self.model).name], self)

    @property
    def cores(self) -> int:
        """The threads of a call."""
        return self.threads or available_cores()


def command_line(deployment: Deployment) -> str:
    """The command that asks the same question. Defaults are left out."""
    return command(("dorsal", "deploy"), deployment)
