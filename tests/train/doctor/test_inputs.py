"""Mistakes in how images are prepared are named, sound preparations are not, and the network stays as it was."""

import copy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

import dorsal
from dorsal.spec.preprocessing import IMAGENET, Preprocessing
from dorsal.train.doctor.finding import Finding
from dorsal.train.doctor.inputs import compare_contract, examine_inputs, refusal
from tests.train.tiny import make_data, make_network

MEAN, STD = IMAGENET.mean, IMAGENET.std
RIGHT = Preprocessing(image_size=32, resize=32)


def prepared(mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD, **given: object) -> Preprocessing:
    return Preprocessing(image_size=32, resize=32, mean=mean, std=std, **given)  # type: ignore[arg-type]


def times(factor: float, values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(factor * value for value in values)


def pictures(seed: int, count: int = 64) -> Tensor:
    """uint8 [count, 3, 32, 32]: smooth patches with about the mean and deviation of photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    smooth = 1.3 * F.interpolate(coarse, (32, 32), mode="bicubic")
    values = smooth * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    return (255 * values).round().clamp(0, 255).to(torch.uint8)


def settled(model: nn.Module, preprocessing: Preprocessing = RIGHT) -> nn.Module:
    """The network with running statistics of pictures, as training leaves them."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        model.train()((pictures(1) / 255 - mean) / std)
    return model.eval()


def statistics(model: nn.Module, images: Tensor, preprocessing: Preprocessing = RIGHT) -> Finding:
    found = examine_inputs(model, images, preprocessing)[1]
    assert found.check == "inputs/statistics"
    return found


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return settled(dorsal.build(make_network()))


@pytest.mark.parametrize("name", ["resnet_small", "resnest_small", "res2net_small", "regnety_small"])
def test_a_sound_set_up_of_each_family_is_sound(name):
    torch.manual_seed(0)
    model = settled(dorsal.build(dorsal.network(name)))
    contract, found, colors = examine_inputs(model, pictures(2), RIGHT, card=RIGHT)
    assert {contract.verdict, found.verdict, colors.verdict} == {"sound"}, found
    assert {contract.advice, found.advice, colors.advice} == {""}
    assert refusal([contract, found, colors]) is None


@pytest.mark.parametrize(
    ("done", "named", "wanted"),
    [
        (prepared(times(1 / 255, MEAN), times(1 / 255, STD)), "not divided by 255", RIGHT),
        (prepared((0.0,) * 3, (1 / 255,) * 3), "not divided by 255", RIGHT),
        (prepared(times(255, MEAN), times(255, STD)), "divided by 255 twice", RIGHT),
        (prepared((0.0,) * 3, (1.0,) * 3), "not normalized", RIGHT),
        (prepared(MEAN, (1.0,) * 3), "not divided by a std", RIGHT),
        (prepared((0.5,) * 3, (0.5,) * 3), "mean and std of other weights", RIGHT),
        (RIGHT, "mean and std of other weights", prepared((0.5,) * 3, (0.5,) * 3)),
        (RIGHT, "weights want values of 0 to 255", prepared(MEAN, (1 / 255,) * 3)),
    ],
)
def test_a_mistake_is_named_with_the_setting_that_mends_it(done, named, wanted, network):
    model = network if wanted is RIGHT else settled(copy.deepcopy(network), wanted)
    found = statistics(model, pictures(2), done)
    assert found.verdict == "wrong"
    assert named in found.found
    mean, std = ([float(f"{value:.4g}") for value in values] for values in (wanted.mean, wanted.std))
    assert found.advice == f"Set mean={mean}, std={std}."
    assert refusal([found]) == f"{found.found} {found.advice}"
    assert statistics(model, pictures(2), wanted).verdict == "sound"


def test_images_of_another_contrast_are_looked_at_and_not_refused(network):
    dark = (pictures(2) * 0.1).to(torch.uint8)
    found = statistics(network, dark)
    assert found.verdict == "look"
    assert "images' own mean and std do" in found.found
    assert refusal([found]) is None


@pytest.mark.parametrize("value", [0, 1, 128])
def test_images_that_hardly_vary_are_looked_at(value, network):
    found = statistics(network, torch.randint(0, value + 1, (16, 3, 32, 32)).clamp(max=1).to(torch.uint8) + value // 2)
    assert found.verdict == "look"
    assert "hardly vary" in found.found


class GroupNormed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, track_running_stats=True))


@pytest.mark.parametrize(
    ("model", "images"),
    [
        (GroupNormed, 64),
        (lambda: timm.create_model("convnext_atto"), 64),
        (lambda: dorsal.build(make_network()), 64),  # never trained
        (lambda: settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), 15),
    ],
    ids=["group norm", "layer norm", "fresh", "few images"],
)
def test_without_statistics_to_compare_nothing_is_said(model, images):
    assert statistics(model(), pictures(2, images)).verdict == "cannot tell"


