"""The feature pyramid against detectron2's numbers, and by hand."""

import pytest
import torch
from torch import nn

import dorsal
from dorsal.nn.fpn import FeaturePyramid
from dorsal.nn.norms import group_norm
from dorsal.spec.layers import Feature
from tests.tasks.detect.golden import assert_near, fill, read_golden

INFO = (Feature("c2", 8, 4), Feature("c3", 12, 8), Feature("c4", 16, 16), Feature("c5", 24, 32))


def test_equals_detectron2(real_data):
    golden = read_golden(real_data, "det_fpn")
    pyramid = FeaturePyramid(INFO, 16)
    names = {f"laterals.{i}": f"fpn_lateral{i + 2}" for i in range(4)}
    names |= {f"outputs.{i}": f"fpn_output{i + 2}" for i in range(4)}
    fill(pyramid, golden.weights, names)
    maps = pyramid([golden.inputs[f"c{level}"] for level in range(2, 6)])
    assert [feature.name for feature in pyramid.info] == ["p2", "p3", "p4", "p5", "p6"]
    for feature, found in zip(pyramid.info, maps, strict=True):
        assert_near(found, golden.out[feature.name])


def test_by_hand_on_odd_maps():
    pyramid = FeaturePyramid((Feature("a", 1, 8), Feature("b", 1, 16)), 1)
    with torch.no_grad():
        for conv in pyramid.laterals:
            conv.weight.fill_(1)
        for conv in pyramid.outputs:
            conv.weight.zero_()[..., 1, 1] = 1
    coarse = torch.arange(6.0).view(1, 1, 2, 3)
    fine, same, coarser = pyramid([torch.full((1, 1, 3, 5), 10.0), coarse])
    doubled = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(fine, 10 + doubled[..., :3, :5])
    assert torch.equal(same, coarse)
    assert torch.equal(coarser, coarse[..., ::2, ::2])


def test_describes_what_it_returns_on_a_backbone():
    backbone = dorsal.create("resnet18", features=(1, 2, 3, 4), weights=None)
    pyramid = FeaturePyramid(backbone.info, 16)
    maps = pyramid(backbone(torch.rand(1, 3, 96, 64)))
    assert [(f.name, f.channels, f.stride) for f in pyramid.info] == [
        ("p2", 16, 4), ("p3", 16, 8), ("p4", 16, 16), ("p5", 16, 32), ("p6", 16, 64)
    ]  # fmt: skip
    assert [tuple(x.shape) for x in maps] == [
        (1, 16, 24, 16),
        (1, 16, 12, 8),
        (1, 16, 6, 4),
        (1, 16, 3, 2),
        (1, 16, 2, 1),
    ]


def test_starts_as_detectron2_does():
    torch.manual_seed(0)
    pyramid = FeaturePyramid((Feature("a", 300, 4),), 200)
    for conv in (pyramid.laterals[0], pyramid.outputs[0]):
        weight = conv.weight.detach()
        inputs = weight[0].numel()
        assert float(weight.abs().max()) <= (3 / inputs) ** 0.5
        assert float(weight.var()) == pytest.approx(1 / inputs, rel=0.03)
        assert not conv.bias.any()


def test_group_norm_takes_the_place_of_the_bias():
    pyramid = FeaturePyramid(INFO, 48, norm="group")
    convs = [module for module in pyramid.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in pyramid.modules() if isinstance(module, nn.GroupNorm)]
    assert len(convs) == len(norms) == 8
    assert all(conv.bias is None for conv in convs)
    assert {norm.num_groups for norm in norms} == {16}
    assert group_norm(256).num_groups == 32
    maps = pyramid([torch.rand(1, f.channels, 64 // f.stride, 64 // f.stride) for f in INFO])
    assert float(maps[0].detach().mean()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("strides", "said"),
    [((4, 8, 8), "4, 8, 8"), ((4, 16), "4, 16"), ((8, 4), "8, 4"), ((6, 12), "6, 12"), ((), "no maps")],
)
def test_strides_that_do_not_double_are_refused(strides, said):
    with pytest.raises(ValueError, match=rf"strides are powers of 2 and double.*{said}$"):
        FeaturePyramid([Feature(str(s), 8, s) for s in strides], 16)


def test_another_number_of_maps_is_refused():
    with pytest.raises(ValueError, match="takes 4 maps, not 3"):
        FeaturePyramid(INFO, 16)([torch.rand(1, 8, 4, 4)] * 3)
