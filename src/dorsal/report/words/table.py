"""A table of scores in words: what was read, what it shows, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.table.analyse import Answer, TableFindings
from dorsal.findings.verdicts import PairVerdict
from dorsal.report.words.numerals import chance, plural
from dorsal.report.words.verdicts import (
    difference,
    digits_of,
    rank,
    tie_sentence,
    unequal_sentences,
    verdict_sentence,
    wins,
)
from dorsal.stats import Estimate, Pair
from dorsal.stats.data_sets import Record

MEAN_COLUMNS = ("mean", "rank")
PAIR_COLUMNS = ("verdict", "difference", "p", "wins")


def what_was_read(found: TableFindings) -> str:
    """The columns that were taken, and how much is in them."""
    columns = ", ".join(f"{role} from {name!r}" for role, name in found.columns.items())
    sizes = [(len(found.arms), "arm"), (len(found.data_sets) or 1, "data set"), (len(found.seeds), "seed")]
    direction = "Lower is better." if found.lower_is_better else "Higher is better."
    counts = ", ".join(plural(*size) for size in sizes)
    return f"{plural(found.rows, 'row')}: {counts}. Columns: {columns}. {direction} Margin: {margin(found)}."


def margin(found: TableFindings) -> str:
    """The margin with its unit."""
    return f"{found.margin:g}{unit(found).removesuffix('s' * (found.margin == 1))}"


def unit(found: TableFindings) -> str:
    """What stands behind a difference."""
    return " points" if found.in_points else ""


def repeat(found: TableFindings) -> str:
    """What the overall answer repeats."""
    return "data set" if found.data_sets else "seed"


def conclusions(found: TableFindings) -> tuple[str, ...]:
    """What the table shows: the top, then the first arm against every other."""
    answer = found.overall
    if not answer.pairs:
        return ("Nothing to compare: no two arms have a seed in common.",)
    verdicts = answer.verdicts
    first = verdicts.tie_group[0]
    against = [each for each in zip(answer.pairs, verdicts.pairs, strict=True) if each[0].better == first]
    top = [tie_sentence(verdicts.tie_group)] if len(verdicts.ranks) > 2 else []
    return (*top, *(_of_pair(*each, found) for each in against), *map(record_sentence, found.records[: len(against)]))


def record_sentence(record: Record) -> str:
    """On how many data sets one arm is shown to beat another."""
    return (
        f"{record.first} against {record.second} on single data sets: {record.wins} won, {record.ties} undecided, "
        f"{record.losses} lost; ahead on {record.ahead}."
    )


def _of_pair(pair: Pair, verdict: PairVerdict, found: TableFindings) -> str:
    said = verdict_sentence(pair, verdict.judgement, found.margin, unit=unit(found), repeat=repeat(found))
    if verdict.wins is None:
        return said
    a, b = pair.better, pair.worse
    of = f"On one more data set {a} is ahead" if found.data_sets else f"One run of {a} beats one run of {b}"
    return f"{said} {of} with probability {wins(verdict.wins)}."


def caveats(found: TableFindings) -> Iterator[str]:
    """What the table does not show."""
    answer = found.overall
    if found.data_sets:
        yield "Intervals are over data sets like these; how these were chosen decides what that means."
    elif answer.images is None and answer.repeats == 1:
        yield "One seed gives no interval: add seeds, or give predictions on each image."
    elif answer.images is None:
        yield f"Intervals cover the noise of {plural(answer.repeats, 'seed')}: not the choice of test images."
    elif answer.repeats == 1:
        yield (
            f"Intervals cover the choice of the {answer.images:,} test images: they are of these trained models, and "
            "not of others trained with another seed."
        )
    else:
        yield f"Intervals cover {plural(answer.repeats, 'seed')} and {answer.images:,} test images."
    yield from unequal_sentences(answer.verdicts)
    if answer.missing:
        yield f"{answer.missing} of {answer.results} results are missing; differences are adjusted for them."
    if answer.unpaired:
        names = "; ".join(f"{a} and {b}" for a, b in answer.unpaired)
        yield f"No {repeat(found)} in common, not compared: {names}. Number the runs of each arm alike to pair them."
    yield "A table does not say whether the arms were tuned alike."


def mean_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each arm its mean and its rank."""
    for arm, mean in answer.means.items():
        yield arm, _mean(mean), rank(answer.verdicts, arm)


def pair_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each pair its verdict, difference, p value and probability."""
    for pair, each in zip(answer.pairs, answer.verdicts.pairs, strict=True):
        names = f"{pair.better} − {pair.worse}"
        yield names, each.judgement.verdict, difference(pair.difference), chance(pair.p), wins(each.wins)


def flip_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each pair with seeds enough the p value of the exact sign-flip test."""
    for pair, each in zip(answer.pairs, answer.verdicts.pairs, strict=True):
        if each.flips_p is not None:
            yield f"{pair.better} − {pair.worse}", chance(each.flips_p)


def _mean(mean: Estimate) -> str:
    if mean.low is None or mean.high is None:
        return f"{mean.value:.4g}"
    half = (mean.high - mean.low) / 2
    digits = digits_of(half)
    return f"{mean.value:.{digits}f} ± {half:.{digits}f}"
