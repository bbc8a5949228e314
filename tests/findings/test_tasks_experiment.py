"""The study of tasks in experiments/tasks: what becomes of a pair on another task."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from dorsal.findings.comparison import analyse_comparison, compared_results
from dorsal.report.shell import prose
from dorsal.stats import Estimate
from tests.findings.studies import contributions_of, make_case

FILE = Path(__file__).parents[2] / "experiments" / "tasks" / "hold.py"
SPEC = importlib.util.spec_from_file_location("tasks_hold", FILE)
assert SPEC is not None
assert SPEC.loader is not None
script = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = script  # where msgspec looks for the types of its fields
SPEC.loader.exec_module(script)


def _task(scores: dict[str, tuple[float, float]], half: float) -> Any:
    """A task with these scores by seed; every difference is known to so many points."""
    means = {name: float(np.mean(runs)) for name, runs in scores.items()}
    differences = {
        (a, b): Estimate(value=x - y, low=x - y - half, high=x - y + half)
        for a, x in means.items()
        for b, y in means.items()
        if a != b
    }
    estimates = {name: Estimate(value=mean, low=mean - half, high=mean + half) for name, mean in means.items()}
    return script.Task(means=estimates, differences=differences, scores=np.array(list(scores.values())))


FIRST = _task({"a": (50.0, 52.0), "b": (60.0, 60.0), "c": (70.0, 72.0), "d": (80.0, 80.0), "e": (81.0, 81.0)}, 3.0)
OTHER = _task({"a": (9.0, 9.2), "b": (5.0, 5.0), "c": (10.0, 10.2), "d": (10.5, 10.5), "e": (30.0, 31.0)}, 2.0)


def test_what_becomes_of_each_pair_that_is_decided() -> None:
    found = script.held("instance", FIRST, OTHER)
    fates = {(each.better, each.worse): each.fate for each in found.decided}
    assert fates == {
        ("e", "a"): "holds",
        ("e", "b"): "holds",
        ("e", "c"): "holds",
        ("d", "a"): "same sign",
        ("d", "b"): "holds",
        ("d", "c"): "same sign",
        ("c", "a"): "same sign",
        ("c", "b"): "holds",
        ("b", "a"): "reversed",
    }
    assert script.fate(Estimate(value=-1.0, low=-2.0, high=0.5)) == "other sign"
    assert (found.pairs, found.same) == (10, 9)
    assert [each.there.value for each in found.decided] == sorted(each.there.value for each in found.decided)[::-1]
    text = " ".join(script.sentences(found))
    assert "Of 10 pairs, 9 have the same sign on classification and instance segmentation." in text
    assert "decides 9 pairs" in text
    assert "5 are decided alike, 3 are of the same sign but not decided and 1 is decided the other way round" in text


def test_the_correlation_and_its_interval_are_scipys() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 8)) + random.normal(size=8)
    known = stats.pearsonr(first, second)
    ends = known.confidence_interval(0.95)
    found = script.correlation(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((known.statistic, ends.low, ends.high))


def test_tau_is_of_single_runs() -> None:
    found = script.held("semantic", FIRST, OTHER)
    pairs = [stats.kendalltau(FIRST.scores[:, i], OTHER.scores[:, 1 - i]).statistic for i in (0, 1)]
    assert found.tau.value == pytest.approx(np.mean(pairs))


def test_a_task_is_read_from_its_comparison() -> None:
    study = make_case("one_recipe").study
    contributions = contributions_of(study)
    found = analyse_comparison(study, contributions)
    ((_, results),) = compared_results(study, contributions).results.items()
    task = script.task_of(found, results)
    (pairs,) = (each.pairs for each in found.comparisons.values())
    for pair in pairs:
        there, back = task.differences[pair.better, pair.worse], task.differences[pair.worse, pair.better]
        assert there == pair.difference
        assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)
    assert list(task.means) == [arm.label for arm in study.arms]
    assert task.scores.shape == (len(study.arms), len(study.seeds))


def test_other_networks_cannot_be_compared() -> None:
    other = msgspec.structs.replace(OTHER, means={name: OTHER.means[name] for name in "abcd"})
    with pytest.raises(ValueError, match="they must be the same"):
        script.held("instance", FIRST, other)


def test_the_page_says_what_the_sentences_say() -> None:
    answers = [script.held(name, FIRST, OTHER) for name in script.OTHERS]
    page = script.page({"classify": FIRST, "instance": OTHER, "semantic": OTHER}, answers)
    assert all(prose(line) in page for found in answers for line in script.sentences(found))
    assert "decided the other way round" in page


RECORDS = FILE.parent / "records"


@pytest.mark.skipif(not RECORDS.exists(), reason="the study has not been run")
def test_the_committed_answer_is_that_of_the_committed_runs() -> None:
    tasks = {name: script.read(RECORDS / name) for name in (script.FIRST, *script.OTHERS)}
    answers = [script.held(name, tasks[script.FIRST], tasks[name]) for name in script.OTHERS]
    readme = " ".join((FILE.parent / "README.md").read_text().split())
    assert all(line in readme for found in answers for line in script.sentences(found))
