"""Random design spaces over the whole grammar, for property tests."""

from hypothesis import strategies as st

from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, LogUniform, PowerOfTwo, Uniform
from dorsal.space.space import Space

MIXERS = (
    "conv",
    "conv(groups=4)",
    "conv(groups=2, width=24)",
    "conv(group_width=8)",
    "conv(deformable=true)",
    "multi_scale(scales=2, width=26)",
    "multi_scale(scales=4, inner=multi_scale(scales=2))",
    "multi_scale(scales=2, inner=selective_kernel(groups=2))",
    "split_attention",
    "split_attention(radix=4, cardinality=2, deformable=true)",
    "selective_kernel(paths=3)",
    "selective_kernel(groups=4, width=8, split_input=true)",
)
ATTENTIONS = ("none", "squeeze_excite", "squeeze_excite(reference=input, position=after_mixer)")
STEMS = ("conv7x7(width=16)", "deep(widths=[8, 8, 16])", "simple(width=12, stride=1)", "dla", "conv7x7(pool=false)")
SHORTCUTS = ("strided_conv", "average_pool", "max_pool", "zero_pad", "identity_only")


def _choice(values, **given):
    return Axis(Choice(tuple(values)), **given)


def _mixer_fields(by_stage):
    """Axes of mixers that are conditional on the mixer; the mixers' names alone are its values."""
    kinds = ("conv", "multi_scale", "split_attention", "selective_kernel")
    fields = {
        "mixer.groups": Axis(PowerOfTwo(1, 8), by_stage, {"mixer": ("conv",)}),
        "mixer.deformable": _choice((True, False), by_stage=by_stage, when={"mixer": ("conv", "split_attention")}),
        "mixer.scales": Axis(Uniform(1, 5), by_stage, {"mixer": ("multi_scale",)}),
        "mixer.width": _choice((16, 40, "none"), by_stage=by_stage, when={"mixer": ("multi_scale",)}),
        "mixer.inner": _choice(("conv", "split_attention(radix=1)"), by_stage=by_stage, when={"mixer": kinds[1:2]}),
        "mixer.radix": Axis(Uniform(1, 4), by_stage, {"mixer": ("split_attention",)}),
        "mixer.cardinality": Axis(PowerOfTwo(1, 4), by_stage, {"mixer": ("split_attention",)}),
        "mixer.paths": Axis(Uniform(1, 3), by_stage, {"mixer": ("selective_kernel",)}),
        "mixer.ratio": _choice((0.0625, 0.3), by_stage=by_stage, when={"mixer": ("selective_kernel",)}),
        "mixer.split_input": _choice((True, False), by_stage=by_stage, when={"mixer": ("selective_kernel",)}),
    }
    return {"mixer": _choice(kinds, by_stage=by_stage), **fields}


BASES = ("resnet50", "resnet18", "regnetx_002", "regnetz_040", "res2net50_26w_4s", "resnest50_fast_1s2x40d", "dla60")


@st.composite
def spaces(draw):
    """A space whose points are often no networks: widths that nothing divides, basic blocks, trees, small images."""
    some = st.booleans()
    axes = {
        "widths": Axis(
            draw(st.sampled_from([Uniform(16, 160, 16), LogUniform(8, 96, 8), Uniform(4, 40, 4)])), draw(some)
        ),
        "depths": Axis(draw(st.sampled_from([Uniform(1, 4), PowerOfTwo(2, 4)])), draw(some)),
        "image_size": _choice((16, 33, 64)),
    }
    if draw(some):
        axes |= _mixer_fields(draw(some)) if draw(some) else {"mixer": _choice(MIXERS, by_stage=draw(some))}
    if draw(some):
        axes["block"] = _choice(("basic", "bottleneck"), by_stage=True)
        axes["expansion"] = _choice((1, 2, 4, 0.5), by_stage=True, when={"block": ("bottleneck",)})
        axes["downsample"] = _choice(("mixer", "pool_after", "pool_before"), by_stage=True, when=axes["expansion"].when)
    optional = {
        "attention": _choice(ATTENTIONS, by_stage=draw(some)),
        "shortcut": _choice(SHORTCUTS, by_stage=draw(some)),
        "strides": _choice((1, 2), by_stage=True),
        "dilations": _choice((1, 2), by_stage=True),
        "arrangement": _choice(("chain", "tree", "tree(keep_input=true)"), by_stage=True),
        "stem": _choice(STEMS),
        "head_width": _choice(("none", 24)),
        "classes": _choice((10, 3)),
        "norm": _choice(("batch", "group")),
        "activation": _choice(("relu", "silu")),
    }
    axes |= {name: axis for name, axis in optional.items() if draw(some)}
    if "attention" in axes and draw(some):
        axes["attention.ratio"] = _choice((0.1, 0.5), by_stage=True, when={"attention": ("squeeze_excite",)})
    if draw(some):
        axes["stages"] = Axis(Uniform(1, 4))
    base = draw(st.sampled_from(BASES))
    if base == "dla60":
        axes.setdefault("arrangement", _choice(("tree", "chain"), by_stage=True))
    if base == "resnet18" and "block" not in axes:
        axes.pop("expansion", None)
    rising = [name for name in ("widths", "depths") if axes[name].by_stage and draw(some)]
    return Space(
        name="random",
        base=base,
        axes=axes,
        non_decreasing=tuple(rising),
        groups=draw(st.sampled_from(["fitted", "as_drawn"])),
        image_size=48,
    )
