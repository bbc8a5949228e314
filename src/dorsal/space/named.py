"""The design spaces of the RegNet paper (arXiv 2003.13678), those that pycls samples, and a crossed one of Dorsal.

The paper states ranges and "log-uniform" but no rounding. The only rounding that its authors published is pycls's, used
here throughout. AnyNetX, section 3.2: depths up to 16, widths up to 1024 divisible by 8, bottleneck ratios 1, 2 and 4,
group widths 1 to 32 in powers of two.

- `regnetx`, `regnety`: the ranges of the paper's section 3.3: depth < 64, w0, wa < 256, 1.5 <= wm <= 3, ratio and group
  width as in AnyNetX, four stages. The paper states no lower ends; here they are depth 4, w0 8, wa 1.
- `regnetx_pycls`, `regnety_pycls`: the defaults of pycls's `regnet_sampler`, with pycls's constraint of four stages.
- `regnetz`: the same defaults with inverted bottlenecks, four times as wide inside (RegNetZ, arXiv 2103.06877).
- `crossed`: four mixers with their own axes, squeeze-and-excitation on and off, three stems, three activations. Its
  widths rise before they move to fit the group widths of convolutions, so a few networks have a stage that is narrower
  than the one before (docs/spaces.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from dorsal.language.files import PathLike, read_text_file
from dorsal.language.reader import suggest, wrong_type
from dorsal.space.axis import Axis, Linear
from dorsal.space.distributions import Choice, LogUniform, PowerOfTwo, Uniform
from dorsal.space.refine import monotone, rename, share
from dorsal.space.space import Space, from_json, from_toml

_RATIO, _GROUP_WIDTH = PowerOfTwo(1, 4), PowerOfTwo(1, 32)


def _anynets() -> dict[str, Space]:
    a = Space(
        name="anynetx_a",
        base="regnetx_002",
        axes={
            "depths": Axis(LogUniform(1, 16), by_stage=True),
            "widths": Axis(LogUniform(8, 1024, 8), by_stage=True),
            "expansion": Axis(_RATIO, by_stage=True),
            "mixer.group_width": Axis(_GROUP_WIDTH, by_stage=True),
        },
    )
    b = rename(share(a, "expansion"), "anynetx_b")
    c = rename(share(b, "mixer.group_width"), "anynetx_c")
    d = rename(monotone(c, "widths"), "anynetx_d")
    e = rename(monotone(d, "depths"), "anynetx_e")
    return {space.name: space for space in (a, b, c, d, e)}


def _paper(name: str, base: str) -> Space:
    return Space(
        name=name,
        base=base,
        linear=Linear(),
        axes={
            "linear.depth": Axis(LogUniform(4, 63)),
            "linear.w0": Axis(LogUniform(8, 248, 8)),
            "linear.wa": Axis(LogUniform(1.0, 255.9, 0.1)),
            "linear.wm": Axis(LogUniform(1.5, 3.0, 0.001)),
            "expansion": Axis(_RATIO),
            "mixer.group_width": Axis(_GROUP_WIDTH),
        },
    )


def _pycls(name: str, base: str) -> Space:
    return Space(
        name=name,
        base=base,
        linear=Linear(),
        axes={
            "linear.depth": Axis(Uniform(12, 28)),
            "linear.w0": Axis(LogUniform(8, 256, 8)),
            "linear.wa": Axis(LogUniform(8.0, 256.0, 0.1)),
            "linear.wm": Axis(LogUniform(2.0, 3.0, 0.001)),
            "mixer.group_width": Axis(LogUniform(8, 128, 8)),
        },
    )


def _crossed() -> Space:
    def where(mixer: str) -> Mapping[str, tuple[str, ...]]:
        return {"mixer": (mixer,)}

    se: Mapping[str, tuple[str, ...]] = {"attention": ("squeeze_excite",)}
    return Space(
        name="crossed",
        base="regnetx_002",
        axes={
            "depths": Axis(LogUniform(1, 16), by_stage=True),
            "widths": Axis(LogUniform(32, 512, 32), by_stage=True),
            "expansion": Axis(Choice((1, 2))),
            "mixer": Axis(Choice(("conv", "multi_scale", "split_attention", "selective_kernel")), by_stage=True),
            "mixer.group_width": Axis(PowerOfTwo(4, 32), by_stage=True, when=where("conv")),
            "mixer.scales": Axis(PowerOfTwo(2, 8), by_stage=True, when=where("multi_scale")),
            "mixer.inner": Axis(Choice(("conv", "split_attention")), by_stage=True, when=where("multi_scale")),
            "mixer.radix": Axis(PowerOfTwo(1, 4), by_stage=True, when=where("split_attention")),
            "mixer.cardinality": Axis(PowerOfTwo(1, 4), by_stage=True, when=where("split_attention")),
            "mixer.paths": Axis(Choice((2, 3)), by_stage=True, when=where("selective_kernel")),
            "attention": Axis(Choice(("none", "squeeze_excite"))),
            "attention.ratio": Axis(Choice((0.0625, 0.25)), when=se),
            "attention.position": Axis(Choice(("after_mixer", "after_expand")), when=se),
            "shortcut": Axis(Choice(("strided_conv", "average_pool"))),
            "stem": Axis(Choice(("simple", "deep(widths=[16, 16, 32], pool=false)", "conv7x7(width=32, pool=false)"))),
            "activation": Axis(Choice(("relu", "silu", "mish"))),
        },
        non_decreasing=("widths",),
    )


SPACES: dict[str, Space] = {
    **_anynets(),
    **{name: _paper(name, f"{name}_002") for name in ("regnetx", "regnety")},
    **{f"{name}_pycls": _pycls(f"{name}_pycls", f"{name}_002") for name in ("regnetx", "regnety")},
    "regnetz": _pycls("regnetz", "regnetz_040"),
    "crossed": _crossed(),
}


def space_text(argument: str, given: Space | os.PathLike[str]) -> str:
    """The text that `read_space` reads as this space: its name, or the path of its file.

    Raises ValueError for a space that has neither, and TypeError for anything else.
    """
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    space = read_space(given, argument)
    if SPACES.get(space.name) != space:
        raise ValueError(
            f"{argument}: {space.name!r} is not one of `dorsal space list`, so the question needs its file: write "
            f"dorsal.space.space.to_toml(space) to {space.name}.toml, and give that path"
        )
    return space.name


def read_space(given: Space | PathLike, argument: str = "space") -> Space:
    """A space from what people have of it: a value, a name, or the path of a TOML or JSON file.

    Raises ValueError with near matches for a name that is none, and as `space.from_toml` and `from_json` do; TypeError
    naming the argument for anything else.
    """
    if isinstance(given, Space):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise wrong_type(argument, given, "a space, its name such as 'regnetx', or the path of a TOML or JSON file")
    text = os.fspath(given)
    if text.endswith((".toml", ".json")):
        content = read_text_file("space file", text)
        read = from_toml if text.endswith(".toml") else from_json
        try:
            return read(content)
        except ValueError as error:
            raise ValueError(f"space file {text!r}: {error}") from None
    if text not in SPACES:
        raise ValueError(f"unknown space {text!r}{suggest(text, SPACES)}")
    return SPACES[text]
