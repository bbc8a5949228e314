"""A choice of weights as data: candidates, rounds of probing, and the comparison of those that were fine-tuned. Written
as JSON. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.plan import Portion
from dorsal.jobs.records import Arm, Machine, Study
from dorsal.jobs.remarks import StudyRemark
from dorsal.language.notebook import html_table
from dorsal.stats import Comparisons, Estimate

CHOICE_SCHEMA = 1
CHOICE_FILE = "choice.json"
FINETUNE = "finetune"
"""The folder, in that of the choice, of the comparison of the finalists."""
RANDOM, COLORS = "random weights", "color histogram"
"""The controls."""
Stop = Literal["one left", "all images", "budget", "interrupted"]


class LeftOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights that were not examined: their text, and why. `license` is theirs where that is the reason, "" where it is
    not known; else `fault` says what is wrong with them."""

    weights: str
    license: str = ""
    fault: str = ""


class Round(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A round of probing.

    - `portion`: the training images that it learnt from and was scored on.
    - `scores`: in percent on the held-out images by label, controls included, the mean of the draws; intervals are over
      images, and where there are several draws over these too, of each alone.
    - `comparisons`: all pairs, with intervals that hold for all pairs of all rounds at once.
    - `dropped`: candidates shown to be worse than the best, each with the difference from it. `failed`: candidates that
      could not be probed, with the error.
    """

    portion: Portion
    scores: dict[str, Estimate]
    comparisons: Comparisons
    dropped: dict[str, Estimate]
    failed: dict[str, str]


class ChoiceStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which weights are best for some images, as far as that has come.

    - `name`, `command`, `created`, `data`, `machine`, `versions`, `remarks`: as in `Study`.
    - `arms`: the candidates, with the time of one image. `commands`: by label, what trains it.
    - `controls`: labels of what is probed beside them and never trained: random weights of the network with the fewest
      MACs, and color histograms. `random_network`: reads back as that network.
    - `left_out`: weights that were not examined.
    - `portions`: what the rounds look at. `rounds`: those that were made. `stop`: why there are no more.
    - `budget`: the time for all of it, None without a limit.
    - `finalists`: the survivors that are fine-tuned, the best by probing first. `waiting`: survivors that the budget
      has no room for.
    - `finetuning`: the comparison of the finalists, with what has ended of it; None where there is none.
    """

    name: str
    command: str
    created: str
    data: DataSummary
    machine: Machine
    versions: dict[str, str]
    remarks: tuple[StudyRemark, ...]
    arms: tuple[Arm, ...]
    commands: dict[str, str]
    controls: tuple[str, ...] = (RANDOM, COLORS)
    random_network: str
    left_out: tuple[LeftOut, ...]
    portions: tuple[Portion, ...]
    rounds: tuple[Round, ...] = ()
    stop: Stop = "interrupted"
    budget: str | None
    finalists: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    finetuning: Study | None = None
    schema: int = CHOICE_SCHEMA

    @property
    def left(self) -> tuple[str, ...]:
        """The candidates that no round has dropped, the best by the last round first."""
        if not self.rounds:
            return tuple(arm.label for arm in self.arms)
        gone = {label for each in self.rounds for label in (*each.dropped, *each.failed)}
        return tuple(label for label in ranked(self.rounds[-1].scores) if label not in gone | set(self.controls))

    def _repr_html_(self) -> str:
        rows = [
            (arm.label, *(_score(each.scores.get(arm.label)) for each in self.rounds), arm.start and arm.start.license)
            for arm in self.arms
        ]
        title = f"{self.name}: {len(self.arms)} candidates on {self.data.description}; probed, score in percent"
        images = (f"{learnt(each.portion)} images" for each in self.rounds)
        return html_table(title, ("weights", *images, "license"), [[str(cell or "–") for cell in row] for row in rows])


def ranked(scores: dict[str, Estimate]) -> list[str]:
    """The labels, the best score first, of equals by name."""
    return sorted(scores, key=lambda label: (-scores[label].value, label))


def learnt(portion: Portion) -> str:
    """From how many images the probes of a round have learnt."""
    return f"{portion.of_draw:,}" if portion.draws == 1 else f"{portion.draws} times {portion.of_draw:,}"


def _score(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.2f}"
