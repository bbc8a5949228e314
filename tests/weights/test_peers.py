"""Our networks inside timm and segmentation_models.pytorch, tested with those packages."""

import pytest
import torch

import dorsal
from dorsal.nn.build import build
from dorsal.weights.formats import from_ours
from dorsal.zoo import NETWORKS, network

timm = pytest.importorskip("timm", reason="timm is in the test extra")
smp = pytest.importorskip("segmentation_models_pytorch", reason="it is in the test extra")
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def _registered():
    dorsal.register_timm()


def test_every_network_is_listed_and_registering_again_adds_none():
    assert dorsal.register_timm() == []
    assert set(timm.list_models("dorsal_*")) == {f"dorsal_{name}" for name in NETWORKS}


@pytest.mark.parametrize(
    "name", ["resnet18", "resnest14", "res2net50_26w_4s", "regnety_002", "dla60_res2net", "regnetz_005"]
)
def test_create_model_classifies_as_ours_and_as_timms(name):
    model = timm.create_model(f"dorsal_{name}", num_classes=7, drop_rate=0.1, drop_path_rate=0.1).eval()
    body = model.body
    assert torch.equal(model(IMAGES), body(IMAGES))
    assert model.num_features == timm.create_model(name if timm.is_model(name) else f"{name}d").num_features
    assert model.forward_head(model.forward_features(IMAGES), pre_logits=True).shape == (2, model.num_features)
    model.reset_classifier(3)
    assert model(IMAGES).shape == (2, 3)
    assert model.get_classifier().out_features == 3
    model.reset_classifier(0)
    assert model(IMAGES).shape == (2, model.num_features)


def test_features_only_is_described_as_timm_describes_it():
    model = timm.create_model("dorsal_resnest14", features_only=True, out_indices=(1, -1), output_stride=16, in_chans=4)
    maps = model(torch.randn(2, 4, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(256, 16, 16), (2048, 4, 4)]
    assert model.feature_info.channels() == [256, 2048]
    assert model.feature_info.reduction() == [4, 16]
    theirs = timm.create_model("resnest14d", features_only=True)
    ours = timm.create_model("dorsal_resnest14", features_only=True)
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()


def test_timms_tools_work_on_it():
    from timm.optim import create_optimizer_v2
    from timm.utils import ModelEmaV3

    model = timm.create_model("dorsal_resnest14", num_classes=5)
    optimizer = create_optimizer_v2(model, "sgd", lr=0.1, weight_decay=0.1, layer_decay=0.5)
    scales = sorted({group["lr_scale"] for group in optimizer.param_groups})
    assert len(scales) == 6  # stem, four blocks, head
    average = ModelEmaV3(model)
    model.set_grad_checkpointing()
    model.train()(IMAGES).sum().backward()
    optimizer.step()
    average.update(model)
    assert all(p.grad is not None for p in model.parameters())


def test_pretrained_takes_our_published_weights(tmp_path, monkeypatch, real_data):
    import shutil

    shutil.copy(real_data / "weights" / "resnet20-12fca82f.th", tmp_path)
    monkeypatch.setenv("DORSAL_WEIGHTS", str(tmp_path))
    model = timm.create_model("dorsal_resnet20", pretrained=True).eval()
    expected = dorsal.create("resnet20", weights=next(e.id for e in _published() if e.network == "resnet20")).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), expected(images))
    tag = next(e.id for e in _published() if e.network == "resnet20").partition(".")[2]
    assert torch.equal(timm.create_model(f"dorsal_resnet20.{tag}", pretrained=True).eval()(images), expected(images))
    with pytest.raises(ValueError, match=r"resnet20\.nobody"):
        timm.create_model("dorsal_resnet20.nobody", pretrained=True)
    with pytest.raises(ValueError, match="no published weights of 'small' are known"):
        timm.create_model("dorsal_small", pretrained=True)


def _published():
    from dorsal.weights.published import published

    return published()


def test_an_option_that_is_not_ours_is_an_error():
    with pytest.raises(TypeError, match="block_fn"):
        timm.create_model("dorsal_resnest14", block_fn="basic")


