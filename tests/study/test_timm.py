"""Networks of timm as arms: planned with their cost, matched to but never scaled, run, stored, resumed and reported."""

import sys
from pathlib import Path

import msgspec
import pytest

from dorsal.data.summary import DataSummary
from dorsal.findings.comparison import analyse_comparison
from dorsal.jobs.ahead import timm_arms
from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.plan import Plan
from dorsal.jobs.records import Arm, Study
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import read_recipes
from dorsal.report.comparison.page import comparison_page
from dorsal.report.comparison.results import read_results, write_results
from dorsal.report.words.comparison import caveats
from dorsal.spec.cost import Cost, cost
from dorsal.spec.layers import Feature
from dorsal.spec.timm import TimmNetwork, hash_of, timm_text
from dorsal.study.comparison.plan import Foreign, fitted_network, plan_comparison
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from dorsal.zoo import any_network, network
from tests.study.conftest import TINY

Recipes = dict[str, Recipe]
COST = Cost(10**6, 20_000_000, 10, 300_000, 300_010)
FEATURES = (Feature("blocks.0", 16, 2),)


def arm_of(net: TimmNetwork) -> Arm:
    """An arm that timm was not asked for."""
    return Arm(
        label=net.full_name,
        text=timm_text(net),
        network=net,
        network_hash=hash_of(net),
        cost=COST,
        features=FEATURES,
    )


def planned(summary: DataSummary, recipes: Recipes, *networks: str, match: str | None = None) -> Plan:
    comparison = Comparison(networks=networks, match=match, seeds=1)
    fitted = (fitted_network(arm, summary) for arm in comparison.asked_arms)
    timm = {net: arm_of(net) for net in fitted if isinstance(net, TimmNetwork)}
    return plan_comparison(comparison, summary, recipes, foreign=Foreign(timm))


def test_an_arm_of_timm_has_its_facts_and_the_classes_of_the_data(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "small", "timm:vgg11", "mobile=timm:mobilenetv3_small_050(classes=7)")
    assert [arm.label for arm in made.arms] == ["small", "timm:vgg11", "mobile"]
    small, vgg, mobile = made.arms
    assert (vgg.network, vgg.cost, vgg.features, vgg.changes) == (TimmNetwork("vgg11", 10), COST, FEATURES, "")
    assert any_network(mobile.text) == TimmNetwork("mobilenetv3_small_050", classes=10)
    assert vgg.differences == {"another architecture": (small.text, vgg.text)}
    assert [run.network for run in made.runs[:3]] == [any_network(arm.text) for arm in made.arms]
    assert [arm.network for arm in made.arms] == [run.network for run in made.runs[:3]]
    assert len({run.key for run in made.runs}) == len(made.runs) == 6


def test_others_differ_from_a_first_arm_of_timm_as_architectures(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "timm:vgg11", "small")
    assert made.arms[1].differences == {"another architecture": ("timm:vgg11(classes=10)", "small")}


def test_others_are_matched_to_a_network_of_timm(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "timm:vgg11", "small", "small(mixer=split_attention)", match="macs")
    assert made.arms[0].cost == COST
    for arm in made.arms[1:]:
        assert arm.cost.macs == pytest.approx(COST.macs, rel=0.02)
        assert arm.changes


def test_a_network_of_timm_within_the_tolerance_counts_as_matched(summary: DataSummary, recipes: Recipes) -> None:
    made = planned(summary, recipes, "small", "timm:vgg11", match="macs=20.3M")
    assert made.arms[1].changes == ""


def test_a_network_of_timm_is_not_scaled(summary: DataSummary, recipes: Recipes) -> None:
    with pytest.raises(ValueError, match=r"network 'v=timm:vgg11': its macs are 20,000,000, not 21,000,000, .* scaled"):
        planned(summary, recipes, "small", "v=timm:vgg11", match="macs=21M")


def test_one_network_of_timm_twice_is_refused(summary: DataSummary, recipes: Recipes) -> None:
    with pytest.raises(ValueError, match="network again is the same as timm:vgg11"):
        planned(summary, recipes, "timm:vgg11", "again=timm:vgg11(classes=5)")


def test_facts_are_asked_of_timm(recipes: Recipes) -> None:
    net = TimmNetwork("resnet50", classes=10)
    found = timm_arms([net], read_recipes(["tricks"], 1), 64)
    assert list(found) == [net]
    assert (found[net].network, found[net].text, found[net].label) == (
        net,
        "timm:resnet50(classes=10)",
        "timm:resnet50",
    )
    assert found[net].cost == cost(network("resnet50(classes=10)"), 64)
    assert [level.stride for level in found[net].features] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        ("vgg11", "tricks", "recipe tricks: drop_path=0.02 would do nothing in timm:vgg11; nearest valid: drop_path=0"),
        ("resnet18", "resnest", "recipe resnest: drop_block=0.1 would do nothing in timm:resnet18"),
        ("resnet51", "plain", "timm:resnet51 is not a model of timm; did you mean"),
        ("vit_tiny_patch16_224", "plain", "image_size=32 does not suit timm:vit_tiny_patch16_224"),
    ],
)
def test_facts_that_make_a_plan_impossible(name: str, recipe: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        timm_arms([TimmNetwork(name)], read_recipes([recipe], 10), 32)


def comparison_of(out: Path, **changes: object) -> Comparison:
    fields = {
        "networks": (f"a={TINY}", "timm:mobilenetv3_small_050"),
        "recipes": ("plain(zero_init=true, drop_path=0.1, ema=0.9, precise_bn=32)",),
        "data": "scenes(train=40, val=20, size=32)",
        "seeds": 1,
        "epochs": 1,
        "workers": 1,
        "out": str(out),
    }
    return msgspec.convert({**fields, **changes}, Comparison)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "timm"


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return compare(comparison_of(folder))


def test_runs_end_and_are_not_made_again(folder: Path, study: Study) -> None:
    assert [(arm, trial.status) for (arm, _, _), trial in study.ended().items()] == [
        ("a", "finished"),
        ("timm:mobilenetv3_small_050", "finished"),
    ]
    assert study.arms[1].forward is not None
    assert study.arms[1].train_step is not None
    assert study.versions["timm"]
    events: list[Event] = []
    assert compare(comparison_of(folder), on_event=events.append).trials == study.trials
    assert [event for event in events if isinstance(event, JobEnd)] == []


def test_records_read_back(study: Study, tmp_path: Path) -> None:
    write_results(study, analyse_comparison(study), tmp_path)
    assert read_results(tmp_path / "results.json") == study


def test_the_report_shows_features_and_tells_whose_initialisation_it_is(study: Study) -> None:
    analysis = analyse_comparison(study)
    caveat = "Built and initialised by timm, whatever a recipe says of zero_init: timm:mobilenetv3_small_050."
    assert caveat in caveats(study, analysis)
    text = comparison_page(study, analysis)
    article = text[text.index("A network of timm, built and initialised by it.") :].partition("</article>")[0]
    for level in study.arms[1].features:
        assert f"<code>{level.name}</code></th><td>{level.channels}</td><td>{level.stride}</td>" in article
    assert "<dt>another architecture</dt>" in article
    assert text.count('<svg class="dorsal-net"') == 1


def test_without_timm_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dorsal\[timm\]'"):
        compare(comparison_of(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
