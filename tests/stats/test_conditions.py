from math import sqrt

import numpy as np
import pytest
from scipy.stats import t as student

from dorsal.stats import compare_arms
from dorsal.stats.conditions import difference_of_differences, simple_effects
from dorsal.stats.data_sets import compare_over_data_sets

TABLE = {"a": [71.0, 72.5, 71.8], "b": [70.1, 71.0, 70.9], "c": [68.0, 69.9, 68.5]}
OTHER = {"a": [80.0, 80.4, 80.1], "b": [80.2, 80.1, 80.9], "c": [None, 79.0, 79.5]}


def test_simple_effects_are_those_of_each_condition_corrected_for_all():
    found = simple_effects({"plain": TABLE, "tricks": OTHER, "empty": {"a": [1.0], "b": [None]}})
    assert list(found) == ["plain", "tricks"]
    for name, values in (("plain", TABLE), ("tricks", OTHER)):
        alone, stricter = compare_arms(values), compare_arms(values, 0.975)
        for pair, plain, strict in zip(found[name].pairs, alone.pairs, stricter.pairs, strict=True):
            assert pair.difference == strict.difference
            assert pair.p == pytest.approx(min(1, 2 * plain.p))
            assert pair.significant == (pair.p < 0.05)
            assert pair.confidence == 0.95


def test_simple_effects_cover_test_images_where_these_are_known():
    seen = {
        arm: [np.repeat([100.0, 0.0], [hits, 100 - hits]) for hits in runs]
        for arm, runs in {"a": (80, 82), "b": (60, 61)}.items()
    }
    values = {arm: [float(run.mean()) for run in runs] for arm, runs in seen.items()}
    found = simple_effects({"plain": values, "tricks": values}, images={"plain": seen})
    (covered,), (over_seeds,) = found["plain"].pairs, found["tricks"].pairs
    assert covered.difference == compare_arms(values, 0.975, seen).pairs[0].difference
    assert (covered.images, over_seeds.images) == (100, None)


def test_one_condition_is_a_comparison():
    assert simple_effects({"plain": TABLE})["plain"] == compare_arms(TABLE)


def test_false_differences_over_all_conditions(light):
    random, studies = np.random.default_rng(0), 400
    wrong = 0
    for _ in range(studies):
        tables = random.standard_normal((3, 3, 3))
        found = simple_effects(
            {name: dict(zip("abc", table, strict=True)) for name, table in zip("xyz", tables, strict=True)}
        )
        wrong += any(pair.significant for each in found.values() for pair in each.pairs)
    assert wrong / studies <= 0.05 + 3 * sqrt(0.05 * 0.95 / studies)


def test_a_difference_of_differences_by_hand():
    """Two arms: each condition is a paired t test of its own."""
    first, second = {"a": [5.0, 7.0, 6.3], "b": [3.0, 4.0, 4.1]}, {"a": [1.0, 1.2, 1.5], "b": [1.1, 0.9, 1.2]}
    gaps = [np.subtract(each["a"], each["b"]) for each in (first, second)]
    squares = [each.var(ddof=1) / 3 for each in gaps]
    freedom = sum(squares) ** 2 / (squares[0] ** 2 / 2 + squares[1] ** 2 / 2)
    half = student.ppf(0.975, freedom) * sqrt(sum(squares))
    found = difference_of_differences(first, second, ("a", "b"))
    value = gaps[0].mean() - gaps[1].mean()
    assert (found.value, found.low, found.high) == pytest.approx((value, value - half, value + half))
    mirrored = difference_of_differences(second, first, ("a", "b"))
    assert (mirrored.value, mirrored.low) == pytest.approx((-found.value, -found.high))


@pytest.mark.parametrize(("arms", "seeds", "noise"), [(2, 3, 1), (4, 3, 1), (4, 3, 4), (2, 6, 4)])
def test_coverage_of_a_difference_of_differences(arms, seeds, noise):
    random, studies, hits = np.random.default_rng(0), 600, 0
    for _ in range(studies):
        blocks = random.standard_normal(seeds)
        tables = [
            dict(zip("abcd", blocks + sd * random.standard_normal((arms, seeds)), strict=False)) for sd in (1, noise)
        ]
        found = difference_of_differences(*tables, ("a", "b"))
        hits += found.low <= 0 <= found.high
    assert 0.935 < hits / studies < 0.985


