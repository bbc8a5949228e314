"""Measured latency in words."""

from __future__ import annotations

from typing import assert_never

from dorsal.deploy.forms import RUNTIMES
from dorsal.language.amounts import show_amount
from dorsal.latency.records import (
    Caution,
    LatencyFit,
    LatencyModel,
    OtherMachine,
    OtherSpaces,
    OtherVersion,
    PredictorUse,
    Refusal,
    Setting,
    TimedRuntime,
    quantity,
)
from dorsal.report.words.numerals import cost_title, interval, listed


def runtime_name(runtime: TimedRuntime) -> str:
    """What a runtime is called in sentences."""
    return RUNTIMES["torch" if runtime == "eager" else runtime]


def fit_title(fit: LatencyFit, setting: Setting) -> str:
    """The call and the batch: "forward, batch 1"; with the runtime, unless all is in eager."""
    called, _, batch = cost_title(quantity(fit.call, fit.batch))[0].rpartition(", ")
    runtime = "" if setting.runtimes == ("eager",) else f" in {runtime_name(fit.runtime)}"
    return f"{called}{runtime}, {batch}"


def in_runtimes(setting: Setting) -> str:
    """In what was timed, to go on with: ", in PyTorch eager and OpenVINO"; nothing where all is in eager."""
    if setting.runtimes == ("eager",):
        return ""
    return f", in {listed([runtime_name(each) for each in setting.runtimes])}"


def side_by_side(model: LatencyModel) -> list[tuple[str, LatencyFit, str]]:
    """The fits of a model of several runtimes, those of one call and batch below each other: the title, the fit, and
    which of activations and MACs predicts better. Nothing for a model of one runtime."""
    if len(model.setting.runtimes) == 1:
        return []
    verdicts = {"better": "activations", "worse": "MACs", "not shown": "not shown"}
    fits = sorted(model.fits, key=lambda fit: (fit.call, fit.batch))
    return [(fit_title(fit, model.setting), fit, verdicts[fit.contest.verdict]) for fit in fits]


def contest_sentence(fit: LatencyFit, setting: Setting) -> str:
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
        f"{fit_title(fit, setting)}: activations {verdict}: median error {errors[0].value:.1f} % against "
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
        case OtherVersion(measured, "", package):
            return f"the latency model was measured with {package} {measured}, which is not installed here"
        case OtherVersion(measured, here, package):
            return f"the latency model was measured with {package} {measured}, and this is {package} {here}"
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
