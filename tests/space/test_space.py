"""Spaces as data: round trips, sizes against the paper and against enumeration, changes with history, refusals."""

import pickle
import sys
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dorsal.space.axis import Axis, Linear
from dorsal.space.base import based_on, with_edit
from dorsal.space.candidates import realise
from dorsal.space.compiled import CompiledSpace
from dorsal.space.distributions import Choice, EqualTo, LogUniform, Uniform
from dorsal.space.named import SPACES, read_space
from dorsal.space.points import draw_points
from dorsal.space.refine import fix, free, monotone, rename, restrict, share
from dorsal.space.sample import sample
from dorsal.space.size import dimensions, size
from dorsal.space.space import Space, from_json, from_toml, to_json, to_toml
from dorsal.spec.network import to_json as network_json
from dorsal.zoo import network
from tests.space.spaces import spaces


@pytest.mark.parametrize("name", SPACES)
def test_named_spaces_round_trip(name, tmp_path):
    space = read_space(name)
    assert space.name == name
    for suffix, text in (("toml", to_toml(space)), ("json", to_json(space))):
        path = tmp_path / f"space.{suffix}"
        path.write_text(text)
        assert read_space(str(path)) == space


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces())
def test_any_space_round_trips(space):
    assert from_toml(to_toml(space)) == space
    assert from_json(to_json(space)) == space


def test_a_space_is_compiled_once_and_that_is_no_part_of_it(monkeypatch):
    made = []
    init = CompiledSpace.__init__
    monkeypatch.setattr(CompiledSpace, "__init__", lambda self, *args: made.append(self) or init(self, *args))
    space = from_json(to_json(SPACES["crossed"]))
    assert size(space) > dimensions(space) > 1
    assert len(list(sample(space, 3).networks())) == 3
    assert made == [space.compiled]
    assert space == SPACES["crossed"] == pickle.loads(pickle.dumps(space))
    assert "compiled" not in to_json(space)
    assert repr(space) == repr(SPACES["crossed"])


def test_a_wrong_edit_of_the_base_is_answered_with_one_that_works():
    with pytest.raises(ValueError, match=r"did you mean simple\? try: stem=simple\(stride=2\)$"):
        with_edit(SPACES["regnety"], "stem=simpel(stride=3)")


def test_the_base_is_edited_as_a_network():
    space = with_edit(SPACES["regnety"], "stem=simple(stride=1), activation=silu")
    twice = with_edit(space, "stem=deep, strides=[1, 1, 1, 1]")
    assert twice.base == "regnety_002(strides=1, stem=deep, activation=silu)"
    assert twice.base_network == network(twice.base)
    with pytest.raises(ValueError, match="edit: regnety draws its depths"):
        with_edit(space, "depths=[1, 1, 1, 1]")
    with pytest.raises(ValueError, match=r"^unknown choice 'stm' of a network; did you mean stem"):
        with_edit(space, "stm=deep")
    with pytest.raises(ValueError, match=r"^cannot read 'stem=': expected a value at character 6"):
        with_edit(space, "stem=")


def test_a_base_may_be_a_file(tmp_path):
    (tmp_path / "net.json").write_text(network_json(network("resnet50(activation=silu)")))
    space = Space(name="mine", base=str(tmp_path / "net.json"), axes={"widths": Axis(Choice((256, 512)), True)})
    assert all("silu" in based_on(space.base, net) for net in sample(space, 3).networks())
    assert with_edit(space, "stem=deep").base == "resnet50c(activation=silu)"


def test_sizes_are_those_of_the_paper():
    per_stage, pairs = 16 * 128, 3 * 6
    sizes = {name[-1]: size(SPACES[name]) for name in SPACES if name.startswith("anynetx")}
    assert sizes["a"] == (per_stage * pairs) ** 4
    assert sizes["b"] == (per_stage * 6) ** 4 * 3
    assert sizes["c"] == per_stage**4 * pairs
    # the paper divides by 4! for each order; exactly, sequences with equal values count whole
    assert sizes["d"] == 16**4 * comb(128 + 3, 4) * pairs
    assert sizes["e"] == comb(16 + 3, 4) * comb(128 + 3, 4) * pairs
    assert sizes["d"] == pytest.approx(1.3e13, rel=0.07)
    assert [dimensions(SPACES[f"anynetx_{letter}"]) for letter in "abcde"] == [16, 13, 10, 10, 10]
    assert dimensions(SPACES["regnetx"]) == 6


