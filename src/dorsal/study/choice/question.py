"""Which weights are best for some images, as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from dorsal.language.options import described, option
from dorsal.language.reader import reads
from dorsal.spec.licenses import check_license
from dorsal.study import question
from dorsal.study.comparison.question import AskedArm, read_arm
from dorsal.zoo import any_network


@described
class Choice(question.Training, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights to choose from for the images of a data set, and how much time there is for that.

    Raises ValueError naming the field whose value cannot be.
    """

    weights: Annotated[
        tuple[str, ...],
        option(
            "NETWORK@WEIGHTS (as for compare; * for all that are published), or a folder of a model, of several, or of "
            "a study that keeps its models. Default: all that this machine has, in models/, runs/, weights/ and the "
            "caches of published weights.",
            metavar="WEIGHTS",
            argument=True,
            path=True,
        ),
    ] = ()
    license: Annotated[
        str | None,
        option("Only weights under this license, e.g. MIT, or permissive: any that allows almost everything."),
    ] = None
    accept: question.Accept = False
    seeds: question.Seeds = 3
    budget: Annotated[
        str | None,
        option(
            "Time for all of it, e.g. 10m or 2h. After a first round, half of it at most goes to probing.",
            metavar="TIME",
            free=True,
        ),
    ] = None
    data: question.Data = "scenes"
    name: question.Name = "choose"

    def __post_init__(self) -> None:
        super().__post_init__()
        question.check_budget(self.budget)
        if self.license is not None:
            check_license(self.license)
        for text in self.weights:
            if not is_folder_name(text):
                read_candidate(text)

    @property
    def folder(self) -> Path:
        """Where all of it is: `out`, or a folder of its own."""
        names = (Path(text.partition("@")[0].partition("(")[0]).name for text in self.weights)
        return Path(self.out) if self.out else question.own_folder("choose", names, self)


def is_folder_name(text: str) -> bool:
    """Whether a text names a folder, and not a network with its weights."""
    return os.path.isdir(text) or ("@" not in text and os.sep in text)  # noqa: PTH112


def read_candidate(text: str) -> AskedArm:
    """Reads `label=network@weights`, of which the label may be absent.

    Raises ValueError as `read_arm` does, where no weights are named, and where a recipe is.
    """
    if "@" not in text and not reads(text, any_network):
        raise ValueError(f"weights {text!r} are no folder, nor NETWORK@WEIGHTS, e.g. resnet50@torchvision_v1")
    arm = read_arm(text)
    if arm.weights is None:
        raise ValueError(
            f"weights {text!r} name a network without weights: choose compares weights, and random weights run anyway "
            f"as a control; e.g. {arm.text}@*"
        )
    if arm.recipe:
        raise ValueError(f"weights {text!r}: choose trains all by the recipe finetune; leave 'with {arm.recipe}' out")
    return arm


def command_line(choice: Choice) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    return question.command(("dorsal", "choose"), choice)
