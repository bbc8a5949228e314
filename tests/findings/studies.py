"""A synthetic comparison of known truth, whole and with what may go wrong: four arms, two recipes, three seeds."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

from msgspec.structs import replace

from dorsal.data.spec import Folder
from dorsal.data.summary import DataSummary
from dorsal.findings.comparison import ComparisonFindings, analyse_comparison
from dorsal.jobs.records import Arm, Latency, Machine, PlannedRun, Status, Study, Trial
from dorsal.recipe.epoch import Epoch
from dorsal.recipe.recipe import Recipe
from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.spec.text import difference
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
    curve[-1] = replace(curve[-1], accuracy=accuracy)
    return Trial(key_of(arm, recipe, seed), "finished", accuracy, tuple(curve), 18.0)


def key_of(arm: str, recipe: str, seed: int) -> str:
    return f"{arm}/{recipe}/{seed}"


def planned(arms: Iterable[str], recipes: Iterable[str], seeds: Iterable[int]) -> tuple[PlannedRun, ...]:
    return tuple(
        PlannedRun(key_of(arm, recipe, seed), arm, recipe, seed)
        for seed, arm, recipe in itertools.product(seeds, arms, recipes)
    )


def failure(run: PlannedRun, status: Status, error: str) -> Trial:
    curve = trial(run.arm, run.recipe, run.seed, 80.0).curve[:3] if status == "diverged" else ()
    return Trial(run.key, status, None, curve, 4.0, error)


@cache
def _study() -> Study:
    noise = random.Random(0)
    trials = []
    for seed in SEEDS:
        shift = noise.gauss(0, 0.3)
        for label, by_recipe in TRUTH.items():
            for recipe, truth in by_recipe.items():
                trials.append(trial(label, recipe, seed, truth + shift + noise.gauss(0, 0.4)))
    recipe = Recipe(epochs=EPOCHS, lr=0.1)
    return Study(
        kind="comparison",
        name="Four mixers in one small network",
        command="dorsal compare small 'small(mixer=split_attention)' --recipe plain,tricks --seeds 3",
        created="2026-01-15T10:00:00Z",
        arms=tuple(arm(label, text, 3.0 + i) for i, (label, text) in enumerate(TEXTS.items())),
        recipes={"plain": recipe, "tricks": replace(recipe, mixup=0.2)},
        seeds=SEEDS,
        data=DataSummary(
            spec=Folder("shapes10", size=32),
            classes=tuple(f"class {i}" for i in range(10)),
            mean=(0.4,) * 3,
            std=(0.2,) * 3,
            fingerprint="9f2c61d0a7b34e58",
            train_images=5000,
            val_images=1000,
        ),
        machine=Machine("a processor", 8, 31.2, "Linux 6.1", "cpu", 2, 1),
        versions={"dorsal": "0.1.0", "python": "3.11.4", "torch": "2.9.0"},
        runs=planned(TRUTH, ("plain", "tricks"), SEEDS),
        trials=tuple(trials),
        notes=("Forecast: 12 min; needed 13 min.",),
    )


def _broken(study: Study) -> Study:
    """One run diverged, one failed, the last three were not done."""
    trials = list(study.trials)
    trials[1] = failure(study.runs[1], "diverged", "loss is nan at epoch 4, step 12")
    trials[3] = failure(study.runs[3], "failed", "RuntimeError: <b>no memory</b>")
    return replace(study, trials=tuple(trials[:-3]))


def _part(study: Study, kept: Callable[[PlannedRun], bool]) -> Study:
    """The study with these runs only."""
    runs = tuple(run for run in study.runs if kept(run))
    keys = {run.key for run in runs}
    return replace(study, runs=runs, trials=tuple(trial for trial in study.trials if trial.key in keys))


def _one_seed(study: Study) -> Study:
    return replace(_part(study, lambda run: run.seed == 0), seeds=(0,))


def _one_recipe(study: Study) -> Study:
    return replace(_part(study, lambda run: run.recipe == "plain"), recipes={"plain": study.recipes["plain"]})


def _one_arm(study: Study) -> Study:
    return replace(_part(study, lambda run: run.arm == "resnet"), arms=study.arms[:1])


def _arm_failed(study: Study) -> Study:
    ended = zip(study.runs, study.trials, strict=True)
    return replace(study, trials=tuple(failure(r, "failed", "no") if r.arm == "regnet" else t for r, t in ended))


def _all_diverged(study: Study) -> Study:
    return replace(study, trials=tuple(failure(run, "diverged", "nan") for run in study.runs))


def _not_finite(study: Study) -> Study:
    """The last epoch of a diverged run has losses that are no numbers."""
    last = replace(study.trials[0].curve[-1], train_loss=float("nan"), val_loss=float("inf"))
    lost = replace(study.trials[0], status="diverged", accuracy=None, curve=(*study.trials[0].curve[:-1], last))
    return replace(study, trials=(lost, *study.trials[1:]))


def _markup(study: Study) -> Study:
    """Every string of the user tries to be HTML, or markup of the terminal."""
    evil = "<script>document.title='owned'</script><img src=x onerror=alert(1)>[red]&amp;\"'"
    arms = tuple(
        replace(a, label=f"{evil}{a.label}", text=evil, changes=evil, differences={evil: (evil, evil)})
        for a in study.arms
    )
    lost = replace(study.trials[0], status="failed", accuracy=None, error=evil)
    data = replace(study.data, spec=Folder(evil, size=32), fingerprint=evil, classes=(evil,) * 10, notes=(evil,))
    return replace(
        study,
        name=evil,
        command=evil,
        data=data,
        created=evil,
        notes=(evil,),
        versions={evil: evil},
        arms=arms,
        runs=tuple(replace(r, arm=f"{evil}{r.arm}", recipe=f"{evil}{r.recipe}") for r in study.runs),
        trials=(lost, *study.trials[1:]),
        recipes={f"{evil}{name}": recipe for name, recipe in study.recipes.items()},
        machine=replace(study.machine, processor=evil, system=evil, device=evil),
    )


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
    arms = tuple(arm(label, "small") for label in labels)
    return replace(study, arms=arms, runs=planned(labels, study.recipes, study.seeds), trials=tuple(trials))


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
    "all_equal": lambda study: replace(study, trials=tuple(replace(t, accuracy=80.0) for t in study.trials)),
    "markup": _markup,
    "twelve_arms": _twelve_arms,
}


class Case(NamedTuple):
    """A study and its analysis, which takes too long to be made for every test."""

    study: Study
    analysis: ComparisonFindings


@cache
def make_case(name: str) -> Case:
    study = EDGES[name](_study()) if name in EDGES else _study()
    return Case(study, analyse_comparison(study))