class Stubborn(nn.BatchNorm2d):
    """Stays in training whatever it is told, as some published code does."""

    def train(self, mode: bool = True) -> nn.BatchNorm2d:  # noqa: ARG002
        return super().train(True)


def bits(model: nn.Module) -> list[tuple[str, bytes, int]]:
    return [(name, value.numpy().tobytes(), value.data_ptr()) for name, value in model.state_dict().items()]


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_stays_as_it_was(fails):
    torch.manual_seed(0)
    frozen = FrozenBatchNorm2d(8)
    frozen.running_var.fill_(0.7)
    model = settled(
        nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            frozen,
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            Stubborn(8),
        )
    )
    if fails:
        model.append(nn.Linear(7, 7))
    model.train()
    model[1].eval()
    before, modes = bits(model), [module.training for module in model.modules()]
    labels = torch.zeros(64, dtype=torch.long)
    if fails:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            examine_inputs(model, pictures(2), RIGHT, labels=labels)
    else:
        examine_inputs(model, pictures(2), prepared((0.5,) * 3, (0.5,) * 3), labels=labels)
    assert bits(model) == before
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(value.grad is None for value in model.parameters())


def test_the_card_is_compared_with_what_will_be_done(network):
    assert compare_contract(None, RIGHT).verdict == "cannot tell"
    assert compare_contract(RIGHT, RIGHT).verdict == "sound"
    larger = compare_contract(RIGHT, Preprocessing(image_size=48, resize=48))
    assert (larger.verdict, larger.advice) == ("look", "Set image_size=32, resize=32.")
    other = compare_contract(RIGHT, prepared(std=(1.0,) * 3))
    assert other.verdict == "wrong"
    assert other.found == "std is [1.0, 1.0, 1.0] and the card says [0.229, 0.224, 0.225]."


class Brightest(nn.Module):
    """Names the channel that is brightest; what `tests.train.tiny` has classes of."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def test_the_order_of_colors_is_the_cards_or_the_labels_or_unknown(network):
    def colors(model: nn.Module, images: Tensor, order: str, **given: object) -> Finding:
        return examine_inputs(model, images, prepared(color_order=order), **given)[2]  # type: ignore[arg-type]

    data = make_data().train
    labels = torch.from_numpy(data.labels)
    unknown = colors(network, pictures(2), "rgb")
    assert unknown.verdict == "cannot tell"
    assert "6 points" in unknown.found
    assert colors(network, pictures(2), "bgr", card=prepared(color_order="bgr")).verdict == "sound"
    assert colors(network, pictures(2), "rgb", card=prepared(color_order="bgr")).advice == "Set color_order=bgr."
    assert colors(Brightest(), data.stacked, "rgb", labels=labels).verdict == "sound"
    swapped = colors(Brightest(), data.stacked, "bgr", labels=labels)
    assert (swapped.verdict, swapped.advice) == ("wrong", "Set color_order=rgb.")
    assert "Of 40 images the network names 13 right as bgr and 40 as rgb" in swapped.found
    assert colors(Brightest(), data.stacked[:4], "bgr", labels=labels[:4]).verdict == "cannot tell"  # chance
    assert colors(Brightest(), data.stacked, "rgb", labels=labels + 1).verdict == "cannot tell"  # other classes
    grey = data.stacked[:, :1].expand(-1, 3, -1, -1)
    assert colors(network, grey, "rgb").verdict == "sound"


def test_one_channel_has_no_order_of_colors():
    grey = Preprocessing(image_size=32, resize=32, mean=(0.5,), std=(0.25,))
    found = examine_inputs(nn.Conv2d(1, 4, 3), pictures(2)[:, :1], grey)
    assert [each.verdict for each in found] == ["cannot tell", "cannot tell", "sound"]


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (torch.zeros(4, 3, 8, 8), None, TypeError, "a uint8 tensor"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), None, ValueError, r"\[4, 1, 8, 8\] must be \[N, 3, H, W\]"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), None, ValueError, r"\[0, 3, 8, 8\]"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(3), ValueError, r"whole numbers of shape \[4\]"),
    ],
)
def test_bad_input_is_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        examine_inputs(nn.Conv2d(3, 4, 3), images, RIGHT, labels=labels)


def test_published_weights_on_their_own_images(real_data: Path) -> None:
    model = dorsal.create("resnet20", weights=real_data / "weights" / "resnet20-12fca82f.th")
    with Image.open(real_data / "cifar10_png" / "cifar10_batch_50.png") as sheet:
        images = torch.from_numpy(np.array(sheet)[:64, :, :3].reshape(64, 32, 32, 3)).permute(0, 3, 1, 2)
    assert statistics(model, images).verdict == "sound"
    assert statistics(model, images, prepared(color_order="bgr")).verdict == "sound"  # it cannot be seen
    half = statistics(model, images, prepared((0.5,) * 3, (0.5,) * 3))
    assert (half.verdict, half.advice) == ("wrong", f"Set mean={list(MEAN)}, std={list(STD)}.")
