import pickle
import re

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dorsal.data.sampling import draws_of, seed_of
from dorsal.data.split import ImageData
from dorsal.data.transform import eval_transform
from dorsal.recipes.text import Recipe, recipe
from dorsal.spec.preprocessing import IMAGENET, Normalization
from dorsal.tasks.classify.augment import batch_mixer, train_transform
from tests.train.tiny import make_data

PHOTO = torch.randint(0, 256, (3, 40, 30), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def outputs(made: Recipe, image: Tensor, count: int = 30, flip: bool = True) -> list[Tensor]:
    transform = train_transform(made, make_data(flip=flip))
    with draws_of(5):
        return [transform(image) for _ in range(count)]


@pytest.mark.parametrize(
    "text", ["plain", "tricks", "resnest", "res2net", "regnet-10ep", "plain(auto_augment=randaugment)"]
)
@pytest.mark.parametrize("image", [PHOTO, PHOTO[:, :16, :16], PHOTO[:, :9, :7]])
def test_every_recipe_makes_normalized_squares(text: str, image: Tensor) -> None:
    for made in outputs(recipe(text), image, count=3):
        assert (made.shape, made.dtype) == ((3, 16, 16), torch.float32)
        assert made.isfinite().all()


def with_channels(channels: int) -> ImageData:
    measured = Normalization(mean=(0.4,) * channels, std=(0.2,) * channels)
    return msgspec.structs.replace(make_data(), normalization=measured)


@pytest.mark.parametrize("text", ["plain", "tricks", "plain(auto_augment=randaugment)", "plain(color_jitter=0.4)"])
def test_grey_images_are_augmented_too(text: str) -> None:
    with draws_of(5):
        made = train_transform(recipe(text), with_channels(1))(PHOTO[:1])
    assert (made.shape, made.dtype) == ((1, 16, 16), torch.float32)
    assert made.isfinite().all()


@pytest.mark.parametrize(
    ("text", "channels", "wanted"),
    [
        ("plain(lighting=0.1)", 1, "lighting=0.1 of the recipe needs images of 3 channels, and these have 1"),
        ("plain(color_jitter=0.4)", 4, "color_jitter=0.4 of the recipe needs images of 1 or 3 channels"),
        (
            "plain(auto_augment=autoaugment)",
            5,
            "auto_augment=autoaugment of the recipe needs images of 1 or 3 channels",
        ),
    ],
)
def test_steps_for_other_channels_are_refused_by_name(text: str, channels: int, wanted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wanted)):
        train_transform(recipe(text), with_channels(channels))


def test_pad_shifts_by_up_to_an_eighth_and_keeps_values() -> None:
    image = torch.full((3, 16, 16), 102, dtype=torch.uint8)  # 102 / 255 is the mean
    shifted = outputs(Recipe(), image, count=200)
    kept = [(made.abs() < 1e-6).all(0) for made in shifted]
    rows = {int(mask.any(1).sum()) for mask in kept}
    assert rows == {14, 15, 16}
    assert all(
        (made[:, ~mask] + 2).abs().max() < 1e-5 for made, mask in zip(shifted, kept, strict=True) if (~mask).any()
    )


def test_area_takes_a_random_part() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).expand(3, 256, 256)
    spans = [float(made.max() - made.min()) for made in outputs(recipe("res2net(min_area=0.25, flip=false)"), ramp)]
    assert min(spans) < 0.6 * max(spans)
    whole = outputs(recipe("res2net(min_area=1, flip=false)"), PHOTO[:, :16, :16], count=4)
    assert all(torch.equal(made, whole[0]) for made in whole)


