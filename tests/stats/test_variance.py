import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from dorsal.stats import variance, variance_shares
from dorsal.stats.variance import draw_noncentrality, share_bounds, sums_of_squares

# Montgomery, Design and Analysis of Experiments, table 4.3: 4 pressures (arms), 6 batches (seeds), one recipe.
GRAFTS = np.array(
    [
        [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    ]
)[:, None, :]
TABLES = st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(2, 4), st.integers(0, 10**6)).map(
    lambda t: np.random.default_rng(t[3]).integers(-50, 50, t[:3]).astype(float)
)
few = settings(max_examples=25, deadline=None)


def as_dict(shares):
    return {name: share.value for name, share in shares.shares.items()}


def bounds(shares):
    return np.array([(share.low, share.high) for share in shares.shares.values()])


def test_textbook_sums_of_squares():
    table = sums_of_squares(GRAFTS)
    assert table.names == ("arm", "seed")
    assert table.squares == pytest.approx([178.17, 192.25], abs=0.01)
    assert table.residual_squares == pytest.approx(109.89, abs=0.01)
    assert (list(table.freedom), table.residual_freedom) == ([3, 5], 15)


def test_textbook_shares():
    noise = 109.89 / 15
    arm = (178.17 - 3 * noise) / 24
    seed = (192.25 / 5 - noise) / 4  # 7.78 in the book
    total = arm + seed + noise
    shares = as_dict(variance_shares(GRAFTS))
    assert shares["arm"] == pytest.approx(arm / total, abs=1e-4)
    assert shares["seed"] == pytest.approx(seed / total, abs=1e-4)
    assert shares["residual"] == pytest.approx(noise / total, abs=1e-4)


def test_table_built_by_hand():
    # Orthogonal ±1 patterns over 2 arms x 2 recipes x 2 seeds: each sum of squares is 8 times the square of its size.
    a, r, s = np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij")
    table = sums_of_squares(5 * a + 4 * r + 3 * a * r + 2 * s + 1.0 * a * s + 60)
    assert table.squares == pytest.approx([200, 128, 72, 32])
    assert table.residual_squares == pytest.approx(8)
    assert (list(table.freedom), table.residual_freedom) == ([1, 1, 1, 1], 3)
    shares = as_dict(variance_shares(5 * a + 4 * r + 3 * a * r + 2 * s + 1.0 * a * s + 60))
    variances = np.array([(200 - 8 / 3) / 8, (128 - 8 / 3) / 8, (72 - 8 / 3) / 8, (32 - 8 / 3) / 4, 8 / 3])
    assert list(shares.values()) == pytest.approx(list(variances / variances.sum()))


@few
@given(TABLES)
def test_sums_of_squares_match_nested_least_squares(results):
    arms, recipes, seeds = results.shape
    a, r, s = (index.ravel() for index in np.indices(results.shape))
    blocks = [np.eye(arms)[a], np.eye(recipes)[r], np.eye(arms * recipes)[a * recipes + r], np.eye(seeds)[s]]
    design, left = np.ones((results.size, 1)), []
    for block in [design, *blocks]:
        design = np.hstack([design, block])
        fitted = design @ np.linalg.lstsq(design, results.ravel(), rcond=None)[0]
        left.append(np.sum((results.ravel() - fitted) ** 2))
    expected = dict(zip(variance.EFFECTS, -np.diff(left), strict=True))
    table = sums_of_squares(results)
    assert table.squares == pytest.approx([expected[name] for name in table.names], abs=1e-6)
    assert table.residual_squares == pytest.approx(left[-1], abs=1e-6)


@few
@given(TABLES, st.integers(-100, 100), st.integers(1, 9), st.randoms(use_true_random=False))
def test_invariance(results, shift, scale, random):
    if np.ptp(results) == 0:
        return
    before = variance_shares(results)
    assert sum(share.value for share in before.shares.values()) == pytest.approx(1)
    order = [random.sample(range(size), size) for size in results.shape]
    after = variance_shares(scale * results[np.ix_(*order)] + shift)
    assert as_dict(after) == pytest.approx(as_dict(before), abs=1e-8)
    if before.shares["arm"].low is not None:
        assert bounds(after) == pytest.approx(bounds(before), abs=1e-6)
        assert all(0 <= share.low <= share.value <= share.high <= 1 for share in before.shares.values())


def test_swapping_arms_and_recipes_swaps_their_shares():
    results = np.random.default_rng(0).normal(size=(3, 2, 3)) + 3 * np.arange(3)[:, None, None]
    shares, swapped = as_dict(variance_shares(results)), as_dict(variance_shares(results.swapaxes(0, 1)))
    assert shares["arm"] > 0.3
    assert swapped["recipe"] == pytest.approx(shares["arm"])
    assert swapped["interaction"] == pytest.approx(shares["interaction"])


