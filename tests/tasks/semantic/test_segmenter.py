"""Segmenters of all families: sizes, batch 1, losses, averages over scales."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dorsal
from dorsal.nn.backbone import Backbone
from dorsal.nn.build import build
from dorsal.spec.adapt import with_output_stride
from dorsal.spec.layers import Feature
from dorsal.tasks.semantic.deeplab import DeepLabHead, FcnHead
from dorsal.tasks.semantic.fpn import FpnHead
from dorsal.tasks.semantic.inference import at_file_size, probabilities
from dorsal.tasks.semantic.segmenter import Segmenter, losses, pixel_cross_entropy
from dorsal.zoo import network

LEAN = "depths=[1, 1, 1, 1], widths=[32, 64, 64, 128]"
FAMILIES = {
    "resnet": f"resnet50({LEAN})",
    "res2net": f"res2net50_26w_4s({LEAN})",
    "resnest": f"resnest50({LEAN})",
    "regnet": "regnety_004(depths=[1, 1, 1, 1])",
}


def trunk(text: str, output_stride: int | None = None) -> Backbone:
    torch.manual_seed(0)
    net = network(text)
    return build(net if output_stride is None else with_output_stride(net, output_stride)).pyramid((1, 2, 3, 4))


def deeplab(text: str, output_stride: int, fine: bool = True, auxiliary: bool = False) -> Segmenter:
    maps = trunk(text, output_stride)
    head = DeepLabHead(maps.info, 5, channels=16, fine=fine, fine_channels=8)
    return Segmenter(maps, head, auxiliary=FcnHead(maps.info, 5) if auxiliary else None)


class Neck(nn.Module):
    """1x1 convolutions to equal channels: all that the head asks for."""

    def __init__(self, info: tuple[Feature, ...], channels: int = 16) -> None:
        super().__init__()
        self.info = tuple(Feature(level.name, channels, level.stride) for level in info)
        self.convs = nn.ModuleList(nn.Conv2d(level.channels, channels, 1) for level in info)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(conv(x) for conv, x in zip(self.convs, maps, strict=True))


def fpn(text: str, levels: tuple[int, ...] = (1, 2, 3, 4)) -> Segmenter:
    torch.manual_seed(0)
    maps = build(network(text)).pyramid(levels)
    neck = Neck(maps.info)
    return Segmenter(maps, FpnHead(neck.info, 5, channels=64), neck)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_deeplab_trains_at_batch_1_on_every_family(family: str, output_stride: int) -> None:
    model = deeplab(FAMILIES[family], output_stride, auxiliary=True).train()
    images, targets = torch.randn(1, 3, 50, 70), torch.randint(5, (1, 50, 70))
    assert model(images).shape == (1, 5, 50, 70)
    terms = losses(model, images, targets, auxiliary_weight=0.4)
    assert list(terms) == ["cross entropy", "auxiliary"]
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert model.eval()(images).isfinite().all()


@pytest.mark.parametrize("levels", [(1, 2, 3, 4), (1, 2, 3), (2, 3, 4)])
def test_an_fpn_of_any_levels_trains_at_batch_1(levels: tuple[int, ...]) -> None:
    model = fpn(FAMILIES["resnest"], levels).train()
    images, targets = torch.randn(1, 3, 33, 65), torch.randint(5, (1, 33, 65))
    (loss,) = losses(model, images, targets).values()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("make", [lambda: deeplab(FAMILIES["resnet"], 16), lambda: fpn(FAMILIES["resnet"])])
def test_an_image_of_odd_size_is_segmented_as_the_padded_one(make) -> None:
    model = make().eval()
    images = torch.randn(2, 3, 45, 83)
    padded = F.pad(images, (0, 96 - 83, 0, 64 - 45))
    with torch.no_grad():
        found, whole = model(images), model(padded)
    if isinstance(model.head, FpnHead):
        assert torch.equal(found, whole[..., :45, :83])
    assert found.shape == (2, 5, 45, 83)
    with torch.no_grad():  # of a size that needs no padding, logits are the head's, enlarged
        maps = model.neck(model.trunk(padded))
        expected = F.interpolate(model.head(maps), scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.equal(whole, expected)


def test_the_same_pixel_lies_at_the_same_place_in_images_of_any_size() -> None:
    """Maps lie on the image as their strides say: cropping an image moves nothing but what the crop's border sees."""
    model = deeplab("resnet18(depths=[1, 1, 1, 1], widths=[8, 8, 16, 16])", 16, fine=False).eval()
    model.head.aspp.pooled = nn.Sequential(nn.Conv2d(16, 16, 1).requires_grad_(False), nn.Threshold(1e9, 0.0))
    images = torch.randn(1, 3, 640, 640)
    with torch.no_grad():
        whole, cropped = model(images), model(images[..., :629, :635])
    assert (whole[..., :80, :80] - cropped[..., :80, :80]).abs().max() < 1e-5 * whole.abs().max()