def _enumerated(space):
    """All points by drawing until nothing new comes."""
    compiled = space.compiled
    found = set()
    for seed in range(40):
        points = draw_points(compiled, 2000, np.random.default_rng(seed))
        whole = np.concatenate(list(points.values()), axis=1)
        before = len(found)
        found |= {row.tobytes() for row in whole}
        if len(found) == before:
            return len(found)
    raise AssertionError("the space is too large to enumerate")


def test_size_counts_conditions_stages_orders_and_equalities():
    mixers = Choice(("conv", "split_attention", "multi_scale"))
    axes = {
        "widths": Axis(Choice((32, 64, 96)), by_stage=True),
        "mixer": Axis(mixers, by_stage=True),
        "mixer.radix": Axis(Choice((1, 2)), by_stage=True, when={"mixer": ("split_attention",)}),
        "stages": Axis(Uniform(1, 2)),
        "depths": Axis(Uniform(1, 1), by_stage=True),
        "strides": Axis(Choice((1,)), by_stage=True),
        "classes": Axis(Choice((10, 20))),
        "in_channels": Axis(EqualTo("classes")),
    }
    space = Space(name="small", base="regnetx_002", axes=axes)
    assert size(space) == 2 * (12 + 12**2) == _enumerated(space)
    rising = monotone(space, "widths")
    assert size(rising) == 2 * (3 * 4 + 6 * 4**2) == _enumerated(rising)
    shared = Space(
        name="shared",
        base="resnet50",
        axes={
            "attention": Axis(Choice(("none", "squeeze_excite"))),
            "attention.ratio": Axis(Choice((0.1, 0.2, 0.3)), by_stage=True, when={"attention": ("squeeze_excite",)}),
        },
    )
    assert size(shared) == 1 + 3**4 == _enumerated(shared)
    norm = {"norm": Axis(Choice(("batch", "group")), when={"in_channels": (20,)})}
    equal = Space(
        name="equal", base="resnet50", axes={"classes": axes["classes"], "in_channels": axes["in_channels"], **norm}
    )
    assert size(equal) == 1 + 2 == _enumerated(equal)


def test_size_of_orders_that_others_depend_on():
    """A rising axis, and two together, that decide what else is drawn."""
    axes = {
        "widths": Axis(Choice((32, 64, 96)), by_stage=True),
        "attention": Axis(Choice(("none", "squeeze_excite")), by_stage=True, when={"widths": (64, 96)}),
        "stages": Axis(Uniform(1, 2)),
        "depths": Axis(Uniform(1, 2), by_stage=True),
        "strides": Axis(Choice((1,)), by_stage=True),
    }
    space = Space(name="deciding", base="regnetx_002", axes=axes, non_decreasing=("widths",))
    assert size(space) == _enumerated(space) == 2 * (1 + 2 + 2) + 4 * (1 + 2 + 2 + 4 + 4 + 4)
    dilations = {"dilations": Axis(Choice((1, 2)), by_stage=True, when={"depths": (2,), "attention": ("none",)})}
    both = Space(name="both", base="regnetx_002", axes={**axes, **dilations}, non_decreasing=("widths", "depths"))
    assert size(both) == _enumerated(both)


def test_size_of_many_conditions_needs_few_steps():
    crossed = SPACES["crossed"].axes
    seen = {"stem": ("simple",), "activation": ("relu", "silu"), "shortcut": ("average_pool",), "expansion": (1,)}
    axes = {
        **crossed,
        "mixer.group_width": Axis(crossed["mixer.group_width"].draw, True, {"mixer": ("conv",), "depths": (1, 2, 3)}),
        "mixer.radix": Axis(crossed["mixer.radix"].draw, True, {"mixer": ("split_attention",), "widths": (32, 64)}),
        **{
            name: Axis(Choice(values), when=seen)
            for name, values in (("classes", (10, 20)), ("head_width", (32, 64)), ("norm", ("batch", "group")))
        },
    }
    called = 0

    def count_calls(frame, event, argument):
        nonlocal called
        called += event == "call"

    sys.setprofile(count_calls)
    try:
        # of 36 ways to choose what `seen` names two fulfil it, and eight follow from each
        whole = size(Space(name="many", base="regnetx_002", axes=axes))
    finally:
        sys.setprofile(None)
    assert called < 20_000  # 3,869; one by one they are millions
    shared = {name: axis for name, axis in axes.items() if axis.when is not seen}
    plain = size(Space(name="few", base="regnetx_002", axes=shared))
    assert whole * 36 == plain * (34 + 2 * 8)