def test_incomplete_seeds_are_dropped_and_counted():
    results = np.random.default_rng(1).normal(size=(3, 2, 4))
    holed = results.tolist()
    holed[1][0][2] = None
    shares = variance_shares(holed)
    assert (shares.seeds, shares.dropped) == (3, 1)
    assert shares.shares == variance_shares(np.delete(results, 2, axis=2)).shares


def test_no_residual_gives_shares_without_intervals():
    shares = variance_shares([[[93.1, 93.2]], [[95.1, 95.2]]])
    assert as_dict(shares) == pytest.approx({"arm": 1 / 1.005, "seed": 0.005 / 1.005, "residual": 0})
    assert all(share.low is None and share.high is None for share in shares.shares.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.zeros((1, 2, 3)), r"values has 1 arm"),
        (np.zeros((2, 0, 3)), r"0 recipe\(s\)"),
        (np.zeros((2, 2, 1)), r"1 complete seed\(s\), 0 dropped"),
        (np.full((2, 2, 3), np.nan), r"0 complete seed\(s\), 3 dropped"),
        (np.full((2, 2, 3), 91.5), "values are all 91.5"),
        (np.full((2, 2, 3), np.inf), "infinite"),
        ([[[1.0, 2.0]], [[1.0]]], "regular grid"),
    ],
)
def test_bad_input(values, message):
    with pytest.raises(ValueError, match=message):
        variance_shares(values)


@pytest.mark.parametrize(("statistic", "freedom"), [(0.5, 1), (6.0, 1), (3.0, 2), (12.0, 3), (400.0, 2)])
def test_noncentrality_draws_invert_the_distribution(statistic, freedom):
    draws = draw_noncentrality(np.full(200_000, statistic), freedom, np.random.default_rng(2))
    for x in (0.0, statistic / 2, statistic, 1.5 * statistic):
        expected = 1 - special.chndtr(statistic, freedom, x)
        assert np.mean(draws <= x) == pytest.approx(expected, abs=4 * 0.5 / 200_000**0.5)


def coverage(shape, variances, replications, monkeypatch):
    """Per share, how often its 95 % interval holds the truth; `variances` in the order of Shares."""
    monkeypatch.setattr(variance, "POSTERIOR_DRAWS", 1000)
    random = np.random.default_rng(3)
    arms, recipes, seeds = shape

    def centred(size, target):
        effect = random.normal(size=size)
        for axis in range(effect.ndim):
            effect = effect - effect.mean(axis=axis, keepdims=True)
        spread = np.mean(effect**2)
        return effect * np.sqrt(target / spread) if spread > 1e-20 else effect

    if recipes == 1:
        variances = (variances[0], 0, 0, *variances[1:])
    arm, recipe, interaction, seed, noise = variances
    fixed = centred(arms, arm)[:, None] + centred(recipes, recipe) + centred((arms, recipes), interaction)
    truth = np.array(variances) / np.sum(variances)
    if recipes == 1:
        truth = truth[[0, 3, 4]]
    inside = np.zeros(len(truth))
    for _ in range(replications):
        of_seed = np.sqrt(seed) * random.normal(size=seeds)
        results = fixed[:, :, None] + of_seed + np.sqrt(noise) * random.normal(size=shape)
        low, high = share_bounds(sums_of_squares(results), 0.95, random)
        inside += (low <= truth + 1e-12) & (truth <= high + 1e-12)
    return inside / replications


@pytest.mark.parametrize(
    ("shape", "variances"),
    [
        ((3, 2, 3), (4, 2, 1, 0.5, 1)),
        ((3, 2, 3), (0, 0, 0, 0, 1)),
        ((2, 2, 2), (9, 0, 0, 0, 1)),
        ((4, 1, 3), (0.3, 0.3, 1)),
    ],
)
def test_coverage(shape, variances, monkeypatch):
    assert coverage(shape, variances, 500, monkeypatch).min() >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 2, 3), (5, 3, 3), (4, 2, 5)])
@pytest.mark.parametrize(
    "variances",
    [
        (4, 2, 1, 0.5, 1),
        (0, 0, 0, 1, 1),
        (9, 0, 0, 0, 1),
        (1, 1, 1, 0, 1),
        (0.3, 0.3, 0.3, 0.3, 1),
        (100, 20, 5, 1, 1),
        (0.1, 0, 0, 3, 1),
        (0, 2, 0, 0.2, 1),
    ],
)
def test_coverage_over_the_grid(shape, variances, monkeypatch):
    assert coverage(shape, variances, 1000, monkeypatch).min() >= 0.93
