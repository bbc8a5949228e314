"""What a comparison on several data sets shows: an answer over them, and one on each. Pure; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dorsal.findings.answers import Answer, DataSetAnswers, answer_of, answers_over_data_sets
from dorsal.findings.comparison import CONFIDENCE, Compared, compared_results
from dorsal.findings.contributions import Contributions, read_contributions
from dorsal.stats import compare_arms
from dorsal.stats.data_sets import Record
from dorsal.study.comparison.records import DataSetStudies


class DataSetsFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a comparison on several data sets shows; `report.words.data_sets` says it in English.

    - `compared`: what goes in: the name of a comparison in `ComparisonFindings`, such as a recipe's. "" for nothing.
    - `overall`: over the data sets, which take the place of the seeds. None for fewer than two of `data_sets`.
    - `data_sets`: the answer on each, corrected for all of them; also where there is only one. `records`: wins and
      losses on these.
    - `by_recipe`: over the data sets, the answer of each comparison, where there are several.
    - `unlearnt`: data sets left out of all this, as nothing was learnt there. `waiting`: those without results of two
      arms.
    - `planned`, `done`: numbers of runs on all data sets.
    """

    compared: str
    overall: Answer | None
    data_sets: dict[str, Answer]
    records: tuple[Record, ...]
    by_recipe: dict[str, Answer]
    unlearnt: tuple[str, ...]
    waiting: tuple[str, ...]
    margin: float
    confidence: float
    planned: int
    done: int


def read_all_contributions(found: DataSetStudies, folder: Path) -> dict[str, Contributions]:
    """The contributions of test images on each data set, from the folders in `folder`."""
    return {name: read_contributions(study, folder / name) for name, study in found.studies.items()}


def analyse_data_sets(
    found: DataSetStudies, contributions: Mapping[str, Contributions] | None = None
) -> DataSetsFindings:
    """The statistics of a comparison on several data sets, finished or not.

    Each arm has one value on a data set, its mean over recipes and seeds. `contributions`, by data set, are as in
    `analyse_comparison`, for the answers on single data sets.
    """
    known, margin = contributions or {}, found.plan.margin
    read = {name: compared_results(study, known.get(name)) for name, study in found.studies.items()}
    overlap = {name: study.data.overlap for name, study in found.studies.items()}
    names = dict.fromkeys(name for each in read.values() for name in each.results)
    answers: dict[str, DataSetAnswers] = {}
    for name in names:
        tables = {data: each.results[name] for data, each in read.items() if name in each.results}
        images = {data: each.images[name] for data, each in read.items() if name in each.images}
        if len(tables) > 1:
            answers[name] = answers_over_data_sets(tables, images, margin, CONFIDENCE, overlap)
    primary = next(iter(answers), next(iter(names), ""))
    first = answers.get(primary)
    alone = {} if first else {data: _alone(each, primary, margin, overlap[data]) for data, each in read.items()}
    unlearnt = [name for name, each in read.items() if each.learnt.nothing]
    there = [name for name, each in read.items() if primary in each.results]
    return DataSetsFindings(
        compared=primary,
        overall=first.overall if first else None,
        data_sets=first.data_sets if first else {data: answer for data, answer in alone.items() if answer},
        records=first.records if first else (),
        by_recipe={name: each.overall for name, each in answers.items()} if len(answers) > 1 else {},
        unlearnt=tuple(unlearnt),
        waiting=tuple(each.name for each in found.plan.data_sets if each.name not in (*unlearnt, *there)),
        margin=margin,
        confidence=CONFIDENCE,
        planned=sum(len(study.runs) for study in found.studies.values()),
        done=sum(len(study.trials) for study in found.studies.values()),
    )


def _alone(read: Compared, name: str, margin: float, overlap: float) -> Answer | None:
    """The answer on the only data set that has one."""
    if name not in read.results:
        return None
    table, images = read.results[name], read.images.get(name)
    return answer_of(table, compare_arms(table, CONFIDENCE, images, overlap), margin, CONFIDENCE, images, overlap)