def test_equal_axes_are_equal():
    space = Space(
        name="w0=wa",
        base="regnetx_002",
        linear=Linear(),
        axes={**SPACES["regnetx_pycls"].axes, "linear.wa": Axis(EqualTo("linear.w0"))},
    )
    assert dimensions(space) == 4
    points = draw_points(space.compiled, 3000, np.random.default_rng(0))
    assert (points["linear.w0"] == points["linear.wa"]).all()
    assert len(realise(space.compiled, points)) > 0


def test_changes_return_new_spaces_with_their_history():
    a = SPACES["anynetx_a"]
    b = share(a, "expansion")
    assert a.axes["expansion"].by_stage
    assert not b.axes["expansion"].by_stage
    assert SPACES["anynetx_e"].axes == {
        **a.axes,
        "expansion": b.axes["expansion"],
        "mixer.group_width": share(a, "mixer.group_width").axes["mixer.group_width"],
    }
    assert [(step.of, step.change) for step in SPACES["anynetx_e"].history] == [
        ("anynetx_a", "share expansion"),
        ("anynetx_b", "share mixer.group_width"),
        ("anynetx_c", "monotone widths"),
        ("anynetx_d", "monotone depths"),
    ]
    assert SPACES["anynetx_e"].history[0].points == size(a)
    narrow = restrict(fix(rename(b, "mine"), "expansion", 1), "widths", low=32, high=512)
    assert narrow.name == "mine"
    assert narrow.axes["widths"].draw == LogUniform(32, 512, 8)
    assert size(narrow) == (16 * 61 * 6) ** 4
    assert [step.change for step in narrow.history[-2:]] == ["fix expansion=1", "restrict widths to 32..512"]
    assert free(b, "expansion").axes == a.axes
    assert share(monotone(a, "widths"), "widths").non_decreasing == ()


def test_restricting_an_axis_that_another_equals():
    """What depends on the equal axis is left out, too, where it is never drawn any more."""
    axes = {
        "classes": Axis(Choice((10, 20))),
        "in_channels": Axis(EqualTo("classes")),
        "norm": Axis(Choice(("batch", "group")), when={"in_channels": (20,)}),
    }
    space = Space(name="equal", base="resnet50", axes=axes)
    assert set(restrict(space, "classes", values=(10,)).axes) == {"classes", "in_channels"}
    assert set(fix(space, "classes", 20).axes) == set(axes)
    with pytest.raises(ValueError, match="equals 'classes'; fix that one"):
        fix(space, "in_channels", 10)


def test_restricting_to_values_keeps_their_relative_probability():
    space = restrict(SPACES["anynetx_a"], "depths", values=(1, 2, 4))
    weights = np.array(space.axes["depths"].draw.weights)
    assert weights / weights[0] == pytest.approx([1, 1, np.log2(4 / 3)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: share(s, "expansio"), "no axis 'expansio'; did you mean expansion"),
        (lambda s: share(share(s, "widths"), "widths"), "already shared"),
        (lambda s: free(s, "widths"), "already free"),
        (lambda s: monotone(share(s, "widths"), "widths"), "must be drawn by stage"),
        (lambda s: monotone(monotone(s, "widths"), "widths"), "already non-decreasing"),
        (lambda s: restrict(s, "widths", low=4), "not inside 8 to 1024; nearest valid: 8 to 1024"),
        (lambda s: restrict(s, "widths", low=512, high=256), "low=512 is above high=256"),
        (lambda s: restrict(s, "widths", low=100), "low=100 is no multiple of quantum=8; nearest valid: 104"),
        (lambda s: restrict(s, "widths"), "needs low, high or values"),
        (lambda s: restrict(s, "depths", values=(1, 77)), "no value 77"),
        (lambda s: restrict(s, "depths", values=()), "values is empty"),
        (lambda s: restrict(s, "depths", low=2, values=(1,)), "not both"),
        (lambda s: restrict(fix(s, "expansion", 1), "expansion", low=1), "is a choice; give values of"),
        (lambda s: fix(s, "widths", 0), "'widths' has no value 0; nearest valid: 8"),
        (lambda s: fix(s, "depths", 40), "'depths' has no value 40; nearest valid: 16"),
    ],
)
def test_changes_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        change(SPACES["anynetx_a"])


def _space(base="regnetx_002", linear=None, non_decreasing=(), **axes):
    named = {name.replace("__", "."): axis for name, axis in axes.items()}
    return Space(name="bad", base=base, axes=named, linear=linear, non_decreasing=non_decreasing)


