"""Tuning as a part of every arm: the list of settings, the tries, the choice, and what is trained after it."""

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Study, Trial, Try
from dorsal.jobs.remarks import BudgetCut, TuningTime
from dorsal.jobs.study_file import load_study
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from dorsal.study.comparison.tries import best_of, ranges_of, settings
from dorsal.study.comparison.tune import TUNING_FILE
from tests.study.arithmetic import EPOCH, Arithmetic, put_in_place, time_by
from tests.study.conftest import Session, results, tiny

ENOUGH = "scenes(train=500, val=32, size=32)"
"""Ten held-out images of each class."""


class Rates(Arithmetic):
    """An engine by which arm a learns best at the recipe's own learning rate, and arm b at the highest."""

    def trial(self, run: Run) -> Trial:
        if self.ends.get(run.arm) == "diverged" or run.recipe_name in self.ends:
            return Trial(run.key, "diverged", None, (), 1.0, "loss is nan")
        lr = run.recipe.lr if isinstance(run.recipe, Recipe) else 0.003
        off = abs(math.log(lr / 0.003)) if run.arm == "a" else -math.log(lr)
        return Trial(run.key, "finished", 50.0 - off + 0.1 * run.seed, (), 1.0, "")


def tuned(out: Path, **changes: Any) -> Comparison:
    return tiny(out, **{"data": ENOUGH, "tune": 3, **changes})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Rates:
    made = Rates(1)
    put_in_place(made, monkeypatch)
    return made


def keys(study: Study, name: str) -> dict[tuple[str, int], str]:
    return {(run.arm, run.seed): run.key for run in study.runs if run.recipe == name}


NAMED = st.sampled_from(["plain", "tricks", "resnest", "finetune", "head", "plain(weight_decay=0)", "plain(lr=1e8)"])


@given(NAMED.map(recipe), st.booleans(), st.integers(2, 40))
def test_the_list_begins_with_the_recipes_own_and_is_one_for_all_arms(made: Recipe, started: bool, count: int) -> None:
    listed, ranges = settings(made, started, count), ranges_of(made, started)
    assert listed[0] == {field: getattr(made, field) for field in ranges}
    assert listed == settings(made, started, count + 1)[:-1]
    for each in listed:
        assert all(low <= each[field] <= high for field, (low, high) in ranges.items())
        replace(made, **each)  # a recipe that can be
    fresh = settings(made, False, count)
    assert fresh == tuple({field: each[field] for field in fresh[0]} for each in listed)
    assert ("weight_decay" in ranges) == (made.weight_decay > 0)
    assert ("level_decay" in ranges) == (started and made.freeze != "all")
    assert len({each["lr"] for each in listed}) == count


def test_the_list_covers_the_range_of_rates_evenly() -> None:
    rates = sorted(each["lr"] / 0.003 for each in settings(recipe("plain"), False, 17)[1:])
    for place, rate in enumerate(rates):  # one in every sixteenth of the logarithm
        assert 4 ** (place / 8 - 1) * 0.99 <= rate <= 4 ** ((place + 1) / 8 - 1) * 1.01


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([50, 60, 55], 1),
        ([60, 60, 55], 1),  # of equals the lowest rate
        ([50, None, 55], 2),
        ([None, None, None], None),
    ],
)
def test_the_best_try(scores: list[float | None], best: int | None) -> None:
    rates = (0.3, 0.1, 0.2)
    made = [Try({"lr": lr}, "diverged" if s is None else "finished", s) for lr, s in zip(rates, scores, strict=True)]
    assert best_of(made) == best


def test_each_arm_is_trained_with_its_best_setting_and_as_the_recipe_is(engine: Rates, tmp_path: Path) -> None:
    study = compare(tuned(tmp_path / "out"))
    tries = [run for run in engine.made if run.inner is not None]
    assert [(run.arm, run.recipe_name) for run in tries] == [
        (arm, f"plain, try {n}") for n in (1, 2, 3) for arm in "ab"
    ]
    assert {run.seed for run in tries} == {0}
    a, b = study.tuning
    assert (a.arm, a.recipe, a.tuned, a.chosen, a.averaged) == ("a", "plain", "plain, tuned", 0, False)
    assert b.chosen == max((1, 2), key=lambda place: b.tries[place].fields["lr"])
    assert [each.fields for each in a.tries] == [each.fields for each in b.tries]
    made = {run.key: run for run in engine.made if run.inner is None}
    best = {made[key].recipe for (arm, _), key in keys(study, b.tuned).items() if arm == "b"}
    assert best == {replace(recipe("plain"), epochs=14, **b.tries[b.chosen].fields)}
    assert keys(study, "plain")["a", 1] == keys(study, "plain, tuned")["a", 1]  # not made twice
    assert [(run.seed, run.recipe) for run in study.runs][::2] == [
        (1, "plain"), (1, "plain, tuned"), (2, "plain"), (2, "plain, tuned"),
    ]  # fmt: skip
    assert len(engine.made) == 6 + 4 + 2
    assert load_study(tmp_path / "out", file=TUNING_FILE).seeds == (0,)
    compare(tuned(tmp_path / "out"))
    assert len(engine.made) == 12
    compare(tuned(tmp_path / "out", tune=4))  # one setting more
    assert [run.recipe_name for run in engine.made[12:14]] == ["plain, try 4"] * 2


