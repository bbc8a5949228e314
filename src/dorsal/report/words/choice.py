"""A choice of weights in words: what to take, what was dropped, what beats no control, and what this does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.choice import Candidate, ChoiceFindings
from dorsal.jobs.records import Arm
from dorsal.report.words.learning import learning_sentences
from dorsal.report.words.numerals import NONE, count, listed, milliseconds, percent, plural
from dorsal.report.words.verdicts import difference, tie_sentence
from dorsal.study.choice.records import COLORS, RANDOM, ChoiceStudy, LeftOut, learnt

COST_COLUMNS = ("params", "MACs", "one image, ms", "license")
_UNKNOWN = ("", "not stated")
"""Licenses: of weights of which nobody says it, and of those that `dorsal train` made."""
SCORE_COLUMNS = ("fine-tuned", "rank", "probed", "in round", "fate")


def conclusions(study: ChoiceStudy, found: ChoiceFindings) -> tuple[str, ...]:
    """What the choice shows, the most important first."""
    top, news = tuple(_top(study, found)), tuple(_news(study, found))
    best = next((each for each in found.candidates if each.label in found.top[:1]), None)
    return (
        *_unfinished(study, found),
        *(news + top if best and best.unbeaten else top + news),
        *_dropped(study, found),
        *_waiting(study),
        *_failed(study),
        *map(_left_out, study.left_out),
    )


def command(study: ChoiceStudy, found: ChoiceFindings) -> str:
    """The command that trains the first of the top; "" where there is none, or nothing was learnt."""
    return study.commands[found.top[0]] if found.top and found.learnt else ""


def _unfinished(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[str]:
    """How far it came, where that is not to the end."""
    if found.finished:
        return
    if found.comparison is not None:
        done = f"{found.comparison.done} of {plural(found.comparison.planned, 'run')} of fine-tuning have ended"
    elif study.finalists:
        done = f"{listed(study.finalists)} {'is' if len(study.finalists) == 1 else 'are'} still to be fine-tuned"
    else:
        done = f"{len(study.rounds)} of {plural(len(study.portions), 'round')} of probing were made"
    yield f"Unfinished: {done}. The same command goes on."


def _top(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[str]:
    """The best, and what is not shown to differ from it."""
    if not found.top:
        yield "Nothing has been probed yet." if not study.rounds else "No candidate could be probed."
        return
    if found.comparison is not None and not found.learnt:
        yield from learning_sentences(found.comparison.learning)
        return
    first, others = found.top[0], found.top[1:]
    best = next(each for each in found.candidates if each.label == first)
    tuned = [each for each in found.candidates if each.score is not None]
    take = f"Take {first}" if found.finished else f"The best so far is {first}"
    if best.score is not None:
        yield f"{take}: {_fine_tuned(found, best, study.data.val_images)}."
        if len(tuned) > 2:
            yield tie_sentence(found.top) if others else f"{first} is shown to be better than each of the others."
        elif len(tuned) == 2:
            (other,) = (each for each in tuned if each.label != first)
            is_tied = other.label in found.top
            yield f"{other.label} ({percent(other.score)} %) is {'not ' * is_tied}shown to be worse than {first}."
        elif found.finished:
            yield "It is the only one that was fine-tuned."
        yield from _short_of_probe(best)
    else:
        assert best.probed is not None
        yield f"{take}: by probing alone {_probed(study, best)}."
        if others:
            yield f"Not shown to be worse by the last round: {', '.join(others)}."
        elif any(each.fate == "dropped" for each in found.candidates):
            yield "Each of the others that were probed is shown to be worse."
    if others and found.cheapest != first:
        cheapest = next(arm for arm in study.arms if arm.label == found.cheapest)
        yield f"The cheapest of these is {found.cheapest}: {_cost(cheapest)}."


def _short_of_probe(best: Candidate) -> Iterator[str]:
    """A warning where fine-tuning has done worse than a probe."""
    score, probed = best.score, best.probed
    if score is None or probed is None or score.high is None or probed.low is None or score.high >= probed.low:
        return
    yield (
        f"Fine-tuning falls short of the probe of {best.label}, which scored {percent(probed)} % on other images: "
        "train longer (--epochs), or keep the network as it is (the recipe head)."
    )


def _fine_tuned(found: ChoiceFindings, best: Candidate, images: int) -> str:
    assert best.score is not None
    assert found.comparison is not None
    seeds = sum(cell.finished for cell in found.comparison.cells if cell.arm == best.label)
    over = "seeds and validation images" if found.comparison.images else "seeds"
    said = f"95 % interval over {over}" if best.score.low is not None else "no interval"
    mean = f"the mean of {plural(seeds, 'seed')}" if seeds > 1 else "with one seed"
    return f"fine-tuned it scores {percent(best.score)} % on {images:,} validation images, {mean} ({said})"


def _probed(study: ChoiceStudy, candidate: Candidate) -> str:
    portion = study.rounds[candidate.round - 1].portion
    return (
        f"it scores {percent(candidate.probed)} % on {portion.held:,} images held out from the training images, after "
        f"learning from {learnt(portion)}"
    )


def _cost(arm: Arm) -> str:
    time = f", {milliseconds(arm.forward)} ms an image" if arm.forward else ""
    return f"{count(arm.cost.params)} parameters, {count(arm.cost.macs)} MACs{time}"


def _news(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[str]:
    """Candidates that do not beat what costs nothing; that all others do."""
    asked = [each for each in found.candidates if each.probed is not None]
    unbeaten: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for each in asked:
        if each.unbeaten:
            unbeaten.setdefault((each.round, each.unbeaten), []).append(f"{each.label} ({percent(each.probed)} %)")
    for (number, controls), labels in unbeaten.items():
        made = study.rounds[number - 1]
        names = " or ".join(f"{name} ({made.scores[name].value:.1f} %)" for name in controls if name in made.scores)
        verb = "is" if len(labels) == 1 else "are"
        yield (
            f"News: {listed(labels)} {verb} not shown to beat {names} after {learnt(made.portion)} images: such "
            "features may be of no use here."
        )
    if any(not each.unbeaten for each in asked):
        who = "Each of the other candidates" if unbeaten else "Every candidate"
        yield f"{who} is shown to beat random weights and color histograms."


def _dropped(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[str]:
    for each in sorted(found.candidates, key=lambda each: each.round):
        if each.behind is not None:
            images = learnt(study.rounds[each.round - 1].portion)
            yield (
                f"{each.label} was dropped in round {each.round}, after {images} images: it is worse than the best "
                f"by {difference(each.behind)} points."
            )


def _waiting(study: ChoiceStudy) -> Iterator[str]:
    if study.stop == "budget":
        yield (
            f"The budget of {study.budget} had room for {len(study.rounds)} of {len(study.portions)} rounds of "
            "probing, since half of it is kept for fine-tuning."
        )
    if study.waiting and study.finalists:
        yield (
            f"The budget of {study.budget} had no room to fine-tune {', '.join(study.waiting)}: behind by probing, but "
            "not shown to be worse. A longer budget goes on from here."
        )
    elif study.waiting:
        yield (
            f"The budget of {study.budget} had no room to fine-tune a candidate with all seeds, so that the answer "
            "rests on probing. A longer budget goes on from here."
        )


def _failed(study: ChoiceStudy) -> Iterator[str]:
    for made in study.rounds:
        for label, error in made.failed.items():
            yield f"{label} could not be probed: {error}"


def _left_out(each: LeftOut) -> str:
    why = each.fault.rstrip(".") or f"license {each.license or 'not known'}"
    return f"Left out: {each.weights}: {why}."


def caveats(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[str]:
    """What the choice does not show."""
    if study.rounds:
        yield (
            "Candidates are dropped by the score of a probe of their frozen features. With more images, or fine-tuned, "
            "a dropped one might come closer."
        )
        yield (
            f"Intervals of probing are over the held-out images{_draws(study)}. Those by which candidates are dropped "
            "hold for all pairs in all rounds at once, with 95 %."
        )
        yield (
            f"The control with {RANDOM} is {study.random_network}. The control {COLORS} is the same logistic "
            "regression on the colors of each image."
        )
    if len(study.finalists) > 1 and found.by == "fine-tuning":
        yield "All were fine-tuned by one recipe as it is. Tuned, they might rank otherwise: dorsal compare --tune."
        yield "The score of the best of several is a little too high, as it was chosen by the same validation images."
    if any(arm.start and arm.start.license in _UNKNOWN for arm in study.arms):
        yield "Of some weights nobody says under which license they are."
    times = {arm.forward.device: arm.forward.threads for arm in study.arms if arm.forward}
    for device, threads in times.items():
        yield f"Times are of one image on this machine's {device}, {plural(threads, 'thread')}."


def _draws(study: ChoiceStudy) -> str:
    """What else the intervals of the rounds are over."""
    several = [str(number) for number, each in enumerate(study.rounds, 1) if each.portion.draws > 1]
    if not several:
        return ", for the images to learn from as they are"
    return f" and, in round{'s' * (len(several) > 1)} {listed(several)}, over draws of images to learn from"


def score_rows(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[Sequence[str]]:
    """For each candidate, the best first, and for each control: scores in percent and what became of it."""
    for each in found.candidates:
        rank = "" if each.rank is None else " to ".join(map(str, dict.fromkeys(each.rank)))
        yield (each.label, percent(each.score), rank, percent(each.probed), str(each.round or NONE), each.fate)
    if study.rounds:
        last = study.rounds[-1].scores
        for control in study.controls:
            yield (control, NONE, "", percent(last.get(control)), str(len(study.rounds)), "control")


def cost_rows(study: ChoiceStudy, found: ChoiceFindings) -> Iterator[Sequence[str]]:
    """For each candidate its costs, the time of one image, and its license."""
    arms = {arm.label: arm for arm in study.arms}
    for each in found.candidates:
        arm = arms[each.label]
        license = (arm.start.license if arm.start else "") or "not known"
        yield each.label, count(arm.cost.params), count(arm.cost.macs), milliseconds(arm.forward), license
