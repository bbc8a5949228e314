"""What is said of narrowing a space, in plain words. No torch."""

from __future__ import annotations

from math import floor, log10

from dorsal.findings.narrowing.records import Evidence, ProposedSpace
from dorsal.findings.narrowing.steps import NarrowingStep, unchanged
from dorsal.stats.bootstrap import Estimate
from dorsal.stats.non_inferiority import FEWEST_TO_NARROW, MEMBERS, ErrorIncrease


def cost_sentence(what: str, evidence: Evidence, cost: ErrorIncrease, margin: float, needed: int | None) -> str:
    """What a step costs, and so whether it is taken."""
    basis = {
        "population": f"{cost.inside:,} networks of that space against {cost.outside:,} of this one",
        "members": f"in it already: {cost.inside:,} of {cost.inside + cost.outside:,} networks",
    }[evidence]
    need = "" if needed is None else f"; if it costs nothing, about {needed:,} networks of each space would show it"
    if cost.change is None:
        return f"Too small to say what {what} costs ({basis}; {MEMBERS} in and {MEMBERS} out are the least){need}."
    value, low, high = _signed(cost.change)
    moves = f"{what} changes the mean error by {value} points"
    match cost.verdict(margin):
        case "gains":
            return f"Taken: {moves}, a gain of at least {high[1:]} ({basis})."
        case "harmless":
            return f"Taken: {moves}, {high} at most, and the margin is {margin:g} ({basis})."
        case "costly":
            return f"Refused: {moves}, {low} at least, and the margin is {margin:g} ({basis})."
        case "open":
            return f"Too small to say: {moves}, {low} to {high}, and the margin is {margin:g} ({basis}){need}."


def _signed(change: Estimate) -> tuple[str, str, str]:
    """An estimate and its ends, to two significant digits of the half-width, one to three decimals."""
    low, high = (change.value if end is None else end for end in (change.low, change.high))
    digits = min(3, max(1, 1 - floor(log10((high - low) / 2)))) if high > low else 1
    value, low_text, high_text = (f"{bound:+.{digits}f}" for bound in (change.value, low, high))
    return value, low_text, high_text


def range_sentence(step: NarrowingStep, p: float, level: float) -> str:
    """Whether an axis matters, and where the best networks lie on it."""
    if p > level:
        return f"Refused: {step.axis} is not shown to matter ({_p(p)}); where the best networks lie may be chance."
    if step.change is unchanged:
        return f"Refused: {step.axis} matters ({_p(p)}), but there is nothing to leave out: {step.lie}."
    return f"{step.axis} matters ({_p(p)}): {step.lie}."


def conclusion(proposal: ProposedSpace, alike: tuple[float, float] | None) -> tuple[str, ...]:
    """What is proposed, on how many networks, and what that does not show; half of the errors lie in `alike`."""
    counts = proposal.counts
    finished, steps = _count(counts.finished, "finished network"), _count(len(proposal.considered), "step")
    if not counts.finished:
        sentences = [f"Nothing is proposed: no network of {proposal.of.name} has finished."]
    elif alike is not None:
        sentences = [
            f"Nothing is proposed: half of {finished} have an error of {alike[0]:.2f} to {alike[1]:.2f} %, which is "
            f"within the margin of {proposal.margin:g}, so the schedule or the data tell them hardly apart."
        ]
    elif proposal.space is None:
        sentences = [
            f"Nothing is proposed: of {steps} considered, {finished} show none to cost less than the margin of "
            f"{proposal.margin:g} in the mean error."
        ]
    else:
        sentences = _of_new_space(proposal, proposal.space.name, steps, finished)
    if counts.diverged or counts.failed:
        sentences.append(
            f"Left out are networks that diverged ({counts.diverged:,}) or failed ({counts.failed:,}), which flatters "
            "the parts of the space where they are many."
        )
    if counts.waiting:
        sentences.append(f"{_count(counts.waiting, 'network')} not trained to the end yet: left out.")
    return tuple(sentences)


def _of_new_space(proposal: ProposedSpace, name: str, steps: str, finished: str) -> list[str]:
    taken = sum(step.taken for step in proposal.considered)
    make = "makes" if taken == 1 else "make"
    reached = proposal.after.edf.n if proposal.after else 0
    sentences = [
        f"{taken} of {steps} considered {make} {name}: {proposal.points[1]:.2g} points in {proposal.dimensions[1]} "
        f"dimensions, of the {proposal.points[0]:.2g} in {proposal.dimensions[0]} of {proposal.of.name}."
    ]
    if taken > 1:
        sentences.append("Each step was judged alone, and their costs may add up.")
    if reached < FEWEST_TO_NARROW:
        sentences.append(
            f"Of {finished} {reached} lie in {name}, too few to see its errors: a population of it, under "
            "the same bounds, shows them."
        )
    return sentences


def _p(p: float) -> str:
    return "p < 0.001 after Holm" if p < 0.001 else f"p = {p:.3f} after Holm"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
