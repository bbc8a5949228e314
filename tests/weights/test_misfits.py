"""What is said when a file does not fit: names, what it would fit, and the way to load a part of it."""

import re

import pytest
import torch

from dorsal.weights.formats import FORMATS, from_ours, match, recognise, to_ours
from dorsal.zoo import named, network
from tests.weights.states import meta_state, random_state


def file_of(text, format):
    """The state of a network as a package saves it, shapes only."""
    net = network(text)
    return from_ours(meta_state(net), net, format)


def assert_refused(state, text, message, format=None):
    with pytest.raises(ValueError, match=message):
        to_ours(state, network(text), format)


@pytest.mark.parametrize(
    ("text", "format", "asked", "likeness"),
    [
        ("resnet101", "timm", "resnet50", "it looks like resnet101"),
        ("resnet50(classes=10)", "timm", "resnet101", "it looks like resnet50(classes=10)"),
        ("resnet50", "torchvision", "resnest50", "it looks like resnet50"),
        ("res2net50d", "res2net", "res2net50_26w_4s", "it looks like res2net50d"),
        ("regnety_002", "pycls", "regnetx_002", "it looks like regnety_002"),
        ("regnety_002", "pycls", "resnest50", "it looks like regnety_002"),
        ("resnet20", "pytorch_resnet_cifar10", "resnet56", "it looks like resnet20"),
        ("regnetx_002", "mmdet", "regnetx_002", "with format='mm' it would fit regnetx_002(classes=0)"),
    ],
)
def test_another_networks_file_says_whose_it_is(text, format, asked, likeness):
    assert_refused(file_of(text, format), asked, re.escape(likeness) + "$")


@pytest.mark.parametrize(
    ("text", "format", "asked", "message"),
    [
        (
            "resnet50(classes=10)",
            "timm",
            "resnet50",
            "the file has classes=10 and the network classes=1000: resnet50(classes=10) would fit",
        ),
        ("resnet50", "timm", "resnet50(classes=0)", "classes=1000 and the network classes=0: resnet50 would fit"),
        ("regnetx_002", "mm", "regnetx_002(classes=5)", "classes=1000 and the network classes=5: regnetx_002"),
        (
            "regnetx_002",
            "detectron2",
            "regnetx_002",
            "classes=0 and the network classes=1000: regnetx_002(classes=0)",
        ),
    ],
)
def test_other_classes_say_the_edit(text, format, asked, message):
    assert_refused(file_of(text, format), asked, re.escape(message))


def test_a_file_without_its_classifier_fits_a_network_without_one():
    state = {name: value for name, value in file_of("resnet18", "timm").items() if not name.startswith("fc.")}
    assert_refused(state, "resnet18", r"missing fc\.weight, fc\.bias; .* resnet18\(classes=0\) would fit")
    assert "fc.weight" not in to_ours(state, network("resnet18(classes=0)"))


def test_a_classifier_is_not_dropped_by_a_format_without_one():
    message = (
        r"missing fc\.weight, fc\.bias; surplus fc\.weight, fc\.bias; with format='torchvision' it would fit resnet50$"
    )
    assert_refused(file_of("resnet50", "torchvision"), "resnet50", message, "mmdet")


def test_a_classifier_of_no_shape_is_only_misshapen():
    state = file_of("resnet18", "torchvision") | {"fc.weight": torch.zeros(())}
    assert_refused(state, "resnet18", r"wrong shape fc\.weight \[\] instead of \[1000, 512\]$")


def test_tensors_are_listed_by_the_files_names():
    state = file_of("resnet18", "torchvision")
    state["conv1.weight"] = torch.empty(32, 3, 3, 3)
    del state["layer1.0.bn1.bias"]
    state["head.fc.bias"] = torch.empty(1000)  # another classifier's, beside the usual one
    state["layer9.weight"] = torch.empty(1)
    net = named("resnet18")
    found = match(state, net, "torchvision")
    assert found.differences.missing == ("layer1.0.bn1.bias",)
    assert found.differences.surplus == ("head.fc.bias", "layer9.weight")
    assert found.differences.misshapen == (("conv1.weight", (32, 3, 3, 3), (64, 3, 7, 7)),)
    message = (
        r"\(torchvision names\) is not of this network: missing layer1\.0\.bn1\.bias; surplus head\.fc\.bias, "
        r"layer9\.weight; wrong shape conv1\.weight \[32, 3, 3, 3\] instead of \[64, 3, 7, 7\]$"
    )
    assert_refused(state, "resnet18", message, "torchvision")
    partial = to_ours(state, net, "torchvision", partial=True)
    lacking = {"stem.convs.0.conv.weight", "stages.0.0.mixer.norm.bias"}
    assert partial.keys() == found.state.keys() == meta_state(net).keys() - lacking


