"""A choice of weights made of numbers: three candidates, two rounds, two of them fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from dorsal.jobs.plan import Portion
from dorsal.jobs.records import Latency, Study
from dorsal.spec.start import Start
from dorsal.stats import Ratios, compare_arms, pooled_means
from dorsal.study.choice.records import COLORS, RANDOM, ChoiceStudy, LeftOut, Round
from tests.findings import studies

HELD = 400


def made_round(learnt: int, shares: dict[str, float], dropped: tuple[str, ...] = ()) -> Round:
    """A round with these shares of right answers, each label's on images of its own."""
    random = np.random.default_rng(learnt)
    right = {label: random.permutation(np.arange(HELD) < share * HELD) for label, share in shares.items()}
    ratios = {
        label: Ratios(top=each[:, None].astype(float), bottom=np.ones((HELD, 1))) for label, each in right.items()
    }
    scores = {label: [each.score()] for label, each in ratios.items()}
    images = {label: [each.values()] for label, each in ratios.items()}
    found = compare_arms(scores, 0.975, images)
    behind = {pair.worse: pair.difference for pair in found.pairs if pair.worse in dropped and pair.better == "a"}
    return Round(
        portion=Portion(learnt // 10, learnt, HELD),
        scores={label: pooled_means({label: scores[label]}, images={label: images[label]})[label] for label in shares},
        comparisons=found,
        dropped=behind,
        failed={},
    )


def made(**changes: Any) -> ChoiceStudy:
    """`a` leads `b`, both fine-tuned; `c` was dropped in the first round and beats no control."""
    comparison: Study = studies.make_case("whole").study
    arms = tuple(
        replace(
            arm,
            label=label,
            forward=Latency(1.0, 0.9, 1.1, 1, 1, 30, "cpu"),
            start=Start(weights=f"/models/{label}", sha256=label, license=license),
        )
        for arm, label, license in zip(comparison.arms * 2, "abc", ("MIT", "Apache-2.0", ""), strict=False)
    )
    both = {RANDOM: 0.2, COLORS: 0.3}
    fields = {
        "name": "choose",
        "command": "dorsal choose models --data photos",
        "created": "2026-11-30T00:00:00+00:00",
        "data": comparison.data,
        "machine": comparison.machine,
        "versions": comparison.versions,
        "remarks": (),
        "arms": arms,
        "commands": {label: f"dorsal train small@models/{label} --recipe finetune --data photos" for label in "abc"},
        "random_network": "small",
        "left_out": (LeftOut(weights="d", license="CC-BY-NC-4.0"), LeftOut(weights="e", fault="it is damaged")),
        "portions": (Portion(10, 100, HELD), Portion(100, 1000, HELD)),
        "rounds": (
            made_round(100, {"a": 0.7, "b": 0.65, "c": 0.25, **both}, ("c",)),
            made_round(1000, {"a": 0.8, "b": 0.78, **both}),
        ),
        "stop": "all images",
        "budget": None,
        "finalists": ("a", "b"),
        "finetuning": tuned(comparison),
    }
    return ChoiceStudy(**{**fields, **changes})


def tuned(comparison: Study) -> Study:
    """The comparison of `a` and `b`, of a study's first two arms under its first recipe."""
    names = {arm.label: label for arm, label in zip(comparison.arms, "ab", strict=False)}
    recipe = next(iter(comparison.recipes))
    runs = tuple(
        replace(run, arm=names[run.arm]) for run in comparison.runs if run.arm in names and run.recipe == recipe
    )
    keys = {run.key for run in runs}
    return replace(
        comparison,
        arms=tuple(replace(arm, label=names[arm.label]) for arm in comparison.arms if arm.label in names),
        recipes={recipe: comparison.recipes[recipe]},
        runs=runs,
        trials=tuple(trial for trial in comparison.trials if trial.key in keys),
    )