def test_the_auxiliary_logits_are_asked_for() -> None:
    model = deeplab(FAMILIES["resnet"], 16, auxiliary=True).eval()
    images = torch.randn(1, 3, 40, 40)
    logits, auxiliary = model(images, auxiliary=True)
    assert logits.shape == auxiliary.shape == (1, 5, 40, 40)
    assert torch.equal(logits, model(images))
    with pytest.raises(ValueError, match="made without an auxiliary head"):
        deeplab(FAMILIES["resnet"], 16)(images, auxiliary=True)


def test_a_trunk_that_is_not_dilated_is_refused_by_its_strides() -> None:
    with pytest.raises(ValueError, match=r"strides 4, 8, 16, 32: head deeplab needs .* output_stride=16"):
        DeepLabHead(trunk(FAMILIES["resnet"]).info, 5)
    made = dorsal.create("resnet18", features=(1, 2, 3, 4), output_stride=16)
    assert Segmenter(made, DeepLabHead(made.info, 5)).multiple == 16


def test_the_loss_is_the_mean_over_pixels_that_have_a_class() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 4, 5, 6), torch.randint(4, (2, 5, 6))
    targets[0, :3] = targets[1, 4] = 255
    valid = targets != 255
    expected = F.cross_entropy(logits.permute(0, 2, 3, 1)[valid], targets[valid])
    assert torch.allclose(pixel_cross_entropy(logits, targets), expected)
    assert torch.allclose(pixel_cross_entropy(logits, targets.to(torch.uint8)), expected)
    wide = torch.where(valid, targets, 65535).to(torch.uint16)
    assert torch.allclose(pixel_cross_entropy(logits, wide, ignored=65535), expected)


def test_the_loss_of_images_without_a_class_is_0_and_so_are_its_gradients() -> None:
    model = deeplab(FAMILIES["resnet"], 16, auxiliary=True).train()
    terms = losses(model, torch.randn(2, 3, 32, 32), torch.full((2, 32, 32), 255), auxiliary_weight=0.4)
    assert not any(term.detach() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_the_auxiliary_loss_has_its_weight() -> None:
    model = deeplab(FAMILIES["resnet"], 16, auxiliary=True).eval()
    images, targets = torch.randn(2, 3, 32, 32), torch.randint(5, (2, 32, 32))
    main, auxiliary = model(images, auxiliary=True)
    terms = losses(model, images, targets, auxiliary_weight=0.4)
    assert torch.equal(terms["cross entropy"], pixel_cross_entropy(main, targets))
    assert torch.equal(terms["auxiliary"], 0.4 * pixel_cross_entropy(auxiliary, targets))
    assert list(losses(model, images, targets)) == ["cross entropy"]


def test_a_network_learns_a_batch_by_heart() -> None:
    model = deeplab("resnet18(depths=[1, 1, 1, 1], widths=[8, 16, 16, 32])", 16).train()
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    targets = (images[:, 0] > 0).long()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    values = []
    for _ in range(30):
        (loss,) = losses(model, images, targets).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.5 * values[0]


class Columns(nn.Module):
    """A segmenter whose logits are the image's channels, so that averages can be told by hand; it counts its calls."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images


def test_probabilities_are_the_mean_of_softmaxes_over_scales_and_mirror_images() -> None:
    images = torch.randn(2, 3, 8, 12)
    model = Columns()
    assert torch.allclose(probabilities(model, images), images.softmax(1))
    assert torch.allclose(probabilities(model, images, flip=True), images.softmax(1), atol=1e-6)
    assert model.calls == 3
    small = F.interpolate(images, size=(4, 6), mode="bilinear", align_corners=False).softmax(1)
    small = F.interpolate(small, size=(8, 12), mode="bilinear", align_corners=False)
    found = probabilities(model, images, scales=(0.5, 1.0), flip=True)
    assert torch.allclose(found, (small + images.softmax(1)) / 2, atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(2, 8, 12))


def test_what_is_averaged_over_mirror_images_is_mirrored_with_the_image() -> None:
    model = deeplab(FAMILIES["resnet"], 16).eval()
    images = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        once, mirrored = probabilities(model, images, flip=True), probabilities(model, images.flip(-1), flip=True)
    assert torch.allclose(once, mirrored.flip(-1), atol=1e-6)


@pytest.mark.parametrize("scales", [(), (1.0, 0.0)])
def test_scales_that_are_none_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be one or more numbers above 0"):
        probabilities(Columns(), torch.zeros(1, 2, 4, 4), scales)


def test_padding_is_cut_off_before_an_image_gets_its_files_size() -> None:
    found = torch.full((2, 8, 8), 7.0)
    found[:, :4, :6] = torch.arange(4.0)[:, None]
    assert torch.equal(at_file_size(found, (4, 6), (4, 6)), found[:, :4, :6])
    assert at_file_size(found, (4, 6), (8, 12)).shape == (2, 8, 12)
    assert at_file_size(found, (4, 6), (8, 12)).max() == 3
