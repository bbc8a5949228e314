"""Formats: names as the packages have them, the same answers as the packages' modules, and back without loss."""

import json
from pathlib import Path

import hypothesis
import msgspec
import pytest
import torch

from dorsal.nn.build import build
from dorsal.weights.formats import FORMATS, from_ours, recognise, to_ours
from dorsal.weights.read import read_state
from dorsal.zoo import NETWORKS, named, network
from tests.networks import networks
from tests.weights.states import meta_state, random_state, shapes_of

HEADLESS = ("mmdet", "detectron2")
OPENMMLAB = json.loads((Path(__file__).parent / "openmmlab.json").read_bytes())["entries"]
EDIT = "(depths=[2, 1, 1, 1])"

TIMM = {
    f"resnet18{EDIT}": "resnet18",
    f"resnet50d{EDIT}": "resnet50d",
    f"seresnet50{EDIT}": "seresnet50",
    f"skresnet18{EDIT}": "skresnet18",
    f"skresnet50{EDIT}": "skresnet50",
    f"resnest50{EDIT}": "resnest50d",
    f"resnest50_fast_4s2x40d{EDIT}": "resnest50d_4s2x40d",
    f"res2net50_26w_4s{EDIT}": "res2net50_26w_4s",
    f"res2net50d{EDIT}": "res2net50d",
    f"res2next50{EDIT}": "res2next50",
    "regnetx_002": "regnetx_002",
    "regnety_002": "regnety_002",
    "regnetz_005": "regnetz_005",
    "dla60_res2net(depths=[2, 4, 4, 2])": "dla60_res2net",
}


def without_head(state):
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def supported(net):
    """The formats that have the network."""
    for name, naming in FORMATS.items():
        try:
            naming(net)
        except ValueError:
            continue
        yield name


def assert_equal(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name])


def assert_same_answer(text, format, make, bgr=False, size=65):
    """Our state in the names of the package loads strictly in what `make` makes, gives our answer, and comes back as it
    was."""
    net = network(text)
    state = random_state(net)
    with torch.device("meta"):  # no weights are drawn that nobody reads
        theirs, ours = make().eval(), build(net).eval()
    theirs.load_state_dict(from_ours(state, net, format), assign=True)
    assert_equal(to_ours(theirs.state_dict(), net, format), state)
    ours.load_state_dict(state, assign=True)
    images = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mine, other = ours(images), theirs(images.flip(1) if bgr else images)
    assert (mine - other).abs().max() <= 1e-9 * other.abs().max()


@pytest.mark.parametrize("text", TIMM)
def test_timm(text):
    timm = pytest.importorskip("timm", reason="timm is in the test extra")
    edits = {"layers": [2, 1, 1, 1]} if text.endswith(EDIT) else {}
    edits |= {"levels": (1, 1, 1, 2, 2, 1)} if text.startswith("dla") else {}
    size = 64 if text.startswith("dla") else 65  # timm's DLA fails at odd sizes
    assert_same_answer(text, "timm", lambda: timm.create_model(TIMM[text], **edits), size=size)


@pytest.mark.parametrize(
    ("text", "block", "arguments"),
    [
        (f"resnet18{EDIT}", "BasicBlock", {}),
        (f"resnext50_32x4d{EDIT}", "Bottleneck", {"groups": 32, "width_per_group": 4}),
    ],
)
def test_torchvision_resnet(text, block, arguments):
    from torchvision.models import resnet

    assert_same_answer(text, "torchvision", lambda: resnet.ResNet(getattr(resnet, block), [2, 1, 1, 1], **arguments))


@pytest.mark.parametrize(("text", "name"), [("regnetx_004_tv", "regnet_x_400mf"), ("regnety_004", "regnet_y_400mf")])
def test_torchvision_regnet(text, name):
    import torchvision

    model = torchvision.models.get_model(name)  # cannot be made without data: its widths are tensors
    assert_same_answer(text, "torchvision", lambda: model)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (f"resnest50{EDIT}", {"radix": 2, "groups": 1, "bottleneck_width": 64, "avd_first": False}),
        (f"resnest50_fast_4s2x40d{EDIT}", {"radix": 4, "groups": 2, "bottleneck_width": 40, "avd_first": True}),
    ],
)
def test_official_resnest(text, arguments):
    resnet = pytest.importorskip("resnest.torch.resnet", reason="the authors' package resnest is not installed")
    stem = {"deep_stem": True, "stem_width": 32, "avg_down": True, "avd": True}
    assert_same_answer(text, "resnest", lambda: resnet.ResNet(resnet.Bottleneck, [2, 1, 1, 1], **stem, **arguments))