WIDTHS = Axis(Uniform(8, 64, 8), by_stage=True)
MIXER = Axis(Choice(("conv", "split_attention")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_space, "'bad' is empty"),
        (lambda: _space(width=WIDTHS), "unknown axis 'width'; did you mean widths"),
        (lambda: _space(mixer__radios=WIDTHS), "'radios' of mixer in mixer.radios; did you mean ratio or radix"),
        (lambda: _space(linear__w1=WIDTHS), "unknown axis 'linear.w1'; did you mean linear\\.w"),
        (lambda: _space(mixer=Axis(Choice(("conv", "spilt_attention")))), "axis 'mixer'.*did you mean split_attention"),
        (lambda: _space(mixer=Axis(Choice(("[conv, conv]",)))), "is a list"),
        (lambda: _space(expansion=Axis(Choice((1, "none")))), "axis 'expansion': none cannot be drawn"),
        (lambda: _space(mixer__groups=Axis(Choice((1, "none")))), "axis 'mixer.groups': none is not known"),
        (
            lambda: _space(expansion=Axis(Uniform(1, 2)), block=Axis(Choice(("basic", "bottleneck")))),
            "block=basic has no expansion; make it conditional",
        ),
        (lambda: _space(mixer=Axis(Choice((3,)))), "axis 'mixer': 3 cannot be"),
        (lambda: _space(widths=Axis(Uniform(1.0, 8.0, 0.5))), "axis 'widths': 1.0 cannot be"),
        (lambda: _space(classes=Axis(Uniform(1, 9), by_stage=True)), "one choice for the whole network"),
        (lambda: _space(mixer__radix=Axis(Uniform(1, 2))), "mixer=conv has no radix"),
        (lambda: _space(mixer=MIXER, mixer__radix=Axis(Uniform(1, 2))), "mixer=conv has no radix; make it conditional"),
        (
            lambda: _space(mixer__radix=Axis(Uniform(1, 2), when={"mixer": ("split_attention",)})),
            "'mixer.radix' depends on 'mixer', which is not an axis",
        ),
        (
            lambda: _space(mixer=MIXER, mixer__radix=Axis(Uniform(1, 2), when={"mixer": ("split_atention",)})),
            "mixer=split_atention, but mixer never has that value; did you mean split_attention",
        ),
        (
            lambda: _space(
                mixer=Axis(MIXER.draw, by_stage=True), norm=Axis(Choice(("batch",)), when={"mixer": ("conv",)})
            ),
            "cannot depend on 'mixer', which is drawn by stage",
        ),
        (
            lambda: _space(
                norm=Axis(Choice(("batch",)), when={"activation": ("relu",)}),
                activation=Axis(Choice(("relu",)), when={"norm": ("batch",)}),
            ),
            "in a circle: norm, activation",
        ),
        (lambda: _space("resnet18", expansion=Axis(Uniform(1, 2))), "block=basic has no expansion"),
        (lambda: _space("resnt50", widths=WIDTHS), "unknown network 'resnt50'"),
        (
            lambda: _space(in_channels=Axis(EqualTo("classes"))),
            "'in_channels' depends on 'classes', which is not an axis",
        ),
        (
            lambda: _space(widths=WIDTHS, depths=Axis(EqualTo("widths"))),
            "cannot equal 'widths', which is drawn by stage",
        ),
        (lambda: _space(stages=Axis(Uniform(0, 2)), widths=WIDTHS), "'stages': 0 is below 1"),
        (
            lambda: _space(stages=Axis(Uniform(1, 5)), widths=WIDTHS),
            "depths of the base network differ over its 4 stages",
        ),
        (
            lambda: _space(
                mixer=MIXER,
                mixer__groups=Axis(Uniform(1, 2), when={"mixer": ("conv",)}),
                mixer__radix=Axis(Uniform(1, 2), when={"mixer": ("split_attention",), "mixer.groups": (2,)}),
            ),
            "axis 'mixer.radix': is never drawn: its conditions require different values of 'mixer'",
        ),
        (
            lambda: _space(norm=Axis(Choice(("batch",))), stem=Axis(Choice(("dla",)), when={"norm": ()})),
            r"depends on norm=\[\], which lists no value",
        ),
        (
            lambda: _space(
                mixer=Axis(Choice(("split_attention(radix=1)", "split_attention(radix=4)"))),
                mixer__radix=Axis(Choice((2,))),
            ),
            r"axis 'mixer.radix': mixer=split_attention\(radix=1\) says radix itself; leave it out there",
        ),
        (lambda: _space(resolution=WIDTHS), "unknown axis 'resolution'; valid: .*image_size"),
        (lambda: _space(widths=WIDTHS, linear=Linear()), "the linear rule needs an axis 'linear.depth'"),
        (lambda: _space(linear__w0=Axis(Uniform(8, 16, 8))), "belongs to the linear rule, which is off"),
        (lambda: _space(widths=WIDTHS, non_decreasing=("depths",)), "'depths' is not an axis of this space"),
        (lambda: _space(widths=Axis(WIDTHS.draw), non_decreasing=("widths",)), "must be drawn by stage"),
    ],
)
def test_contradictions_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_linear_rule_contradictions():
    axes = SPACES["regnetx_pycls"].axes
    with pytest.raises(ValueError, match="'widths' contradicts the linear rule"):
        Space(name="bad", base="regnetx_002", linear=Linear(), axes={**axes, "widths": WIDTHS})
    with pytest.raises(ValueError, match=r"w0 a positive multiple of 16.*w0=8"):
        Space(name="bad", base="regnetx_002", linear=Linear(quantum=16), axes=axes)
    with pytest.raises(ValueError, match="least and the most"):
        Linear(stages=(5, 4))
    for quantum in (0, -8):
        with pytest.raises(ValueError, match=f"linear.quantum={quantum} is below 1; nearest valid: 1"):
            Linear(quantum=quantum)


