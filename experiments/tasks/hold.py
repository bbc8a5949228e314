"""Whether what a comparison decides on classification holds on other tasks: the answer of the study of tasks.

    python experiments/tasks/hold.py OUT

OUT is the folder of run.sh, in which all comparisons have ended. Writes OUT/hold.json and OUT/hold.html, and prints
what the page says.

A pair of networks is *decided* on a task where the interval of its difference, over new seeds and new test images and
for all pairs of that task at once, excludes 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from html import escape
from itertools import combinations
from math import atanh, sqrt, tanh
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import plotly.graph_objects as go
from scipy.special import ndtri

from dorsal.findings.comparison import ComparisonFindings, analyse_comparison, compared_results
from dorsal.findings.contributions import read_contributions
from dorsal.jobs.records import Study
from dorsal.jobs.tables import Results
from dorsal.report.parts import estimated, legend, page_of, section, table, top
from dorsal.report.plot import View, look, plane, short
from dorsal.report.shell import chart
from dorsal.report.words.numerals import listed, plural
from dorsal.stats import Estimate
from dorsal.stats.interval import Array
from dorsal.stats.reliability import rank_reliability
from dorsal.study.load import load

FIRST = "classify"
OTHERS = {"instance": "instance segmentation", "semantic": "semantic segmentation"}
"""The folders of the other tasks, and what they are called."""
SCORES = {"instance": "mask AP", "semantic": "mean IoU"}
QUESTION = "Does what classification decides hold on other tasks?"
CONFIDENCE = 0.95

Fate = Literal["holds", "same sign", "other sign", "reversed"]
FATES: dict[Fate, str] = {
    "holds": "decided alike",
    "same sign": "of the same sign but not decided",
    "other sign": "of the other sign but not decided",
    "reversed": "decided the other way round",
}
"""What becomes of a pair on another task, in words."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison: the mean score of each network with its interval, in percent; the difference of each pair, first
    minus second, with its interval for all pairs at once; and the scores [networks, seeds]."""

    means: dict[str, Estimate]
    differences: dict[tuple[str, str], Estimate]
    scores: Array


class PairFate(msgspec.Struct, frozen=True, kw_only=True):
    """A pair that classification decides: by how many points there, by how many on the other task, and what that is."""

    better: str
    worse: str
    there: Estimate
    here: Estimate
    fate: Fate


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """How another task goes with classification.

    - `pairs`: all pairs of networks; `same`: how many have the same sign on both tasks. `decided`: those that
      classification decides.
    - `correlation`: Pearson's, of the mean scores. Its interval (Fisher 1921) is over networks like these, and takes
      their scores to be normal.
    - `tau`: Kendall's, of single runs with different seeds; `true_tau`: without the noise of seeds. Intervals are
      bootstrap over networks, see `dorsal.stats.reliability`. None where they cannot be.
    """

    task: str
    pairs: int
    same: int
    decided: tuple[PairFate, ...]
    correlation: Estimate
    tau: Estimate | None
    true_tau: Estimate | None


def read(folder: Path) -> Task:
    """A comparison by one recipe. ValueError unless all its runs have finished and kept their predictions."""
    study = load(folder)
    if not isinstance(study, Study):
        raise ValueError(f"{folder} holds no comparison")
    if lost := [trial for trial in study.trials if trial.status != "finished"]:
        raise ValueError(f"{folder}: {plural(len(lost), 'run')} have not finished, and are not made again")
    if left := len(study.runs) - len(study.trials):
        raise ValueError(f"{folder}: {plural(left, 'run')} of {len(study.runs)} are still to come; run.sh goes on")
    contributions = read_contributions(study, folder)
    if contributions.lost:
        raise ValueError(f"{folder}: {contributions.lost}")
    ((_, results),) = compared_results(study, contributions).results.items()
    return task_of(analyse_comparison(study, contributions), results)


def task_of(found: ComparisonFindings, results: Results) -> Task:
    """The means, differences and scores of a comparison by one recipe."""
    (compared,) = found.comparisons.values()
    cells = {cell.arm: cell.score for cell in found.cells}
    differences: dict[tuple[str, str], Estimate] = {}
    for pair in compared.pairs:
        value, low, high = pair.difference.value, pair.difference.low, pair.difference.high
        assert low is not None
        assert high is not None
        differences[pair.better, pair.worse] = pair.difference
        differences[pair.worse, pair.better] = Estimate(value=-value, low=-high, high=-low)
    return Task(
        means={arm: mean for arm in results if (mean := cells[arm]) is not None},
        differences=differences,
        scores=np.array(list(results.values()), float),
    )


def held(task: str, first: Task, other: Task) -> Held:
    """How the other task goes with the first."""
    names = list(first.means)
    if names != list(other.means):
        raise ValueError(f"the networks are {listed(names)} and {listed(list(other.means))}; they must be the same")
    pairs = list(combinations(names, 2))
    same = sum(first.differences[pair].value * other.differences[pair].value > 0 for pair in pairs)
    decided = [
        PairFate(better=a, worse=b, there=there, here=other.differences[a, b], fate=fate(other.differences[a, b]))
        for (a, b), there in first.differences.items()
        if (there.low or 0.0) > 0
    ]
    means = [[each.means[name].value for name in names] for each in (first, other)]
    errors = 100 - np.stack([first.scores, other.scores], axis=1)
    ranks = rank_reliability(errors, (FIRST, task), k=1, confidence=CONFIDENCE).agreements[0]
    return Held(
        task=task,
        pairs=len(pairs),
        same=same,
        decided=tuple(sorted(decided, key=lambda each: -each.there.value)),
        correlation=correlation(*means),
        tau=ranks.tau,
        true_tau=ranks.true_tau,
    )


def fate(difference: Estimate) -> Fate:
    """What becomes of a pair, by its difference on the other task: the one that classification calls better, minus
    the other one."""
    if (difference.low or 0.0) > 0:
        return "holds"
    if (difference.high or 0.0) < 0:
        return "reversed"
    return "same sign" if difference.value > 0 else "other sign"


def correlation(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Pearson's correlation with Fisher's interval: the arctanh of r has a standard error of 1 / sqrt(n - 3)."""
    value = float(np.corrcoef(first, second)[0, 1])
    half = float(ndtri((1 + CONFIDENCE) / 2)) / sqrt(len(first) - 3)
    middle = atanh(max(min(value, 1 - 1e-12), -1 + 1e-12))
    return Estimate(value=value, low=tanh(middle - half), high=tanh(middle + half))


