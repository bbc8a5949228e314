"""An answer in words: the top, the first arm against every other, and tables of means and pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.answers import Answer
from dorsal.findings.verdicts import PairVerdict
from dorsal.report.words.numerals import chance
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
METHOD = (
    "Differences: randomised blocks, result = arm + seed + noise, and Tukey's studentized range for all pairs at once.",
    "Better: the interval excludes 0. Practically equal: it lies inside the margin. Undecided: neither.",
    "Ranks: an arm ranks behind those that are shown to be better and ahead of those that are shown to be worse.",
    "Wins: the probability that one run of the first arm beats one run of the second with the same seed, from the "
    "noncentral t distribution. Its interval is of the pair alone.",
    "Sign flips: from 6 seeds on, an exact test for all pairs at once that assumes no distribution.",
    "Several data sets: the data set takes the place of the seed, and each arm has its mean on it.",
)
ENOUGH_DATA_SETS = 6
"""So many that the same order on all of them would be significant by the signs alone."""


def answer_sentences(
    answer: Answer, records: Sequence[Record], *, margin: float, unit: str, repeat: str
) -> tuple[str, ...]:
    """What an answer shows: the top, then the first arm against every other. `repeat`: "seed" or "data set".

    `records`, over data sets, are on how many of them one arm beats another.
    """
    if not answer.pairs:
        return (f"Nothing to compare: no two arms have a {repeat} in common.",)
    verdicts = answer.verdicts
    first = verdicts.tie_group[0]
    against = [each for each in zip(answer.pairs, verdicts.pairs, strict=True) if each[0].better == first]
    top = [tie_sentence(verdicts.tie_group)] if len(verdicts.ranks) > 2 else []
    pairs = (_of_pair(*each, margin, unit, repeat) for each in against)
    return (*top, *pairs, *map(_record_sentence, records[: len(against)]))


def _record_sentence(record: Record) -> str:
    """On how many data sets one arm is shown to beat another."""
    return (
        f"{record.first} against {record.second} on single data sets: {record.wins} won, {record.ties} undecided, "
        f"{record.losses} lost; ahead on {record.ahead}."
    )


def _of_pair(pair: Pair, verdict: PairVerdict, margin: float, unit: str, repeat: str) -> str:
    said = verdict_sentence(pair, verdict.judgement, margin, unit=unit, repeat=repeat)
    if verdict.wins is None:
        return said
    a, b = pair.better, pair.worse
    of = f"One run of {a} beats one run of {b}" if repeat == "seed" else f"On one more data set {a} is ahead"
    return f"{said} {of} with probability {wins(verdict.wins)}."


def answer_caveats(answer: Answer, repeat: str) -> Iterator[str]:
    """What an answer does not show: unequal noise, missing results, arms that cannot be paired."""
    yield from unequal_sentences(answer.verdicts)
    if answer.missing:
        yield f"{answer.missing} of {answer.results} results are missing; differences are adjusted for them."
    if answer.unpaired:
        names = "; ".join(f"{a} and {b}" for a, b in answer.unpaired)
        yield f"No {repeat} in common, not compared: {names}. Number the runs of each arm alike to pair them."


def data_set_caveats(count: int) -> Iterator[str]:
    """What an answer over so many data sets does not show."""
    yield "Intervals are over data sets like these; how these were chosen decides what that means."
    if count < ENOUGH_DATA_SETS:
        few = "2 data sets show next to nothing about others like them, even"
        few = few if count == 2 else f"{count} data sets are few: intervals over them hold only"
        yield (
            f"{few} if differences are roughly normal over data sets. The order alone shows nothing: of two arms that "
            f"do not differ, one is ahead on {'both' if count == 2 else f'all {count}'} with probability "
            f"{2 ** (1 - count):.2g}. From {ENOUGH_DATA_SETS} data sets on that is below 0.05; more seeds do not help."
        )


def mean_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each arm its mean and its rank."""
    for arm, mean in answer.means.items():
        yield arm, shown_mean(mean), rank(answer.verdicts, arm)


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


def shown_mean(mean: Estimate) -> str:
    """A mean with half of its interval; alone where there is none."""
    if mean.low is None or mean.high is None:
        return f"{mean.value:.4g}"
    half = (mean.high - mean.low) / 2
    digits = digits_of(half)
    return f"{mean.value:.{digits}f} ± {half:.{digits}f}"
