"""What a choice of weights shows: the top, with what it rests on, and what beats neither of the controls. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from dorsal.findings.comparison import ComparisonFindings, analyse_comparison
from dorsal.findings.contributions import read_contributions
from dorsal.jobs.records import Study
from dorsal.stats import Estimate
from dorsal.study.choice.records import FINETUNE, ChoiceStudy, Round

Fate = Literal["fine-tuned", "not fine-tuned", "dropped", "failed"]


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights to choose from.

    - `fate`: what became of them; "not fine-tuned" are those that no round has dropped.
    - `round`: the last one that probed them, from 1. `probed`: their score in it, None where that failed.
    - `behind`: how much worse than the best they were shown to be by it, None unless dropped.
    - `unbeaten`: the controls that they are not shown to beat in that round.
    - `score`: fine-tuned, in percent. `rank`: the best and worst they may have among those; None where nothing is
      compared.
    """

    label: str
    fate: Fate
    round: int
    probed: Estimate | None
    behind: Estimate | None = None
    unbeaten: tuple[str, ...] = ()
    score: Estimate | None = None
    rank: tuple[int, int] | None = None


class ChoiceFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a choice shows.

    - `candidates`: the best first: the fine-tuned ones by that score, then the others by how long they stayed.
    - `top`: the best, and those not shown to differ from it. `by`: what that rests on. Empty if nothing has finished.
    - `cheapest`: of the top, the one with the fewest MACs; "" where there is no top.
    - `comparison`: of the fine-tuned ones, None where there are none.
    - `finished`: whether all that was to be probed and fine-tuned has been. `learnt`: False where fine-tuning is not
      shown to have learnt anything, so that its scores say nothing.
    """

    candidates: tuple[Candidate, ...]
    top: tuple[str, ...]
    by: Literal["fine-tuning", "probing"]
    cheapest: str
    comparison: ComparisonFindings | None
    finished: bool
    learnt: bool


def analyse_choice(study: ChoiceStudy, folder: Path | None = None) -> ChoiceFindings:
    """What a choice shows, finished or not.

    With its `folder`, intervals of fine-tuned candidates are over seeds and validation images, else over seeds only.
    """
    tuned = study.finetuning
    comparison = None
    if tuned is not None:
        comparison = analyse_comparison(tuned, read_contributions(tuned, folder / FINETUNE) if folder else None)
    found = [_candidate(study, arm.label, tuned, comparison) for arm in study.arms]
    found.sort(key=_place)
    scored = tuple(each.label for each in found if each.score is not None)
    top = _tie(comparison, scored) if comparison and scored else study.left * bool(study.rounds)
    macs = {arm.label: arm.cost.macs for arm in study.arms}
    return ChoiceFindings(
        candidates=tuple(found),
        top=top,
        by="fine-tuning" if scored else "probing",
        cheapest=min(top, key=lambda label: macs[label], default=""),
        comparison=comparison,
        finished=_is_finished(study, comparison),
        learnt=comparison is None or not comparison.learning.nothing,
    )


def _is_finished(study: ChoiceStudy, comparison: ComparisonFindings | None) -> bool:
    if study.stop == "interrupted" or (study.finalists and comparison is None):
        return False
    return comparison is None or comparison.done == comparison.planned


def _candidate(study: ChoiceStudy, label: str, tuned: Study | None, comparison: ComparisonFindings | None) -> Candidate:
    number, last = _last_round(study, label)
    fate: Fate = "dropped" if last and label in last.dropped else "not fine-tuned"
    if last is None or label in last.failed:
        fate = "failed" if last else fate
        return Candidate(label=label, fate=fate, round=number, probed=None)
    beaten = {pair.worse for pair in last.comparisons.pairs if pair.better == label and pair.significant}
    score = rank = None
    if comparison is not None and tuned is not None and label in study.finalists:
        cell = next((cell for cell in comparison.cells if cell.arm == label), None)
        score = None if cell is None else cell.score
        verdicts = next(iter(comparison.verdicts.values()), None)
        rank = verdicts.ranks.get(label) if verdicts else None
        fate = "fine-tuned" if score else fate
    return Candidate(
        label=label,
        fate=fate,
        round=number,
        probed=last.scores[label],
        behind=last.dropped.get(label),
        unbeaten=tuple(control for control in study.controls if control in last.scores and control not in beaten),
        score=score,
        rank=rank,
    )


def _last_round(study: ChoiceStudy, label: str) -> tuple[int, Round | None]:
    """The last round that had this candidate, and its number; 0 and None before the first."""
    rounds = [(number, each) for number, each in enumerate(study.rounds, 1) if label in {**each.scores, **each.failed}]
    return rounds[-1] if rounds else (0, None)


def _place(candidate: Candidate) -> tuple[float, int, float, str]:
    score, probed = (each.value if each else -1.0 for each in (candidate.score, candidate.probed))
    return -score, -candidate.round, -probed, candidate.label


def _tie(comparison: ComparisonFindings, scored: tuple[str, ...]) -> tuple[str, ...]:
    """Those not shown to differ from the best; all where nothing was learnt, as then nothing is compared."""
    verdicts = next(iter(comparison.verdicts.values()), None)
    return verdicts.tie_group if verdicts else scored
