"""A comparison in words: its conclusions, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dorsal.findings.comparison import MEAN_OF_RECIPES, OWN_RECIPES, Cell, ComparisonFindings
from dorsal.findings.starts import StartEffect
from dorsal.findings.verdicts import PairVerdict, Verdicts
from dorsal.jobs.records import Arm, Study
from dorsal.recipes.recipe import Recipe
from dorsal.report.words.learning import learning_sentences
from dorsal.report.words.numerals import count, decimals, interval, milliseconds, p_value, plural, roughly
from dorsal.report.words.tuning import tuning_caveats, tuning_sentences
from dorsal.report.words.verdicts import difference as signed
from dorsal.report.words.verdicts import equality_ways, unequal_sentences, wins
from dorsal.spec.timm import TimmNetwork
from dorsal.stats import Comparisons, Pair, Shares
from dorsal.stats.needs import MOST_IMAGES, MOST_SEEDS
from dorsal.stats.verdicts import Judgement

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


class Judged(NamedTuple):
    """The verdict on a pair by this margin."""

    judgement: Judgement
    margin: float


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
    if _is_of_models(against[0]):
        scope = f"Of these trained models: {scope[0].lower()}{scope[1:]}"
    planned = not found.learning.mostly_nothing
    said = [_top(scope, verdicts, len(against))]
    for pair, verdict in zip(primary.pairs, verdicts.pairs, strict=True):
        if pair.better == leader:
            judged, models = Judged(verdict.judgement, study.margin), _of_models(arms[pair.better], arms[pair.worse])
            sentence = pair_sentence(pair, planned, found.groups is not None, judged, models)
            said.append(f"{sentence}{_wins(verdict)}")
    noise = [noise_sentence(pair) for pair in against if not pair.significant][:1] if planned else []
    said += filter(None, noise)
    more = (*_apart(found), *_fixed(study, found), *_leaders(study, found), *_of_starts(study, found))
    return [*said, *more]


def _of_models(first: Arm, second: Arm) -> str:
    """What the difference of two arms is of, where one begins from weights; "" where none does."""
    if first.start is None and second.start is None:
        return ""
    network = "" if first.network_hash == second.network_hash else "network, "
    return f"{network}pretraining recipe and pretraining data together"


def _apart(found: ComparisonFindings) -> Iterator[str]:
    """Who leads under each recipe where arms with their own recipe are not in the mean."""
    if not found.apart or MEAN_OF_RECIPES not in found.verdicts:
        return
    for name, verdicts in found.verdicts.items():
        if name != MEAN_OF_RECIPES:
            scope = f"{_scope(name)}, {' and '.join(found.apart)} by {'its' if len(found.apart) == 1 else 'their'} own"
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


def _of_starts(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """What weights change between networks, and whether weights or networks weigh more."""
    by_networks: dict[tuple[str, str], list[StartEffect]] = {}
    for effect in found.start_effects:
        by_networks.setdefault(effect.scratch, []).append(effect)
    for (first, second), effects in by_networks.items():
        ordered = sorted(effects, key=lambda effect: effect.change.value)
        ends = [f"{signed(each.change)} ({' and '.join(each.started)})" for each in (ordered[0], ordered[-1])]
        changes = ends[0] if len(effects) == 1 else f"{ends[0]} to {ends[1]}, over {len(effects)} pairs of weights"
        started = {label for each in effects for label in each.started}
        own = dict.fromkeys(arm.recipe for arm in study.arms if arm.label in started and arm.recipe)
        cause = f"pretraining, with {' and '.join(own)} as recipe," if own else "pretraining"
        yield (
            f"From scratch the difference of {first} and {second} is {signed(effects[0].difference)} points; "
            f"{cause} changes it by {changes}."
        )
    if (spread := found.start_spread) is not None:
        more = "choice of weights weighs more than that of the network"
        if spread.spread < spread.best_spread:
            more = "choice of the network weighs more than that of weights"
        yield (
            f"The means of the {spread.weights} weights of {spread.network} spread over {spread.spread:.1f} points, "
            f"those of the best weights of the {spread.networks} networks over {spread.best_spread:.1f}: here the "
            f"{more}."
        )


def leader_sentences(found: Comparisons) -> Iterator[str]:
    """The first arm against each of the others."""
    for pair in found.pairs:
        if pair.better == found.pairs[0].better:
            yield pair_sentence(pair)


def _is_of_models(pair: Pair) -> bool:
    """Whether the interval is over images alone."""
    return pair.image_half is not None and pair.seed_half is None


def _fixed(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """Two trained models by the exact McNemar test and a paired bootstrap."""
    for recipe, pair in found.fixed.items():
        first, second = (arm.label for arm in study.arms)
        if pair.first_only is None or pair.second_only is None:
            continue
        test = "" if pair.p is None else f"; exact McNemar test: {p_value(pair.p)}"
        drawn = interval(pair.difference, pair.confidence, of=f" of {first} minus {second} by paired bootstrap")
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


def pair_sentence(
    pair: Pair, planned: bool = True, grouped: bool = False, judged: Judged | None = None, models: str = ""
) -> str:
    """Whether one of two arms is better, in points of the score; where that is not shown, what it would take.

    `planned` is whether the runs are such that their noise says what it would take, `grouped` whether `pair.images` are
    groups of images. `judged` has the verdict by a margin; without it nothing is said of equality. `models` is what a
    difference of two trained models is of.
    """
    found, noun = pair.difference, "groups of test images" if grouped else "test images"
    if found.low is None or found.high is None or pair.p is None:
        return _without_noise(pair)
    digits = decimals(found.low, found.high)
    size = f"{found.value:.{digits}f} ± {(found.high - found.low) / 2:.{digits}f} points"
    whole = f", as trained models: {models}" if models else ""
    verdict, margin = (judged.judgement, margin_text(judged.margin)) if judged else (None, "")
    if pair.significant:
        little = ""
        if verdict and verdict.within_margin:
            little = f", less than the margin of {margin}"
        level = f"{100 * pair.confidence:g} % simultaneous interval{_over(pair, digits, noun)}"
        return f"{pair.better} is better than {pair.worse} by {size}{little}{whole} ({level}, {p_value(pair.p)})."
    noises = [] if _is_of_models(pair) else [plural(pair.n, "seed")]
    over = "over " + " and ".join([*noises, *([f"{pair.images:,} {noun}"] if pair.images else [])])
    if verdict and verdict.verdict == "practically equal":
        return f"{pair.better} and {pair.worse} are practically equal: {size}, inside ± {margin}{whole} ({over})."
    if not planned:
        return f"{_open(pair, judged)}: {size} {over}{whole}."
    needed = f"{_needed(pair, noun)}{_to_be_equal(judged)}"
    if pair.seed_half is not None and pair.images is not None and found.value > pair.seed_half:
        return (
            f"On these {pair.images:,} {noun} {pair.better} is ahead of {pair.worse} with other seeds too, by "
            f"{found.value:.{digits}f} ± {pair.seed_half:.{digits}f} points over {plural(pair.n, 'seed')}{whole}; on "
            f"other images that is not shown ({size}): {needed}."
        )
    return f"{_open(pair, judged)}: {size} {over}{whole}; {needed}."


def margin_text(margin: float) -> str:
    """The margin with its unit."""
    return f"{margin:g} point{'' if margin == 1 else 's'}"


def _open(pair: Pair, judged: Judged | None) -> str:
    """How a sentence on an undecided pair begins."""
    return f"{'Undecided' if judged else 'No difference shown'} between {pair.better} and {pair.worse}"


def _to_be_equal(judged: Judged | None) -> str:
    """What would show an undecided pair to be practically equal."""
    if judged is None:
        return ""
    margin = margin_text(judged.margin)
    if ways := equality_ways(judged.judgement):
        return f"; {ways} would show that level arms are equal within {margin}"
    if not judged.judgement.can_be_equal:
        return f"; an interval of this length cannot show them to be equal within {margin}"
    return ""


def _over(pair: Pair, digits: int, noun: str) -> str:
    """What the interval is over, with both halves."""
    if pair.image_half is None:
        return f", {plural(pair.n, 'seed')}"
    images = f"{pair.images or 0:,} {noun}"
    if pair.seed_half is None:
        return f" over {images}, of these trained models, not of the networks"
    return (
        f" over seeds and test images; {plural(pair.n, 'seed')} ± {pair.seed_half:.{digits}f}, {images} "
        f"± {pair.image_half:.{digits}f} on top"
    )


def _needed(pair: Pair, noun: str) -> str:
    """How many seeds, or how many images, would show a difference of this size."""
    if pair.needed is None and pair.images_needed is None:
        return "that is too few to say how many would show a difference of this size"
    limits = (("seeds", pair.needed, MOST_SEEDS), (noun, pair.images_needed, MOST_IMAGES))
    known = [(what, need, most) for what, need, most in limits if need is not None]
    possible = [each for each in known if each[1].low is not None] or known
    ways = " or ".join(roughly(need, what, most) for what, need, most in possible)
    return f"{ways} would be needed to show a difference of this size"


def noise_sentence(pair: Pair) -> str:
    """Which of the two noises weighs more in a pair that is not decided, and what would help most; "" without both."""
    if pair.seed_half is None or pair.image_half is None or pair.images is None or not pair.difference.value:
        return ""
    halves = f"± {pair.seed_half:.2g} by seeds, ± {pair.image_half:.2g} on top by test images"
    larger = "seeds" if pair.seed_half > pair.image_half else "test images"
    said = f"Between {pair.better} and {pair.worse} the noise of {larger} is the larger one ({halves})"
    needs = {"seeds": (pair.needed, pair.n), "test images": (pair.images_needed, pair.images)}
    times = {
        noun: need.value / now for noun, (need, now) in needs.items() if need is not None and need.value is not None
    }
    if not times:
        return f"{said}."
    most = min(times, key=lambda noun: times[noun])
    return f"{said}; what helps most is more {most}, about {_times(times[most])} times as many."


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"


def _without_noise(pair: Pair) -> str:
    if pair.n == 1:
        reason = "one seed cannot tell a difference from chance"
    else:
        reason = f"the results of {pair.n} seeds show no noise to judge it by"
    if pair.difference.value == 0:
        return f"{pair.better} and {pair.worse} are level, but {reason}."
    return f"{pair.better} is ahead of {pair.worse} by {pair.difference.value:.2g} points, but {reason}."


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
            yield f"{cell.arm} under {cell.recipe}: of {cell.planned} runs {' and '.join(lost)}; {rest}."


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
        lines.append(f"Of frozen networks, and of no trained one, is what {' and '.join(asked)} found.")
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
    lines += _starts(study)
    if any(pair.p is not None for each in found.simple_effects.values() for pair in each.pairs):
        lines.append(simple_sentence(found))
    for name, verdicts in found.verdicts.items():
        lines += [f"{_scope(name)}, {sentence[0].lower()}{sentence[1:]}" for sentence in unequal_sentences(verdicts)]
    for name, comparison in found.comparisons.items():
        lines += [f"{name}: {note}" for note in notes(comparison)]
    return tuple(lines)


def simple_sentence(found: ComparisonFindings) -> str:
    """What is shown under each recipe if differences are corrected for all recipes at once."""
    shown = [
        f"{sum(pair.significant for pair in each.pairs)} of {plural(len(each.pairs), 'pair')} under {name}"
        for name, each in found.simple_effects.items()
    ]
    return (
        f"Differences are corrected for the pairs of one comparison. Corrected for the {len(shown)} recipes too, they "
        f"are shown in {' and in '.join(shown)}."
    )


def _starts(study: Study) -> Iterator[str]:
    """What differences between arms that begin from weights are differences of."""
    started = [arm for arm in study.arms if arm.start]
    if not started:
        return
    yield (
        f"{', '.join(arm.label for arm in started)}: trained models. A difference from or between them is of network, "
        "pretraining data and pretraining recipe together, not of the network alone."
    )
    known = {arm.label: arm.start.trained_on or "data that nobody states" for arm in started if arm.start}
    if len(set(known.values())) > 1:
        listed = "; ".join(f"{label} on {data}" for label, data in known.items())
        yield f"The weights learnt from different data: {listed}."
    several = {arm.label: ", ".join(arm.differences) for arm in study.arms if len(arm.differences) > 1}
    if several:
        listed = "; ".join(f"{label} ({names})" for label, names in several.items())
        first = study.arms[0].label
        yield f"In more than one thing differ from {first}: {listed}. A difference is of all of these together."


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
            f"Seeds were added until the arms were decided, {study.most_seeds} at most. Intervals of differences are "
            "wider for that, and hold at every look; a p value is of one look."
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
