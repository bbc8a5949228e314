"""The three verdicts on two arms in words, the tie group, and what a decision would take."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from dorsal.report.words.numerals import p_value, plural, roughly
from dorsal.stats import Estimate, Need, Pair
from dorsal.stats.needs import MOST_SEEDS
from dorsal.stats.verdicts import Judgement


def verdict_sentence(pair: Pair, judgement: Judgement, margin: float, *, unit: str, repeat: str) -> str:
    """The verdict on two arms with the difference. `unit`: " points" or nothing. `repeat`: "seed" or "data set"."""
    names = f"{pair.better} and {pair.worse}"
    size = difference(pair.difference)
    if pair.difference.low is None:
        reason = f"one {repeat} cannot" if pair.n == 1 else f"{plural(pair.n, repeat)} without noise cannot"
        return f"{pair.better} is ahead of {pair.worse} by {size}{unit}; {reason} tell this from chance."
    over = f"{100 * pair.confidence:g} % simultaneous interval, {plural(pair.n, repeat)}"
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
    if pair.needed is not None:
        parts.append(f"{_of(pair.needed, repeat)} would show a difference of this size.")
    if judgement.equal_needed is not None:
        parts.append(f"{_of(judgement.equal_needed, repeat)} would show that level arms are practically equal.")
    return " ".join(parts)


def _of(need: Need, repeat: str) -> str:
    text = roughly(need, f"{repeat}s", MOST_SEEDS)
    return text[0].upper() + text[1:]


def tie_sentence(group: Sequence[str]) -> str:
    """The arms at the top, of three or more. Nothing is said about two arms inside the group."""
    first, *others = group
    if not others:
        return f"{first} is shown to be better than each of the other arms."
    return f"{first} has the best mean. Not shown to differ from it: {', '.join(others)}."


def difference(estimate: Estimate) -> str:
    """A difference with half of its interval: two significant digits of it."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    half = (estimate.high - estimate.low) / 2
    digits = digits_of(half)
    return f"{estimate.value:.{digits}f} ± {half:.{digits}f}"


def digits_of(half: float) -> int:
    """Decimals for two significant digits of a half-width, one at least."""
    return max(1, 1 - floor(log10(half))) if half > 0 else 2
