"""The narrowing of a space in words: each step, and what comes of them together."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.findings.narrowing.records import Among, ProposedSpace, StepVerdict, Within, Without
from dorsal.report.words.learning import learning_sentences
from dorsal.report.words.numerals import decimals, p_value, plural, roughly
from dorsal.report.words.schedule import schedule_sentence
from dorsal.stats import Estimate
from dorsal.stats.non_inferiority import FEWEST_TO_NARROW, MEMBERS
from dorsal.stats.sample_size import MOST_NETWORKS


def step_sentence(step: StepVerdict, proposal: ProposedSpace) -> str:
    """Whether a step is taken, and why."""
    parts = [*_whether_it_matters(step, 1 - proposal.confidence), *_what_it_costs(step, proposal.margin)]
    if step.dropped:
        parts.append(f"Left out all the same: with other steps {step.axis} is never drawn.")
    return " ".join(parts)


def step_change(step: StepVerdict) -> str:
    """A step as a table names it."""
    return step.change or _name(step)


def _name(step: StepVerdict) -> str:
    """A step as the subject of a sentence."""
    match step.best:
        case None:
            return f"{'sharing' if step.kind == 'share' else 'non-decreasing'} {step.axis}"
        case Without(value=value):
            return f"leaving out {step.axis} {value}"
        case Within(low=low, high=high) if not step.change:
            end = "" if None not in (low, high) else " from below" if high is None else " from above"
            return f"restricting {step.axis}{end}"
        case Among() if not step.change:
            return f"restricting {step.axis}"
        case best:
            return f"restricting {step.axis} to {_values(best)}"


def _values(best: Within | Among) -> str:
    match best:
        case Among(values=values):
            return " or ".join(values)
        case Within(low=float(low), high=float(high)):
            return f"{low:g}..{high:g}"
        case Within(low=float(low)):
            return f"{low:g} or more"
        case Within(high=high):
            return f"{high:g} or less"


def _whether_it_matters(step: StepVerdict, level: float) -> Iterator[str]:
    """Of a range, whether the axis matters, and where the best networks lie on it."""
    if step.adjusted_p is None or step.best is None:
        return
    p = f"{p_value(step.adjusted_p)} after Holm"
    match step.best:
        case Without(unused=unused):
            lie = f"the best networks do {'' if unused else 'not '}without it"
        case Among():
            lie = f"the best networks have {step.axis} {_values(step.best)}"
        case Within():
            lie = f"the best networks have {step.axis} of {_values(step.best)}"
    if step.adjusted_p > level:
        yield f"Refused: {step.axis} is not shown to matter ({p}); where the best networks lie may be chance."
    elif not step.change:
        yield f"Refused: {step.axis} matters ({p}), but there is nothing to leave out: {lie}."
    else:
        yield f"{step.axis} matters ({p}): {lie}."


def _what_it_costs(step: StepVerdict, margin: float) -> Iterator[str]:
    cost = step.cost
    if cost is None:
        return
    what = _name(step)
    if step.evidence == "population":
        basis = f"{cost.inside:,} networks of that space against {cost.outside:,} of this one"
    else:
        basis = f"in it already: {cost.inside:,} of {cost.inside + cost.outside:,} networks"
    need = ""
    if step.needed is not None:
        networks = roughly(step.needed, "networks", MOST_NETWORKS)
        need = f"; if it costs nothing, {networks} of each space would show it"
    if cost.change is None:
        yield f"Too small to say what {what} costs ({basis}; {MEMBERS} in and {MEMBERS} out are the least){need}."
        return
    value, low, high = _signed(cost.change)
    moves = f"{what} changes the mean error by {value} points"
    match cost.verdict(margin):
        case "gains":
            yield f"Taken: {moves}, a gain of at least {high[1:]} ({basis})."
        case "harmless":
            yield f"Taken: {moves}, {high} at most, and the margin is {margin:g} ({basis})."
        case "costly":
            yield f"Refused: {moves}, {low} at least, and the margin is {margin:g} ({basis})."
        case "open":
            yield f"Too small to say: {moves}, {low} to {high}, and the margin is {margin:g} ({basis}){need}."


def _signed(change: Estimate) -> tuple[str, str, str]:
    """An estimate and its ends with their signs."""
    low, high = (change.value if end is None else end for end in (change.low, change.high))
    digits = decimals(low, high)
    value, low_text, high_text = (f"{bound:+.{digits}f}" for bound in (change.value, low, high))
    return value, low_text, high_text


def conclusions(proposal: ProposedSpace) -> tuple[str, ...]:
    """What is proposed, on how many networks, and what that does not show."""
    counts = proposal.counts
    sentences = list(_proposed(proposal))
    if counts.diverged or counts.failed:
        sentences.append(
            f"Networks that diverged ({counts.diverged:,}) or failed ({counts.failed:,}) are left out, which flatters "
            "the parts of the space where they are many."
        )
    if counts.waiting:
        sentences.append(f"{plural(counts.waiting, 'network')} not trained to the end yet: left out.")
    return (*sentences, schedule_sentence(proposal.reliability))


def _proposed(proposal: ProposedSpace) -> Iterator[str]:
    finished = plural(proposal.counts.finished, "finished network")
    steps, margin = plural(len(proposal.considered), "step"), f"{proposal.margin:g}"
    if not proposal.counts.finished:
        yield f"Nothing is proposed: no network of {proposal.of.name} has finished."
    elif proposal.learning.mostly_nothing:
        yield from learning_sentences(proposal.learning)
        yield "Nothing is proposed: such networks do not show which part of a space is better."
    elif proposal.alike is not None:
        low, high = proposal.alike
        yield (
            f"Nothing is proposed: half of {finished} have an error of {low:.2f} to {high:.2f} %, which is within the "
            f"margin of {margin}, so the schedule or the data can hardly tell them apart."
        )
    elif proposal.space is None:
        yield (
            f"Nothing is proposed: of {steps} considered, {finished} show none to cost less than the margin of "
            f"{margin} in the mean error."
        )
    else:
        yield from _new_space(proposal, proposal.space.name, steps, finished)


def _new_space(proposal: ProposedSpace, name: str, steps: str, finished: str) -> Iterator[str]:
    taken = sum(step.taken for step in proposal.considered)
    reached = proposal.after.edf.n if proposal.after else 0
    yield (
        f"{taken} of {steps} considered {'makes' if taken == 1 else 'make'} {name}: {proposal.points[1]:.2g} points in "
        f"{proposal.dimensions[1]} dimensions, of the {proposal.points[0]:.2g} in {proposal.dimensions[0]} of "
        f"{proposal.of.name}."
    )
    if taken > 1:
        yield "Each step was judged alone, and their costs may add up."
    if reached < FEWEST_TO_NARROW:
        yield (
            f"Of {finished} {reached} lie in {name}, too few to see its errors: a population of it, under the same "
            "bounds, shows them."
        )
