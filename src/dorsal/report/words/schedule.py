"""Whether a short schedule ranks networks and spaces as a longer one does, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import asdict

from dorsal.findings.population.records import OrderReliability, RankReliability, ReliabilityFinding, Retraining
from dorsal.findings.population.short_schedule import WITHIN
from dorsal.report.words.numerals import plural
from dorsal.stats import Estimate, Reliability
from dorsal.stats.bootstrap import FEWEST_TO_RESAMPLE
from dorsal.stats.order_stability import WORST, OrderStability
from dorsal.stats.reliability import ENOUGH, FEWEST_RANKED, FEWEST_TO_JUDGE, Agreement


def unverified(epochs: int) -> str:
    """What is not known of the schedule of a search, which has no second training."""
    rank = "rank" if epochs > 1 else "ranks"
    return f"Unverified: nothing shows that {plural(epochs, 'epoch')} {rank} networks as longer training would."


def schedule_sentence(found: ReliabilityFinding) -> str:
    """What is known of the schedule. Without evidence it says how to get some; with evidence on several spaces it is
    about networks of the same space."""
    if not found.ranks:
        return (
            f"Unverified: nothing shows that a schedule of {plural(found.epochs, 'epoch')} ranks these networks and "
            "spaces as a longer one would; `dorsal space recheck` trains some of them longer and tells."
        )
    last = found.ranks[-1]
    within = f"{WITHIN.capitalize()}: " if last.space == WITHIN else ""
    return within + rank_sentences(last, found)[0]


def schedule_sentences(found: ReliabilityFinding) -> list[str]:
    """Everything that the evidence says, or how to get some."""
    if not found.ranks:
        return [schedule_sentence(found)]
    lines = [f"{rank.space}: {sentence}" for rank in found.ranks for sentence in rank_sentences(rank, found)]
    return lines + [sentence for order in found.orders for sentence in order_sentences(order)]


def rank_sentences(rank: RankReliability, found: ReliabilityFinding) -> list[str]:
    """A sentence for every two schedules; the first is about the shortest and the longest."""
    spaces = {each.space for each in found.retrained} if rank.space == WITHIN else {rank.space}
    lost = left_out(found.retrained, spaces)
    if rank.reliability is None:
        return [
            f"Nothing can be said on ranks: that takes {FEWEST_RANKED} networks of one space that were trained again "
            f"to the end.{lost}"
        ]
    agreements = rank.reliability.agreements
    ends = agreements[0].short, agreements[-1].long
    farthest = sorted(agreements, key=lambda each: (each.short, each.long) != ends)
    first, *others = (ranking_sentence(each, rank.reliability) for each in farthest)
    return [first + lost, *others]


def left_out(retrained: Sequence[Retraining], spaces: Collection[str]) -> str:
    """A further sentence on the networks of these spaces that have no error at some schedule; empty where all have."""
    lost = [
        f"{number} of {sum(counts.values())} of {each.space} {what} at {each.budget}"
        for each in retrained
        if each.space in spaces
        for counts in [asdict(each.counts)]
        for what, number in counts.items()
        if what != "finished" and number
    ]
    return f" Left out: {'; '.join(lost)}." if lost else ""


def ranking_sentence(agreement: Agreement, reliability: Reliability) -> str:
    """Whether one run at the short budget ranks networks as one at the long does, and whether the schedule does."""
    short, long = agreement.short, agreement.long
    if agreement.tau is None:
        return f"Nothing can be said on ranks at {short} and {long}: {agreement.n} networks are too few, or all equal."
    what = f"rank networks as one at {long} does"
    noisy = f"is too noisy to {what}" if agreement.schedule == "keeps the order" else f"does not {what}"
    said = {
        "reliable": f"One run at {short} ranks networks as one at {long} does",
        "unreliable": f"One run at {short} {noisy}",
        "not shown": f"One run at {short} is not shown to {what}",
    }[agreement.verdict]
    own = [
        f"{50 * (1 + ceiling.tau.value):.0f} % at {ceiling.budget}"
        for ceiling in reliability.ceilings
        if ceiling.budget in (short, long) and ceiling.tau is not None
    ]
    ceilings = f" Two runs at the same schedule agree in {' and '.join(own)}." if own else ""
    return (
        f"{said}: they put {_pairs(agreement.tau, reliability.confidence)} in the same order "
        f"({100 * ENOUGH:.0f} % would do, 50 % is chance; {agreement.n:,} networks).{ceilings} "
        f"{_schedule(agreement, reliability.confidence)}"
    )


def _schedule(agreement: Agreement, confidence: float) -> str:
    if agreement.true_tau is None:
        return (
            "Noise and the schedule itself cannot be told apart: that takes two runs at both schedules, and the two "
            "must agree."
        )
    said = {
        "keeps the order": "The schedule itself keeps the order",
        "does not keep it": "The schedule itself does not keep the order",
        "not shown": "The schedule itself is not shown to keep the order",
    }[agreement.schedule]
    few = f"; {FEWEST_TO_JUDGE} networks are needed to judge it" if agreement.n < FEWEST_TO_JUDGE else ""
    return f"{said}: without the noise of runs it would be {_pairs(agreement.true_tau, confidence)}{few}."


def _pairs(tau: Estimate, confidence: float) -> str:
    """The share of pairs in the same order that a rank correlation stands for."""
    share, *ends = (f"{50 * (1 + each):.0f}" for each in (tau.value, tau.low, tau.high) if each is not None)
    return f"about {share} % of pairs ({100 * confidence:g} % interval {' to '.join(ends)}; tau {tau.value:.2f})"


def order_sentences(order: OrderReliability) -> list[str]:
    """A sentence for every statistic and two schedules, as in the findings."""
    if order.reliability is None:
        return [
            f"The order of {order.a} and {order.b} is unverified: {order.networks[0]} and {order.networks[1]} networks "
            f"have a result at every schedule, and at least {FEWEST_TO_RESAMPLE} of each are needed."
        ]
    return [survival_sentence(each, order.a, order.b) for each in order.reliability.survivals]


def longest_sentences(order: OrderReliability, shown: Collection[float | None]) -> Iterator[str]:
    """Those about the shortest and the longest schedule, in the statistics that are `shown` to differ."""
    if order.reliability is None:
        yield from order_sentences(order)
        return
    survivals = order.reliability.survivals
    longest = survivals[0].short, survivals[-1].long
    for survival in survivals:
        if survival.quantile in shown and (survival.short, survival.long) == longest:
            yield survival_sentence(survival, order.a, order.b)


def survival_sentence(survival: OrderStability, a: str, b: str) -> str:
    """Whether the order of populations `a` and `b` at the short budget is that at the long one."""
    what = statistic(survival.quantile)
    if survival.kept is None:
        return f"Too few networks to say whether the order of {a} and {b} in the {what} survives."
    first, second = (
        a if difference.value <= 0 else b for difference in (survival.short_difference, survival.long_difference)
    )
    order = f"order of {a} and {b} in the {what}"
    same = f"same order in {100 * survival.kept:.1f} % of bootstrap draws"
    whether = f"Whether the {order} survives from {survival.short} to {survival.long}"
    return {
        "kept": f"The {order} survives: {first} is ahead at {survival.short} and at {survival.long} (the {same}).",
        "reversed": f"The {order} is reversed: {first} is ahead at {survival.short}, {second} at {survival.long} "
        f"(the {same}).",
        "not shown": f"{whether} is not shown (the {same}).",
        "hinges on lost runs": f"{whether} hinges on lost runs: without them, the {same}; counted as errors of "
        f"{WORST:g} %, they no longer show it.",
    }[survival.verdict]


def statistic(quantile: float | None) -> str:
    """What is compared: the mean, or a quantile."""
    if quantile is None:
        return "mean error"
    return "median error" if quantile == 0.5 else f"{100 * quantile:g} % quantile of errors"
