"""Runs that begin from weights: what of them learns, how fast, and how images are prepared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

import dorsal
from dorsal.data.split import ImageData
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.nn.timm import build_timm
from dorsal.recipes.text import NAMED, Recipe, recipe
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.start import split_start
from dorsal.spec.timm import TimmNetwork
from dorsal.tasks.model import make_model
from dorsal.train.loop import fit
from dorsal.train.optim import parameter_groups
from dorsal.weights.start import StartingWeights, load_start
from dorsal.zoo import text_of
from tests.random_state import randomised
from tests.train.tiny import make_data, make_network

PLAIN = Recipe(epochs=2, batch=16, warmup_epochs=0)
FAMILIES = ("resnet18", "resnest14", "res2net50_26w_4s", "regnety_002")


def but(**fields: Any) -> Recipe:
    return msgspec.structs.replace(PLAIN, **fields)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> StartingWeights:
    """Random weights with random statistics, saved as a model of two classes."""
    folder = tmp_path_factory.mktemp("start") / "model"
    network = make_network(classes=2)
    model = dorsal.build(network)
    model.load_state_dict(randomised(model.state_dict()))
    data = msgspec.structs.replace(make_data(), classes=("a", "b"))
    save_trained(folder, model, trained_card(network, data, "tests", PLAIN), 50.0)
    return load_start(str(folder), make_network())


def unchanged(model: nn.Module, start: StartingWeights) -> dict[str, bool]:
    """By name, which tensors of the start are what they were."""
    state = model.state_dict()
    return {name: torch.equal(state[name], tensor) for name, tensor in start.state.items() if name in state}


def test_all_of_a_fine_tuned_network_learns(start: StartingWeights, data: ImageData) -> None:
    same = unchanged(fit(make_network(), PLAIN, data, seed=1, start=start).model, start)
    assert len(same) > 10
    assert not any(same.values())


@pytest.mark.parametrize(("freeze", "kept"), [(1, ("stem",)), (2, ("stem", "stages.0")), ("all", ("stem", "stages"))])
def test_frozen_levels_keep_weights_and_statistics_to_the_bit(
    freeze: int | str, kept: tuple[str, ...], start: StartingWeights, data: ImageData
) -> None:
    model = fit(make_network(), but(freeze=freeze, ema=0.5), data, seed=1, start=start).model
    same = unchanged(model, start)
    assert {name for name, is_same in same.items() if is_same} == {name for name in same if name.startswith(kept)}


def test_frozen_norms_keep_statistics_scale_and_shift(start: StartingWeights, data: ImageData) -> None:
    same = unchanged(fit(make_network(), but(norm="frozen"), data, seed=1, start=start).model, start)
    assert all(is_same == (".norm." in name) for name, is_same in same.items())


def test_the_head_learns_alone_at_first(start: StartingWeights, data: ImageData) -> None:
    model = fit(make_network(), but(epochs=3, head_epochs=2, freeze=1), data, seed=1, start=start).model
    same = unchanged(model, start)
    assert {name for name, is_same in same.items() if is_same} == {name for name in same if name.startswith("stem")}


def test_a_resumed_run_that_thaws_is_the_unbroken_one(start: StartingWeights, data: ImageData, tmp_path: Path) -> None:
    made = but(epochs=3, head_epochs=1, level_decay=0.5)
    whole = fit(make_network(), made, data, seed=1, start=start)

    def stop(epoch: Any) -> None:
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(make_network(), made, data, seed=1, start=start, checkpoint=path, on_epoch=stop)
    with pytest.raises(ValueError, match=r"start .*none"):
        fit(make_network(), but(epochs=3, level_decay=0.5), data, seed=1, checkpoint=path)
    resumed = fit(make_network(), made, data, seed=1, start=start, checkpoint=path)
    assert [epoch.train_loss for epoch in resumed.curve] == [epoch.train_loss for epoch in whole.curve]
    assert all(
        torch.equal(a, b)
        for a, b in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    )


def test_runs_of_one_start_do_not_change_it(start: StartingWeights, data: ImageData) -> None:
    before = {name: tensor.clone() for name, tensor in start.state.items()}
    first = fit(make_network(), PLAIN, data, seed=1, start=start)
    again = fit(make_network(), PLAIN, data, seed=1, start=start)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.state.items())
    assert [epoch.train_loss for epoch in first.curve] == [epoch.train_loss for epoch in again.curve]


def test_the_classifier_is_new_and_drawn_by_the_seed(start: StartingWeights) -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(make_model(make_network(), PLAIN, start).state_dict()["fc.weight"])
    assert made[0].shape == (3, 8)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("name", FAMILIES)
def test_rates_fall_from_the_head_to_the_stem(name: str) -> None:
    with torch.device("meta"):
        model = dorsal.build(name)
    groups = parameter_groups(model, but(trunk_rate=0.5, level_decay=0.1))
    shares = {id(parameter): group["share"] for group in groups for parameter in group["params"]}
    assert len(shares) == len(list(model.parameters()))
    stages = len(model.stages)
    for key, parameter in model.named_parameters():
        part, *rest = key.split(".")
        expected = {"stem": 0.5 * 0.1 ** (stages + 1), "stages": 0.0}.get(part, 1.0)
        if part == "stages":
            expected = 0.5 * 0.1 ** (stages - int(rest[0]))
        assert shares[id(parameter)] == pytest.approx(expected), key


def test_one_rate_for_all_makes_the_groups_of_decay_alone() -> None:
    model = dorsal.build("resnest14")
    groups = parameter_groups(model, PLAIN)
    assert [(group["share"], group["weight_decay"] > 0) for group in groups] == [(1.0, True), (1.0, False)]


def norms(model: nn.Module) -> Iterator[nn.Module]:
    return (module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_networks_of_timm_freeze_by_level_too(name: str) -> None:
    model = build_timm(TimmNetwork(name, 3))
    levels = model.parameter_levels()
    assert set(levels) == {name for name, _ in model.named_parameters()}
    model.freeze(2).train()
    assert {level for key, level in levels.items() if not model.get_parameter(key).requires_grad} == {0, 1}
    model.freeze(model.level_count).train()
    head = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert head == {key for key, level in levels.items() if level == model.level_count}
    assert len(head) == 2
    assert not any(norm.training for norm in norms(model))
    with pytest.raises(ValueError, match="freeze=99 must be from 0"):
        model.freeze(99)


def test_a_network_of_timm_begins_from_a_file(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("resnet18", num_classes=7)
    theirs.load_state_dict(randomised(theirs.state_dict()))
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    net, data = TimmNetwork("resnet18", 3), make_data(size=32)
    found = load_start(str(tmp_path / "theirs.pth"), net)
    for made in (but(epochs=1, freeze="all"), but(epochs=1, norm="frozen"), but(epochs=1, level_decay=0.5)):
        model = fit(net, made, data, seed=1, start=found).model
        same = {n: torch.equal(model.state_dict()[f"model.{n}"], t) for n, t in found.state.items() if "num_b" not in n}
        kept = {n for n, is_same in same.items() if is_same}
        expected = {n for n in same if made.freeze == "all" or (made.norm == "frozen" and (".bn" in f".{n}"))}
        expected |= {n for n in same if made.norm == "frozen" and ".downsample.1." in n}
        assert kept == expected
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "others.pth")
    with pytest.raises(ValueError, match="the weights have other tensors than timm:resnet18"):
        fit(net, PLAIN, data, seed=1, start=load_start(str(tmp_path / "others.pth"), net))
    with pytest.raises(ValueError, match=r"no file, nor a tag of timm.s weights of resnet18; valid: .*tv_in1k"):
        load_start("nothing", net)


def test_images_are_prepared_as_for_the_weights(start: StartingWeights, data: ImageData) -> None:
    said = Preprocessing(image_size=8, resize=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), color_order="bgr")
    other = msgspec.structs.replace(start, about=msgspec.structs.replace(start.about, preprocessing=said))
    prepared = data.prepared_as(said)
    assert (prepared.normalization, prepared.size, prepared.resize) == (said.normalization, 16, 16)
    unknown = msgspec.structs.replace(start, about=msgspec.structs.replace(start.about, preprocessing=None))
    losses = [
        [epoch.train_loss for epoch in fit(make_network(), PLAIN, images, seed=1, start=begun).curve]
        for images, begun in ((data, other), (prepared, unknown), (data, unknown))
    ]
    assert losses[0] == losses[1] != losses[2]
    card = trained_card(make_network(), data, "tests", PLAIN, other.about)
    assert (card.preprocessing.mean, card.preprocessing.color_order) == (said.mean, "bgr")


def test_grey_images_keep_their_own_normalization() -> None:
    grey = make_data()
    one = msgspec.structs.replace(
        grey, normalization=msgspec.structs.replace(grey.normalization, mean=(0.4,), std=(0.2,))
    )
    assert one.prepared_as(Preprocessing(image_size=8, resize=8)) is one


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ("head", "freeze=all of the recipe would keep random weights: name the weights to begin from"),
        ("plain(head_epochs=1)", "head_epochs=1 of the recipe would keep random weights"),
        ("plain(norm=frozen)", "norm=frozen of the recipe would keep random weights"),
    ],
)
def test_random_weights_are_not_kept(made: str, fault: str, data: ImageData) -> None:
    with pytest.raises(ValueError, match=fault):
        fit(make_network(), made, data, seed=1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plain(freeze=-1)", "freeze=-1 is out of range; nearest valid: 0"),
        ("plain(freeze=some)", "freeze=some is not known; valid: all"),
        ("plain(freeze=al)", "freeze=al is not known; did you mean all"),
        ("plain(freeze=all, level_decay=0.5)", "level_decay=0.5 does nothing beside freeze=all"),
        ("plain(freeze=all, trunk_rate=0.5)", "trunk_rate=0.5 does nothing beside freeze=all"),
        ("plain(freeze=all, head_epochs=1)", "head_epochs=1 does nothing beside freeze=all"),
        ("plain(head_epochs=6)", "head_epochs=6 is not below epochs=6; to train nothing else: freeze=all"),
        ("plain(norm=frozen, precise_bn=64)", "precise_bn=64 would measure anew the statistics that norm=frozen keeps"),
        ("plain(norm=forzen)", "norm=forzen is not known; did you mean frozen"),
        ("plain(level_decay=0)", "level_decay=0.0 is out of range; nearest valid: 0.01"),
    ],
)
def test_recipes_that_contradict_themselves(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        recipe(text)


def test_starts_that_cannot_be(start: StartingWeights, data: ImageData) -> None:
    folder, text = start.about.weights, text_of(make_network())
    with pytest.raises(ValueError, match="both name weights; leave one out"):
        fit(f"{text}@{folder}", PLAIN, data, seed=1, start=folder)
    with pytest.raises(ValueError, match=r"freeze=9 must be from 0 .* to 3"):
        fit(make_network(), but(freeze=9), data, seed=1, start=start)
    with pytest.raises(ValueError, match="zero_init=true of the recipe would undo"):
        fit(make_network(), but(zero_init=True), data, seed=1, start=start)
    with pytest.raises(ValueError, match="are of another network"):
        fit("resnet18", PLAIN, data, seed=1, start=folder)
    assert fit(f"{text}@{folder}", but(epochs=1), data, seed=1).status == "finished"


def test_named_recipes_for_starts_say_what_they_keep() -> None:
    assert {name: made.keeps_weights for name, made in NAMED.items() if made.keeps_weights} == {
        "finetune-frozen-norm": "norm=frozen",
        "head": "freeze=all",
        "detectron2-1x": "freeze=2",
    }


def test_network_and_weights_of_a_text() -> None:
    assert split_start("resnet50(stem=deep)@runs/a@b") == ("resnet50(stem=deep)", "runs/a@b")
    assert split_start("nets/v@2.json@mine.pth") == ("nets/v@2.json", "mine.pth")
    assert split_start("nets/v@2.json") == ("nets/v@2.json", None)
    assert split_start("resnet50") == ("resnet50", None)
    for text in ("resnet50@", "@torchvision_v1", "@"):
        with pytest.raises(ValueError, match="lacks"):
            split_start(text)
