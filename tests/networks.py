"""Random points of the grammar, for property tests."""

from hypothesis import strategies as st

from dorsal.spec.arrangement import Chain, Tree
from dorsal.spec.block import (
    AveragePool,
    Basic,
    Bottleneck,
    Conv,
    IdentityOnly,
    MaxPool,
    MultiScale,
    SelectiveKernel,
    SplitAttention,
    SqueezeExcite,
    StridedConv,
    ZeroPad,
)
from dorsal.spec.network import Network
from dorsal.spec.stage import Head, Stage
from dorsal.spec.stem import Conv7x7, Deep, Dla, Simple

shortcuts = st.sampled_from([StridedConv(), AveragePool(), MaxPool(), ZeroPad(), IdentityOnly()])
attentions = st.none() | st.builds(
    SqueezeExcite,
    ratio=st.sampled_from([0.0625, 0.25, 0.5]),
    reference=st.sampled_from(["width", "input"]),
    position=st.sampled_from(["after_mixer", "after_expand"]),
)
# Planes are multiples of 16 below, so these always divide.
convs = st.one_of(
    st.builds(Conv, groups=st.sampled_from([1, 2, 4]), deformable=st.booleans()),
    st.builds(Conv, groups=st.sampled_from([2, 4]), width=st.sampled_from([16, 24])),
    st.builds(Conv, group_width=st.sampled_from([4, 8])),
)
inner_convs = st.builds(Conv, groups=st.sampled_from([1, 2]), deformable=st.booleans())
splits = st.builds(
    SplitAttention, radix=st.sampled_from([1, 2, 4]), cardinality=st.sampled_from([1, 2]), deformable=st.booleans()
)
kernels = st.builds(
    SelectiveKernel,
    paths=st.sampled_from([1, 2, 3]).filter(lambda n: n != 3),
    groups=st.sampled_from([1, 2]),
    ratio=st.sampled_from([0.0625, 0.5]),
    split_input=st.booleans(),
)
multi_scales = st.builds(
    MultiScale,
    scales=st.sampled_from([1, 2, 4]),
    width=st.sampled_from([32, 64]),
    aliased=st.just(False),
    inner=inner_convs | st.builds(SplitAttention, radix=st.sampled_from([1, 2]), cardinality=st.just(1)) | kernels,
) | st.just(MultiScale(scales=4, width=32, aliased=True))
bottlenecks = st.builds(
    Bottleneck,
    mixer=convs | splits | kernels | multi_scales,
    attention=attentions,
    shortcut=shortcuts,
    expansion=st.sampled_from([1, 2, 4, 0.5]),
    order=st.sampled_from(["norm_act", "act_norm"]),
    downsample=st.sampled_from(["mixer", "pool_after", "pool_before"]),
    output=st.sampled_from(["act", "linear"]),
)
basics = st.builds(
    Basic,
    mixer=st.builds(Conv, groups=st.sampled_from([1, 2, 4]), deformable=st.booleans()) | splits | kernels,
    attention=attentions,
    shortcut=shortcuts,
)
stems = st.one_of(
    st.builds(Conv7x7, width=st.sampled_from([8, 16]), stride=st.sampled_from([1, 2]), pool=st.booleans()),
    st.builds(
        Deep,
        widths=st.sampled_from([(8, 8, 16), (4, 8, 8)]),
        stride=st.sampled_from([1, 2]),
        pool=st.booleans(),
        order=st.sampled_from(["norm_act", "act_norm"]),
    ),
    st.just(Dla((4, 4, 8))),
    st.builds(Simple, width=st.sampled_from([8, 16]), stride=st.sampled_from([1, 2]), pool=st.booleans()),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """A small legal network: one or two stages of growing width, every choice of the grammar reachable."""
    stages = []
    for width in (64, 128)[: draw(st.integers(1, 2))]:
        arrangement = draw(st.sampled_from([Chain(), Chain(), Tree(), Tree(keep_input=True)]))
        stages.append(
            Stage(
                depth=draw(st.integers(1, 3)) if arrangement == Chain() else draw(st.sampled_from([2, 4])),
                width=width,
                stride=draw(st.sampled_from([1, 2])),
                dilation=draw(st.sampled_from([1, 2])),
                block=draw(bottlenecks | basics),
                arrangement=arrangement,
            )
        )
    return Network(
        stages=tuple(stages),
        stem=draw(stems),
        head=Head(draw(st.sampled_from([0, 2, 10])), draw(st.sampled_from([None, 24]))),
        activation=draw(st.sampled_from(["relu", "mish", "silu"])),
        norm=draw(st.sampled_from(["batch", "group"])),
        in_channels=draw(st.sampled_from([1, 3])),
    )
