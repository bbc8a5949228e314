"""Measured latency in words."""

from __future__ import annotations

from typing import assert_never

from dorsal.language.amounts import show_amount
from dorsal.latency.records import (
    Caution,
    LatencyFit,
    OtherMachine,
    OtherSpaces,
    OtherTorch,
    PredictorUse,
    Refusal,
)
from dorsal.report.words.numerals import cost_title, interval


def contest_sentence(fit: LatencyFit) -> str:
    """Whether activations predict a time better than MACs."""
    contest = fit.contest
    verdict = {
        "better": "predict better than MACs",
        "worse": "predict worse than MACs",
        "not shown": "are not shown to predict better or worse than MACs",
    }[contest.verdict]
    errors, difference = (contest.first.error, contest.second.error), contest.error_difference
    between = interval(difference, fit.scores.confidence, 1)
    return (
        f"{cost_title(fit.quantity)[0]}: activations {verdict}: median error {errors[0].value:.1f} % against "
        f"{errors[1].value:.1f} % (a difference of {difference.value:+.1f} points, {between or 'no interval'}), tau "
        f"{contest.first.tau.value:.2f} against {contest.second.tau.value:.2f}, over {fit.scores.n} networks. Rounds "
        f"of one network differ by {fit.spread:.1f} %."
    )


def caution_sentence(caution: Caution) -> str:
    """Why a prediction may be worse than the model says."""
    match caution:
        case OtherMachine(measured, here):
            return (
                f"the latency model was measured on another machine ({measured}) than this one ({here}): its "
                "milliseconds are those of that machine"
            )
        case OtherTorch(measured, here):
            return f"the latency model was measured with torch {measured}, and this is torch {here}"
        case OtherSpaces(fitted, others):
            return (
                f"the latency model was fitted on networks of {', '.join(fitted)}, not of {', '.join(others)}: the "
                "error it states may not hold there"
            )
        case _:
            assert_never(caution)


def use_sentence(use: PredictorUse) -> str:
    """The error of a prediction, and how many networks it was refused for and why."""
    between = f"{100 * use.confidence:g} % interval {use.error.low:.1f} to {use.error.high:.1f}"
    said = (
        f"{use.quantity}: predicted with a median error of {use.error.value:.1f} % on networks that the fit has not "
        f"seen ({between}, {use.networks} networks)"
    )
    if not use.outside:
        return said
    return (
        f"{said}; {use.outside:,} of {use.asked:,} candidates have no prediction and meet no bound, because they are "
        f"outside of what it has seen ({'; '.join(map(_refusal, use.reasons))})"
    )


def _refusal(refusal: Refusal) -> str:
    what = "a prediction above 0 ms"
    if refusal.low is not None and refusal.high is not None:
        what = f"{refusal.predictor} {show_amount(refusal.low)} to {show_amount(refusal.high)}"
    return f"{what}: {refusal.networks:,}"