@pytest.mark.parametrize(
    ("wanted", "allowed", "flips"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_flip_needs_recipe_and_data(wanted: bool, allowed: bool, flips: bool) -> None:
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[:, :, 12:] = 255
    made = Recipe(flip=wanted)
    sides = {bool(out[:, :, :8].sum() > out[:, :, 8:].sum()) for out in outputs(made, image, flip=allowed)}
    assert sides == ({False, True} if flips else {False})


@pytest.mark.parametrize(
    "change",
    [
        {"auto_augment": "autoaugment"},
        {"auto_augment": "randaugment"},
        {"auto_augment": "randaugment", "augment_ops": 4},
        {"auto_augment": "randaugment", "augment_magnitude": 25},
        {"color_jitter": 0.4},
        {"lighting": 0.1},
        {"erasing": 0.9},
    ],
)
def test_every_knob_changes_images(change: dict[str, object]) -> None:
    fields = {**change}
    without = Recipe(auto_augment="randaugment") if len(fields) > 1 else Recipe()
    before, after = outputs(without, PHOTO), outputs(Recipe(**fields), PHOTO)
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_lighting_adds_one_colour_of_the_stated_covariance() -> None:
    grey = torch.full((3, 16, 16), 102, dtype=torch.uint8)
    made = torch.stack(outputs(recipe("res2net(lighting=0.1, min_area=1)"), grey, count=1500)) * 0.2  # std of the data
    assert (made - made[..., :1, :1]).abs().max() < 1e-5
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    values = torch.tensor([0.2175, 0.0188, 0.0045]) * 0.1
    expected = vectors @ torch.diag(values**2) @ vectors.T
    assert torch.allclose(torch.cov(made[:, :, 0, 0].T), expected, rtol=0.15, atol=4e-6)


def test_erasing_blanks_with_the_mean() -> None:
    image = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    erased = [made for made in outputs(recipe("res2net(erasing=1, min_area=1)"), image) if (made == 0).any()]
    assert len(erased) > 20
    assert all(((made == 0) | (made == made.max())).all() for made in erased)


def test_transforms_can_be_sent_to_other_processes() -> None:
    transform = train_transform(recipe("tricks(lighting=0.1)"), make_data())
    copied = pickle.loads(pickle.dumps(transform))
    with draws_of(1):
        here = transform(PHOTO)
    with draws_of(1):
        assert torch.equal(copied(PHOTO), here)


@pytest.mark.parametrize("text", ["plain", "tricks(lighting=0.1)", "resnest", "res2net"])
def test_channels_are_in_the_order_that_evaluation_has_them_in(text: str) -> None:
    made = {}
    for color_order in ("rgb", "bgr"):
        data = msgspec.structs.replace(
            make_data(), normalization=msgspec.structs.replace(IMAGENET, color_order=color_order)
        )
        with draws_of(5):
            made[color_order] = train_transform(recipe(text), data)(PHOTO)
    assert torch.equal(made["bgr"], made["rgb"].flip(0))
    assert not torch.equal(made["bgr"], made["rgb"])


def test_training_without_a_change_is_evaluation() -> None:
    data = msgspec.structs.replace(make_data(), normalization=msgspec.structs.replace(IMAGENET, color_order="bgr"))
    image = PHOTO[:, :16, :16]
    unchanged = train_transform(recipe("res2net(min_area=1, flip=false, color_jitter=0)"), data)(image)
    assert torch.equal(unchanged, eval_transform(16, data.normalization)(image))


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def test_nothing_mixes_a_plain_batch() -> None:
    assert batch_mixer(Recipe(), 3) is None


def test_mixup_is_one_convex_sum_a_batch() -> None:
    mix = batch_mixer(Recipe(mixup=1.0), 3)
    assert mix is not None
    images, labels = batch()
    with draws_of(4):
        mixed, targets = mix(images, labels)
    one_hot = F.one_hot(labels, 3).float()
    share = float(((mixed - images.roll(1, 0)) / (images - images.roll(1, 0))).median())
    assert 0 < share < 1
    assert torch.allclose(mixed, share * images + (1 - share) * images.roll(1, 0), atol=1e-5)
    assert torch.allclose(targets, share * one_hot + (1 - share) * one_hot.roll(1, 0), atol=1e-5)


def test_cutmix_pastes_one_box_and_counts_its_pixels() -> None:
    mix = batch_mixer(Recipe(cutmix=1.0), 3)
    assert mix is not None
    images, labels = batch()
    with draws_of(4):
        mixed, targets = mix(images, labels)
    kept = (mixed == images).all(1)
    assert (kept | (mixed == images.roll(1, 0)).all(1)).all()
    assert (kept == kept[0]).all()
    one_hot, share = F.one_hot(labels, 3).float(), float(kept[0].float().mean())
    assert torch.allclose(targets, share * one_hot + (1 - share) * one_hot.roll(1, 0), atol=1e-5)


def test_with_both_each_batch_gets_one() -> None:
    mix = batch_mixer(Recipe(mixup=1.0, cutmix=1.0), 3)
    assert mix is not None
    images, labels = batch()
    pasted = 0
    for step in range(200):
        with draws_of(step):
            mixed, _ = mix(images, labels)
        pasted += bool(((mixed == images) | (mixed == images.roll(1, 0))).all())
    assert 70 < pasted < 130


def test_draws_are_fixed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with draws_of(1, 2, 3):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with draws_of(1, 2, 3):
        assert torch.equal(torch.rand(3), first)
    assert len({seed_of(*words) for words in ((1, 2), (2, 1), (1, 2, 0), (1,))}) >= 3
