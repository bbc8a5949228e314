"""Costs against published integers, and against what torch itself counts on the built module."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import dorsal.spec
from dorsal.nn.build import build
from dorsal.spec.cost import COSTS, Cost, cost, layer_cost
from dorsal.spec.layers import features, layers
from dorsal.zoo import NETWORKS, named, network
from tests.networks import networks

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())
UNUSED = {row["name"]: row["unused"] for row in PUBLISHED["measured"] if "unused" in row}
NOTHING = {"params": 0, "macs": 0, "conv_acts": 0}


def deform_flops(x_shape, weight_shape, *args, out_shape=None, **options):
    """Multiply-adds of a deformable convolution as of a plain one: the bilinear sampling is not counted."""
    batch, channels, height, width = out_shape
    return 2 * batch * channels * height * width * weight_shape[1] * weight_shape[2] * weight_shape[3]


def on_meta(net):
    with torch.device("meta"):
        return build(net).eval()


def counted(model, image_size):
    """Parameters, multiply-adds by torch's counter, and elements of convolution outputs of a module on meta; and the
    shapes of its feature maps."""
    elements = 0

    def add(module, inputs, output):
        nonlocal elements
        elements += output.numel()

    images = torch.empty(1, model.network.in_channels, *image_size, device="meta")
    # Batch norms are counted by nobody, and slow on meta, as is what gradients would need.
    with torch.no_grad(), patch("torch.nn.functional.batch_norm", lambda x, *_, **__: x):
        shapes = [tuple(each.shape[1:]) for each in model.features(images)]
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d) or type(module).__name__ == "DeformConv":
                module.register_forward_hook(add)
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.torchvision.deform_conv2d: deform_flops})
        with counter:
            model(images)
    return (sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2, elements), shapes


def deep(name):
    """Whether the network differs from others here in depth alone, and takes seconds."""
    return sum(stage.depth for stage in named(name).stages) > 30


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if deep(n) else ()) for n in NETWORKS])
def test_named_networks_cost_what_torch_counts_and_return_what_they_declare(name):
    net, size = named(name), (97, 65)
    found, (figures, shapes) = cost(net, size), counted(on_meta(net), size)
    assert (found.params, found.macs, found.activations) == figures
    assert shapes == [
        (level.channels, -(-size[0] // level.stride), -(-size[1] // level.stride)) for level in features(net)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.tuples(st.integers(16, 40), st.integers(16, 40)))
def test_random_crossings_cost_what_torch_counts(net, size):
    found, (figures, _) = cost(net, size), counted(on_meta(net), size)
    assert (found.params, found.macs, found.activations) == figures


@pytest.mark.parametrize("row", PUBLISHED["pycls"], ids=lambda row: row["name"])
def test_pycls_integers(row):
    found = cost(named(row["name"]))
    assert (found.pycls_flops, found.params, found.activations_pycls) == (row["flops"], row["params"], row["acts"])


@pytest.mark.parametrize("row", PUBLISHED["measured"] + PUBLISHED["torchvision"], ids=lambda row: row["name"])
def test_measured_figures(row):
    net, unused = network(row["name"]), UNUSED.get(row["name"], NOTHING)
    assert cost(net).params == row["params"] - unused["params"]
    for size, gmacs in row["gmacs"].items():
        assert round((cost(net, int(size)).macs + unused["macs"]) / 1e9, 3) == gmacs
    if "conv_acts" in row:
        assert cost(net).activations == row["conv_acts"] - unused["conv_acts"]


@pytest.mark.parametrize("row", PUBLISHED["printed"], ids=lambda row: row["name"])
def test_printed_figures(row):
    """Parameters to the last printed digit, rounded or cut off; MACs to 2 %, since what is counted differs."""
    found, unused = cost(named(row["name"])), UNUSED.get(row["name"], NOTHING)
    digits = len(row["mparams"].partition(".")[2])
    assert abs((found.params + unused["params"]) / 1e6 - float(row["mparams"])) < 10**-digits
    if "gmacs" in row:
        assert (found.macs + unused["macs"]) / 1e9 == pytest.approx(float(row["gmacs"]), rel=0.02)


def test_total_is_the_sum_of_the_layers():
    for name in ("resnest50", "res2net50_26w_4s", "regnety_016"):
        parts = [layer_cost(layer) for layer in layers(named(name), 160)]
        sums = Cost(*(sum(getattr(part, field) for part in parts) for field in Cost.__struct_fields__))
        assert cost(named(name), 160) == sums


def test_layer_names_are_unique_and_those_of_the_module():
    for name in ("resnet18", "resnest50", "res2next50", "skresnet50", "regnety_016"):
        records = [layer for layer in layers(named(name)) if layer.kind in ("conv", "norm")]
        assert len({layer.name for layer in records}) == len(records)
        with torch.device("meta"):
            modules = dict(build(named(name)).named_modules())
        convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in modules.values())
        assert convolutions == sum(layer.kind == "conv" for layer in records)


def test_image_smaller_than_total_stride_is_refused():
    with pytest.raises(ValueError, match="image_size=31 is smaller than the network's total stride; nearest valid: 32"):
        cost(named("resnet50"), 31)


def test_repeated_blocks_are_counted_once(monkeypatch):
    module, counted = sys.modules["dorsal.spec.cost"], []
    monkeypatch.setattr(module, "layer_cost", lambda layer: counted.append(layer) or layer_cost(layer))
    calls = []
    for depths in ([2, 2, 2, 2], [9, 9, 9, 9]):
        counted.clear()
        cost(network(f"resnet50(depths={depths})"))
        calls.append(len(counted))
    assert 0 < calls[0] == calls[1]


def test_spec_does_not_import_torch():
    for path in Path(dorsal.spec.__path__[0]).glob("*.py"):
        assert "import torch" not in path.read_text()


def test_the_costs_to_choose_from_are_counted():
    assert set(COSTS) <= set(Cost.__struct_fields__)