TOML = """
name = "mine"
base = "small"
[axes.{axis}]
draw = {{ type = "{kind}", low = 8, {high} = 64, quantum = 8 }}
by_stage = true
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"axis": "widhts"}, "unknown axis 'widhts'; did you mean widths"),
        ({"kind": "log_unifrom"}, "axis 'widths': unknown type 'log_unifrom' of a draw; did you mean log_uniform"),
        ({"high": "hihg"}, "unknown field 'hihg' of log_uniform in axis 'widths'; did you mean high"),
    ],
)
def test_a_file_with_a_misspelt_word(words, message):
    good = {"axis": "widths", "kind": "log_uniform", "high": "high"}
    assert from_toml(TOML.format(**good)).axes["widths"] == Axis(LogUniform(8, 64, 8), by_stage=True)
    with pytest.raises(ValueError, match=message):
        from_toml(TOML.format(**good | words))


def test_other_bad_files(tmp_path):
    text = TOML.format(axis="widths", kind="log_uniform", high="high")
    with pytest.raises(ValueError, match="axis 'widths': log_uniform: high=100 is no multiple"):
        from_toml(text.replace("64", "100"))
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(ValueError, match=r"space file .*mine.toml.*UTF-8"):
        read_space(str(path))
    with pytest.raises(ValueError, match="not a space"):
        from_toml("name = ")
    with pytest.raises(ValueError, match="unknown field 'axis' of a space; did you mean axes"):
        from_toml('name = "a"\nbase = "small"\n[axis.widths]\n')
    with pytest.raises(ValueError, match="missing required field `base`"):
        from_json('{"name": "a", "axes": {}}')
    with pytest.raises(ValueError, match="unknown space 'anynet_a'; did you mean"):
        read_space("anynet_a")
    with pytest.raises(ValueError, match=r"'no.toml' does not exist"):
        read_space("no.toml")


def test_drawn_sequences_are_those_that_rejection_leaves():
    """Non-decreasing sequences of 1 to 3 values: chi-squared against the exact conditional probabilities."""
    from scipy.stats import chisquare

    draw = LogUniform(1, 4)
    space = Space(
        name="rising",
        base="regnetx_002",
        axes={
            "depths": Axis(draw, by_stage=True),
            "stages": Axis(Uniform(1, 3)),
            "widths": Axis(Choice((8,)), by_stage=True),
        },
        non_decreasing=("depths",),
    )
    compiled = space.compiled
    points = draw_points(compiled, 60_000, np.random.default_rng(3))
    probabilities = compiled.axes["depths"].probabilities
    kept = [
        sum(np.prod(probabilities[list(s)]) for s in product(range(4), repeat=n) if list(s) == sorted(s))
        for n in (1, 2, 3)
    ]
    stages_drawn = np.bincount(points["stages"][:, 0])
    assert chisquare(stages_drawn, np.array(kept) / sum(kept) * 60_000).pvalue > 1e-3
    for stages in (1, 2, 3):
        rows = points["depths"][points["stages"][:, 0] == stages - 1]
        assert (rows[:, stages:] == -1).all()
        rising = [s for s in product(range(4), repeat=stages) if list(s) == sorted(s)]
        weights = np.array([np.prod(probabilities[list(s)]) for s in rising])
        counts = np.array([(rows[:, :stages] == s).all(axis=1).sum() for s in rising])
        assert counts.sum() == len(rows) > 10_000
        assert chisquare(counts, weights / weights.sum() * counts.sum()).pvalue > 1e-3