def test_eight_names_are_shown_and_the_others_counted():
    surplus = {f"extra.{index}": torch.empty(1) for index in range(11)}
    state = file_of("resnet18", "timm")
    assert_refused(state | surplus, "resnet18", r"surplus extra\.0, .*extra\.7 and 3 more$")
    assert_refused(state | dict(list(surplus.items())[:8]), "resnet18", r"surplus extra\.0, .*extra\.7$")


def test_partial_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="is not of this network"):
        to_ours({"a": torch.zeros(1)}, named("resnet18"), "timm", partial=True)


def test_partial_loads_a_backbone_out_of_a_detector():
    net = named("resnet18")
    state = random_state(net, torch.float32)
    detector = {f"backbone.{name}": value for name, value in from_ours(state, net, "torchvision").items()}
    detector |= {"neck.fpn.weight": torch.zeros(1), "rpn_head.weight": torch.zeros(1)}
    assert recognise(detector) == "torchvision"
    back = to_ours(detector, net, partial=True)
    assert all(torch.equal(back[name], value) for name, value in state.items())
    assert match(detector, net).differences.surplus == ("neck.fpn.weight", "rpn_head.weight")


def test_counters_of_batches_may_be_absent():
    net = named("resnet18")
    state = random_state(net, torch.float32)
    old = {name: value for name, value in from_ours(state, net, "torchvision").items() if "num_batches" not in name}
    back = to_ours(old, net)
    assert back.keys() == state.keys()
    counters = [value for name, value in back.items() if "num_batches" in name]
    assert all(counter.dtype == torch.long and counter == 0 for counter in counters)
    frozen = {name: value for name, value in state.items() if "num_batches" not in name}
    assert from_ours(frozen, net, "timm").keys() == from_ours(state, net, "timm").keys()


def test_formats_refuse_networks_their_package_has_not():
    """Also where the tensors would have names: an order, a shortcut without tensors, a bug reproduced."""
    for text, format, message in (
        ("resnest50", "torchvision", "stem=deep, mixer=split_attention"),
        ("resnet18(shortcut=zero_pad)", "timm", "shortcut=zero_pad"),
        ("resnet50(order=act_norm)", "timm", "order=act_norm"),
        ("resnet50(norm=group)", "torchvision", "norm=group"),
        ("res2net50_26w_4s(mixer=multi_scale(aliased=true, width=26))", "res2net", "aliased=true"),
        ("resnest50_fast_4s2x40d", "mm", "downsample=pool_before"),
        ("res2net50_26w_4s(mixer=multi_scale(inner=split_attention))", "timm", "inner=split_attention"),
        ("resnet50(mixer=conv(deformable=true))", "timm", "deformable=conv"),
        ("resnest50(mixer=split_attention(deformable=true))", "mmdet", "deformable=split_attention"),
        ("regnetz_040", "pycls", "shortcut=identity_only, output=linear"),
        ("small", "resnest", "stem=simple"),
    ):
        net = network(text)
        with pytest.raises(
            ValueError, match=f"format '{format}' has no network with .*{re.escape(message)}.*; formats"
        ):
            from_ours(meta_state(net), net, format)


def test_from_ours_refuses_another_networks_state():
    with pytest.raises(ValueError, match=r"the state is not of this network: missing stages\.0\.0\.reduce\.conv"):
        from_ours(meta_state(named("resnet18")), named("resnet50"), "torchvision")


def test_unknown_formats():
    with pytest.raises(ValueError, match=r"unknown format 'tim'; did you mean timm\?$"):
        to_ours(file_of("resnet18", "timm"), named("resnet18"), "tim")
    with pytest.raises(ValueError, match="the names a, b, … are of no known format; known: dorsal, torchvision"):
        recognise(["a", "b"])
    assert set(FORMATS) == {
        *(
            "dorsal",
            "torchvision",
            "timm",
            "resnest",
            "res2net",
            "pycls",
            "mm",
            "mmdet",
            "detectron2",
            "pytorch_resnet_cifar10",
        )
    }


def test_tensors_keep_type_and_memory():
    net = named("resnet18")
    state = {name: value.half() if value.is_floating_point() else value for name, value in random_state(net).items()}
    theirs = from_ours(state, net, "timm")
    back = to_ours(theirs, net)
    assert all(
        back[name].data_ptr() == value.data_ptr() and back[name].dtype == value.dtype for name, value in state.items()
    )
