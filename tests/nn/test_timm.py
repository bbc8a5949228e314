"""Networks of timm: costs agree where both have a network, features are as stated, rates act or are refused."""

import sys

import pytest
import timm
import torch
from torch import nn

from dorsal.nn.timm import TimmBackbone, build_timm, timm_cost, timm_features
from dorsal.spec.cost import cost
from dorsal.spec.layers import features
from dorsal.spec.timm import TimmNetwork
from dorsal.zoo import named

BOTH = [
    ("resnet50", "resnet50"),
    ("regnety_004", "regnety_004"),
    ("resnest50d", "resnest50"),
    ("res2net50_26w_4s", "res2net50_26w_4s"),
    ("skresnet18", "skresnet18"),
]
OTHERS = ["efficientnet_b0", "mobilenetv3_small_100", "vgg11", "densenet121", "hrnet_w18_small", "convnext_atto"]


def on_meta(network: TimmNetwork, **rates: float) -> TimmBackbone:
    with torch.device("meta"):
        return build_timm(network, **rates)


@pytest.mark.parametrize(("theirs", "ours"), BOTH)
@pytest.mark.parametrize("size", [224, (97, 130)])
def test_cost_of_a_network_that_both_have_is_the_same_to_the_last_count(
    theirs: str, ours: str, size: int | tuple[int, int]
) -> None:
    assert timm_cost(TimmNetwork(theirs), size) == cost(named(ours), size)


def test_features_of_a_network_that_both_have_are_the_same() -> None:
    theirs, ours = timm_features(TimmNetwork("resnet50")), features(named("resnet50"))
    assert [(level.channels, level.stride) for level in theirs] == [(level.channels, level.stride) for level in ours]


def test_published_cost() -> None:
    """EfficientNet-B0 (arXiv 1905.11946 table 2): 5.3 M parameters, 0.39 G multiply-adds."""
    found = timm_cost(TimmNetwork("efficientnet_b0"))
    assert (round(found.params / 1e6, 1), round(found.macs / 1e9, 2)) == (5.3, 0.39)


def test_products_of_attention_count_as_macs() -> None:
    """vit_tiny at 224: 197 tokens of width 192; 12 blocks of 12 * 192² per token in linear layers and 2 * 197 * 192 per
    token in attention; 196 patches of 16x16x3, and a classifier."""
    tokens, width = 197, 192
    blocks = 12 * tokens * (12 * width**2 + 2 * tokens * width)
    assert timm_cost(TimmNetwork("vit_tiny_patch16_224")).macs == blocks + 196 * 768 * width + 1000 * width


@pytest.mark.parametrize("name", OTHERS)
def test_features_are_as_stated_and_as_timm_returns_them(name: str) -> None:
    model = on_meta(TimmNetwork(name, classes=7, in_channels=4)).eval()
    images = torch.empty(2, 4, 64, 96, device="meta")
    assert model(images).shape == (2, 7)
    maps = model.features(images)
    assert [level.channels for level in model.info] == [x.shape[1] for x in maps]
    for level, x in zip(model.info, maps, strict=True):
        assert x.shape[2:] == (64 // level.stride, 96 // level.stride)
    with torch.device("meta"):
        extractor = timm.create_model(name, features_only=True, in_chans=4).eval()
    returned = [x.shape for x in extractor(images)]
    assert [x.shape for x in maps if x.shape in returned] == returned


def test_initialisation_repeats_with_the_seed_and_every_parameter_gets_a_gradient() -> None:
    def made(seed: int) -> TimmBackbone:
        torch.manual_seed(seed)
        return build_timm(TimmNetwork("mobilenetv3_small_050", classes=3))

    first, again, other = made(1), made(1), made(2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    first(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in first.parameters())


@pytest.mark.parametrize("rates", [{}, {"drop_path": 0.9}, {"dropout": 0.9}], ids=str)
def test_a_rate_that_is_taken_acts_in_training_and_only_there(rates: dict[str, float]) -> None:
    torch.manual_seed(0)
    model = build_timm(TimmNetwork("res2net50_14w_8s", classes=3), **rates).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts each block as its shortcut, which hides a dropped branch
            module.eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(model(images), model(images)) == (not rates)
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize(
    ("name", "rates", "says"),
    [
        ("vgg11", {"drop_path": 0.1}, "drop_path=0.1 would do nothing in timm:vgg11; nearest valid: drop_path=0"),
        ("hrnet_w18", {"drop_path": 0.1}, "drop_path=0.1 would do nothing in timm:hrnet_w18"),
        ("resnet18", {"drop_block": 0.1}, "drop_block=0.1 would do nothing in timm:resnet18"),
        ("resnet51", {}, "timm:resnet51 is not a model of timm; did you mean .*resnet50"),
        ("resnet50.a1_in1k", {}, r"is not a model of timm; weights stand after an @: timm:resnet50@a1_in1k"),
        ("qqqq", {}, r"timm:qqqq is not a model of timm; there are [\d,]+, see `timm.list_models\(\)`"),
    ],
)
def test_what_timm_does_not_know_or_would_not_use_is_refused(name: str, rates: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        on_meta(TimmNetwork(name), **rates)


def test_a_rate_that_a_model_swallows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def swallow(name: str, num_classes: int, in_chans: int, **_: float) -> nn.Module:
        return create(name, num_classes=num_classes, in_chans=in_chans)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", swallow)
    for field in ("drop_path", "dropout"):
        with pytest.raises(ValueError, match=f"{field}=0.1 would do nothing in timm:resnet18"):
            on_meta(TimmNetwork("resnet18"), **{field: 0.1})


def test_images_that_do_not_suit_are_refused_with_the_size_that_does() -> None:
    with pytest.raises(
        ValueError, match=r"image_size=48 does not suit timm:vit_tiny.*, which timm made for 224: Input"
    ):
        timm_cost(TimmNetwork("vit_tiny_patch16_224"), 48)


def test_a_model_without_feature_maps_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("timm.models.vgg.VGG.forward_intermediates")
    model = on_meta(TimmNetwork("vgg11"))
    assert model.info == ()
    with pytest.raises(ValueError, match="timm:vgg11 gives no feature maps"):
        model.features(torch.empty(1, 3, 32, 32, device="meta"))


def test_without_timm_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match=r"^timm:vgg11 needs an extra: pip install 'dorsal\[timm\]'$"):
        build_timm(TimmNetwork("vgg11"))
