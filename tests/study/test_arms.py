"""Arms of a comparison: network, weights and a recipe of its own, from text to runs."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from torch import nn

import dorsal
from dorsal.data.summary import DataSummary
from dorsal.data.transform import to_float
from dorsal.jobs.ahead import examine_images
from dorsal.jobs.plan import Plan
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe
from dorsal.spec.start import Start
from dorsal.study.comparison.plan import Foreign, fitted_network, plan_comparison
from dorsal.study.comparison.question import Comparison, command_line, from_toml, read_arm
from dorsal.study.comparison.run import compare
from dorsal.study.question import to_toml
from dorsal.weights.start import load_start
from tests.study.conftest import DATA, TINY, WIDER

Recipes = dict[str, Recipe]


def planned(summary: DataSummary, recipes: Recipes, *networks: str, **fields: Any) -> Plan:
    comparison = Comparison(networks=networks, seeds=2, **fields)
    starts = {
        (arm.weights, fitted_network(arm, summary)): Start(weights=arm.weights, sha256=arm.weights)
        for arm in comparison.asked_arms
        if arm.weights
    }
    return plan_comparison(comparison, summary, recipes, foreign=Foreign(starts=starts))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("resnet50", ("", "resnet50", None, "")),
        ("a=resnet50@torchvision_v1", ("a", "resnet50", "torchvision_v1", "")),
        ("resnet50(stem=deep)@runs/a with b@c", ("", "resnet50(stem=deep)", "runs/a with b@c", "")),
        ("f = resnet50@x.pth with head(epochs=3)", ("f", "resnet50", "x.pth", "head(epochs=3)")),
        ("resnet50 with plain", ("", "resnet50", None, "plain")),
        ("timm:convnext_tiny@in1k with finetune", ("", "timm:convnext_tiny", "in1k", "finetune")),
    ],
)
def test_an_arm_reads_as_label_network_weights_and_recipe(text: str, read: tuple[str | None, ...]) -> None:
    if " with b" in text:
        with pytest.raises(ValueError, match=r"unknown recipe 'b@c'|cannot read"):
            read_arm(text)
        return
    arm = read_arm(text)
    assert (arm.label, arm.text, arm.weights, arm.recipe) == read
    assert arm.asked == text


def test_an_arm_with_a_recipe_of_its_own_stands_once(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "small", "small@w", "frozen=small@w with head")
    assert [(arm.label, arm.recipe) for arm in made.arms] == [("small", ""), ("small@w", ""), ("frozen", "head")]
    assert list(made.recipes) == [*recipes, "head"]
    pairs = [(run.arm, run.recipe_name) for run in made.runs if run.seed == 1]
    crossed = [(arm, name) for name in recipes for arm in ("small", "small@w")]
    assert pairs == [*crossed, ("frozen", "head")]
    assert len({run.key for run in made.runs}) == 2 * len(pairs)
    assert [arm.differences for arm in made.arms] == [
        {},
        {"start": ("random", "w")},
        {"start": ("random", "w"), "recipe": ("all", "head")},
    ]


def test_recipes_that_no_arm_is_crossed_with_are_left_out(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "small@w with head", "small@w with finetune")
    assert list(made.recipes) == ["head", "finetune"]
    assert [arm.label for arm in made.arms] == ["small@w with head", "small@w with finetune"]


def test_weights_are_in_the_key_of_a_run(summary: DataSummary, recipes: Recipes) -> None:
    keys = [{run.key for run in planned(summary, recipes, text).runs} for text in ("small", "small@v", "small@w")]
    assert len(set.union(*keys)) == sum(map(len, keys))


def test_arms_as_tables_and_as_texts_are_one_question(tmp_path: Path) -> None:
    asked = Comparison(networks=("small", "frozen=small@w with head"))
    table = '[[arms]]\nlabel = "frozen"\nnetwork = "small"\nweights = "w"\nrecipe = "head"\n'
    assert from_toml('networks = ["small"]\n' + table) == asked
    assert from_toml(to_toml(asked)) == asked
    assert command_line(asked) == "dorsal compare small 'frozen=small@w with head'"


@pytest.mark.parametrize(
    ("networks", "fields", "fault"),
    [
        (("small with head",), {}, "small with head under head: freeze=all of the recipe would keep random weights"),
        (("small", "small@w"), {"crossed": ("head",)}, "small under head: freeze=all of the recipe would keep random"),
        (("small@w", "small@w"), {}, "network small@w#2 is the same as small@w#1"),
        (("small@w with", "resnet_small"), {}, "network 'small@w with': no recipe stands after 'with'; give one"),
        (("small with plan",), {}, "unknown recipe 'plan'; did you mean plain"),
        (("small@",), {}, "lacks weights after the @"),
        (("small@w with plain(freeze=9)",), {}, "freeze=9 is more than its 4 levels; nearest valid: freeze=all"),
        (("small(norm=group)@w with finetune-frozen-norm",), {}, "norm=frozen of the recipe is for batch norm"),
        (("small", "small(widths=[32,64,128])@w"), {"match": "macs"}, r"begins from weights \(w\), which have their"),
    ],
)
def test_arms_that_cannot_be(
    networks: tuple[str, ...], fields: dict[str, Any], fault: str, summary: DataSummary, recipes: Recipes
) -> None:
    crossed = {name: recipe(name) for name in fields.pop("crossed", ())} or recipes
    with pytest.raises(ValueError, match=fault):
        planned(summary, crossed, *networks, **fields)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('[[arms]]\nweights = "w"', "lacks its network"),
        ('[[arms]]\nnetwrok = "small"', "unknown field 'netwrok' of an arm; did you mean network"),
        ("arms = 3", "3 is no table with the keys label, network, weights, recipe"),
    ],
)
def test_tables_that_are_no_arms(table: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        from_toml(table)


def test_arms_from_a_model_are_trained_stored_and_not_made_twice(tmp_path: Path) -> None:
    data = dorsal.open_data(DATA)
    model = tmp_path / "model"
    net = dorsal.network(f"{TINY[:-1]}, classes=10)")
    save_trained(model, dorsal.build(net), trained_card(net, data, "tests", recipe("plain")), 10.0)
    networks = (f"fresh={TINY}", f"tuned={TINY}@{model}", f"frozen={TINY}@{model} with head(epochs=1)")
    asked = Comparison(
        networks=networks, recipes=("plain",), epochs=1, seeds=1, data=DATA, out=str(tmp_path / "out"), workers=1
    )
    study = compare(asked)
    assert [(run.arm, run.recipe) for run in study.runs] == [
        ("fresh", "plain"), ("tuned", "plain"), ("frozen", "head(epochs=1)"),
    ]  # fmt: skip
    assert [trial.status for trial in study.trials] == ["finished"] * 3
    tuned = study.arms[1].start
    assert tuned is not None
    assert (tuned.weights, tuned.source, tuned.metrics) == (str(model), "trained here", {"accuracy": 10.0})
    assert tuned.trained_on.startswith("scenes: 320 training")
    card = dorsal.load_model(tmp_path / "out" / "models" / study.runs[2].key)[1]
    assert card.trained_on.startswith(f"{tuned.trained_on}, then scenes")
    again: list[Any] = []
    assert compare(asked, on_event=again.append).trials == study.trials
    assert [event for event in again if type(event).__name__ == "JobEnd"] == []
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or of another model"):
        compare(asked)


def test_images_that_weights_do_not_know_are_refused_before_any_work(tmp_path: Path) -> None:
    data = dorsal.open_data(DATA)
    net = dorsal.network(f"{TINY[:-1]}, classes=10)")
    model = dorsal.build(net).train()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None  # the statistics of all that was seen
    convert = to_float(data.normalization)
    assert data.train.stacked is not None
    model(convert(data.train.stacked))
    card = trained_card(net, data, "tests", recipe("plain"))
    save_trained(tmp_path / "sound", model, card, 10.0)
    wrong = msgspec.structs.replace(card.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    save_trained(tmp_path / "wrong", model, msgspec.structs.replace(card, preprocessing=wrong), 10.0)
    asked = Comparison(networks=(f"a={TINY}@{tmp_path / 'wrong'}",), seeds=1, data=DATA, out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"arm a: .*Set mean=.* --accept trains it all the same"):
        compare(asked)
    assert not (tmp_path / "out").exists()
    start = load_start(str(tmp_path / "wrong"), net)
    (finding,) = examine_images("a", net, start, data, accept=True)
    assert (finding.arm, finding.finding.check, finding.finding.verdict) == ("a", "inputs/statistics", "wrong")
    assert examine_images("a", net, load_start(str(tmp_path / "sound"), net), data, accept=False) == ()


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        (f"{WIDER}@MODEL", "are of another network: widths is"),
        ("small@nowhere/model", "there is no such file or folder"),
        ("small@resnet50.torchvision_v1", "are of another network"),
        ("resnet50@torchvision_v9", "no published weights have the id 'torchvision_v9'"),
        ("small@*", "no weights of it are published"),
        ("small@EMPTY", "holds no model"),
    ],
)
def test_starts_are_found_before_any_work(network: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    net = dorsal.network(f"{TINY[:-1]}, classes=10)")
    card = trained_card(net, dorsal.open_data(DATA), "tests", recipe("plain"))
    save_trained(tmp_path / "model", dorsal.build(net), card, 10.0)
    text = network.replace("MODEL", str(tmp_path / "model")).replace("EMPTY", str(tmp_path / "empty"))
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=fault):
        compare(Comparison(networks=(text,), seeds=1, data=DATA, out=str(out)))
    assert not out.exists()
