"""A search in words, and the winner of a search or a population."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.findings.pick import Pick
from dorsal.findings.search import SearchFindings
from dorsal.report.words.learning import error_words, learning_sentences
from dorsal.report.words.numerals import cost_title, count, interval
from dorsal.report.words.schedule import rank_sentences, schedule_sentence, unverified
from dorsal.spec.task import Classify, task_text
from dorsal.stats.versus_random import AgainstRandom
from dorsal.study.search.records import ERROR


def conclusions(found: SearchFindings) -> tuple[str, ...]:
    """What the search found, with its limits, in the order to be read."""
    return tuple(_conclusions(found))


def _conclusions(found: SearchFindings) -> Iterator[str]:
    yield from learning_sentences(found.learning)
    counts, asked = found.counts, len(found.statuses)
    left = ", ".join(f"{getattr(counts, what):,} {what}" for what in ("diverged", "failed", "waiting"))
    fared = f"{counts.finished:,} of {asked:,} networks of {found.space} finished ({left})"
    if found.sampler == "random":
        yield f"{fared}; all were random draws."
    else:
        points = sum(found.passed_over.values())
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in found.passed_over.items())
        yield (
            f"{fared}; {asked - found.drawn:,} were proposed by {found.sampler} and {found.drawn:,} were random draws; "
            f"{points:,} other points that it proposed were not trained{f' ({reasons})' * bool(points)}."
        )
    if found.learning.nothing:
        return
    if found.best is None:
        yield "No network has finished, so there is nothing to compare."
        return
    error = error_words(found.learning.metric)
    yield f"Least {error}: {found.best.error:.2f} %, {found.best.label}. {flattery(counts.finished, found.seeds)}"
    if len(found.objectives) > 1:
        front = ", ".join(point.label for point in found.front)
        yield f"No network beats these in {' and '.join(found.objectives)}: {front}."
    if found.against is not None:
        yield against_random_sentence(found.against)
    elif found.sampler != "random":
        yield "Whether random draws do as well is not known: no population with two other networks was given."
    yield unverified(found.epochs)


def flattery(networks: int, seeds: int) -> str:
    """Why the least of so many errors is too good to be true."""
    if networks == 1:
        return "It is the only network that finished, so nothing was picked."
    of = f"{networks:,} noisy runs" if seeds == 1 else f"{networks:,} noisy means over {seeds} seeds"
    other = "; other seeds would tell by how much" if seeds == 1 else ""
    return f"The least of {of}, on the images that picked it, is too good to be true{other}."


def against_random_sentence(found: AgainstRandom) -> str:
    """Whether the search did better than random search, and whether it could have."""
    between = interval(found.expected, found.confidence)
    expected = f"{found.expected.value:.2f} %{f' ({between})' if between else ''}"
    known = found.lucky < found.unlucky
    range_ = f" and lies from {found.lucky:.2f} to {found.unlucky:.2f} % in 8 of 10 random searches" if known else ""
    missing = f", {found.missing:,} more have no result" if found.missing else ""
    said = (
        f"the best of its {'first ' * (found.k < found.found)}{found.k:,} networks has {found.best:.2f} % error, the "
        f"best of as many random ones is expected at {expected}{range_} ({found.n:,} random networks{missing}"
    )
    if found.verdict == "better":
        return f"The search did better than random search: {said}, p = {found.p_better:.3f})."
    if found.verdict == "worse":
        return f"The search did worse than random search: {said}, p = {found.p_worse:.3f})."
    could = (
        f" With fewer than {found.needed:,} random networks no search of {found.k:,} could have shown one."
        if found.n < found.needed
        else ""
    )
    return f"No difference shown between the search and random search: {said}, p = {found.p_better:.2f}).{could}"


def pick_sentences(found: Pick) -> tuple[str, ...]:
    """What was picked, and what its error is worth."""
    return (
        *learning_sentences(found.learning),
        *_picked(found),
        *_sizes(found),
        *_task(found),
        *_worth(found),
        _schedule(found),
    )


def _picked(found: Pick) -> Iterator[str]:
    if found.by != ERROR:
        yield f"No network beats these {len(found.networks)} in {' and '.join(found.objectives)}."
        return
    for network in found.networks:
        each = ", ".join(f"{error:.2f}" for error in network.errors)
        mean = f", the mean of {len(network.errors)} seeds ({each})" if len(network.errors) > 1 else ""
        error = error_words(found.learning.metric)
        yield f"{network.label}: {network.error:.2f} % {error}{mean}, {network.costs['macs'] / 1e6:.2f} M MACs."


def _sizes(found: Pick) -> Iterator[str]:
    """The image sizes of networks, which their texts do not say."""
    for network in found.networks if found.sizes_differ else ():
        side = int(network.costs["image_size"])
        how = f'--data "photos(size={side})"'
        yield f"{network.label} was trained at {side} px: give its data that size, as in {how}."


def _task(found: Pick) -> Iterator[str]:
    """The task, which texts of networks do not say."""
    if found.task != task_text(Classify()):
        option = f'--task "{found.task}"' if "(" in found.task else f"--task {found.task}"
        yield f"It was trained for another task than classification: give {option} to the verb that takes it."


def _worth(found: Pick) -> Iterator[str]:
    yield flattery(found.finished, len(found.networks[0].errors))
    if found.left_out is not None:
        yield (
            f"Picked by all seeds but one, the winner has {found.left_out:.2f} % error under the one left out, in the "
            "mean."
        )


def _schedule(found: Pick) -> str:
    """What is known of whether the schedule ranks networks as a longer one would."""
    if found.reliability is None:
        return unverified(found.epochs)
    own = next((rank for rank in found.reliability.ranks if rank.space == found.space), None)
    return rank_sentences(own, found.reliability)[0] if own else schedule_sentence(found.reliability)


def heading(objective: str) -> str:
    """An objective with its unit, e.g. "error, %"."""
    if objective == ERROR:
        return "error, %"
    return cost_title(objective, "predicted")[0] + ", ms" * objective.endswith("_ms")


def value_of(objective: str, value: float) -> str:
    """A value of an objective: errors and times to two digits, costs as everywhere."""
    return f"{value:.2f}" if objective == ERROR or objective.endswith("_ms") else count(round(value))
