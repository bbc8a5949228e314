"""Which runs a comparison takes, and in which order."""

import subprocess
import sys

import msgspec
import pytest

from dorsal.data.spec import Folder, Scenes
from dorsal.data.summary import DataSummary
from dorsal.jobs.plan import run_of
from dorsal.recipes.recipe import Recipe
from dorsal.spec.cost import cost
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison
from dorsal.zoo import network

Recipes = dict[str, Recipe]


def test_default_arms_are_the_four_families_matched_in_macs(summary: DataSummary, recipes: Recipes) -> None:
    made = plan_comparison(Comparison(), summary, recipes)
    assert [arm.label for arm in made.arms] == ["resnet", "res2net", "resnest", "regnet_se"]
    first, *others = made.arms
    assert first.changes == ""
    assert first.differences == {}
    for arm in others:
        assert arm.cost.macs == pytest.approx(first.cost.macs, rel=0.02)
        assert arm.cost == cost(arm.network, summary.image_size)
        assert arm.changes.startswith("widths [64, 128, 256] → [")
        assert f"→ {arm.cost.macs:,}" in arm.changes
        assert "mixer" in arm.differences


def test_runs_go_round_so_that_a_broken_study_is_balanced(summary: DataSummary, recipes: Recipes) -> None:
    made = plan_comparison(Comparison(seeds=3), summary, recipes)
    assert all(run.recipe == recipes[run.recipe_name] for run in made.runs)
    runs = [(run.seed, run.recipe_name, run.arm) for run in made.runs]
    assert len(runs) == len(set(runs)) == 4 * 2 * 3
    assert [seed for seed, _, _ in runs] == [1] * 8 + [2] * 8 + [3] * 8
    assert [rest for seed, *rest in runs if seed == 1] == [rest for seed, *rest in runs if seed == 3]
    assert len({run.key for run in made.runs}) == 24


def test_runs_in_several_processes_are_others(summary: DataSummary, recipes: Recipes) -> None:
    one, two, three = (
        {run.key for run in plan_comparison(Comparison(seeds=1, ray="local", processes=n), summary, recipes).runs}
        for n in (1, 2, 3)
    )
    assert one == {run.key for run in plan_comparison(Comparison(seeds=1), summary, recipes).runs}
    assert len(one | two | three) == len(one) + len(two) + len(three)


def test_keys_stay_what_they_are(summary: DataSummary, recipes: Recipes) -> None:
    made = plan_comparison(Comparison(networks=("small",), seeds=1), summary, recipes)
    assert [run.key for run in made.runs] == ["0fdc1a5246382ac4", "bf5a8b6b4f8fa403"]


def test_networks_get_the_classes_of_the_data_and_keep_their_text(summary: DataSummary, recipes: Recipes) -> None:
    summary = msgspec.structs.replace(summary, classes=("cat", "dog", "eel"))
    made = plan_comparison(
        Comparison(networks=("resnet18(stem=deep)", "wide=resnet18(widths=[96,128,256,512])")), summary, recipes
    )
    assert [arm.label for arm in made.arms] == ["resnet18+deep", "wide"]
    for arm in made.arms:
        assert arm.network.head.classes == 3
        assert network(arm.text) == arm.network
        assert arm.text.startswith("resnet18(")
    assert set(made.arms[1].differences) == {"stem", "widths"}


def test_without_match_nothing_is_changed(summary: DataSummary, recipes: Recipes) -> None:
    made = plan_comparison(Comparison(networks=("small", "small(widths=[32,64,128])")), summary, recipes)
    assert [arm.changes for arm in made.arms] == ["", ""]
    assert [stage.width for stage in made.arms[1].network.stages] == [32, 64, 128]


@pytest.mark.parametrize("measure", ["macs", "params", "activations"])
def test_match_to_a_given_cost_moves_every_arm(summary: DataSummary, recipes: Recipes, measure: str) -> None:
    target = {"macs": "30M", "params": "500k", "activations": "400k"}[measure]
    made = plan_comparison(
        Comparison(networks=("small", "small(mixer=split_attention)"), match=f"{measure}={target}"), summary, recipes
    )
    wanted = {"macs": 30e6, "params": 5e5, "activations": 4e5}[measure]
    for arm in made.arms:
        assert getattr(arm.cost, measure) == pytest.approx(wanted, rel=0.02)
        assert arm.changes


