"""What a table of scores shows: means, pairs with their verdicts, the tie group and the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from dorsal.findings.answers import Answer, DataSetAnswers, answer_of, answers_over_data_sets
from dorsal.findings.table.read import Scores, ScoreTable, read_table
from dorsal.language.amounts import MARGIN, check_margin
from dorsal.language.files import PathLike, as_path
from dorsal.stats import Estimate, compare_arms
from dorsal.stats.data_sets import Record
from dorsal.stats.interval import check_confidence


class TableFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a table shows; `report.words.table` says it in English.

    - `columns`: by what it holds, the name of the column that was taken.
    - `overall`: the answer of the one data set, or the one over all data sets, which are then the repeats.
    - `data_sets`: the answer on each, where there are several, corrected for all of them. `records`: wins and losses.
    - `in_points`: the scores are percent, as far as one can see: not all of them lie from 0 to 1.
    """

    path: str
    columns: dict[str, str]
    rows: int
    arms: tuple[str, ...]
    seeds: tuple[str, ...]
    margin: float
    confidence: float
    lower_is_better: bool
    in_points: bool
    overall: Answer
    data_sets: dict[str, Answer]
    records: tuple[Record, ...]


def analyse_table(table: PathLike, margin: float | None = None, confidence: float = 0.95) -> TableFindings:
    """The statistics of anybody's results: a CSV file of scores, or of predictions on each image.

    `dorsal.findings.table.read.read_table` says what the file may hold. `margin` is the difference that is still
    practically equal, in the unit of the scores: 1, or .01 where all scores lie from 0 to 1.

    Raises ValueError naming line and column for what cannot be read, a margin not above 0, or a confidence not between
    0 and 1; TypeError where `table` is no path.
    """
    check_confidence(confidence)
    if margin is not None:
        check_margin(margin)
    read = read_table(as_path("table", table))
    found = [
        (arm, abs(value))
        for arms in read.scores.values()
        for arm, runs in arms.items()
        for value in runs
        if value is not None
    ]
    if len({arm for arm, _ in found}) < 2:
        arms = repr(found[0][0]) if found else "no arm"
        raise ValueError(
            f"{read.path}: column {read.columns['score']!r} holds results of {arms}; a comparison needs 2 arms"
        )
    in_points = read.images is not None or max(value for _, value in found) > 1
    margin = margin or (MARGIN if in_points else MARGIN / 100)
    overall, data_sets, records = _answers(read, margin, confidence)
    return TableFindings(
        path=read.path,
        columns=read.columns,
        rows=read.rows,
        arms=read.arms,
        seeds=read.seeds,
        margin=margin,
        confidence=confidence,
        lower_is_better=read.lower_is_better,
        in_points=in_points,
        overall=overall,
        data_sets=data_sets,
        records=records,
    )


def _answers(read: ScoreTable, margin: float, confidence: float) -> DataSetAnswers:
    tables = {data: _raised(arms, read) for data, arms in read.scores.items()}
    images = read.images or {}
    if len(tables) > 1:
        found = answers_over_data_sets(tables, images, margin, confidence)
    else:
        ((data, table),) = tables.items()
        seen = images.get(data)
        compared = compare_arms(table, confidence, seen)
        found = DataSetAnswers(answer_of(table, compared, margin, confidence, seen), {}, ())
    each = {data: _lowered(answer, read) for data, answer in found.data_sets.items()}
    return found._replace(overall=_lowered(found.overall, read), data_sets=each)


def _raised(arms: Mapping[str, Sequence[float | None]], read: ScoreTable) -> Scores:
    """The scores so that higher is better."""
    sign = -1 if read.lower_is_better else 1
    return {arm: [None if value is None else sign * value for value in runs] for arm, runs in arms.items()}


def _lowered(answer: Answer, read: ScoreTable) -> Answer:
    """The answer with means as they are in the table."""
    if not read.lower_is_better:
        return answer
    return replace(answer, means={arm: _negative(mean) for arm, mean in answer.means.items()})


def _negative(mean: Estimate) -> Estimate:
    low, high = (None if end is None else -end for end in (mean.high, mean.low))
    return replace(mean, value=-mean.value, low=low, high=high)
