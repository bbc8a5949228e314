"""What a table of scores shows: means, pairs with their verdicts, the tie group and the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import msgspec
from msgspec.structs import replace

from dorsal.findings.table.read import Images, Scores, ScoreTable, read_table
from dorsal.language.files import PathLike, as_path
from dorsal.stats import Comparisons, Estimate, Pair, compare_arms, pooled_means
from dorsal.stats.data_sets import Record, compare_over_data_sets
from dorsal.stats.interval import check_confidence
from dorsal.stats.paired_images import compare_on_images
from dorsal.stats.sign_flips import sign_flip_test
from dorsal.stats.standings import rank_intervals, tie_group
from dorsal.stats.unequal_noise import NoiseTest, compare_unequal_arms, noise_test
from dorsal.stats.verdicts import MARGIN, Judgement, check_margin, judge, runs_to_narrow
from dorsal.stats.win_probability import win_probability

UNEQUAL_NOISE = 0.05
"""Level of the test of equal noise."""


class PairFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two arms and the verdict on them.

    - `wins`: the probability that one run of the better arm beats one run of the worse one. None without noise.
    - `flips_p`: the p value of the exact sign-flip test. None below 6 common seeds.
    - `images_to_differ`, `images_to_equal`: of an undecided pair with predictions, about how many images, with as many
      seeds, make the interval shorter than the difference, or than the margin. None where no number does.
    """

    pair: Pair
    judgement: Judgement
    wins: Estimate | None
    flips_p: float | None
    images_to_differ: int | None
    images_to_equal: int | None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one set of results shows, on one data set or over all of them.

    - `means`: of each arm, as in the table, with its interval. The best comes first.
    - `ranks`: the best and worst rank of each arm. `tie_group`: the first, and those not shown to differ from it.
    - `noise`: whether the arms are equally noisy. `borne`: where they are not, at the level of 5 %, the pairs compared
      each by its own noise.
    - `repeats`: the number of seeds, or of data sets. `images`: the number of images that the intervals cover.
    """

    means: dict[str, Estimate]
    pairs: tuple[PairFinding, ...]
    tie_group: tuple[str, ...]
    ranks: dict[str, tuple[int, int]]
    noise: NoiseTest | None
    borne: tuple[Pair, ...]
    unpaired: tuple[tuple[str, str], ...]
    missing: int
    results: int
    repeats: int
    images: int | None


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


def _answers(
    read: ScoreTable, margin: float, confidence: float
) -> tuple[Answer, dict[str, Answer], tuple[Record, ...]]:
    tables = {data: _raised(arms, read) for data, arms in read.scores.items()}
    images = read.images or {}
    if len(tables) == 1:
        ((data, table),) = tables.items()
        seen = images.get(data)
        found = compare_on_images(table, confidence, seen) if seen else compare_arms(table, confidence)
        return _answer(read, table, found, margin, confidence, seen), {}, ()
    over = compare_over_data_sets(tables, confidence)
    means = {arm: [_mean(table[arm]) for table in tables.values()] for arm in read.arms}
    each = over.each
    if images and each:
        level = 1 - (1 - confidence) / len(each)
        each = {data: _corrected(compare_on_images(tables[data], level, images[data]), len(each)) for data in each}
    answers = {
        data: _answer(read, tables[data], found, margin, confidence, images.get(data)) for data, found in each.items()
    }
    return _answer(read, means, over.overall, margin, confidence, None), answers, over.records


def _corrected(found: Comparisons, conditions: int) -> Comparisons:
    """With p values for so many conditions; the intervals are corrected already."""
    pairs = (replace(pair, p=None if pair.p is None else min(1.0, conditions * pair.p)) for pair in found.pairs)
    return replace(found, pairs=tuple(pairs))


def _answer(
    read: ScoreTable, table: Scores, found: Comparisons, margin: float, confidence: float, images: Images | None
) -> Answer:
    runs = [run for arm in (images or {}).values() for run in arm if run is not None]
    pairs = _pairs(table, found, margin)
    ranks, noise = rank_intervals(found), noise_test(table)
    means = pooled_means(table, confidence)
    return Answer(
        means={arm: _lowered(means[arm], read) for arm in ranks},
        pairs=_on_images(pairs, table, runs[0].size, margin) if runs else pairs,
        tie_group=tie_group(found),
        ranks=ranks,
        noise=noise,
        borne=compare_unequal_arms(table, confidence).pairs if noise is not None and noise.p < UNEQUAL_NOISE else (),
        unpaired=found.unpaired,
        missing=found.missing,
        results=found.results,
        repeats=max(map(len, table.values())),
        images=runs[0].size if runs else None,
    )


def _pairs(table: Scores, found: Comparisons, margin: float) -> tuple[PairFinding, ...]:
    flips = {frozenset((each.better, each.worse)): each.p for each in sign_flip_test(table)}
    return tuple(
        PairFinding(
            pair=pair,
            judgement=judgement,
            wins=_wins(table, pair),
            flips_p=flips.get(frozenset((pair.better, pair.worse))),
            images_to_differ=None,
            images_to_equal=None,
        )
        for pair, judgement in zip(found.pairs, judge(found, margin), strict=True)
    )


def _on_images(pairs: Sequence[PairFinding], table: Scores, images: int, margin: float) -> tuple[PairFinding, ...]:
    """With numbers of images in place of the number of seeds, which is that of seeds alone."""
    confidence = pairs[0].pair.confidence if pairs else 0.95
    by_seeds = {(pair.better, pair.worse): pair for pair in compare_arms(table, confidence).pairs}
    found = []
    for each in pairs:
        both, alone = (
            0.0 if pair.difference.low is None else pair.difference.value - pair.difference.low
            for pair in (each.pair, by_seeds[each.pair.better, each.pair.worse])
        )
        to_differ = to_equal = None
        if each.judgement.verdict == "undecided" and both:
            by_images = sqrt(max(both**2 - alone**2, 0))
            to_differ, to_equal = (
                runs_to_narrow(by_images, alone, images, target) for target in (each.pair.difference.value, margin)
            )
        judgement = replace(each.judgement, equal_needed=None)
        found.append(replace(each, judgement=judgement, images_to_differ=to_differ, images_to_equal=to_equal))
    return tuple(found)


def _raised(arms: Mapping[str, Sequence[float | None]], read: ScoreTable) -> Scores:
    """The scores so that higher is better."""
    sign = -1 if read.lower_is_better else 1
    return {arm: [None if value is None else sign * value for value in runs] for arm, runs in arms.items()}


def _lowered(mean: Estimate, read: ScoreTable) -> Estimate:
    """A mean as it is in the table."""
    if not read.lower_is_better:
        return mean
    low, high = (None if end is None else -end for end in (mean.high, mean.low))
    return replace(mean, value=-mean.value, low=low, high=high)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _wins(table: Scores, pair: Pair) -> Estimate | None:
    found = win_probability(table[pair.better], table[pair.worse])
    return None if found.low is None else found
