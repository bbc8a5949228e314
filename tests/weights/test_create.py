"""Networks ready to use: what `create` loads, changes, leaves fresh and refuses."""

import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

import dorsal
from dorsal.nn.build import build
from dorsal.nn.norms import SyncBatchNorm
from dorsal.spec.network import to_json
from dorsal.spec.text import edit
from dorsal.weights.create import create
from dorsal.weights.fill import adapt_stem
from dorsal.weights.formats import from_ours, to_ours
from dorsal.weights.published import published
from dorsal.weights.read import read_state
from dorsal.weights.saved import save_model
from dorsal.zoo import named, network
from tests.random_state import randomised
from tests.weights.test_saved import card_of

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NET = "resnest14(classes=5)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained model of ours on disk, and the module."""
    where = tmp_path_factory.mktemp("model")
    net = network(NET)
    torch.manual_seed(0)
    model = build(net).eval()
    model.load_state_dict(randomised(model.state_dict()))
    save_model(where, model, card_of(net, ("a", "b", "c", "d", "e")))
    return where, model


def test_without_weights_it_is_build():
    torch.manual_seed(3)
    made = create("resnest14", classes=5)
    torch.manual_seed(3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(made.state_dict().values(), build(network(NET)).state_dict().values(), strict=True)
    )
    assert dorsal.create is create


def test_weights_from_a_folder_and_as_a_pyramid(folder):
    where, model = folder
    whole = create(NET, weights=where).eval()
    assert torch.equal(whole(IMAGES), model(IMAGES))
    pyramid = create(NET, weights=str(where), features=(1, 3)).eval()
    assert [(level.name, level.channels, level.stride) for level in pyramid.info] == [
        ("stage1", 256, 4),
        ("stage3", 1024, 16),
    ]
    for mine, other in zip(pyramid(IMAGES), (model.features(IMAGES)[1], model.features(IMAGES)[3]), strict=True):
        assert torch.equal(mine, other)
    assert not any(key.startswith(("fc", "stages.3")) for key in pyramid.state_dict())
    nodes = create(NET, weights=where, features=("stages.0.0.mixer", "stages.1")).eval()
    assert torch.allclose(nodes(IMAGES)[1], model.features(IMAGES)[2], rtol=1e-4, atol=1e-5)
    assert [level.channels for level in nodes.info] == [64, 512]


def test_loading_draws_no_random_numbers_and_leaves_nothing_on_meta(folder):
    before = torch.random.get_rng_state()
    model = create(NET, weights=folder[0])
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any(value.is_meta for value in model.state_dict().values())
    assert all(p.requires_grad for p in model.parameters())
    assert model.training


@pytest.mark.parametrize("made_by", ["timm", "resnest"])
def test_weights_from_a_file_of_another_package(folder, tmp_path, made_by):
    file = tmp_path / "foreign.pth"
    torch.save({"state_dict": from_ours(folder[1].state_dict(), network(NET), made_by)}, file)
    assert torch.equal(create(NET, weights=file).eval()(IMAGES), folder[1](IMAGES))


def test_weights_in_half_precision_become_what_fresh_parts_are(folder, tmp_path):
    file = tmp_path / "half.pth"
    torch.save(
        {key: value.half() if value.is_floating_point() else value for key, value in folder[1].state_dict().items()},
        file,
    )
    model = create(NET, weights=file, classes=3)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model(IMAGES).shape == (2, 3)


def test_weights_by_the_id_of_a_published_checkpoint(tmp_path, monkeypatch, real_data):
    """From a local folder, with no network."""
    shutil.copy(real_data / "weights" / "resnet20-12fca82f.th", tmp_path)
    monkeypatch.setenv("DORSAL_WEIGHTS", str(tmp_path))
    entry = next(entry for entry in published() if entry.file == "resnet20-12fca82f.th")
    model = create("resnet20", weights=entry.id, features=(3,))
    assert [(level.channels, level.stride) for level in model.info] == [(64, 4)]
    with pytest.raises(
        ValueError, match=r"are of another network: depths is \[9, 9, 9\] and in the weights \[3, 3, 3\]"
    ):
        create("resnet56", weights=entry.id)


