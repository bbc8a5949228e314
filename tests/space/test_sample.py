"""Sampling: the distribution against slow twins, determinism, bounds, memory, refusals."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import chi2_contingency, ks_2samp

from dorsal.space import sample as sample_module
from dorsal.space.axis import Axis, Linear
from dorsal.space.candidates import realise
from dorsal.space.distributions import Choice, LogUniform, PowerOfTwo, Uniform
from dorsal.space.named import SPACES
from dorsal.space.points import draw_points
from dorsal.space.refine import restrict
from dorsal.space.sample import sample
from dorsal.space.space import Space
from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.spec.widths import compatible_group_width, regnet_stages
from dorsal.zoo import regnet, text_of
from tests.space.slow import one_by_one, pycls_anynets, pycls_regnets

LEVEL = 1e-3  # seeds are fixed: a test that passes once passes always


def same_distribution(a, b):
    """The p-value of a two-sample test: Kolmogorov-Smirnov for many numbers, chi-squared for few values or words."""
    values = sorted(set(a) | set(b), key=str)
    if len(values) == 1:
        return 1.0
    if len(values) > 12:
        return ks_2samp(a, b).pvalue
    counts = np.array([[Counter(each)[value] for value in values] for each in (a, b)])
    counts = counts[:, counts.sum(axis=0) >= 10]
    return chi2_contingency(counts).pvalue


def assert_same_on_every_axis(fast, slow):
    """Columns by name, of two samples."""
    assert set(fast) == set(slow)
    pvalues = {name: same_distribution(fast[name], slow[name]) for name in fast}
    assert min(pvalues.values()) > LEVEL / len(pvalues), pvalues


def regnet_columns(found):
    widths = np.array([[stage.width for stage in net.stages] for net in found.networks()])
    return {
        **found.axes(),
        **{f"widths.{index}": widths[:, index].tolist() for index in range(4)},
        "flops": found.costs["pycls_flops"].tolist(),
        "params": found.costs["params"].tolist(),
        "acts": found.costs["activations_pycls"].tolist(),
    }


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [(200, 600, 300), pytest.param(360, 400, 500, marks=pytest.mark.slow)],
)
def test_regnets_are_distributed_as_pycls_draws_them(low, high, count):
    space = SPACES["regnetx_pycls"]
    found = sample(space, 2000, {"pycls_flops": f"{low}M..{high}M"}, seed=1, distinct="points")
    slow, candidates = pycls_regnets(space, count, (low * 1e6, high * 1e6), seed=2)
    columns = {name: [row[name] for row in slow] for name in slow[0] if name not in ("h", "w")}
    assert_same_on_every_axis(regnet_columns(found), columns)
    assert_same_acceptance(found, count, candidates)


def by_stage_columns(rows, space):
    """Columns by axis and stage from one list of values (or one value) for each axis."""
    columns = {}
    for name, axis in space.axes.items():
        for stage in range(4 if axis.by_stage else 1):
            columns[f"{name}.{stage}"] = [str(row[name][stage]) if axis.by_stage else str(row[name]) for row in rows]
            if all(value.isdigit() for value in columns[f"{name}.{stage}"]):
                columns[f"{name}.{stage}"] = list(map(int, columns[f"{name}.{stage}"]))
    return columns


def anynet_columns(found):
    columns = {}
    for name, rows in found.axes().items():
        by_stage = found.space.axes[name].by_stage
        columns |= {f"{name}.{stage}": [row[stage] if by_stage else row for row in rows] for stage in range(4)}
    widths = np.array([[stage.width for stage in net.stages] for net in found.networks()])
    return {
        **columns,
        **{f"fitted.{stage}": widths[:, stage].tolist() for stage in range(4)},
        "flops": found.costs["pycls_flops"].tolist(),
        "params": found.costs["params"].tolist(),
        "acts": found.costs["activations_pycls"].tolist(),
    }


def assert_same_acceptance(found, count, candidates):
    """The share of candidates accepted is that of the twin, within four standard errors of both."""
    ours, theirs = found.sampling.acceptance, count / candidates
    variance = ours * (1 - ours) / found.sampling.candidates + theirs * (1 - theirs) / candidates
    assert abs(ours - theirs) < 4 * np.sqrt(variance)


@pytest.mark.parametrize("letter", [*(pytest.param(letter, marks=pytest.mark.slow) for letter in "abcd"), "e"])
def test_anynets_are_distributed_as_pycls_draws_them(letter):
    space = SPACES[f"anynetx_{letter}"]
    found = sample(space, 4000, {"pycls_flops": "200M..600M"}, seed=3, distinct="points")
    slow, candidates = pycls_anynets(space, 1500, (200e6, 600e6), seed=4)
    assert_same_on_every_axis(anynet_columns(found), {name: [row[name] for row in slow] for name in slow[0]})
    assert_same_acceptance(found, len(slow), candidates)


@pytest.mark.parametrize("count", [300, pytest.param(4000, marks=pytest.mark.slow)])
def test_crossed_networks_are_distributed_as_drawn_one_by_one(count):
    space = SPACES["crossed"]
    found = sample(space, 6000, {"macs": "150M..1200M"}, seed=3)
    values = found.axes()
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    slow, candidates = one_by_one(space, count, {"macs": (150e6, 1200e6)}, seed=4)
    slow_rows = [
        {name: column if space.axes[name].by_stage else column[0] for name, column in values.items()}
        for values, _ in slow
    ]
    fast_columns, slow_columns = by_stage_columns(rows, space), by_stage_columns(slow_rows, space)
    for quantity in ("macs", "params", "activations"):
        fast_columns[quantity] = found.costs[quantity].tolist()
        slow_columns[quantity] = [getattr(total, quantity) for _, total in slow]
    assert_same_on_every_axis(fast_columns, slow_columns)
    assert_same_acceptance(found, len(slow), candidates)


def test_the_two_sample_tests_can_tell_spaces_apart():
    bounds = {"pycls_flops": "200M..600M"}
    found = regnet_columns(sample(SPACES["regnetx_pycls"], 1000, bounds))
    other = regnet_columns(sample(restrict(SPACES["regnetx_pycls"], "linear.depth", low=14), 1000, bounds, seed=5))
    with pytest.raises(AssertionError):
        assert_same_on_every_axis(found, other)
    axes = SPACES["anynetx_e"].axes
    nearest = replace(
        SPACES["anynetx_e"],
        axes={**axes, "depths": replace(axes["depths"], draw=LogUniform(1, 16, rounding="nearest"))},
    )
    found, other = (
        anynet_columns(sample(space, 1500, {"pycls_flops": "200M..600M"}, seed=seed))
        for seed, space in enumerate((SPACES["anynetx_e"], nearest))
    )
    with pytest.raises(AssertionError):  # depths rounded otherwise
        assert_same_on_every_axis(found, other)


def test_a_sample_depends_on_its_seed_and_is_a_beginning_of_a_larger_one():
    space, bounds = SPACES["regnetx_pycls"], {"macs": "360M..400M", "params": "..6M"}
    one, more, other = sample(space, 20, bounds), sample(space, 150, bounds), sample(space, 20, bounds, seed=1)
    hashes = [network_hash(net) for net in one.networks()]
    assert hashes == [network_hash(net) for net in more.networks()][:20]
    assert len(set(hashes)) == 20
    assert hashes != [network_hash(net) for net in other.networks()]
    assert text_of(next(iter(one.networks()))) == PINNED  # on every platform and in every version


PINNED = "regnetx_006(depths=[2, 5, 10, 4], widths=[24, 72, 144, 336])"


@pytest.mark.parametrize("name", SPACES)
def test_samples_meet_their_bounds_and_have_no_network_twice(name):
    found = sample(SPACES[name], 60, {"macs": "100M..900M", "params": "1M..15M", "activations": "..9M"}, seed=7)
    hashes = set()
    for row, net in enumerate(found.networks()):
        total = cost(net, 224)
        assert 100e6 <= total.macs <= 900e6
        assert 1e6 <= total.params <= 15e6
        assert total.activations <= 9e6
        assert total.macs == found.costs["macs"][row]
        hashes.add(network_hash(net))
    assert len(hashes) == len(found) == 60
    assert found.sampling.accepted <= min(found.sampling.met.values())
    assert max(found.sampling.met.values()) + sum(found.sampling.rejected.values()) <= found.sampling.candidates


def test_distinct_networks_and_distinct_points():
    space = restrict(SPACES["regnetz"], "linear.w0", high=16)
    networks = sample(space, 300, {"macs": "..300M"})
    assert networks.sampling.duplicates > 0
    points = sample(space, 300, {"macs": "..300M"}, distinct="points")
    assert len({network_hash(net) for net in points.networks()}) < 300
    assert len({tuple(row) for row in zip(*points.axes().values(), strict=True)}) == 300


def test_a_predicted_quantity_is_bounded_too():
    def latency(found):
        return 1 + found["macs"] / 1e8 + np.sqrt(found["activations"]) / 1e3

    found = sample(SPACES["anynetx_c"], 50, {"latency_ms": "4..6.5"}, predicted={"latency_ms": latency})
    assert ((found.costs["latency_ms"] >= 4) & (found.costs["latency_ms"] <= 6.5)).all()


def test_every_network_of_a_small_space_is_found():
    axes = {"depths": Axis(Uniform(1, 3), by_stage=True), "image_size": Axis(Choice((64, 96)))}
    space = Space(name="tiny", base="regnetx_002", axes=axes)
    found = sample(space, 162)
    assert (
        len(
            {
                (network_hash(net), int(side))
                for net, side in zip(found.networks(), found.costs["image_size"], strict=True)
            }
        )
        == 162
    )
    with pytest.raises(ValueError, match="count=163 is more than the 162 points of tiny; nearest valid: 162"):
        sample(space, 163)


def test_regnet_rows_equal_the_rule_one_by_one():
    """Ties of the rounding too: growth factors and widths that make halves."""
    axes = {
        **SPACES["regnetx"].axes,
        "linear.w0": Axis(Uniform(8, 64, 8)),
        "linear.wa": Axis(Uniform(0.0, 60.0, 4.0)),
        "linear.wm": Axis(Choice((1.5, 2.0, 2.25, 2.5, 3.0))),
        "mixer.group_width": Axis(Choice((1, 8, 24, 32))),
    }
    space = Space(name="ties", base="regnetx_002", linear=Linear(stages=(2, 5)), axes=axes, groups="as_drawn")
    compiled = space.compiled
    points = draw_points(compiled, 4000, np.random.default_rng(0))
    values = {name: np.array(compiled.axes[name].values)[column[:, 0]] for name, column in points.items()}
    found = realise(compiled, points)
    by_rule = {}
    for row in range(4000):
        depth, w0, wa, wm = (values[f"linear.{name}"][row].item() for name in ("depth", "w0", "wa", "wm"))
        widths, depths = regnet_stages(w0, wa, wm, depth)
        steps = round(np.log((w0 + wa * (depth - 1)) / w0) / np.log(wm)) + 1
        ratio, group = values["expansion"][row], values["mixer.group_width"][row]
        divides = all(width % ratio == 0 and (width // ratio) % group == 0 for width in widths)
        if steps == len(widths) and 2 <= steps <= 5 and divides:
            by_rule[row] = (widths, depths)
    assert len(by_rule) > 200
    assert {origin: _shape(found.network(row)) for row, origin in enumerate(found.rows.tolist())} == by_rule


def _shape(net):
    return tuple(stage.width for stage in net.stages), tuple(stage.depth for stage in net.stages)


def test_fitted_regnets_are_those_of_the_zoo():
    found = sample(SPACES["regnetx_pycls"], 200)
    for net, *point in zip(found.networks(), *found.axes().values(), strict=True):
        assert net == regnet.regnet(*point)


def test_widths_and_group_widths_are_fitted_as_in_the_paper():
    for name in ("anynetx_a", "anynetx_d"):
        compiled = SPACES[name].compiled
        points = draw_points(compiled, 500, np.random.default_rng(1))
        drawn = {axis: np.broadcast_to(np.array(compiled.axes[axis].values)[points[axis]], (500, 4)) for axis in points}
        assert realise(replace(SPACES[name], groups="as_drawn").compiled, points).rejected  # what the rule is for
        fitted = realise(compiled, points)
        assert len(fitted.rows) == 500
        for row in range(500):
            stages = fitted.network(row).stages
            sizes = zip(
                *(drawn[axis][row].tolist() for axis in ("widths", "mixer.group_width", "expansion")), strict=True
            )
            expected = [compatible_group_width(*each) for each in sizes]
            assert [(stage.width, stage.block.mixer.group_width) for stage in stages] == expected
            if name == "anynetx_d":  # fitting keeps the order where stages share ratio and group width
                assert [stage.width for stage in stages] == sorted(stage.width for stage in stages)


def test_inverted_bottlenecks_fit_the_common_multiple():
    axes = {"widths": Axis(Uniform(8, 64, 4), by_stage=True), "mixer.group_width": Axis(Choice((6, 8, 20)))}
    compiled = Space(name="inverted", base="regnetz_040", axes=axes).compiled
    points = draw_points(compiled, 300, np.random.default_rng(2))
    found = realise(compiled, points)
    assert len(found.rows) == 300
    for row in range(300):
        group = (6, 8, 20)[points["mixer.group_width"][row, 0]]
        for stage, index in zip(found.network(row).stages, points["widths"][row], strict=True):
            inner = (8 + 4 * int(index)) * 4
            unit = np.lcm(min(group, inner), 4)
            assert stage.width == max(unit, round(inner / unit) * unit) // 4


def test_a_million_candidates_take_constant_memory(monkeypatch):
    monkeypatch.setattr(sample_module, "PILOT", 10**9)  # or it would end long before
    peaks = []
    for count, most in ((100, 50_000), (100, 1_000_000)):
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"networks of anynetx_e found in {most:,} candidates"):
            sample(SPACES["anynetx_e"], count, {"macs": "399.9M..400M"}, max_candidates=most, on_note=lambda _: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 64e6


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"macs": "360..400M"}, "360 without a unit.*did you mean 360M..400M"),
        ({"macs": "..400"}, "400 without a unit is 400 macs, less than any network has; did you mean ..400M"),
        ({"params": "1..5"}, "did you mean 1M..5M"),
        ({"macs": "400"}, "'400' is not a range as .*; did you mean ..400M?"),
        ({"macs": "400M"}, "'400M' is not a range as .*; did you mean ..400M?"),
        ({"macs": "many"}, "'many' is not a range as .*; valid: from..to"),
        ({"latency_ms": "nan..5"}, "latency_ms='nan' is not a number"),
        ({"macs": ".."}, "bounds nothing"),
        ({"macs": "400M..360M"}, "the low end is above the high end; did you mean 360M..400M"),
        ({"macs": "360MF..400MF"}, "macs='360MF' is not an amount"),
        ({"mac": "..400M"}, "unknown bound 'mac'; did you mean macs"),
        ({"latency_ms": "1..x"}, "latency_ms='x' is not a number"),
    ],
)
def test_mistyped_bounds(bounds, message):
    with pytest.raises(ValueError, match=message):
        sample(SPACES["anynetx_a"], 5, bounds, predicted={"latency_ms": lambda found: found["macs"] / 1e9})


def test_bounds_that_no_network_meets_end_early_with_the_nearest():
    with pytest.raises(ValueError, match=r"none has macs in 20k..50k: the nearest is [\d.]+M") as refused:
        sample(SPACES["regnetx_pycls"], 500, {"macs": "20k..50k"}, max_candidates=100_000)
    assert "0 of 500 networks of regnetx_pycls found in 20,000 candidates" in str(refused.value)
    with pytest.raises(
        ValueError, match=r"bounds are met: macs in ..200M by .* params in 30M.. by .*, all together by 0.00%"
    ):
        sample(SPACES["anynetx_a"], 500, {"macs": "..200M", "params": "30M.."}, max_candidates=50_000)


def test_a_space_with_fewer_networks_than_points_says_so():
    axes = {"depths": Axis(Uniform(1, 2)), "mixer.group_width": Axis(Choice((64, 128, 256)))}
    space = Space(name="few", base="regnetx_002(widths=[24, 48, 56, 64])", axes=axes)
    with pytest.raises(ValueError, match=r"2 of 3 networks of few found in .* most of these were found before"):
        sample(space, 3, max_candidates=5000)


def test_a_space_that_runs_dry_is_said_early_and_ends_early():
    """Three in four of its networks are found at once, and then none for long."""
    axes = {"depths": Axis(Uniform(1, 4)), "mixer.group_width": Axis(Choice((64, 128, 256, 512)))}
    few = Space(name="few", base="regnetx_002(widths=[24, 48, 56, 64])", axes=axes)
    said = []
    with pytest.raises(ValueError, match=r"4 of 12 networks of few found in .* would not be enough") as refused:
        sample(few, 12, on_note=said.append)
    assert len(said) == 1
    assert "4 of 12 networks of few found in 20,000 candidates" in said[0]
    assert "in 1,000,000 candidates" not in str(refused.value)


def test_what_is_drawn_does_not_depend_on_when_to_give_up():
    space, bounds = SPACES["regnetx_pycls"], {"macs": "360M..400M"}
    texts = [
        [text_of(net) for net in sample(space, 5, bounds, max_candidates=most).networks()] for most in (9000, 1_000_000)
    ]
    assert texts[0] == texts[1]


def test_networks_too_large_for_64_bits_are_refused():
    huge = Space(name="huge", base="regnetx_002", axes={"widths": Axis(PowerOfTwo(2**14, 2**20))})
    found = sample(huge, 1, max_candidates=1000)
    assert (found.costs["macs"] > 0).all()
    assert "its MACs may exceed a 64-bit number" in found.sampling.rejected
    for net, macs in zip(found.networks(), found.costs["macs"].tolist(), strict=True):
        assert cost(net, 224).macs == macs
    with pytest.raises(ValueError, match="widths=4194304 is above 1048576, the most that costs are counted for"):
        replace(huge, axes={"widths": Axis(PowerOfTwo(2**22, 2**62))})


def test_bounds_that_are_hard_to_meet_are_said_early_and_end():
    said = []
    with pytest.raises(ValueError, match="in 60,000 candidates; none has macs"):
        sample(SPACES["regnetx_pycls"], 2, {"macs": "20k..50k"}, max_candidates=60_000, on_note=said.append)
    assert len(said) == 1
    assert "0 of 2 networks of regnetx_pycls found in 20,000 candidates; none has macs in 20k..50k" in said[0]
    with (
        pytest.warns(UserWarning, match="going on to max_candidates=60,000"),
        pytest.raises(ValueError, match="none has macs"),
    ):
        sample(SPACES["regnetx_pycls"], 2, {"macs": "20k..50k"}, max_candidates=60_000)


def test_a_space_without_a_network_says_why():
    space = Space(
        name="none",
        base="regnetx_002",
        axes={"widths": Axis(Choice((8, 24, 40)), by_stage=True), "mixer": Axis(Choice(("conv(groups=16)",)))},
        groups="as_drawn",
    )
    with pytest.raises(
        ValueError, match=r"only 0 of the candidates are networks; most frequent reason: conv.groups does not"
    ):
        sample(space, 6, max_candidates=30_000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "count=0 is below 1; nearest valid: 1"),
        ({"count": 5, "seed": -1}, "seed=-1 is below 0"),
        ({"count": 5, "max_candidates": 3}, "count=5 networks cannot come from max_candidates=3"),
    ],
)
def test_bad_numbers(given, message):
    with pytest.raises(ValueError, match=message):
        sample(SPACES["anynetx_a"], **given)


def test_a_bound_of_what_cannot_be_predicted_is_said():
    def predict(costs):
        return np.where(costs["macs"] < 0, 1.0, np.nan)

    with pytest.raises(ValueError, match=r"none has ms in \.\.5: none could be predicted"):
        sample(SPACES["regnetx"], 1, {"ms": "..5"}, max_candidates=2000, predicted={"ms": predict})
