"""The three verdicts on two arms in words, the tie group, and what a decision would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10

from dorsal.findings.verdicts import Verdicts
from dorsal.report.words.numerals import NONE, p_value, plural, roughly
from dorsal.stats import Estimate, Need, Pair
from dorsal.stats.needs import MOST_IMAGES, MOST_SEEDS
from dorsal.stats.verdicts import Judgement

LOPSIDED = 0.1
"""A value lies beside the middle of its interval if it is farther from it than this share of half of the interval."""


def verdict_sentence(pair: Pair, judgement: Judgement, margin: float, *, unit: str, repeat: str) -> str:
    """The verdict on two arms with the difference. `unit`: " points" or nothing. `repeat`: "seed" or "data set"."""
    names = f"{pair.better} and {pair.worse}"
    size = difference(pair.difference)
    if pair.difference.low is None:
        reason = f"one {repeat} cannot" if pair.n == 1 else f"{plural(pair.n, repeat)} without noise cannot"
        if pair.difference.value == 0:
            return f"{names} are level; {reason} tell this from chance."
        return f"{pair.better} is ahead of {pair.worse} by {size}{unit}; {reason} tell this from chance."
    over = f"{100 * pair.confidence:g} % simultaneous interval, {_over(pair, repeat)}"
    if judgement.verdict == "better":
        little = f", less than the margin of {margin:g}" if judgement.within_margin else ""
        p = "" if pair.p is None else f", {p_value(pair.p)}"
        return f"{pair.better} is better than {pair.worse} by {size}{unit}{little} ({over}{p})."
    if judgement.verdict == "practically equal":
        return f"{names} are practically equal: {size}{unit}, inside the margin of {margin:g} ({over})."
    return f"{names} are undecided: {size}{unit} ({over}). {_needed(pair, judgement, margin, repeat)}".strip()


def _needed(pair: Pair, judgement: Judgement, margin: float, repeat: str) -> str:
    """What it would take to decide an undecided pair."""
    parts = []
    if not judgement.can_be_equal:
        parts.append(f"The interval is longer than the margin of {margin:g}, so that equality could not be shown.")
    ways = [roughly(pair.needed, f"{repeat}s", MOST_SEEDS)] if pair.needed else []
    ways += [roughly(pair.images_needed, "test images", MOST_IMAGES)] if pair.images_needed else []
    if ways:
        parts.append(f"{_capital(' or '.join(ways))} would show a difference of this size.")
    else:
        parts.append(f"There are too few {repeat}s to say how many would show a difference of this size.")
    if said := equality_ways(judgement, repeat):
        parts.append(f"{_capital(said)} would show that level arms are practically equal.")
    return " ".join(parts)


def equality_ways(judgement: Judgement, repeat: str = "seed") -> str:
    """How many seeds or images would show two level arms to be practically equal; "" where that is not known."""
    ways = [roughly(judgement.equal_needed, f"{repeat}s", MOST_SEEDS)] if judgement.equal_needed else []
    if (images := judgement.equal_images) is not None:
        ways.append(roughly(Need(value=images, low=images, high=images), "test images", MOST_IMAGES))
    return " or ".join(ways)


def _over(pair: Pair, repeat: str) -> str:
    """What an interval is over."""
    images = [f"{pair.images:,} test images"] if pair.images else []
    return " and ".join([plural(pair.n, repeat), *images] if pair.seed_half is not None else images)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def unequal_sentences(verdicts: Verdicts) -> Iterator[str]:
    """A warning where arms are unequally noisy, with what holds all the same."""
    noise = verdicts.noise
    if noise is None or not verdicts.borne:
        return
    held = [f"{pair.better} − {pair.worse}" for pair in verdicts.borne if pair.significant]
    yield (
        f"The arms are unequally noisy ({p_value(noise.p)}): {noise.noisiest} most. The intervals take all arms as "
        f"equally noisy. Each by its own noise, over seeds alone, these differences are shown: "
        f"{', '.join(held) or 'none'}."
    )


def wins(estimate: Estimate | None) -> str:
    """A probability with its interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def rank(verdicts: Verdicts, arm: str) -> str:
    """The ranks that an arm may have: "1 to 3"; "" for an arm that is not ranked."""
    if arm not in verdicts.ranks:
        return ""
    low, high = verdicts.ranks[arm]
    return str(low) if low == high else f"{low} to {high}"


def tie_sentence(group: Sequence[str]) -> str:
    """The arms at the top, of three or more. Nothing is said about two arms inside the group."""
    first, *others = group
    if not others:
        return f"{first} is shown to be better than each of the other arms."
    return f"{first} has the best mean. Not shown to differ from it: {', '.join(others)}."


def difference(estimate: Estimate) -> str:
    """A difference with its interval, to two significant digits of half of that."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return with_interval(estimate, digits_of((estimate.high - estimate.low) / 2))


def with_interval(estimate: Estimate, digits: int) -> str:
    """A value with half of its interval, or with both ends where it is lopsided."""
    assert estimate.low is not None
    assert estimate.high is not None
    half = (estimate.high - estimate.low) / 2
    if abs(estimate.low + half - estimate.value) > LOPSIDED * half:
        return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
    return f"{estimate.value:.{digits}f} ± {half:.{digits}f}"


def digits_of(half: float) -> int:
    """Decimals for two significant digits of a half-width, one at least."""
    return max(1, 1 - floor(log10(half))) if half > 0 else 2
