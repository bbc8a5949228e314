"""Axes under a condition, when the axis of the condition is narrowed."""

import pytest

from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, EqualTo, PowerOfTwo, Uniform
from dorsal.space.named import SPACES
from dorsal.space.refine import fix, restrict
from dorsal.space.sample import sample
from dorsal.space.size import size
from dorsal.space.space import Space


def test_axes_that_are_never_drawn_any_more_are_left_out():
    crossed = SPACES["crossed"]
    narrower = restrict(crossed, "mixer", values=("conv", "multi_scale"))
    assert set(crossed.axes) - set(narrower.axes) == {"mixer.radix", "mixer.cardinality", "mixer.paths"}
    assert [step.change for step in narrower.history] == ["restrict mixer to [conv, multi_scale]"]
    assert set(sample(narrower, 50).axes()["mixer"][0]) <= {"conv", "multi_scale"}
    assert not {"attention.ratio", "attention.position"} & set(fix(crossed, "attention", "none").axes)
    assert set(fix(crossed, "attention", "squeeze_excite").axes) == set(crossed.axes)


def test_so_are_axes_under_those():
    where = {"mixer": ("multi_scale",)}
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={
            "mixer": Axis(Choice(("conv", "multi_scale"))),
            "mixer.inner": Axis(Choice(("conv", "split_attention")), when=where),
            "mixer.inner.radix": Axis(PowerOfTwo(1, 4), when={**where, "mixer.inner": ("split_attention",)}),
            "depths": Axis(Uniform(1, 4)),
        },
    )
    assert size(space) == (1 + 1 + 3) * 4
    assert list(fix(space, "mixer", "conv").axes) == ["mixer", "depths"]
    assert list(fix(space, "mixer.inner", "conv").axes) == ["mixer", "mixer.inner", "depths"]
    assert list(fix(space, "mixer", "multi_scale").axes) == list(space.axes)


def test_a_condition_keeps_the_values_that_are_left():
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={
            "mixer": Axis(Choice(("conv", "split_attention", "split_attention(radix=1)", "selective_kernel"))),
            "mixer.cardinality": Axis(PowerOfTwo(1, 4), when={"mixer": ("split_attention",)}),
            "activation": Axis(Choice(("relu", "silu")), when={"mixer": ("conv", "selective_kernel")}),
        },
    )
    narrower = restrict(space, "mixer", values=("conv", "split_attention(radix=1)"))
    assert narrower.axes["mixer.cardinality"] == space.axes["mixer.cardinality"]  # met by an element of that name
    assert narrower.axes["activation"].when == {"mixer": ("conv",)}
    assert size(narrower) == 2 + 3


def test_an_axis_that_equals_another_is_narrowed_with_it():
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={"widths": Axis(Choice((64, 128))), "head_width": Axis(EqualTo("widths")), "depths": Axis(Uniform(1, 4))},
    )
    assert size(fix(space, "widths", 64)) == 4
    with pytest.raises(ValueError, match="restrict that one"):
        restrict(space, "head_width", values=(64,))
