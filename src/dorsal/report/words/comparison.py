"""A comparison in words: its conclusions, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.comparison import MEAN_OF_RECIPES, Cell, ComparisonFindings
from dorsal.findings.verdicts import PairVerdict, Verdicts
from dorsal.jobs.records import Arm, Study
from dorsal.jobs.tables import OWN_RECIPES
from dorsal.recipes.recipe import Recipe
from dorsal.report.words.learning import learning_sentences
from dorsal.report.words.numerals import count, interval, listed, milliseconds, p_value, plural
from dorsal.report.words.pairs import Judged, is_of_models, noise_sentence, pair_sentence
from dorsal.report.words.probing import probe_caveats
from dorsal.report.words.starts import models_differ_in, start_caveats, start_sentences
from dorsal.report.words.tuning import tuning_caveats, tuning_sentences
from dorsal.report.words.verdicts import unequal_sentences, wins
from dorsal.spec.task import metric_of
from dorsal.spec.timm import TimmNetwork
from dorsal.stats import Comparisons, Shares

_METHOD = (
    "Randomised blocks: result = arm + seed + noise, fitted by least squares to the results present. "
    "Tukey's studentized range gives intervals and p values that hold for all pairs of arms at once "
    "(Tukey-Kramer where results are missing)."
)
_IMAGES = (
    " Test images: the spread of what each image contributes to a difference, without the part that is in the noise "
    "of seeds already, is added in squares of half-widths (Howe 1974). Where fewer than 10 images separate two arms, "
    "their part is exact."
)
ASSUMPTIONS = (
    "The noise is roughly normal.",
    "The noise is equally large in every arm. Where one arm of five is three times as noisy as the rest, "
    "a false difference somewhere is reported in 10 % of studies instead of 5 %.",
    "A missing result says nothing about the value it would have had. A run that diverged because of its arm "
    "breaks this, in that arm's favour.",
)
COST_COLUMNS = ("params", "MACs", "activations", "forward", "train step")


def method(found: ComparisonFindings) -> str:
    """How intervals and p values are made."""
    return _METHOD + (_IMAGES if found.images else "")


def conclusions(study: Study, found: ComparisonFindings) -> tuple[str, ...]:
    """What the comparison shows, the most important first."""
    sentences = [f"Unfinished: {found.done} of {found.planned} runs done."] if found.done < found.planned else []
    sentences += learning_sentences(found.learning)
    if not found.learning.nothing:
        sentences += _against_the_leader(study, found)
        sentences += tuning_sentences(found.tuning)
    if found.shares is not None:
        sentences.append(shares_sentence(found.shares))
    return (*sentences, *_losses(found.cells))


def _against_the_leader(study: Study, found: ComparisonFindings) -> list[str]:
    """The leading arm against every other; all pairs are in the findings."""
    if not found.comparisons:
        reason = "there is one arm" if len(study.arms) == 1 else "fewer than two arms have results under one recipe"
        return [f"Nothing to compare: {reason}."]
    name, primary = next(iter(found.comparisons.items()))
    if not primary.pairs:
        return ["Nothing to compare: no two arms have results at the same seed."]
    leader = primary.pairs[0].better
    against = [pair for pair in primary.pairs if pair.better == leader]
    verdicts, arms = found.verdicts[name], {arm.label: arm for arm in study.arms}
    scope = _scope(name)
    if is_of_models(against[0]):
        scope = f"Of these trained models: {scope[0].lower()}{scope[1:]}"
    planned = not found.learning.mostly_nothing
    said = [_top(scope, verdicts, len(against))]
    for pair, verdict in zip(primary.pairs, verdicts.pairs, strict=True):
        if pair.better == leader:
            judged, models = (
                Judged(verdict.judgement, study.margin),
                models_differ_in(arms[pair.better], arms[pair.worse]),
            )
            sentence = pair_sentence(pair, planned, found.groups is not None, judged, models)
            said.append(f"{sentence}{_wins(verdict)}")
    noise = [noise_sentence(pair) for pair in against if not pair.significant][:1] if planned else []
    said += filter(None, noise)
    more = (*_apart(found), *_fixed(study, found), *_leaders(study, found), *start_sentences(study, found))
    return [*said, *more]


def _apart(found: ComparisonFindings) -> Iterator[str]:
    """Who leads under each recipe where arms with their own recipe are not in the mean."""
    if not found.apart or MEAN_OF_RECIPES not in found.verdicts:
        return
    for name, verdicts in found.verdicts.items():
        if name != MEAN_OF_RECIPES:
            scope = f"{_scope(name)}, {listed(found.apart)} by {'its' if len(found.apart) == 1 else 'their'} own"
            yield _top(scope, verdicts, len(verdicts.ranks) - 1)


def _scope(name: str) -> str:
    """Under which recipe a comparison is."""
    named = {MEAN_OF_RECIPES: "On the mean of the recipes", OWN_RECIPES: "With each arm by its own recipe"}
    return named.get(name, f"Under the recipe {name}")


def _top(scope: str, verdicts: Verdicts, others: int) -> str:
    """The arm with the highest mean, and those that are not shown to differ from it."""
    leader, *tied = verdicts.tie_group
    if not tied:
        return f"{scope}, {leader} is better than {'each of the other arms' if others > 1 else 'the other arm'}."
    if len(tied) < others:
        worse = others - len(tied)
        return (
            f"{scope}, {leader} leads and is better than {worse} of the {others} other arms. Not shown to differ from "
            f"it: {', '.join(tied)}."
        )
    rest = "none is shown to differ from it" if others > 1 else "the other is not shown to differ from it"
    return f"{scope}, no arm is shown to be the best; {leader} has the highest mean, and {rest}."


def _wins(verdict: PairVerdict) -> str:
    """How probable it is that one seed has the same order."""
    return f" With one seed the first wins with probability {wins(verdict.wins)}." if verdict.wins else ""


def _fixed(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """Two trained models by a paired bootstrap, and where each image is right or wrong by the exact McNemar test."""
    for recipe, pair in found.fixed.items():
        first, second = (arm.label for arm in study.arms)
        drawn = interval(pair.difference, pair.confidence, of=f" of {first} minus {second} by paired bootstrap")
        if pair.first_only is None or pair.second_only is None:
            yield (
                f"Under the recipe {recipe}, on {plural(pair.images, 'test image')} the trained {first} is "
                f"{pair.difference.value:+.2f} points of {metric_of(study.task).short} from the trained {second}"
                f"{'; ' * bool(drawn)}{drawn}."
            )
            continue
        test = "" if pair.p is None else f"; exact McNemar test: {p_value(pair.p)}"
        yield (
            f"Under the recipe {recipe}, of {plural(pair.images, 'test image')} {first} alone is right on "
            f"{pair.first_only:,} and {second} alone on {pair.second_only:,}{test}{'; ' * bool(drawn)}{drawn}."
        )


def _leaders(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """Whether the recipes agree on the arm with the highest mean."""
    comparisons = found.comparisons
    leaders = {
        recipe: comparisons[recipe].pairs[0].better
        for recipe in study.recipes
        if recipe in comparisons and comparisons[recipe].pairs
    }
    if len(set(leaders.values())) > 1:
        named = ", ".join(f"{arm} under {recipe}" for recipe, arm in leaders.items())
        yield f"The recipes disagree on the highest mean: {named}."


def shares_sentence(found: Shares) -> str:
    """Where the variance of the results comes from."""
    parts = []
    for name, share in found.shares.items():
        ends = [f"{100 * end:.0f}" for end in (share.low, share.high) if end is not None]
        parts.append(f"{name} {100 * share.value:.0f} %" + (f" ({' to '.join(ends)})" if ends else ""))
    exact = any(share.low is None for share in found.shares.values())
    level = "without intervals" if exact else f"with {100 * found.confidence:g} % intervals"
    return f"Share of the variance of the results, {level}: {', '.join(parts)}."


def no_shares(found: ComparisonFindings) -> str:
    """Why the variance is not split; empty where it is."""
    match found.no_shares:
        case "nothing learnt":
            return "nothing was learnt"
        case "few arms":
            return "fewer than two arms have a result under every recipe"
        case "few seeds":
            return f"it needs two seeds at which every run finished; this study has {found.complete_seeds}"
        case "resampled":
            return "each seed drew its own images, and what these have in common would pass for an effect of an arm"
        case "all equal":
            return "all results are equal"
        case None:
            return ""


def _losses(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        lost = [f"{n} {what}" for n, what in ((cell.diverged, "diverged"), (cell.failed, "failed")) if n]
        if lost:
            rest = f"the mean is over the {cell.finished} that finished" if cell.finished else "it has no result"
            yield f"{cell.arm} under {cell.recipe}: of {cell.planned} runs {listed(lost)}; {rest}."


def caveats(study: Study, found: ComparisonFindings) -> tuple[str, ...]:
    """What the comparison does not show."""
    tuned = {each.tuned for each in found.tuning}
    epochs = {
        name: recipe.epochs
        for name, recipe in study.recipes.items()
        if isinstance(recipe, Recipe) and name not in tuned
    }
    lines = [f"One data set ({study.data.description}): the order of the arms may differ on another."]
    if epochs:
        lines.append(f"Trained for {plural(max(epochs.values()), 'epoch')}: longer training may change the order.")
    if asked := [name for name, recipe in study.recipes.items() if not isinstance(recipe, Recipe)]:
        ask = "asks" if len(asked) == 1 else "ask"
        lines.append(f"{listed(asked)} {ask} frozen networks: the order may be another once they are trained.")
    if found.once:
        lines.append(
            f"{', '.join(found.once)}: run once where a start leaves nothing to chance; left out of the mean of the "
            "recipes and of the shares of the variance."
        )
    if found.tuning:
        lines += tuning_caveats(study, found.tuning)
    elif len(epochs) == 1:
        lines.append(f"One recipe ({next(iter(epochs))}), tuned for no arm: another may change the order.")
    elif epochs:
        lines.append(f"The recipes ({', '.join(epochs)}) were tuned for no arm: tuning may change the order.")
    lines += probe_caveats(study)
    lines += _covered(study, found)
    if len(set(epochs.values())) > 1:
        lengths = ", ".join(f"{name} {length}" for name, length in epochs.items())
        lines.append(f"The recipes train for different numbers of epochs: {lengths}.")
    if foreign := [arm.label for arm in study.arms if isinstance(arm.network, TimmNetwork)]:
        lines.append(f"Built and initialised by timm, whatever a recipe says of zero_init: {', '.join(foreign)}.")
    if found.apart:
        lines.append(
            f"{', '.join(found.apart)}: trained by a recipe of its own, whatever recipe the others are listed under; "
            "left out of the mean of the recipes and of the shares of the variance."
        )
    lines += start_caveats(study)
    if any(pair.p is not None for each in found.simple_effects.values() for pair in each.pairs):
        lines.append(simple_sentence(found))
    lines += _of_noise(found)
    return tuple(lines)


def _of_noise(found: ComparisonFindings) -> Iterator[str]:
    """Arms that are unequally noisy, and results that are missing."""
    for name, verdicts in found.verdicts.items():
        yield from (f"{_scope(name)}, {sentence[0].lower()}{sentence[1:]}" for sentence in unequal_sentences(verdicts))
    for name, comparison in found.comparisons.items():
        if name not in found.once:  # what is missing there was never to be run
            yield from (f"{name}: {note}" for note in notes(comparison))


def simple_sentence(found: ComparisonFindings) -> str:
    """What is shown under each recipe if differences are corrected for all recipes at once."""
    shown = [
        f"{sum(pair.significant for pair in each.pairs)} of {plural(len(each.pairs), 'pair')} under {name}"
        for name, each in found.simple_effects.items()
    ]
    return (
        f"Differences are corrected for the pairs of one comparison. Corrected for the {len(shown)} recipes too, they "
        f"are shown in {listed(shown)}."
    )


def _covered(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """What the intervals are over, and what they are not."""
    lost = f" ({found.lost})" if found.lost else ""
    if study.data.resample is not None:
        yield from _resampled(study)
    elif found.images and len(study.seeds) == 1:
        yield (
            "One seed: an interval covers the choice of test images only. It is of these trained models, not of the "
            "networks, whose order may be another with another seed."
        )
    elif found.images:
        yield "An interval covers new seeds and new test images like these, not images from elsewhere."
    elif len(study.seeds) == 1:
        yield f"One seed gives no interval: no difference can be told from chance{lost}."
    else:
        yield (
            f"An interval covers the noise of {len(study.seeds)} seeds only: not the choice of test images, which are "
            f"the same for every run{lost}."
        )
    if study.most_seeds is not None:
        yield (
            f"Seeds were added one at a time to decide between the arms: {len(study.seeds)} of at most "
            f"{study.most_seeds}. Intervals of differences are wider for that, and hold at every look; a p value is of "
            "one look."
        )
    if found.images and found.groups:
        yield (
            f"The {found.images:,} test images are {found.groups:,} independent groups, and are counted as so many: "
            "images of one group show the same source."
        )


def _resampled(study: Study) -> Iterator[str]:
    """What intervals are over where each seed drew its own images."""
    data, how = study.data, study.data.resample
    drawn = f"trained on all but one of {how} folds and was scored on that one"
    if how == "random":
        drawn = f"drew its {data.val_images:,} validation images anew, and was trained on the others"
    yield (
        f"Of all {data.train_images + data.val_images:,} images each seed {drawn}. Seeds share images, so the variance "
        f"of a mean over n of them is taken as 1 / n + {data.overlap:.2g} times that of one (Nadeau and Bengio 2003)."
    )
    if len(study.seeds) == 1:
        yield "One seed gives no interval: no difference can be told from chance."
    else:
        yield "An interval covers new seeds, and new training and test images like these, not images from elsewhere."


def notes(found: Comparisons) -> Iterator[str]:
    """What is missing from the results, and how that was handled."""
    if found.empty:
        yield f"No result at any seed, left out: {', '.join(found.empty)}."
    if found.missing:
        yield (
            f"{found.missing} of {found.results} results are missing; differences are adjusted for the seeds they miss."
        )
    if found.unpaired:
        names = "; ".join(f"{a} and {b}" for a, b in found.unpaired)
        yield f"No seed in common, not compared: {names}."


def spread(found: ComparisonFindings, seeds: int) -> str:
    """What stands beside a score in a table."""
    known = any(cell.score is not None and cell.score.low is not None for cell in found.cells)
    if seeds == 1:
        return "one seed, and half of the 95 % interval over test images" if known else "one seed, hence no interval"
    means = f"mean over {seeds} seeds"
    if known:
        over = "over seeds and test images" if found.images else "by the noise of all arms"
        return f"{means}, and half of the 95 % interval {over}"
    return f"{means}, too few for an interval"


def ranks(found: ComparisonFindings) -> str:
    """What the ranks in a table are; "" where there are none."""
    for name in found.verdicts:
        scope = _scope(name)
        return f"Ranks: {scope[0].lower()}{scope[1:]}, the best and the worst that an arm may have."
    return ""


def lost_runs(cell: Cell) -> str:
    """The runs of a cell that did not finish: "1 diverged, 2 missing"; empty where all did."""
    counts = ((cell.diverged, "diverged"), (cell.failed, "failed"), (cell.missing, "missing"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def costs(arm: Arm) -> tuple[str, ...]:
    """The costs of an arm in the order of COST_COLUMNS: counts with M or G, measured times in milliseconds."""
    counts = (arm.cost.params, arm.cost.macs, arm.cost.activations)
    return (*map(count, counts), milliseconds(arm.forward), milliseconds(arm.train_step))