def test_another_number_of_classes_makes_a_new_classifier_and_keeps_the_rest(folder):
    where, model = folder
    made = create(NET, weights=where, classes=9)
    assert made.fc.weight.shape == (9, 2048)
    assert 0.005 < made.fc.weight.std() < 0.015
    assert torch.equal(made.fc.bias, torch.zeros(9))
    for key, value in model.state_dict().items():
        assert key.startswith("fc.") or torch.equal(made.state_dict()[key], value)
    pooled = create(NET, weights=where, classes=0).eval()
    assert torch.equal(pooled(IMAGES), model.features(IMAGES)[-1].mean((2, 3)))


def test_classes_and_channels_are_the_weights_own_unless_written_out(folder, tmp_path):
    """From a folder and from a file alike; whether by the text, by a network or by an argument."""
    where, model = folder
    file = tmp_path / "own.pth"
    torch.save({"model_state_dict": from_ours(model.state_dict(), model.network, "timm")}, file)
    for weights in (where, file):
        for name in ("resnest14", named("resnest14")):
            assert torch.equal(create(name, weights=weights).eval()(IMAGES), model(IMAGES))
        for name in ("resnest14(classes=9)", network("resnest14(classes=9)")):
            assert create(name, weights=weights).fc.out_features == 9
        assert create("resnest14(classes=9)", weights=weights, classes=5).fc.weight.equal(model.fc.weight)
        assert create("resnest14(in_channels=1)", weights=weights).network.in_channels == 1
        assert create("resnest14", weights=weights, features=(4,)).network == model.network


def test_weights_of_one_channel(tmp_path):
    net = network("resnet18(depths=[1, 1], widths=[4, 8], strides=[1, 2], classes=3, in_channels=1)")
    grey = build(net)
    name = "resnet18(depths=[1, 1], widths=[4, 8], strides=[1, 2])"
    file = tmp_path / "grey.pth"
    torch.save(from_ours(grey.state_dict(), net, "torchvision"), file)
    assert create(name, weights=file).network == net
    with pytest.raises(ValueError, match="in_channels=3: the weights take in_channels=1, which fits"):
        create(name, weights=file, in_channels=3)
    with pytest.raises(ValueError, match=r"the file has in_channels=1, classes=3 and the network .* would fit$"):
        to_ours(read_state(file), network(name))


OTHER_HEADS = {
    "an MLP": {"fc.0.weight": torch.ones(8, 8), "fc.2.weight": torch.ones(4, 8)},
    "of another width": {"fc.weight": torch.ones(4, 3)},
    "of another name": {"linear.weight": torch.ones(4, 2048), "linear.bias": torch.ones(4)},
}


@pytest.mark.parametrize("head", OTHER_HEADS.values(), ids=OTHER_HEADS)
def test_a_trunk_is_taken_from_a_file_with_another_head(folder, tmp_path, head):
    model = folder[1]
    state = from_ours(model.state_dict(), model.network, "timm")
    trunk = {key: value for key, value in state.items() if not key.startswith("fc.")}
    file = tmp_path / "other.pth"
    torch.save({"state_dict": {f"net.{key}": value for key, value in (trunk | head).items()}}, file)
    said = f"other.pth: took the tensors under 'state_dict' whose names begin 'net.'; left {next(iter(head))}"
    with pytest.warns(UserWarning, match=re.escape(said)):
        pyramid = create("resnest14", weights=file, features=(1, 4)).eval()
    assert torch.equal(pyramid(IMAGES)[1], model.features(IMAGES)[4])
    with pytest.warns(UserWarning, match="left"):
        made = create("resnest14", weights=file, classes=7)
    assert made.fc.out_features == 7
    with pytest.raises(ValueError, match="the weights have no classifier: say classes=… for a new one, classes=0"):
        create("resnest14", weights=file)


def test_a_detectors_backbone_is_taken_and_its_neck_is_said(folder, tmp_path):
    model = folder[1]
    state = {
        f"backbone.{k}": v for k, v in from_ours(model.state_dict(), model.network, "timm").items() if k[:2] != "fc"
    }
    torch.save({"model": state | {"fpn.weight": torch.ones(3)}}, tmp_path / "detector.pth")
    with pytest.warns(UserWarning, match=r"whose names begin 'backbone\.'; left fpn\.weight$"):
        pyramid = create("resnest14", weights=tmp_path / "detector.pth", features=(2,)).eval()
    assert torch.equal(pyramid(IMAGES)[0], model.features(IMAGES)[2])


