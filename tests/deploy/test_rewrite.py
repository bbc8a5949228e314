"""Rewritten models say what the model says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dorsal
from dorsal.deploy.rewrite import ChunkedSplitAttention, rewrites_of, rewritten
from dorsal.nn.split_attention import SplitAttentionMixer
from tests.deploy.models import randomised

NETWORKS = {
    "resnet": "resnet_small",
    "res2net": "res2netplus_small",
    "regnety": "regnety_small",
    "radix 1": "resnest_small(mixer=split_attention(radix=1))",
    "radix 2": "resnest_small",
    "radix 4, cardinality 2": "resnest_small(mixer=split_attention(radix=4, cardinality=2))",
    "radix 2, cardinality 2": "resnest_small(mixer=split_attention(radix=2, cardinality=2))",
    "selective kernels": "resnet_small(mixer=selective_kernel)",
    "activation before norm": "resnet_small(stem=deep(order=act_norm))",
    "cascade of split attention": "res2net_small(mixer=multi_scale(scales=4, width=16, inner=split_attention))",
    "group norm": "resnest_small(norm=group)",
    "deformable": "resnest_small(mixer=split_attention(deformable=true))",
    "deformable cascade": "res2net_small(mixer=multi_scale(width=16, inner=conv(deformable=true)), norm=group)",
}


def model(text: str) -> nn.Module:
    torch.manual_seed(0)
    return randomised(dorsal.build(dorsal.network(text)))


@pytest.mark.parametrize("text", NETWORKS.values(), ids=NETWORKS)
def test_every_form_is_equal_to_the_model(text: str) -> None:
    net = model(text)
    known = {name: value.clone() for name, value in net.state_dict().items()}
    for form in rewrites_of(net):
        made = rewritten(net, form)
        with torch.inference_mode():
            for shape in ((1, 3, 64, 64), (3, 3, 75, 61)):
                x = torch.randn(shape)
                torch.testing.assert_close(made(x), net(x), rtol=1e-4, atol=1e-4 * float(net(x).abs().max()))
    assert net.state_dict().keys() == known.keys()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in known.items()), "the model is as it was"


def kinds(net: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in net.modules()}


def test_each_form_changes_what_it_says() -> None:
    net = model("resnest_small")
    assert rewrites_of(net) == ("none", "folded", "chunked", "apart")
    assert rewrites_of(model("resnet_small")) == ("none", "folded")
    assert rewrites_of(model("resnet_small(norm=group)")) == ("none",)
    assert nn.BatchNorm2d in kinds(rewritten(net, "none"))
    for form in ("folded", "chunked", "apart"):
        made = kinds(rewritten(net, form))
        assert nn.BatchNorm2d not in made
        assert (SplitAttentionMixer in made) is (form == "folded")
        assert (ChunkedSplitAttention in made) is (form != "folded")
    convs = [
        sum(isinstance(each, nn.Conv2d) for each in rewritten(net, form).modules()) for form in ("chunked", "apart")
    ]
    blocks = sum(isinstance(each, SplitAttentionMixer) for each in net.modules())
    assert convs[1] - convs[0] == blocks, "two convolutions in the place of one"
