"""Receptive fields counted from the spec, against gradients of the built network, hand counts and the literature."""

import itertools
import math
import statistics
import sys
from collections import Counter
from contextlib import ExitStack
from fractions import Fraction

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from torch import nn

from dorsal.nn.backbone import TreeStage
from dorsal.nn.blocks import SqueezeExciteGate
from dorsal.nn.build import build
from dorsal.nn.mixers import MultiScaleMixer, SelectiveKernelMixer
from dorsal.nn.split_attention import SplitAttentionMixer
from dorsal.spec.arrangement import STAGE_INPUT, Tree
from dorsal.spec.block import Basic, Bottleneck, IdentityOnly, MultiScale, SelectiveKernel, SplitAttention
from dorsal.spec.network import Network
from dorsal.spec.receptive import LevelField, binned, receptive_fields
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Simple
from dorsal.spec.text import edit
from dorsal.zoo import NETWORKS, named, network
from tests.networks import networks


def positive(net):
    """The network with positive weights, constant gates and mean instead of max pools: linear for positive images with
    ReLU, and with any activation no gradient is zero that need not be."""
    torch.manual_seed(0)
    model = build(replace(net, norm="batch")).double().eval().requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            model.set_submodule(name, nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode))
        elif isinstance(module, SqueezeExciteGate | SplitAttentionMixer | SelectiveKernelMixer):
            module.fc2.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
    for name, weight in model.named_parameters():
        if weight.dim() == 4 and ".offset." not in name:
            weight.uniform_(0.5, 1.5).div_(weight[0].numel())
    return model