def test_a_deeper_network_is_not_taken_for_a_trunk_with_another_head(tmp_path):
    shallow, deep = (f"resnet18(depths=[1, {n}], widths=[4, 8], strides=[1, 2])" for n in (1, 2))
    net = network(deep)
    torch.save(from_ours(build(net).state_dict(), net, "torchvision"), tmp_path / "deep.pth")
    with pytest.raises(ValueError, match=r"is not of this network: surplus layer2\.1\.conv1\.weight"):
        create(shallow, weights=tmp_path / "deep.pth")


def test_state_and_prefix_choose_in_a_file(folder, tmp_path):
    state = from_ours(folder[1].state_dict(), network(NET), "timm")
    file = tmp_path / "two.pth"
    average = {f"module.{key}": value * 2 for key, value in state.items()}
    torch.save({"model": state, "ema": average}, file)
    with pytest.raises(ValueError, match="2 sets of weights; choose one by state"):
        create(NET, weights=file)
    made = create(NET, weights=file, state="ema", prefix="module.")
    assert torch.equal(made.fc.bias, 2 * folder[1].fc.bias)
    for weights in (folder[0], "resnest14.gluon_in1k", None):
        with pytest.raises(ValueError, match="state and prefix choose in a checkpoint file"):
            create(NET, weights=weights, state="ema")


def test_weights_that_are_not_finite_are_refused_by_name(folder, tmp_path):
    state = {key: value.clone() for key, value in folder[1].state_dict().items()}
    state["fc.bias"][0] = float("nan")
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"bad\.pth has values that are not finite .* in fc\.bias$"):
        create(NET, weights=tmp_path / "bad.pth")


def test_a_network_may_be_given_as_a_value_a_text_or_a_path(tmp_path):
    (tmp_path / "net.json").write_text(to_json(network(NET)))
    for name in (network(NET), NET, tmp_path / "net.json", str(tmp_path / "net.json")):
        with torch.device("meta"):
            assert create(name).network == network(NET)