def test_broken_off_in_either_part_it_goes_on_and_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = [Rates(1), Rates(1, reports=3), Rates(1, reports=5), Rates(1)]  # whole; within the tries; after; the rest
    whole, *parts = engines
    put_in_place(whole, monkeypatch)
    unbroken = compare(tuned(tmp_path / "whole"))
    for part in parts[:-1]:
        put_in_place(part, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            compare(tuned(tmp_path / "broken"))
        assert load_study(tmp_path / "broken").seeds == (1, 2)  # what a report needs
    put_in_place(parts[-1], monkeypatch)
    study = compare(tuned(tmp_path / "broken"))
    assert (results(study), study.tuning) == (results(unbroken), unbroken.tuning)
    assert [run.key for part in parts for run in part.made] == [run.key for run in whole.made]


def test_tries_that_diverge_never_win_and_without_any_other_the_recipe_stays(engine: Rates, tmp_path: Path) -> None:
    engine.ends = {"a": "diverged", "plain, try 2": "diverged"}  # which is else the best of b
    a, b = compare(tuned(tmp_path / "out")).tuning
    assert ([each.status for each in a.tries], a.chosen) == (["diverged"] * 3, None)
    assert ([each.status for each in b.tries], b.chosen) == (["finished", "diverged", "finished"], 0)
    study = load_study(tmp_path / "out")
    assert keys(study, "plain, tuned")["a", 1] == keys(study, "plain")["a", 1]


def test_with_few_images_a_class_the_seeds_take_the_settings_in_turn(engine: Rates, tmp_path: Path) -> None:
    study = compare(tuned(tmp_path / "out", data="scenes(train=499, val=32, size=32)", tune=2, seeds=3))
    a, _ = study.tuning
    assert (a.averaged, a.chosen, [each.status for each in a.tries]) == (True, None, [None, None])
    assert all(run.inner is None for run in engine.made)
    made = {run.key: run.recipe.lr for run in engine.made}
    rates = [made[keys(study, "plain, tuned")["a", seed]] for seed in study.seeds]
    assert rates == [a.tries[place].fields["lr"] for place in (0, 1, 0)]
    few = tuned(tmp_path / "few", data="scenes(train=499, val=32, size=32)", tune=8, seeds=2)
    assert [len(each.tries) for each in compare(few).tuning] == [2, 2]  # no more than there are seeds to have them
    with pytest.raises(ValueError, match=r"tune=8: .* one seed has one setting; give seeds=2 or more"):
        compare(replace(few, seeds=1, out=str(tmp_path / "one")))
    assert not (tmp_path / "one").exists()


def test_a_time_is_one_number_of_settings_for_all_arms_and_stays_it(
    engine: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.reports = 4
    with pytest.raises(KeyboardInterrupt):
        compare(tuned(tmp_path / "out", tune="15m"))  # 2 arms, 14 epochs of 8 seconds: 3.7 minutes for a setting
    time_by(lambda _: replace(EPOCH, epoch_seconds=100.0), monkeypatch)
    (tmp_path / "out" / "timings.json").unlink()
    engine.reports = 10_000
    study = compare(tuned(tmp_path / "out", tune="15m"))
    assert [len(each.tries) for each in study.tuning] == [3, 3]
    assert TuningTime("15m", 3, 6 * 14 * 8 + 6) in study.remarks
    with pytest.raises(ValueError, match=r"tune='5m' is too short: 2 settings .* take about 1h15m; give at least that"):
        compare(tuned(tmp_path / "out", tune="5m"))
    assert load_study(tmp_path / "out") == study


def test_a_budget_is_for_tuning_and_runs_together(engine: Rates, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"budget='15m' is too small: 1 of 2 .* after tuning by 3 settings"):
        compare(tuned(tmp_path / "out", budget="15m"))
    assert not (tmp_path / "out").exists()
    study = compare(tuned(tmp_path / "out", budget="25m"))
    assert study.seeds == (1,)
    (cut,) = (remark for remark in study.remarks if isinstance(remark, BudgetCut))
    assert (cut.budget, cut.fitting, cut.parts) == ("25m", 1, 2)
    assert len(study.trials) == 3
    assert compare(tuned(tmp_path / "out", budget="15m")).seeds == (1, 2)  # now that it is tuned


def test_a_recipe_of_an_arms_own_is_tuned_for_that_arm(engine: Rates, tmp_path: Path) -> None:
    asked = tuned(tmp_path / "out")
    own = replace(asked, networks=(asked.networks[0], f"{asked.networks[1]} with plain(lr=0.1)"))
    study = compare(own)
    assert [(each.arm, each.recipe) for each in study.tuning] == [("a", "plain"), ("b", "plain(lr=0.1)")]
    assert list(study.recipes) == ["plain", "plain, tuned", "plain(lr=0.1)", "plain(lr=0.1), tuned"]


def test_what_trains_nothing_is_not_tuned(engine: Rates, tmp_path: Path) -> None:
    asked = tuned(tmp_path / "out", recipes=("plain", "probe"), seeds=1)
    assert [each.recipe for each in compare(asked).tuning] == ["plain", "plain"]
    with pytest.raises(ValueError, match=r"tune=3: no recipe \(probe\) has a learning rate to tune; leave tune out"):
        compare(replace(asked, recipes=("probe",), out=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_killed_process_goes_on_in_either_part(tmp_path: Path) -> None:
    asked = tuned(tmp_path / "out", tune=2, seeds=1, epochs=2, workers=1)
    ended: list[str] = []
    for is_try in (True, False):
        session = Session(asked)
        session.until(_ended(is_try))
        os.killpg(session.process.pid, signal.SIGKILL)
        session.end()
        ended += [event["outcome"]["key"] for event in session.kinds("JobEnd")]
    events: list[Event] = []
    study = compare(asked, on_event=events.append)
    ended += [event.outcome.key for event in events if isinstance(event, JobEnd)]
    assert len(ended) == len(set(ended))
    whole = compare(replace(asked, out=str(tmp_path / "whole")))
    assert (results(study), study.tuning) == (results(whole), whole.tuning)


def _ended(is_try: bool) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["kind"] == "JobEnd" and (event["job"]["inner"] is not None) == is_try