def pycls_anynet(attention):
    """An AnyNet of pycls with two stages, and the text of ours."""
    anynet = pytest.importorskip("pycls.models.anynet", reason="the authors' package pycls is not installed")
    arguments = {"ds": [2, 1, 1, 1], "ws": [24, 56, 152, 368], "ss": [2] * 4, "bms": [1.0] * 4, "gws": [8] * 4}
    return anynet.AnyNet(
        stem_type="simple_stem_in",
        stem_w=32,
        block_type="res_bottleneck_block",
        se_r=0.25 if attention else None,
        nc=1000,
        **arguments,
    )


@pytest.mark.parametrize("attention", [False, True])
def test_pycls_regnet_with_channels_reversed(attention):
    attention_edit = ", attention=squeeze_excite(ratio=0.25, reference=input, position=after_mixer)"
    text = f"regnetx_002(depths=[2, 1, 1, 1]{attention_edit if attention else ''})"
    assert_same_answer(text, "pycls", lambda: pycls_anynet(attention), bgr=True)


def test_pycls_resnext_with_channels_reversed(monkeypatch):
    resnet = pytest.importorskip("pycls.models.resnet", reason="the authors' package pycls is not installed")
    config = resnet.cfg.clone()
    config.merge_from_list(["MODEL.DEPTH", 50, "MODEL.NUM_CLASSES", 1000, "RESNET.STRIDE_1X1", False])
    config.merge_from_list(["RESNET.TRANS_FUN", "bottleneck_transform", "RESNET.NUM_GROUPS", 32])
    config.merge_from_list(["RESNET.WIDTH_PER_GROUP", 4, "TRAIN.DATASET", "imagenet", "TEST.DATASET", "imagenet"])
    monkeypatch.setattr(resnet, "cfg", config)
    monkeypatch.setattr(resnet, "_IN_STAGE_DS", {50: (2, 1, 1, 1)})
    assert_same_answer(f"resnext50_32x4d{EDIT}", "pycls", resnet.ResNet, bgr=True)


def test_bgr_is_of_imagenet_networks_with_three_channels():
    weight = "stem.convs.0.conv.weight"
    for text, format, flipped in (
        ("regnetx_002", "pycls", True),
        ("regnetx_002", "detectron2", True),
        ("regnetx_002", "mmdet", True),
        ("regnetx_002", "timm", False),
        ("regnetx_002(in_channels=4)", "pycls", False),
        ("resnet20(shortcut=strided_conv)", "pycls", False),
        ("resnet20(shortcut=strided_conv)", "mm", False),
        ("resnet50", "mm", False),
    ):
        net = network(text)
        state = meta_state(net)
        state[weight] = torch.randn(state[weight].shape)
        (theirs,) = [value for value in from_ours(state, net, format).values() if not value.is_meta]
        assert torch.equal(theirs, state[weight].flip(1) if flipped else state[weight]), (text, format)


@pytest.mark.parametrize("entry", OPENMMLAB, ids=lambda entry: f"{entry['format']}-{entry['network'][:30]}")
def test_openmmlab_names_and_shapes(entry):
    """Lists made by OpenMMLab's own classes, see make_openmmlab.py."""
    net = network(entry["network"])
    theirs = {name: tuple(value.shape) for name, value in from_ours(meta_state(net), net, entry["format"]).items()}
    assert theirs == {name: tuple(shape) for name, shape in entry["state"].items()}
    bare = {name.removeprefix("backbone."): torch.empty(shape) for name, shape in entry["state"].items()}
    expected = meta_state(net) if entry["format"] == "mm" else without_head(meta_state(net))
    assert set(to_ours(bare, net, entry["format"], partial=True)) == set(expected)