def test_what_is_no_network_is_answered_with_what_was_meant(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    (tmp_path / "best.pth").write_bytes(b"x")
    where = str(folder[0])
    answers = {
        where: f"is a model's folder; dorsal.load_model({where!r}) loads it, and dorsal.create('{NET}', weights=",
        "study": "'study' is a study's folder, not a network; dorsal.load('study') reads it",
        "best.pth": "'best.pth' is a file; name its network too, as in dorsal.create('resnet50', weights='best.pth')",
        str(tmp_path): "is a folder without a model",
        "runs/m": "'runs/m' is no file or folder, nor the text of a network, such as resnet50",
        Path("gone"): "'gone' is no file or folder",
        "gone.json": "network file 'gone.json' does not exist",
    }
    for name, message in answers.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            create(name)
    with pytest.raises(TypeError, match="name=3 is of type int; it must be a network, its text such as 'resnet50'"):
        create(3)


def test_what_are_no_weights_is_said():
    for weights in ("runs/m", "gone.pth", "gone.safetensors", Path("gone/m")):
        with pytest.raises(ValueError, match=f"weights='{weights}': there is no such file or folder"):
            create(NET, weights=weights)
    with pytest.raises(TypeError, match="weights=3 is of type int; it must be an id of `dorsal weights list`"):
        create(NET, weights=3)
    with pytest.raises(ValueError, match=r"features=3 must be a tuple: features=\(3,\)"):
        create(NET, features=3)


def test_one_channel_answers_as_a_repeated_grey_image_does(folder):
    where, model = folder
    grey = IMAGES[:, :1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = create(NET, weights=where, in_channels=1).eval()
    assert torch.allclose(made(grey), model(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_extra_channels_start_unused_and_learn(folder):
    where, model = folder
    with pytest.warns(UserWarning, match="in_channels=5: the first three are taken to be red, green and blue"):
        made = create(NET, weights=where, in_channels=5).eval()
    more = torch.cat((IMAGES, torch.randn(2, 2, 64, 64)), 1)
    assert torch.allclose(made(more), model(IMAGES), rtol=1e-4, atol=1e-5)
    made(more).square().sum().backward()
    assert made.stem.convs[0].conv.weight.grad[:, 3:].abs().min() > 0
    with pytest.warns(UserWarning, match="in_channels=2: .* a guess"):
        assert adapt_stem(torch.ones(4, 3, 3, 3), 2).sum() == 4 * 27


@pytest.mark.parametrize("stride", [8, 16])
def test_output_stride_keeps_the_weights(folder, stride):
    where, model = folder
    made = create(NET, weights=where, output_stride=stride, features=(1, 2, 3, 4)).eval()
    assert [level.stride for level in made.info] == [min(s, stride) for s in (4, 8, 16, 32)]
    assert torch.equal(made(IMAGES)[0], model.features(IMAGES)[1])


def test_deformable_stages_keep_all_weights_but_have_new_offsets(folder):
    where, model = folder
    made = create(NET, weights=where, deformable=(3, 4))
    fresh = set(made.state_dict()) - set(model.state_dict())
    assert {key.split(".")[1] for key in fresh} == {"2", "3"}
    assert all(".offset." in key for key in fresh)
    assert all(not made.state_dict()[key].any() for key in fresh)
    assert all(torch.equal(made.state_dict()[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("norm", "kind"), [("frozen", FrozenBatchNorm2d), ("sync", SyncBatchNorm)])
def test_norm_policies_with_weights(folder, norm, kind):
    where, model = folder
    made = create(NET, weights=where, norm=norm).eval()
    assert sum(isinstance(m, kind) for m in made.modules()) == sum(
        isinstance(m, nn.BatchNorm2d) for m in model.modules()
    )
    assert torch.allclose(made(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4)
    assert not any(value.is_meta for value in made.state_dict().values())


def test_freeze_and_checkpointing_reach_the_pyramid(folder):
    made = create(NET, weights=folder[0], freeze=2, checkpointing=True, features=(1, 2, 3, 4)).train()
    sum(level.sum() for level in made(IMAGES)).backward()
    assert all(p.grad is None for m in (made.stem, made.stages[0]) for p in m.parameters())
    assert all(p.grad is not None for p in made.stages[1].parameters())
    assert not made.stages[0][0].expand.norm.training
    assert made.stages[1][0].checkpointing


def test_on_meta_nothing_is_allocated(folder):
    with torch.device("meta"):
        assert all(p.is_meta for p in create("resnest269").parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnest15"}, r"unknown network 'resnest15'.*resnest14"),
        ({"features": (1, 5)}, "features level 5 does not exist; valid: 0 .stem. to 4"),
        ({"features": ()}, r"features=\(\) asks for no level"),
        ({"features": (1, "stages.0")}, "mixes levels and names"),
        ({"features": ("stages.0.0.mixr",)}, "did you mean stages.0.0.mixer"),
        ({"output_stride": 12}, "output_stride=12 is not one this network can have; valid: 4, 8, 16, 32"),
        ({"deformable": (7,)}, "deformable stage 7 does not exist; valid: 1 to 4"),
        ({"norm": "frozn"}, "norm='frozn' is not known.*did you mean frozen"),
        ({"freeze": 6}, r"freeze=6 must be from 0 .nothing. to 5"),
        ({"classes": -1}, "classes=-1 is below 0"),
        ({"in_channels": 0}, "in_channels=0 is below 1"),
        ({"drop_path": 1.0}, "drop_path=1.0 must be at least 0 and below 1"),
        ({"weights": "resnest14.nobody"}, r"resnest14\.nobody"),
        ({"weights": "resnest50.official_in1k", "norm": "group"}, "norm='group' with weights"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_fetched(changes, message, monkeypatch):
    def no_fetch(*_, **__):
        raise AssertionError("fetched")

    monkeypatch.setattr("dorsal.weights.fetch.fetch", no_fetch)
    with pytest.raises(ValueError, match=message):
        create(**{"name": "resnest14", **changes})


def test_a_device_that_is_not_there_is_refused_by_torch():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises((RuntimeError, AssertionError), match=r"CUDA|NVIDIA"), torch.device("cuda"):
        create("resnet18")


def test_weights_of_another_network_are_named(folder):
    with pytest.raises(ValueError, match=r"weights=.* are of another network: depths"):
        create("resnest26", weights=folder[0], classes=5)
    assert edit(named("resnest14"), {"classes": 5}) == network(NET)