def test_without_degrees_of_freedom_there_is_no_interval():
    found = difference_of_differences({"a": [3.0], "b": [1.0]}, {"a": [1.0, 2.0], "b": [0.5, 2.5]}, ("a", "b"))
    assert (found.value, found.low, found.high) == (pytest.approx(2), None, None)


def test_a_difference_of_differences_covers_new_test_images():
    """Arms that differ on single images, with all seeds alike: seeds alone know nothing of it."""
    random, studies, images, hits = np.random.default_rng(0), 300, 300, {True: 0, False: 0}
    for _ in range(studies):
        seen, tables = [], []
        for _ in range(2):
            right = random.random((2, 1, images)) < 0.7
            drawn = 100.0 * (right ^ (random.random((2, 3, images)) < 0.03))
            seen.append(dict(zip("ab", drawn, strict=True)))
            tables.append({arm: runs.mean(axis=1).tolist() for arm, runs in seen[-1].items()})
        for covers in hits:
            found = difference_of_differences(*tables, ("a", "b"), images=tuple(seen) if covers else None)
            hits[covers] += found.low <= 0 <= found.high
    assert hits[False] / studies < 0.93 < hits[True] / studies


def test_of_single_seeds_a_difference_of_differences_is_over_images_alone():
    right = np.random.default_rng(0).integers(0, 2, (4, 1, 200)) * 100.0
    seen = tuple(dict(zip("ab", pair, strict=True)) for pair in (right[:2], right[2:]))
    tables = [{arm: [float(runs.mean())] for arm, runs in each.items()} for each in seen]
    found = difference_of_differences(*tables, ("a", "b"), images=seen)
    spread = (right[0] - right[1] - right[2] + right[3]).std(ddof=1) / sqrt(200)
    assert found.high - found.value == pytest.approx(1.959964 * spread)


def test_bad_input_of_a_difference_of_differences():
    with pytest.raises(ValueError, match="second has no result of 'c'; its arms with results: a, b"):
        difference_of_differences(TABLE, {"a": [1.0, 2.0], "b": [1.0, 3.0], "c": [None, None]}, ("a", "c"))
    with pytest.raises(ValueError, match="first: 'a' and 'b' have no seed in common"):
        difference_of_differences({"a": [1.0, None], "b": [None, 1.0], "c": [1.0, 2.0]}, TABLE, ("a", "b"))


def data_sets(random, arms, sets, seeds, between, effects=0.0):
    """Scores with an effect of every data set on every arm."""
    level = 10 * random.standard_normal((sets, 1, 1))
    crossed = between * random.standard_normal((sets, arms, 1))
    table = level + crossed + np.reshape(effects, (1, -1, 1)) + random.standard_normal((sets, arms, seeds))
    return {f"data{i}": dict(zip("abcde", rows, strict=False)) for i, rows in enumerate(table)}


def test_over_data_sets_the_block_is_the_data_set():
    table = data_sets(np.random.default_rng(0), 3, 5, 4, 2.0)
    found = compare_over_data_sets(table)
    means = {arm: [float(np.mean(values[arm])) for values in table.values()] for arm in "abc"}
    assert found.overall == compare_arms(means)
    assert found.each == simple_effects(table)


def test_wins_ties_and_losses():
    near, far = [1.0, 1.2, 0.9], [9.0, 9.1, 9.3]
    found = compare_over_data_sets(
        {
            "one": {"a": far, "b": near},
            "two": {"a": far, "b": near[::-1]},
            "three": {"a": near, "b": far},
            "four": {"a": [1.2, 0.8, 1.1], "b": near},
            "five": {"a": near},
        }
    )
    (record,) = found.records
    assert (record.first, record.wins, record.ties, record.losses, record.ahead) == ("a", 2, 1, 1, 2)
    assert found.overall.pairs[0].n == 4


def test_seeds_do_not_stand_for_data_sets(light):
    """Arms that are equal over data sets, and not on any: intervals over data sets keep the level."""
    random, studies = np.random.default_rng(0), 300
    wrong = 0
    for _ in range(studies):
        found = compare_over_data_sets(data_sets(random, 3, 5, 3, 3.0))
        wrong += any(pair.significant for pair in found.overall.pairs)
    assert wrong / studies <= 0.05 + 3 * sqrt(0.05 * 0.95 / studies)


def test_one_data_set_is_refused():
    with pytest.raises(ValueError, match="data_sets has 1: an answer over data sets needs at least 2"):
        compare_over_data_sets({"one": TABLE})
