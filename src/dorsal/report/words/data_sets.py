"""A comparison on several data sets in words: its conclusions, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.answers import Answer
from dorsal.findings.comparison import MEAN_OF_RECIPES
from dorsal.findings.data_sets import DataSetsFindings
from dorsal.jobs.tables import OWN_RECIPES
from dorsal.report.words.answers import answer_caveats, answer_sentences, data_set_caveats, shown_mean
from dorsal.report.words.numerals import NONE, plural
from dorsal.report.words.verdicts import rank
from dorsal.study.comparison.records import DataSetStudies

REPEAT, UNIT = "data set", " points"


def about(studies: DataSetStudies, found: DataSetsFindings) -> str:
    """What was compared, and how much of it is done."""
    arms = dict.fromkeys(arm.label for study in studies.studies.values() for arm in study.arms)
    recipes = dict.fromkeys(name for study in studies.studies.values() for name in study.recipes)
    sizes = ((len(arms), "arm"), (len(recipes), "recipe"), (len(studies.plan.data_sets), "data set"))
    return (
        f"{', '.join(plural(*size) for size in sizes)}: {found.done} of {found.planned} runs done. "
        f"{studies.plan.created}"
    )


def conclusions(found: DataSetsFindings) -> tuple[str, ...]:
    """What the comparison shows over data sets, the most important first."""
    sentences = [f"Unfinished: {found.done} of {found.planned} runs done."] if found.done < found.planned else []
    if found.overall is not None:
        sentences += answer_sentences(found.overall, found.records, margin=found.margin, unit=UNIT, repeat=REPEAT)
        return (*sentences, *_left_out(found))
    nothing = "No answer over data sets: it takes results of two arms on two of them."
    alone = (
        f"On {name}: {sentence}"
        for name, answer in found.data_sets.items()
        for sentence in answer_sentences(answer, (), margin=found.margin, unit=UNIT, repeat="seed")
    )
    return (*sentences, *_left_out(found), nothing, *alone)


def _left_out(found: DataSetsFindings) -> Iterator[str]:
    """Which data sets are not in the answer, and why."""
    if found.unlearnt:
        yield f"Nothing was learnt on {', '.join(found.unlearnt)}: that says nothing about the arms, and is left out."
    if found.waiting:
        yield f"Left out, as results of two arms are still missing there: {', '.join(found.waiting)}."


def caveats(found: DataSetsFindings) -> Iterator[str]:
    """What the comparison does not show."""
    if found.overall is None:
        return
    yield from data_set_caveats(found.overall.repeats)
    yield from answer_caveats(found.overall, REPEAT)
    covered = [each.images for each in found.data_sets.values()]
    over = "seeds and test images" if all(covered) else "seeds alone where predictions are missing, else images too"
    if any(each.overlap for each in found.data_sets.values()):
        over = "training and test images, which each seed draws anew"
    elif not any(covered):
        over = "seeds alone"
    yield (
        f"Intervals on a single data set cover {over}, and hold for all pairs on all {len(found.data_sets)} data sets "
        "at once."
    )
    if found.by_recipe:
        yield "Under single recipes intervals hold for the pairs of that recipe, not for all recipes at once."
    yield "What else each comparison does not show is on its own page."


def what_goes_in(found: DataSetsFindings) -> str:
    """What the value of an arm on a data set is."""
    scores = {
        MEAN_OF_RECIPES: "the mean over recipes and seeds",
        OWN_RECIPES: "the mean over seeds, each arm by its own recipe",
    }.get(found.compared, f"the mean over seeds under the recipe {found.compared}")
    return f"Score in percent on each data set: {scores}"


def score_rows(found: DataSetsFindings, names: Sequence[str], whole: bool) -> Iterator[Sequence[str]]:
    """For each arm its mean on these data sets; if `whole`, also over all data sets, and its rank."""
    if found.overall is None:
        return
    for arm, mean in found.overall.means.items():
        each = (found.data_sets[name].means.get(arm) for name in names)
        cells = [NONE if one is None else f"{one.value:.2f}" for one in each]
        yield arm, *cells, *((shown_mean(mean), rank(found.overall.verdicts, arm)) if whole else ())


def recipe_rows(found: DataSetsFindings) -> Iterator[Sequence[str]]:
    """For each arm its mean over data sets under each recipe, with its rank."""
    for arm in dict.fromkeys(arm for answer in found.by_recipe.values() for arm in answer.means):
        yield arm, *(_with_rank(answer, arm) for answer in found.by_recipe.values())


def _with_rank(answer: Answer, arm: str) -> str:
    return f"{shown_mean(answer.means[arm])}, rank {rank(answer.verdicts, arm)}" if arm in answer.means else NONE