def sentences(found: Held) -> list[str]:
    """The answer for one task."""
    name, decided = OTHERS[found.task], found.decided
    of_all = f"Of {plural(found.pairs, 'pair')}, {found.same} have the same sign on classification and {name}."
    times = {words: sum(each.fate == kind for each in decided) for kind, words in FATES.items()}
    told = [f"{often} {'is' if often == 1 else 'are'} {words}" for words, often in times.items() if often]
    of_decided = (
        f"Classification decides {plural(len(decided), 'pair')}; on {name} {listed(told)}."
        if decided
        else "Classification decides no pair."
    )
    tau = "" if found.tau is None else f"; Kendall's tau of single runs is {_said(found.tau)}"
    without = "" if found.true_tau is None else f", without the noise of seeds {_said(found.true_tau)}"
    return [
        of_all,
        of_decided,
        f"The correlation of mean scores is {_said(found.correlation)}{tau}{without}.",
    ]


def _said(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def figure(task: str, first: Task, other: Task) -> go.Figure:
    """The scores of the networks on both tasks, with their intervals."""
    drawn = plane("classification: accuracy, %", f"{OTHERS[task]}: {SCORES[task]}, %")
    for index, name in enumerate(first.means):
        across, up = first.means[name], other.means[name]
        drawn.add_scatter(
            x=short([across.value]),
            y=short([up.value]),
            mode="markers",
            legendgroup=str(index),
            marker={"size": 10, "color": look(index).colour, "symbol": "circle-open" if look(index).open else "circle"},
            error_x=_bar(across),
            error_y=_bar(up),
            hovertemplate=f"{escape(name)}: %{{x:.1f}} %, %{{y:.1f}} %<extra></extra>",
        )
    return drawn


def _bar(estimate: Estimate) -> dict[str, object]:
    low, high = estimate.low, estimate.high
    assert low is not None
    assert high is not None
    return {"array": short([high - estimate.value]), "arrayminus": short([estimate.value - low]), "thickness": 1.2}


def page(tasks: Mapping[str, Task], answers: Sequence[Held]) -> str:
    """The whole page, which needs nothing else."""
    about = (
        "Small networks of equal MACs, trained from scratch on three tasks. A pair is decided on a task where the 95 % "
        "interval of its difference, over seeds and test images and for all pairs at once, excludes 0."
    )
    limits = (
        "Two seeds: the noise of seeds is known from the eight networks together, and taken to be equal for all.",
        "Few networks: pairs share networks, so the numbers of pairs are not independent, and a correlation of eight "
        "points has a wide interval.",
        "Each task has one data set, one recipe and few epochs. Longer training may change the order.",
    )
    said = [line for found in answers for line in sentences(found)]
    sections = [top(QUESTION, about, said, limits, alike=True)]
    names = list(tasks[FIRST].means)
    for found in answers:
        title = OTHERS[found.task]
        views = [View(title, figure(found.task, tasks[FIRST], tasks[found.task]))]
        rows = [
            [
                escape(each.better),
                escape(each.worse),
                estimated(each.there, 1, "+"),
                estimated(each.here, 1, "+"),
                FATES[each.fate],
            ]
            for each in found.decided
        ]
        head = ("better on classification", "worse", "classification, points", f"{title}, points", "the pair is")
        looks = legend(dict(enumerate(names)))
        drawn = chart(f"Scores on both: {title}", views, "Bars are 95 % intervals of each mean.", looks)
        sections.append(section(escape(title.capitalize()), drawn + table(f"Pairs decided: {title}", head, rows)))
    return page_of(QUESTION, sections)


def main(out: Path) -> None:
    """Writes page and numbers, and prints the sentences."""
    tasks = {name: read(out / name) for name in (FIRST, *OTHERS)}
    answers = [held(name, tasks[FIRST], tasks[name]) for name in OTHERS]
    (out / "hold.json").write_bytes(msgspec.json.format(msgspec.json.encode(answers), indent=1))
    (out / "hold.html").write_text(page(tasks, answers), "utf-8")
    for found in answers:
        print("\n- ".join([OTHERS[found.task].capitalize(), *sentences(found)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
