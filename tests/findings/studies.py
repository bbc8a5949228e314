"""A synthetic comparison of known truth, whole and with what may go wrong: four arms, two recipes, three seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from dorsal.data.spec import Folder
from dorsal.data.summary import DataSummary
from dorsal.findings.comparison import ComparisonFindings, analyse_comparison
from dorsal.findings.contributions import Contributions
from dorsal.jobs.records import Arm, Latency, Machine, PlannedRun, Status, Study, Trial, Try, Tuned
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.recipe import Recipe
from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.spec.text import difference
from dorsal.stats import Ratios
from dorsal.zoo import network

TEXTS = {
    "resnet": "small",
    "res2net": "small(mixer=multi_scale(scales=4, width=26))",
    "resnest": "small(mixer=split_attention)",
    "regnet": (
        "small(mixer=conv(group_width=8), "
        "attention=squeeze_excite(ratio=0.25, reference=input, position=after_mixer), expansion=1)"
    ),
}
# The true accuracy of each arm under each recipe, in percent.
TRUTH = {
    "resnet": {"plain": 81.0, "tricks": 83.0},
    "res2net": {"plain": 82.2, "tricks": 84.6},
    "resnest": {"plain": 86.0, "tricks": 88.5},
    "regnet": {"plain": 82.0, "tricks": 84.8},
}
SEEDS = (0, 1, 2)
EPOCHS = 12


def arm(label: str, text: str, measured: float | None = 4.0) -> Arm:
    net = network(text)
    forward = measured and Latency(measured, measured * 0.95, measured * 1.1, 64, 1, 30, "cpu")
    step = measured and Latency(measured * 3.1, measured * 3, measured * 3.4, 64, 1, 30, "cpu")
    return Arm(
        label=label,
        text=text,
        network=net,
        network_hash=network_hash(net),
        cost=cost(net, 32),
        differences=difference(network("small"), net),
        forward=forward or None,
        train_step=step or None,
    )


def trial(arm: str, recipe: str, seed: int, accuracy: float) -> Trial:
    noise = random.Random(f"{arm}/{recipe}/{seed}")
    curve = []
    for epoch in range(1, EPOCHS + 1):
        progress = 1 - 0.72**epoch
        value = 10 + (accuracy - 10) * progress + noise.gauss(0, 2.0) * (1 - epoch / EPOCHS)
        loss = 2.3 * (1 - progress) + 0.2
        curve.append(Epoch(epoch, loss, loss * 1.1, value, 0.1 * (1 - epoch / EPOCHS), 1.5))
    curve[-1] = replace(curve[-1], score=accuracy)
    return Trial(key_of(arm, recipe, seed), "finished", accuracy, tuple(curve), 18.0)


def key_of(arm: str, recipe: str, seed: int) -> str:
    return f"{arm}|{recipe}|{seed}"


def failure(trial: Trial, status: Status, error: str) -> Trial:
    """The trial lost; one that diverged has a curve of three epochs."""
    curve = trial.curve[:3] if status == "diverged" else ()
    return replace(trial, status=status, score=None, curve=curve, seconds=4.0, error=error)


@cache
def _study() -> Study:
    noise = random.Random(0)
    trials = []
    for seed in SEEDS:
        shift = noise.gauss(0, 0.3)
        for label, by_recipe in TRUTH.items():
            for recipe, truth in by_recipe.items():
                trials.append(trial(label, recipe, seed, truth + shift + noise.gauss(0, 0.4)))
    arms = tuple(arm(label, text, 3.0 + i) for i, (label, text) in enumerate(TEXTS.items()))
    recipes = {"plain": Recipe(epochs=EPOCHS), "tricks": Recipe(epochs=EPOCHS, mixup=0.2)}
    return Study(
        kind="comparison",
        name="Four mixers in one small network",
        command="dorsal compare small 'small(mixer=split_attention)' --recipe plain,tricks --seeds 3",
        created="2026-01-15T10:00:00Z",
        arms=arms,
        recipes=recipes,
        seeds=SEEDS,
        data=DataSummary(
            spec=Folder("shapes10", size=32),
            classes=tuple(f"class {i}" for i in range(10)),
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            fingerprint="9f2c61d0a7b34e58",
            train_images=5000,
            val_images=1000,
            constant=10.0,
        ),
        runs=runs_of(TEXTS, recipes, SEEDS),
        machine=Machine("a processor", 8, 31.2, "Linux 6.1", "cpu", 2, 1),
        versions={"dorsal": "0.1.0", "python": "3.11.4", "torch": "2.9.0"},
        trials=tuple(trials),
        notes=("Forecast: 12 min; needed 13 min.",),
    )


def contributions_of(study: Study, images: int = 1000) -> Contributions:
    """What each image contributes to the scores, to a tenth of a percent. Images are harder and easier alike for all
    arms, and a little more so for one.
    """
    random, easy = np.random.default_rng(0), {}
    shared = random.normal(size=images)
    for each in study.arms:
        easy[each.label] = shared + 0.5 * random.normal(size=images)
    arms, runs = {run.key: run.arm for run in study.runs}, {}
    for trial in study.trials:
        if trial.score is not None:
            order = np.argsort(-easy[arms[trial.key]] + 0.3 * random.normal(size=images))
            right = np.zeros((images, 1))
            right[order[: round(trial.score * images / 100)]] = 1
            runs[trial.key] = Ratios(top=right, bottom=np.ones_like(right))
    return Contributions(runs=runs)


def runs_of(arms: Iterable[str], recipes: Iterable[str], seeds: Iterable[int]) -> tuple[PlannedRun, ...]:
    recipes = list(recipes)
    return tuple(
        PlannedRun(key_of(arm, recipe, seed), arm, recipe, seed) for seed in seeds for arm in arms for recipe in recipes
    )


def part(study: Study, keep: Callable[[PlannedRun], bool], **changes: Any) -> Study:
    """The study with some of its runs, and what came of them."""
    runs = tuple(run for run in study.runs if keep(run))
    keys = {run.key for run in runs}
    return replace(study, runs=runs, trials=tuple(t for t in study.trials if t.key in keys), **changes)


def with_trials(study: Study, change: Callable[[PlannedRun, Trial], Trial]) -> Study:
    """The study with other ends of its runs."""
    by_key = {run.key: run for run in study.runs}
    return replace(study, trials=tuple(change(by_key[trial.key], trial) for trial in study.trials))


def _broken(study: Study) -> Study:
    """One run diverged, one failed, the last three were not done."""
    trials = list(study.trials)
    trials[1] = failure(trials[1], "diverged", "loss is nan at epoch 4, step 12")
    trials[3] = failure(trials[3], "failed", "RuntimeError: <b>no memory</b>")
    return replace(study, trials=tuple(trials[:-3]))


def _one_seed(study: Study) -> Study:
    return part(study, lambda run: run.seed == 0, seeds=(0,))


def _one_recipe(study: Study) -> Study:
    return part(study, lambda run: run.recipe == "plain", recipes={"plain": study.recipes["plain"]})


def _one_arm(study: Study) -> Study:
    return part(study, lambda run: run.arm == "resnet", arms=study.arms[:1])


def _arm_failed(study: Study) -> Study:
    return with_trials(study, lambda run, trial: failure(trial, "failed", "no") if run.arm == "regnet" else trial)


def _all_diverged(study: Study) -> Study:
    return with_trials(study, lambda _, trial: failure(trial, "diverged", "nan"))


def _not_finite(study: Study) -> Study:
    """The last epoch of a diverged run has losses that are no numbers."""
    last = replace(study.trials[0].curve[-1], train_loss=float("nan"), val_loss=float("inf"))
    lost = replace(study.trials[0], status="diverged", score=None, curve=(*study.trials[0].curve[:-1], last))
    return replace(study, trials=(lost, *study.trials[1:]))


def _renamed(study: Study, arms: dict[str, str], recipes: dict[str, str]) -> Study:
    return replace(
        study,
        arms=tuple(replace(a, label=arms[a.label]) for a in study.arms),
        recipes={recipes[name]: recipe for name, recipe in study.recipes.items()},
        runs=tuple(replace(run, arm=arms[run.arm], recipe=recipes[run.recipe]) for run in study.runs),
    )


def _markup(study: Study) -> Study:
    """Every string of the user tries to be HTML, or markup of the terminal."""
    evil = "<script>document.title='owned'</script><img src=x onerror=alert(1)>[red]&amp;\"'"
    study = _renamed(
        study, {label: f"{evil}{label}" for label in TEXTS}, {name: f"{evil}{name}" for name in study.recipes}
    )
    return replace(
        study,
        name=evil,
        command=evil,
        created=evil,
        notes=(evil,),
        versions={evil: evil},
        data=replace(study.data, spec=Folder(evil, size=32), fingerprint=evil, notes=(evil,)),
        arms=tuple(replace(a, text=evil, changes=evil, differences={evil: (evil, evil)}) for a in study.arms),
        trials=(failure(study.trials[0], "failed", evil), *study.trials[1:]),
        machine=replace(study.machine, processor=evil, system=evil, device=evil),
    )


def _tuned(study: Study) -> Study:
    """Under plain, tuning gains resnet 2 points at the edge of the range, loses res2net all tries, leaves resnest as it
    is, and gains regnet nothing that is shown."""
    ranges, rates = {"lr": (0.05, 0.8)}, (0.2, 0.75, 0.3)
    chosen = {"resnet": 1, "res2net": None, "resnest": 0, "regnet": 2}
    gains = {"resnet": (1.9, 2.0, 2.1), "res2net": (0, 0, 0), "resnest": (0, 0, 0), "regnet": (-0.5, 0.6, 0.2)}
    score = {trial.key: trial.score or 0 for trial in study.trials}
    tuning = tuple(
        Tuned(
            arm=label,
            recipe="plain",
            tries=tuple(
                Try({"lr": lr}, *(("diverged", None) if best is None else ("finished", 50.0 + (place == best))))
                for place, lr in enumerate(rates)
            ),
            ranges=ranges,
            chosen=best,
            averaged=False,
        )
        for label, best in chosen.items()
    )
    runs = runs_of(TEXTS, ("plain, tuned",), SEEDS)
    trials = [
        trial(run.arm, run.recipe, run.seed, score[key_of(run.arm, "plain", run.seed)] + gains[run.arm][run.seed])
        for run in runs
    ]
    plain, tricks = study.recipes.values()
    return replace(
        study,
        recipes={"plain": plain, "plain, tuned": plain, "tricks": tricks},
        runs=(*study.runs, *runs),
        trials=(*study.trials, *trials),
        tuning=tuning,
    )


def _averaged(study: Study) -> Study:
    """As `_tuned`, but nothing was chosen."""
    made = _tuned(study)
    none = tuple(Try(each.fields) for each in made.tuning[0].tries)
    return replace(made, tuning=tuple(replace(each, tries=none, chosen=None, averaged=True) for each in made.tuning))


def _twelve_arms(study: Study) -> Study:
    """Twelve arms of one cost with names that are far too long."""
    study = _one_recipe(study)
    labels = [f"small(mixer=multi_scale(scales=4, width=26), stem=deep, variant={i})" for i in range(12)]
    noise = random.Random(1)
    trials = [
        trial(label, recipe, seed, 80 + i / 2 + noise.gauss(0, 0.5))
        for i, label in enumerate(labels)
        for recipe in study.recipes
        for seed in study.seeds
    ]
    return replace(
        study,
        arms=tuple(arm(label, "small") for label in labels),
        runs=runs_of(labels, study.recipes, study.seeds),
        trials=tuple(trials),
    )


EDGES: dict[str, Callable[[Study], Study]] = {
    "broken": _broken,
    "one_seed": _one_seed,
    "one_recipe": _one_recipe,
    "one_arm": _one_arm,
    "one_run": lambda study: _one_arm(_one_seed(_one_recipe(study))),
    "arm_failed": _arm_failed,
    "all_diverged": _all_diverged,
    "not_finite": _not_finite,
    "nothing_run": lambda study: replace(study, trials=()),
    "no_latency": lambda study: replace(
        study, arms=tuple(replace(a, forward=None, train_step=None) for a in study.arms)
    ),
    "some_latency": lambda study: replace(study, arms=(replace(study.arms[0], forward=None), *study.arms[1:])),
    "all_equal": lambda study: replace(study, trials=tuple(replace(t, score=80.0) for t in study.trials)),
    "markup": _markup,
    "twelve_arms": _twelve_arms,
    "tuned": _tuned,
    "averaged": _averaged,
    "images": lambda study: study,
    "images_one_seed": _one_seed,
    "two_models": lambda study: part(
        _one_seed(_one_recipe(study)), lambda run: run.arm in ("resnet", "res2net"), arms=study.arms[:2]
    ),
}
WITH_IMAGES = ("images", "images_one_seed", "two_models")
"""The cases that are analysed with what each test image contributes."""


class Case(NamedTuple):
    """A study and its analysis, which takes too long to be made for every test."""

    study: Study
    analysis: ComparisonFindings


@cache
def make_case(name: str) -> Case:
    study = EDGES[name](_study()) if name in EDGES else _study()
    return Case(study, analyse_comparison(study, contributions_of(study) if name in WITH_IMAGES else None))
