"""A table of scores in words: what was read, what it shows, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.table.analyse import Answer, PairFinding, TableFindings
from dorsal.report.words.numerals import NONE, chance, plural
from dorsal.report.words.verdicts import difference, digits_of, tie_sentence, verdict_sentence
from dorsal.stats import Estimate
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
    first = answer.tie_group[0]
    against = [each for each in answer.pairs if each.pair.better == first]
    top = [tie_sentence(answer.tie_group)] if len(answer.ranks) > 2 else []
    return (*top, *(_of_pair(each, found) for each in against), *map(record_sentence, found.records[: len(against)]))


def record_sentence(record: Record) -> str:
    """On how many data sets one arm is shown to beat another."""
    return (
        f"{record.first} against {record.second} on single data sets: {record.wins} won, {record.ties} undecided, "
        f"{record.losses} lost; ahead on {record.ahead}."
    )


def _of_pair(each: PairFinding, found: TableFindings) -> str:
    said = verdict_sentence(each.pair, each.judgement, found.margin, unit=unit(found), repeat=repeat(found))
    if found.overall.images is not None and each.judgement.verdict == "undecided":
        said = f"{said} {_images(each)}"
    if each.wins is None:
        return said
    a, b = each.pair.better, each.pair.worse
    of = f"On one more data set {a} is ahead" if found.data_sets else f"One run of {a} beats one run of {b}"
    return f"{said} {of} with probability {wins(each.wins)}."


def _images(each: PairFinding) -> str:
    """What number of images would decide an undecided pair."""
    aims = ((each.images_to_differ, "a difference of this size"), (each.images_to_equal, "practical equality"))
    parts = [f"about {images:,} images could show {aim}" for images, aim in aims if images is not None]
    return (
        f"With as many seeds, {', and '.join(parts)}." if parts else "With as few seeds, no number of images decides."
    )


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
    noise = answer.noise
    if noise is not None and answer.borne:
        held = [f"{pair.better} − {pair.worse}" for pair in answer.borne if pair.significant]
        yield (
            f"The arms are unequally noisy (p = {chance(noise.p)}): {noise.noisiest} most. The intervals take all "
            f"arms as equally noisy. Each by its own noise, these differences are shown: {', '.join(held) or 'none'}."
        )
    if answer.missing:
        yield f"{answer.missing} of {answer.results} results are missing; differences are adjusted for them."
    if answer.unpaired:
        names = "; ".join(f"{a} and {b}" for a, b in answer.unpaired)
        yield f"No {repeat(found)} in common, not compared: {names}. Number the runs of each arm alike to pair them."
    yield "A table does not say whether the arms were tuned alike."


def mean_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each arm its mean and its rank."""
    for arm, mean in answer.means.items():
        low, high = answer.ranks[arm]
        yield arm, _mean(mean), str(low) if low == high else f"{low} to {high}"


def pair_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each pair its verdict, difference, p value and probability."""
    for each in answer.pairs:
        pair = each.pair
        names = f"{pair.better} − {pair.worse}"
        yield names, each.judgement.verdict, difference(pair.difference), chance(pair.p), wins(each.wins)


def flip_rows(answer: Answer) -> Iterator[Sequence[str]]:
    """For each pair with seeds enough the p value of the exact sign-flip test."""
    for each in answer.pairs:
        if each.flips_p is not None:
            yield f"{each.pair.better} − {each.pair.worse}", chance(each.flips_p)


def wins(estimate: Estimate | None) -> str:
    """A probability with its interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _mean(mean: Estimate) -> str:
    if mean.low is None or mean.high is None:
        return f"{mean.value:.4g}"
    half = (mean.high - mean.low) / 2
    digits = digits_of(half)
    return f"{mean.value:.{digits}f} ± {half:.{digits}f}"