ENCODERS = [
    "resnest14",
    "regnety_002",
    "dla60_res2net(depths=[2, 2, 2, 2])",
    "res2net50d(depths=[1, 1, 1, 1])",
    "regnetz_005",
]


@pytest.mark.parametrize("text", ENCODERS)
@pytest.mark.parametrize("architecture", ["Unet", "DeepLabV3Plus", "FPN"])
def test_segmentation_models_take_any_network_as_encoder(text, architecture):
    name = dorsal.register_smp(text)
    model = getattr(smp, architecture)(name, encoder_weights=None, classes=5, in_channels=4)
    images = torch.randn(2, 4, 64, 96)
    masks = model(images)
    assert masks.shape == (2, 5, 64, 96)
    masks.square().mean().backward()
    # Deeplab reads no map at stride 2 or 8; everything before the last map still learns.
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert model.encoder.out_channels == [4, *(level.channels for level in model.encoder.body.info)]
    if architecture == "DeepLabV3Plus":
        assert model.encoder(images)[-1].shape[-1] == 96 // 16


def test_encoder_maps_are_ours_and_a_smaller_depth_builds_less():
    torch.manual_seed(0)
    model = smp.Unet(
        dorsal.register_smp("resnest14"), encoder_weights=None, encoder_depth=3, decoder_channels=(64, 32, 16)
    ).eval()
    maps = model.encoder(IMAGES)
    assert torch.equal(maps[0], IMAGES)
    assert [m.shape[2] for m in maps] == [64, 32, 16, 8]
    assert len(model.encoder.body.stages) == 2


def test_weights_of_an_encoder_are_said_when_it_is_registered(tmp_path, monkeypatch):
    from dorsal.weights.saved import save_model
    from tests.random_state import randomised
    from tests.weights.test_saved import card_of

    net = network("resnest14(classes=2)")
    saved = build(net).eval()
    saved.load_state_dict(randomised(saved.state_dict()))
    save_model(tmp_path, saved, card_of(net, ("a", "b")))
    name = dorsal.register_smp("resnest14(classes=2)", weights=str(tmp_path))
    model = smp.Unet(name, encoder_weights=None).eval()
    for mine, other in zip(model.encoder(IMAGES)[1:], saved.features(IMAGES), strict=True):
        assert torch.equal(mine, other)


def test_an_encoder_has_its_weights_channels(tmp_path):
    """The model's default is three channels, and of one channel's weights it is told what fits."""
    text = "resnet18(depths=[1, 1, 1, 1], widths=[8, 8, 8, 8])"
    net = network(f"{text[:-1]}, in_channels=1, classes=2)")
    state = from_ours(build(net).state_dict(), net, "torchvision")
    torch.save({"net": state, "ema": state | {"fc.bias": torch.ones(2)}}, tmp_path / "grey.pth")
    name = dorsal.register_smp(text, weights=tmp_path / "grey.pth", state="ema")
    model = smp.FPN(name, encoder_weights=None, in_channels=1).eval()
    assert torch.equal(model.encoder.body.stem.convs[0].conv.weight, state["conv1.weight"])
    assert model.encoder.out_channels[0] == 1
    with pytest.raises(ValueError, match="in_channels=3: the weights take in_channels=1"):
        smp.FPN(name, encoder_weights=None)


def test_what_is_no_encoder_is_refused_when_it_is_registered(tmp_path):
    with pytest.raises(ValueError, match="'resnet20' has maps at strides 1, 1, 2, 4, and an encoder needs 2, 4, 8, 16"):
        dorsal.register_smp("resnet20")
    with pytest.raises(ValueError, match=r"'small' has maps at strides 2, 4, 8, 16, and .*; resnet18 has them"):
        dorsal.register_smp("small")
    with pytest.raises(ValueError, match="there is no such file or folder"):
        dorsal.register_smp("resnet18", weights=tmp_path / "gone")
    net = network("resnet18")
    bad = from_ours(build(net).state_dict(), net, "timm")
    bad["bn1.bias"][0] = float("inf")
    torch.save(bad, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"not finite .* in bn1\.bias"):
        dorsal.register_smp("resnet18", weights=tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="is no file or folder"):
        dorsal.register_smp("runs/m")
