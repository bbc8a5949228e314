"""Width rules: RegNet's quantised linear rule, and scaling a network to a cost."""

import json
from pathlib import Path

import pytest

from dorsal.spec.cost import cost
from dorsal.spec.text import difference
from dorsal.spec.widths import compatible_group_width, match_cost, regnet_stages
from dorsal.zoo import named, network

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())


@pytest.mark.parametrize("row", PUBLISHED["stages"], ids=lambda row: row["name"])
def test_published_regnet_stages(row):
    net = named(row["name"])
    assert [stage.width for stage in net.stages] == row["widths"]
    assert [stage.depth for stage in net.stages] == row["depths"]
    assert [stage.block.mixer.group_width for stage in net.stages] == row["group_ws"]


def test_regnet_rule_refuses_what_pycls_refuses():
    for w0, wa, wm, depth in ((20, 30.0, 2.5, 13), (24, -1.0, 2.5, 13), (24, 30.0, 1.0, 13), (24, 30.0, 2.5, 0)):
        with pytest.raises(ValueError, match=f"w0={w0}"):
            regnet_stages(w0, wa, wm, depth)


def test_group_width_adjustment():
    assert compatible_group_width(80, 120) == (80, 80)  # at most the width (RegNetX-8.0GF's first stage)
    assert compatible_group_width(100, 24) == (96, 24)  # to the nearest multiple
    assert compatible_group_width(256, 24, expansion=4) == (288, 24)  # inner width 64 → 72


@pytest.mark.parametrize(
    "text",
    [
        "small",
        "small(mixer=multi_scale(scales=4, width=26))",
        "small(mixer=split_attention(radix=2, cardinality=2), shortcut=average_pool)",
        "small(mixer=conv(group_width=8), expansion=1)",
        "resnest50",
        "regnety_032",
        "resnet18",
    ],
)
@pytest.mark.parametrize("measure", ["macs", "params", "activations"])
def test_matching_reaches_the_target_by_widths_alone(text, measure):
    net = network(text)
    for factor in (0.5, 1.7):
        target = round(getattr(cost(net, 64), measure) * factor)
        match = match_cost(net, measure, target, 64)
        assert abs(match.value - target) <= 0.02 * target
        assert getattr(cost(match.network, 64), measure) == match.value
        assert set(difference(net, match.network)) == {"widths"}


def test_matching_keeps_a_network_that_already_fits():
    net = named("resnet50")
    assert match_cost(net, "macs", cost(net).macs).network == net


def test_matching_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="valid: macs, params, activations"):
        match_cost(named("resnet50"), "flops", 10**9)
    with pytest.raises(ValueError, match="nearest reached"):
        match_cost(named("resnet50"), "macs", 1000)
    with pytest.raises(ValueError, match="must be positive"):
        match_cost(named("resnet50"), "macs", 0)
