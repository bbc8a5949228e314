"""Results in plain words, and what they do not show."""

from collections.abc import Sequence
from math import floor, log10

from dorsal.stats.arms import MOST_SEEDS, Pair


def sentence(pair: Pair, unit: str = "points") -> str:
    """One or two sentences on `pair`, with the difference in `unit`.

    Numbers carry two significant digits of the half-width, and at least one decimal.
    """
    if pair.low is None or pair.high is None or pair.p is None:
        return _without_noise(pair, unit)
    half_width = (pair.high - pair.low) / 2
    digits = max(1, 1 - floor(log10(half_width)))
    interval = f"{pair.difference:.{digits}f} ± {half_width:.{digits}f} {unit}"
    seeds = _count(pair.n, "seed")
    if pair.significant:
        p = "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"
        level = f"{100 * pair.confidence:g} % simultaneous interval"
        return f"{pair.better} is better than {pair.worse} by {interval} ({level}, {seeds}, {p})."
    needed = f"more than {MOST_SEEDS:,}" if pair.seeds_needed is None else f"about {pair.seeds_needed:,}"
    return (
        f"No difference shown between {pair.better} and {pair.worse}: {interval} over {seeds}; "
        f"{needed} seeds would be needed to show a difference of this size."
    )


def caveats(data: str, epochs: int, seeds: int, recipes: Sequence[str]) -> list[str]:
    """What a comparison on `data` after `epochs`, with `seeds` and `recipes`, does not show.

    Raises ValueError if epochs or seeds is below 1, or recipes is empty.
    """
    for field, value in (("epochs", epochs), ("seeds", seeds), ("recipes", len(recipes))):
        if value < 1:
            raise ValueError(f"{field}: at least 1 is needed, not {value}")
    if len(recipes) == 1:
        recipe = f"One recipe ({recipes[0]}), tuned for no arm: another may change the order."
    else:
        recipe = f"The recipes ({', '.join(recipes)}) were tuned for no arm: tuning may change the order."
    if seeds == 1:
        noise = "One seed gives no interval: no difference can be told from chance."
    else:
        noise = (
            f"Intervals cover the noise of {seeds} seeds only: not the choice of test images, "
            "which are the same for every run."
        )
    return [
        f"One data set ({data}): the order of the arms may differ on another.",
        f"Trained for {_count(epochs, 'epoch')}: longer training may change the order.",
        recipe,
        noise,
    ]


def _without_noise(pair: Pair, unit: str) -> str:
    if pair.n == 1:
        reason = "one seed cannot tell a difference from chance"
    else:
        reason = f"the results of {pair.n} seeds show no noise to judge it by"
    if pair.difference == 0:
        return f"{pair.better} and {pair.worse} are level, but {reason}."
    return f"{pair.better} is ahead of {pair.worse} by {pair.difference:.2g} {unit}, but {reason}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