def window(model, images, level):
    """The gradient by image column of the position in the middle of a level's map."""
    (maps,) = model.features(images)[level].unbind()
    (gradient,) = torch.autograd.grad(maps[:, maps.shape[1] // 2, maps.shape[2] // 2].sum(), images)
    return gradient.abs().sum((0, 1, 2))


def extent(columns):
    """From the first column that is reached to the last."""
    reached = columns.nonzero()
    return int(reached[-1] - reached[0]) + 1 if len(reached) else 0


def images_for(net):
    """Images wide enough for the middle position's window; they need not be high, as both sides are alike."""
    margin = 2 * net.total_stride
    width = 2 * (max(level.largest for level in receptive_fields(net)) + margin)
    return torch.ones(1, net.in_channels, 4, width, dtype=torch.float64, requires_grad=True)


def measured(net):
    """The extent of each level's window."""
    model, images = positive(net), images_for(net)
    return [extent(window(model, images, level)) for level in range(len(model.info))]


NARROW = {"widths": [16, 32, 64, 128], "in_channels": 1}
FAMILIES = {
    "resnet18": NARROW,
    "resnet50": NARROW,
    "resnet50d": NARROW,
    "resnest50": NARROW,
    "resnest50_fast_2s1x64d": NARROW,
    "res2net50_26w_4s": NARROW,
    "res2net50d": NARROW,
    "res2netplus50_aliased": NARROW,
    "skresnet50": NARROW,
    "seresnet50": NARROW,
    "regnety_002": {"in_channels": 1},
    "regnetz_005": {"in_channels": 1},
    "dla60_res2net": NARROW,
    "resnet50(strides=[1, 2, 1, 1], dilations=[1, 1, 2, 4], mixer=conv(deformable=true))": NARROW,
    "resnest50(mixer=split_attention(deformable=true))": NARROW,
    "resnet50(mixer=multi_scale(scales=3, width=64, inner=multi_scale(scales=2)))": NARROW,
    "resnet20": {},
    "small": {},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_largest_size_is_the_extent_that_gradients_reach(name):
    net = edit(network(name), FAMILIES[name])
    assert [level.largest for level in receptive_fields(net)] == measured(net)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_random_crossings_reach_their_largest_size(net):
    assert [level.largest for level in receptive_fields(net)] == measured(net)


# One route is a list of (module, whether its input or its output is masked, the channels kept: a slice, or none).
NOTHING = slice(0, 0)


def joined(*alternatives):
    """Every choice of one route from each part, as one route."""
    return [list(itertools.chain(*choice)) for choice in itertools.product(*alternatives)]


def routes_of_mixer(mixer):
    """Also routes that do not exist: a group is tried with every group that it might come from."""
    match mixer:
        case SelectiveKernelMixer():
            count = len(mixer.paths)
            return [[(mixer.paths[j], "out", NOTHING) for j in range(count) if j != k] for k in range(count)]
        case MultiScaleMixer():
            found = []
            for entry, leave in itertools.product(range(mixer.groups), repeat=2):
                ends = [
                    [
                        (mixer, "in", lambda c, i=entry, n=mixer.groups: slice(i * c // n, (i + 1) * c // n)),
                        (mixer, "out", lambda c, i=leave, n=mixer.groups: slice(i * c // n, (i + 1) * c // n)),
                    ]
                ]
                passed = [routes_of_mixer(scale) for scale in mixer.scales[entry : leave + 1]]
                found += joined(ends, *passed)
            return found
        case _:
            return [[]]


def routes_of_block(block):
    routes = routes_of_mixer(block.mixer)
    if block.residual:
        routes = [*joined([[(block.shortcut, "out", NOTHING)]], routes), [(block.drop_path, "out", NOTHING)]]
    width = next(module for module in block.modules() if isinstance(module, nn.Conv2d)).in_channels
    return [route for route in routes if exists(route, block, torch.ones(1, width, 8, 8, dtype=torch.float64))]


def exists(route, block, x):
    with only(route):
        return bool(block(x).any())


def routes_of_stage(stage):
    if not isinstance(stage, TreeStage):
        return joined(*map(routes_of_block, stage))

    def to_root(index):
        before = to_root(index - 1) if index else [[]]
        first = joined(before, routes_of_block(stage.blocks[2 * index]))
        second = joined(first, routes_of_block(stage.blocks[2 * index + 1]))
        kept = [[[]] if child == STAGE_INPUT else to_root(child) for child in stage.children_of[index]]
        width = stage.roots[index].conv.out_channels
        # The stage's input, which may have another width, is the first of those kept.
        total = stage.roots[index].conv.in_channels
        rest = [width] * len(kept)
        if kept:
            rest[0] = total - width * (1 + len(kept))
        starts = list(itertools.accumulate([0, width, width, *rest]))
        return [
            route
            for child, (start, stop) in zip([second, first, *kept], itertools.pairwise(starts), strict=True)
            for route in joined([[(stage.roots[index], "in", slice(start, stop))]], child)
        ]

    return to_root(len(stage.roots) - 1)


def masked(x, kept):
    mask = torch.zeros_like(x)
    mask[:, kept(x.shape[1]) if callable(kept) else kept] = 1
    return x * mask


def only(route):
    """Hooks that stop everything but one route."""
    stack = ExitStack()
    for module, side, kept in route:
        if side == "in":
            stack.enter_context(module.register_forward_pre_hook(lambda _, args, kept=kept: (masked(args[0], kept),)))
        else:
            stack.enter_context(module.register_forward_hook(lambda _, __, output, kept=kept: masked(output, kept)))
    return stack


def tiny(block, depths=(2, 2), stride=2, **choices):
    stages = tuple(
        Stage(depth, width, stride, block=block, **choices) for depth, width in zip(depths, (32, 64), strict=False)
    )
    return Network(stages, Simple(32, stride=1), in_channels=1)


ENUMERATED = {
    "basic": tiny(Basic(), (3, 3)),
    "no shortcut where the shape changes": tiny(Basic(shortcut=IdentityOnly()), (3, 3)),
    "bottleneck, dilated": tiny(Bottleneck(expansion=1), (2, 3), dilation=2),
    "selective kernel": tiny(Basic(SelectiveKernel(paths=2)), (2, 2)),
    "split attention, pooled": tiny(Bottleneck(SplitAttention(), expansion=1, downsample="pool_after"), (2, 2)),
    "multi-scale": tiny(Bottleneck(MultiScale(3, 64), expansion=1), (2,)),
    "multi-scale, pooled before": tiny(Bottleneck(MultiScale(3, 64), expansion=1, downsample="pool_before"), (1, 1)),
    "multi-scale, aliased": tiny(Bottleneck(MultiScale(4, 64, aliased=True), expansion=1), (2,), stride=1),
    "multi-scale of selective kernels": tiny(
        Bottleneck(MultiScale(3, 64, SelectiveKernel(paths=2)), expansion=1), (2,), stride=1
    ),
    "multi-scale of multi-scale": tiny(Bottleneck(MultiScale(3, 64, MultiScale(2)), expansion=1), (2,)),
    "tree": tiny(Basic(), (4,), arrangement=Tree(keep_input=True)),
    "tree of multi-scale": tiny(Bottleneck(MultiScale(2, 64), expansion=1), (2,), arrangement=Tree()),
}


@pytest.mark.parametrize("kind", ENUMERATED)
def test_each_route_alone_reaches_one_size_and_together_they_are_the_network(kind):
    """All routes by brute force: masks leave one of them at a time. Sizes and numbers are those of the polynomial, and
    as the network is linear the gradients of the routes add up to its own: none is missing and none counts twice."""
    net = ENUMERATED[kind]
    model, images = positive(net), images_for(net)
    routes = joined(*map(routes_of_stage, model.stages))
    total, extents = torch.zeros_like(images[0, 0, 0]), Counter()
    for route in routes:
        with only(route):
            columns = window(model, images, len(model.stages))
        total += columns
        extents[extent(columns)] += 1
    last = receptive_fields(net)[-1]
    assert dict(sorted(extents.items())) == dict(zip(last.sizes, last.paths, strict=True))
    torch.testing.assert_close(total, window(model, images, len(model.stages)))


def levels(text):
    return [level.largest for level in receptive_fields(network(text))]


def test_receptive_fields_of_the_literature():
    """torchvision's ResNet-50 has 427 pixels, 267 before its last stage (DeLF-pytorch issue 15 on GitHub)."""
    assert levels("resnet50")[-2:] == [267, 427]
    assert levels("resnet18")[-1] == 435


def test_a_chain_of_3x3_convolutions_by_hand():
    """VGG's rule: n of them see 2n + 1 pixels; behind a stride each adds twice as much."""
    block = Basic(shortcut=IdentityOnly())
    chain = Network(tuple(Stage(1, width, stride=1, block=block) for width in (8, 16, 32)), Simple(4, stride=1))
    found = receptive_fields(chain)
    assert [(level.stride, level.sizes, level.paths) for level in found] == [
        (1, (3,), (1,)),
        (1, (7,), (1,)),
        (1, (11,), (1,)),
        (1, (15,), (1,)),
    ]
    strided = Network((Stage(1, 8, stride=2, block=block),), Simple(4, stride=2))
    # 3, then 2 more positions of 2 pixels, then 2 of 4 pixels
    assert receptive_fields(strided)[-1].sizes == (3 + 4 + 8,)


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_basic_blocks_have_binomial_counts(depth):
    net = Network((Stage(depth, 8, stride=1, block=Basic()),), Simple(8, stride=1))
    found = receptive_fields(net)[-1]
    assert found.sizes == tuple(3 + 4 * through for through in range(depth + 1))
    assert found.paths == tuple(math.comb(depth, through) for through in range(depth + 1))
    assert (found.mean, found.deviation) == pytest.approx((3 + 2 * depth, 2 * math.sqrt(depth)))


def test_blocks_of_res2net_by_hand():
    """Four scales: first 3 convolutions and a pool side by side, then a cascade of 3 and a group that passes."""
    net = Network((Stage(1, 256, stride=1, block=Bottleneck(MultiScale(4, 26))),), Simple(64, stride=1))
    assert receptive_fields(net)[-1].paths == (1, 4)
    net = Network((Stage(2, 256, stride=1, block=Bottleneck(MultiScale(4, 26))),), Simple(64, stride=1))
    cascade = {0: 1 + 1, 1: 3, 2: 2, 3: 1}  # 0: the group that passes, and the shortcut
    expected = Counter()
    for first, second in itertools.product((0, 1, 1, 1, 1), Counter(cascade).elements()):
        expected[3 + 2 * (first + second)] += 1
    found = receptive_fields(net)[-1]
    assert dict(zip(found.sizes, found.paths, strict=True)) == dict(sorted(expected.items()))


def test_numbers_of_paths_are_exact():
    assert [level.total for level in receptive_fields(named("resnet50"))] == [1, 2**3, 2**7, 2**13, 2**16]
    # the first block of a stage: 4 groups and the shortcut; later ones: 6 ways through the cascade, 1 past it, shortcut
    assert receptive_fields(named("res2net101_26w_4s"))[-1].total == 5**4 * 8**29
    assert receptive_fields(named("regnetx_002"))[-1].total == 2**13
    assert receptive_fields(named("regnetz_005"))[-1].total == 2 ** (21 - 4)


def test_groups_and_splits_are_not_told_apart_but_kernels_are():
    def last(mixer):
        return receptive_fields(network(f"resnet50(mixer={mixer})"))[-1]

    assert last("conv(groups=32, width=4)") == last("split_attention(radix=4)") == last("conv")
    assert last("selective_kernel").total == 3**16


def test_deformable_convolutions_are_said_to_reach_at_least_so_far():
    plain = receptive_fields(named("resnet50"))
    deformable = receptive_fields(network("resnet50(mixer=[conv, conv, conv(deformable=true), conv])"))
    assert [level.at_least for level in deformable] == [False, False, False, True, True]
    assert [level.sizes for level in deformable] == [level.sizes for level in plain]
    inside = receptive_fields(network("resnet50(mixer=multi_scale(width=26, inner=conv(deformable=true)))"))
    assert inside[1].at_least


fields = st.dictionaries(st.integers(1, 50), st.integers(1, 20), min_size=1).map(
    lambda counts: LevelField("stage1", 4, *map(tuple, zip(*sorted(counts.items()), strict=True)), False)
)


@given(fields, st.floats(0, 1), st.integers(0, 60))
def test_summaries_are_those_of_the_list_of_all_paths(field, share, size):
    every = sorted(Counter(dict(zip(field.sizes, field.paths, strict=True))).elements())
    assert (field.total, field.smallest, field.largest) == (len(every), every[0], every[-1])
    assert sum(field.shares) == pytest.approx(1)
    assert field.mean == pytest.approx(statistics.mean(every))
    assert field.deviation == pytest.approx(statistics.pstdev(every))
    assert field.share_above(size) == sum(each > size for each in every) / len(every)
    assert field.quantile(share) == next(
        each for rank, each in enumerate(every, start=1) if Fraction(rank, len(every)) >= Fraction(str(share))
    )


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"share=1.5 must be from 0 to 1; nearest valid: 1"):
        receptive_fields(named("small"))[-1].quantile(1.5)


@given(st.lists(fields, min_size=1, max_size=3), st.integers(1, 30))
def test_bins_hold_every_path_once(found, most):
    width, rows = binned(found, most)
    for field, row in zip(found, rows, strict=True):
        assert len(row) <= most
        assert sum(row) == pytest.approx(1)
        at = [index for index, share in enumerate(row) if share]
        assert (at[0], at[-1]) == (field.smallest // width, field.largest // width)


@given(st.integers(1, 9), st.integers(2, 60), st.integers(1, 40), st.integers(2, 20))
def test_bins_give_even_sizes_even_shares(step, count, smallest, most):
    """But for the two at the ends, which the sizes may fill in part."""
    sizes = tuple(smallest + step * index for index in range(count))
    _, (row,) = binned([LevelField("stage1", 4, sizes, (1,) * count, False)], most)
    inner = [share for share in row if share][1:-1]
    assert len(set(inner)) <= 1


def test_counts_beyond_floats_have_exact_summaries():
    depth = 1100
    sizes, paths = zip(*((1 + 2 * k, math.comb(depth, k)) for k in range(depth + 1)), strict=True)
    field = LevelField("stage1", 4, sizes, paths, False)
    assert field.total > sys.float_info.max
    assert (field.mean, field.deviation) == pytest.approx((1 + depth, math.sqrt(depth)))
    assert (field.quantile(0), field.quantile(0.5), field.quantile(1)) == (1, 1 + depth, 1 + 2 * depth)
    assert field.share_above(depth) == pytest.approx(0.5, abs=0.02)
    assert sum(binned([field], 20)[1][0]) == pytest.approx(1)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_named_network_has_them_at_each_level(name):
    found = receptive_fields(NETWORKS[name])
    assert [level.name for level in found] == ["stem", *(f"stage{i + 1}" for i in range(len(NETWORKS[name].stages)))]
    assert found[0].total == 1
    for before, after in itertools.pairwise(found):
        assert after.largest > before.largest
        assert after.smallest >= before.smallest
        assert after.total > before.total or len(before.sizes) == len(after.sizes)