def test_equal_labels_are_numbered(summary: DataSummary, recipes: Recipes) -> None:
    made = plan_comparison(
        Comparison(networks=("small(widths=[32,64,128])", "small(widths=[32,64,256])", "small")), summary, recipes
    )
    assert [arm.label for arm in made.arms] == ["small+widths#1", "small+widths#2", "small"]


def test_a_key_depends_on_all_that_decides_a_result_and_on_nothing_else(summary: DataSummary, recipes: Recipes) -> None:
    plain, tricks = recipes.values()

    def key(comparison: Comparison, summary: DataSummary = summary, recipe: Recipe = plain) -> str:
        return plan_comparison(comparison, summary, {"a name": recipe}).runs[0].key

    base = Comparison(networks=("small",), seeds=1)
    others = [
        key(Comparison(networks=("small(activation=silu)",), seeds=1)),
        key(Comparison(networks=("small",), seeds=(2,))),
        key(base, msgspec.structs.replace(summary, fingerprint="e" * 64)),
        key(base, msgspec.structs.replace(summary, spec=Scenes(size=64))),
        key(base, msgspec.structs.replace(summary, mean=(0.4,) * 3)),
        key(base, msgspec.structs.replace(summary, std=(0.4,) * 3)),
        key(base, recipe=tricks),
    ]
    (arm,) = plan_comparison(base, summary, {"a name": plain}).arms
    others += [run_of(arm, "a name", plain, 1, summary, base, inner=inner).key for inner in (0, 1)]
    assert len({key(base), *others}) == 10
    assert run_of(arm, "a name", plain, 1, summary, base).key == key(base)
    same = Comparison(
        networks=("other_label=small", "resnet18"), seeds=5, workers=7, threads=2, out="elsewhere", name="x"
    )
    assert key(same, msgspec.structs.replace(summary, spec=Folder("moved", size=48), notes=("a note",))) == key(base)


def test_a_key_is_stable_across_versions(summary: DataSummary, recipes: Recipes) -> None:
    net = "small(depths=[1], widths=[16], strides=[2], stem=simple(width=8), classes=10)"
    assert plan_comparison(Comparison(networks=(net,)), summary, recipes).runs[0].key == "dc4f046c8261b927"


@pytest.mark.parametrize(
    ("networks", "says"),
    [
        (("small", "again=small"), "network again is the same as small; leave one of them out"),
        (("small", "resnet50"), r"network 'resnet50': image_size=16 is smaller .* nearest valid: 32"),
    ],
)
def test_impossible_plans(summary: DataSummary, recipes: Recipes, networks: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan_comparison(
            Comparison(networks=networks), msgspec.structs.replace(summary, spec=Folder("photos", size=16)), recipes
        )


def test_one_class_is_refused(summary: DataSummary, recipes: Recipes) -> None:
    with pytest.raises(ValueError, match="has 1 class; a comparison needs at least 2"):
        plan_comparison(Comparison(), msgspec.structs.replace(summary, classes=("cat",)), recipes)


def test_one_recipe_under_two_names_is_refused(summary: DataSummary, recipes: Recipes) -> None:
    twins = {"plain": recipes["plain"], "plain(lr=0.05)": recipes["plain"]}
    with pytest.raises(ValueError, match=r"recipe plain\(lr=0.05\) is the same as plain"):
        plan_comparison(Comparison(), summary, twins)


def test_an_unreachable_match_names_the_network(summary: DataSummary, recipes: Recipes) -> None:
    with pytest.raises(ValueError, match=r"network 'small': no widths .* give macs=1000 within 2%; nearest reached"):
        plan_comparison(Comparison(networks=("small",), match="macs=1k"), summary, recipes)


def test_planning_imports_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, dorsal.study.comparison.plan, dorsal.jobs.engine, dorsal.jobs.study_file; "
        "print('torch' in sys.modules, 'optuna' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
