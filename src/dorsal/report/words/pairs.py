"""Two arms in words: which is better, by how much, and what it would take to show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dorsal.report.words.numerals import decimals, p_value, plural, roughly
from dorsal.report.words.verdicts import equality_ways, with_interval
from dorsal.stats import Comparisons, Pair
from dorsal.stats.needs import MOST_IMAGES, MOST_SEEDS
from dorsal.stats.verdicts import Judgement


class Judged(NamedTuple):
    """The verdict on a pair by this margin."""

    judgement: Judgement
    margin: float


def leader_sentences(found: Comparisons) -> Iterator[str]:
    """The first arm against each of the others."""
    for pair in found.pairs:
        if pair.better == found.pairs[0].better:
            yield pair_sentence(pair)


def is_of_models(pair: Pair) -> bool:
    """Whether the interval is over images alone."""
    return pair.image_half is not None and pair.seed_half is None


def pair_sentence(
    pair: Pair, planned: bool = True, grouped: bool = False, judged: Judged | None = None, models: str = ""
) -> str:
    """Whether one of two arms is better, in points of the score; where that is not shown, what it would take.

    `planned` is whether the runs are such that their noise says what it would take, `grouped` whether `pair.images` are
    groups of images. `judged` has the verdict by a margin; without it nothing is said of equality. `models` is what a
    difference of two trained models is of.
    """
    found, noun = pair.difference, "groups of test images" if grouped else "test images"
    if found.low is None or found.high is None or pair.p is None:
        return _without_noise(pair)
    digits = decimals(found.low, found.high)
    size = f"{with_interval(found, digits)} points"
    whole = f", as trained models: {models}" if models else ""
    verdict, margin = (judged.judgement, margin_text(judged.margin)) if judged else (None, "")
    if pair.significant:
        little = ""
        if verdict and verdict.within_margin:
            little = f", less than the margin of {margin}"
        level = f"{100 * pair.confidence:g} % simultaneous interval{_over(pair, digits, noun)}"
        return f"{pair.better} is better than {pair.worse} by {size}{little}{whole} ({level}, {p_value(pair.p)})."
    noises = [] if is_of_models(pair) else [plural(pair.n, "seed")]
    over = "over " + " and ".join([*noises, *([f"{pair.images:,} {noun}"] if pair.images else [])])
    if verdict and verdict.verdict == "practically equal":
        return f"{pair.better} and {pair.worse} are practically equal: {size}, inside ± {margin}{whole} ({over})."
    if not planned:
        why = "most results are not above chance, so no number of seeds is given"
        return f"{_open(pair, judged)}: {size} {over}{whole}; {why}."
    needed = f"{_needed(pair, noun)}{_to_be_equal(judged)}"
    if pair.seed_half is not None and pair.images is not None and found.value > pair.seed_half:
        return (
            f"On these {pair.images:,} {noun} {pair.better} is ahead of {pair.worse} with other seeds too, by "
            f"{found.value:.{digits}f} ± {pair.seed_half:.{digits}f} points over {plural(pair.n, 'seed')}{whole}; on "
            f"other images that is not shown ({size}): {needed}."
        )
    return f"{_open(pair, judged)}: {size} {over}{whole}; {needed}."


def margin_text(margin: float) -> str:
    """The margin with its unit."""
    return f"{margin:g} point{'' if margin == 1 else 's'}"


def _open(pair: Pair, judged: Judged | None) -> str:
    """How a sentence on an undecided pair begins."""
    return f"{'Undecided' if judged else 'No difference shown'} between {pair.better} and {pair.worse}"


def _to_be_equal(judged: Judged | None) -> str:
    """What would show an undecided pair to be practically equal."""
    if judged is None:
        return ""
    margin = margin_text(judged.margin)
    if ways := equality_ways(judged.judgement):
        return f"; {ways} would show that level arms are equal within {margin}"
    if not judged.judgement.can_be_equal:
        return f"; an interval of this length cannot show them to be equal within {margin}"
    return ""


def _over(pair: Pair, digits: int, noun: str) -> str:
    """What the interval is over, with both halves."""
    if pair.image_half is None:
        return f", {plural(pair.n, 'seed')}"
    images = f"{pair.images or 0:,} {noun}"
    if pair.seed_half is None:
        return f" over {images}, of these trained models, not of the networks"
    return (
        f" over seeds and test images; {plural(pair.n, 'seed')} ± {pair.seed_half:.{digits}f}, {images} "
        f"± {pair.image_half:.{digits}f} on top"
    )


def _needed(pair: Pair, noun: str) -> str:
    """How many seeds, or how many images, would show a difference of this size."""
    if pair.needed is None and pair.images_needed is None:
        return "that is too few to say how many would show a difference of this size"
    limits = (("seeds", pair.needed, MOST_SEEDS), (noun, pair.images_needed, MOST_IMAGES))
    known = [(what, need, most) for what, need, most in limits if need is not None]
    possible = [each for each in known if each[1].low is not None] or known
    ways = " or ".join(roughly(need, what, most) for what, need, most in possible)
    return f"{ways} would be needed to show a difference of this size"


def noise_sentence(pair: Pair) -> str:
    """Which of the two noises weighs more in a pair that is not decided, and what would help most; "" without both."""
    if pair.seed_half is None or pair.image_half is None or pair.images is None or not pair.difference.value:
        return ""
    halves = f"± {pair.seed_half:.2g} by seeds, ± {pair.image_half:.2g} on top by test images"
    larger = "seeds" if pair.seed_half > pair.image_half else "test images"
    said = f"Between {pair.better} and {pair.worse} the noise of {larger} is the larger one ({halves})"
    needs = {"seeds": (pair.needed, pair.n), "test images": (pair.images_needed, pair.images)}
    times = {
        noun: need.value / now for noun, (need, now) in needs.items() if need is not None and need.value is not None
    }
    if not times:
        return f"{said}."
    most = min(times, key=lambda noun: times[noun])
    return f"{said}; what helps most is more {most}, about {_times(times[most])} times as many."


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"


def _without_noise(pair: Pair) -> str:
    if pair.n == 1:
        reason = "one seed cannot tell a difference from chance"
    else:
        reason = f"the results of {pair.n} seeds show no noise to judge it by"
    if pair.difference.value == 0:
        return f"{pair.better} and {pair.worse} are level, but {reason}."
    return f"{pair.better} is ahead of {pair.worse} by {pair.difference.value:.2g} points, but {reason}."