def test_detectron2_resnest_names():
    """As read in chongruo/detectron2-ResNeSt, detectron2/modeling/backbone/{resnest,splat}.py; norms are FrozenBN."""
    norm = ("weight", "bias", "running_mean", "running_var")
    block = ["conv1", "conv2.conv", "conv3", "conv2_offset", "conv2.fc1", "conv2.fc2"]
    layers = [f"{name}.weight" for name in block] + ["conv2_offset.bias", "conv2.fc1.bias", "conv2.fc2.bias"]
    layers += [f"{name}.{part}" for name in ("conv1.norm", "conv2.bn0", "conv2.bn1", "conv3.norm") for part in norm]
    shortcut = ["shortcut.weight", *(f"shortcut.norm.{part}" for part in norm)]
    stem = [f"stem.conv1_{i}.{part}" for i in (1, 2, 3) for part in ("weight", *(f"norm.{part}" for part in norm))]
    expected = {*stem, *(f"res{i}.0.{name}" for i in (2, 3, 4, 5) for name in layers + shortcut)}
    net = network("resnest50(depths=[1, 1, 1, 1], mixer=split_attention(deformable=true), classes=0)")
    state = {name: value for name, value in meta_state(net).items() if not name.endswith("num_batches_tracked")}
    theirs = from_ours(state, net, "detectron2")
    assert {name for name in theirs if not name.endswith("num_batches_tracked")} == expected
    bare = {name: value for name, value in theirs.items() if name in expected}
    counters = [value for name, value in to_ours(bare, net).items() if name.endswith("num_batches_tracked")]
    assert counters
    assert all(counter.shape == () for counter in counters)


def test_detectron2_regnet_is_pycls_without_classifier():
    net = named("regnety_002")
    pycls = {name for name in from_ours(meta_state(net), net, "pycls") if not name.startswith("head.")}
    assert set(from_ours(meta_state(net), net, "detectron2")) == pycls


def test_official_dla_holds_tensors_nothing_uses():
    net = named("dla60_res2net")
    state = random_state(net, torch.float32)
    ours = from_ours(state, net, "timm")
    official = from_ours(state, net, "res2net")
    surplus = official.keys() - ours.keys()
    assert len(surplus) == 18
    assert {name.partition(".project")[0] for name in surplus} == {"level3", "level4", "level4.tree1"}
    assert sum(official[name].numel() for name in surplus if "running" not in name and "num" not in name) == 297_472
    assert not any(official[name].any() for name in surplus)
    assert recognise(official) == "res2net"
    assert_equal(to_ours(official, net), state)
    with pytest.raises(ValueError, match=r"surplus level3\.project\.0\.weight"):
        to_ours(official, net, "timm")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_round_trip_of_every_named_network(name):
    """Names and shapes, in every format that has the network; the format is recognised from the names."""
    net = NETWORKS[name]
    state = meta_state(net)
    for format in supported(net):
        theirs = from_ours(state, net, format)
        backbone = msgspec.structs.replace(net, head=msgspec.structs.replace(net.head, classes=0))
        back = to_ours(theirs, backbone if format in HEADLESS else net, format)
        expected = without_head(state) if format in HEADLESS else state
        assert {key: value.shape for key, value in back.items()} == {k: v.shape for k, v in expected.items()}
        found = recognise(theirs)
        assert found == format or {found, format} <= {"timm", "torchvision", "resnest", "res2net", "mmdet"}


@hypothesis.settings(max_examples=40)
@hypothesis.given(networks())
def test_round_trip_of_any_network(net):
    """Our names are those of the modules, and every format gives back what it took or refuses the network."""
    with torch.device("meta"):
        built = {name: tuple(value.shape) for name, value in build(net).state_dict().items()}
    assert shapes_of(net) == built
    state = random_state(net, torch.float32)
    for format in supported(net):
        back = to_ours(from_ours(state, net, format), net, format, partial=True)
        assert_equal(back, without_head(state) if format in HEADLESS else state)


def test_named_networks_have_the_names_of_their_modules():
    for net in {shallow(net) for net in NETWORKS.values()}:
        with torch.device("meta"):
            built = {name: tuple(value.shape) for name, value in build(net).state_dict().items()}
        assert shapes_of(net) == built


def shallow(net):
    """The network with at most two blocks in a chain."""
    stages = [
        stage
        if stage.arrangement.__struct_config__.tag == "tree"
        else msgspec.structs.replace(stage, depth=min(stage.depth, 2))
        for stage in net.stages
    ]
    return msgspec.structs.replace(net, stages=tuple(stages))


@pytest.mark.parametrize(("name", "file"), [("resnet20", "resnet20-12fca82f.th"), ("resnet56", "resnet56-4bfd9763.th")])
def test_real_cifar_weights(name, file, real_data):
    net = named(name)
    state = read_state(real_data / "weights" / file)
    assert recognise(state) == "pytorch_resnet_cifar10"
    ours = to_ours(state, net)
    model = build(net)
    model.load_state_dict(ours)
    assert torch.equal(model.fc.weight, state["linear.weight"])
    back = from_ours(ours, net, "pytorch_resnet_cifar10")
    assert not any(back[name] for name in back.keys() - state.keys())  # counters, which a file of 2018 has not
    assert_equal({name: back[name] for name in state}, state)
