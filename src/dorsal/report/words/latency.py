"""Measured latency in words."""

from __future__ import annotations

from dorsal.latency.records import LatencyFit
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
