"""The deployed arms of a comparison in words and figures."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.deploy.forms import RUNTIMES
from dorsal.findings.deployed import DeployedFindings
from dorsal.jobs.forms import BUSY
from dorsal.report.words.numerals import NONE, listed, percent, plural
from dorsal.spec.metric import Metric
from dorsal.stats import Estimate

TITLE = "Deployed on this machine"
COLUMNS = ("form", "ms", "× fastest", "loses", "score, %")


def rows(found: DeployedFindings) -> list[tuple[str, ...]]:
    """The arm and the figures of COLUMNS of each, the fastest first. Intervals are on a line of their own."""
    return [
        (
            each.arm,
            found.arm(each.arm).form.name.replace("-", "\n"),
            _time(each.median),
            f"{each.slower.value:.2f}",
            _loss(found, each.arm),
            percent(each.score).replace(" ±", "\n±"),
        )
        for each in sorted(found.rows, key=lambda each: each.median.value)
    ]


def sentences(found: DeployedFindings, metric: Metric) -> tuple[str, ...]:
    """What deployed arms show, and how they were measured."""
    return (*_trust(found), *_front(found, metric), *_gains(found), *_left_out(found), _measured(found))


def _time(estimate: Estimate) -> str:
    """Milliseconds to two decimals, to four where they are so few."""
    digits = 2 if estimate.value >= 0.1 else 4
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value}\n{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"


def _loss(found: DeployedFindings, arm: str) -> str:
    drop = found.arm(arm).loses
    return NONE if drop is None else f"{drop.value:.2f}\n{drop.low:.1f} to {drop.high:.1f}"


def _trust(found: DeployedFindings) -> Iterator[str]:
    if not found.measured.is_trusted:
        yield (
            f"Other work took up to {100 * found.measured.others:.0f} % of the processor while arms were timed, and "
            f"more than {100 * BUSY:.0f} % is too much: the times are not to be trusted. Delete deployed.json and ask "
            "again on an idle machine."
        )


def _front(found: DeployedFindings, metric: Metric) -> Iterator[str]:
    labels = found.front.labels
    if not labels:
        return
    if len(labels) == 1:
        yield f"By means alone, {labels[0]} has the highest {metric.name} and is the fastest of what is deployed."
    else:
        rest = len(found.rows) - len(labels)
        beaten = f"; each of the {rest} others is beaten in both by one of them" if rest > 1 else ""
        beaten = "; the other is beaten in both by one of them" if rest == 1 else beaten
        yield f"By means of {metric.name} and median times alone, {listed(labels)} are on the front{beaten}."


def _gains(found: DeployedFindings) -> Iterator[str]:
    gains = [f"{each.gain.value:.2f} times as long for {each.arm}" for each in found.rows if each.gain is not None]
    if gains:
        yield f"{RUNTIMES['torch']} in float32 takes {listed(gains)}."


def _left_out(found: DeployedFindings) -> Iterator[str]:
    yield from (f"{arm} is not deployed: {reason}." for arm, reason in found.measured.left_out.items())


def _measured(found: DeployedFindings) -> str:
    measured = found.measured
    given = "pixels, which each form normalizes before the call or in its graph" if measured.pixels else "one image"
    sets = f" with {', '.join(measured.instructions)}" if measured.instructions else ""
    rounds = max(len(each.rounds) for each in measured.arms)
    return (
        f"One call of {'×'.join(map(str, measured.shape))} on {plural(measured.threads, 'thread')} of "
        f"{measured.machine.processor}{sets}, given {given}: medians with 95 % intervals of {plural(rounds, 'round')} "
        "in which every arm has its turn. Scores are means over seeds, less the points that the form loses; these were "
        "measured on the model which is deployed."
    )
