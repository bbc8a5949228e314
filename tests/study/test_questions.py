"""What all questions share: where they are made, the folder of their own, and which runs they are of."""

from typing import Any

import msgspec
import pytest

from dorsal.data.spec import Scenes
from dorsal.data.summary import DataSummary
from dorsal.jobs.device import choose_device, with_device
from dorsal.jobs.plan import run_key
from dorsal.jobs.records import Arm
from dorsal.jobs.resources import Resources
from dorsal.recipes.text import recipe
from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.study.comparison.question import Comparison
from dorsal.study.population.question import Population
from dorsal.study.question import from_toml
from dorsal.study.recheck.question import Recheck
from dorsal.study.search.question import Search
from dorsal.study.timing.question import Timing
from dorsal.zoo import network

DATA = DataSummary(
    spec=Scenes(),
    classes=("0", "1"),
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    fingerprint="f",
    train_images=64,
    val_images=32,
    constant=50.0,
)


def key(batch: int = 32, **place: Any) -> str:
    net = network("small")
    arm = Arm(label="a", text="small", network=net, network_hash=network_hash(net), cost=cost(net, 48))
    return run_key(arm, recipe(f"plain(batch={batch})"), 1, DATA, Resources(**place))


def test_what_changes_a_result_is_in_the_key_and_nothing_else() -> None:
    whole = key()
    same = [{"workers": 3}, {"threads": 2}, {"device": "cpu"}, {"loader_processes": 4}, {"ray": "local", "gpus": 1}]
    assert {key(**place) for place in [*same, {"micro_batch": 32}, {"micro_batch": 64}]} == {whole}
    others = [{"precision": "bf16"}, {"micro_batch": 16}, {"micro_batch": 8}, {"ray": "local", "processes": 8}]
    assert len({whole, *(key(**place) for place in others)}) == 1 + len(others)


@pytest.mark.parametrize("kind", [Comparison, Population, Search, Recheck])
def test_resources_of_a_question_are_a_value(kind: type[Comparison]) -> None:
    needed = {"spaces": "regnetx", "space": "regnetx", "population": "runs/x"}
    given = {name: value for name, value in needed.items() if name in kind.__struct_fields__}
    place = {"threads": 2, "ray": "local", "gpus": 1.0, "precision": "bf16", "micro_batch": 8, "loader_processes": 1}
    assert kind(**given, **place).resources == Resources(**place)  # type: ignore[arg-type]
    assert kind(**given).resources == Resources()


def test_the_chosen_device_is_what_is_handed_on() -> None:
    assert with_device(Resources()).device == choose_device("auto") != "auto"
    assert with_device(Resources(device="cpu")).device == "cpu"
    assert with_device(Resources(ray="local")).device == "cpu"
    assert with_device(Resources(ray="local", gpus=0.5)).device == "cuda"
    assert with_device(Resources(ray="local", gpus=1, device="cpu")).device == "cpu"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"device": "tpu"}, "device='tpu' is not there; valid: auto, cpu, cuda, mps"),
        ({"device": "cuda:1"}, "give cuda, with CUDA_VISIBLE_DEVICES=1"),
        ({"precision": "fp16"}, r"precision=fp16 is not known; did you mean bf16\?"),
        ({"micro_batch": 0}, "micro_batch=0 is below 1"),
        ({"loader_processes": -1}, "loader_processes=-1 is below 0"),
        ({"gpus": 1}, "gpus=1 is for runs on a Ray cluster; give ray as well"),
        ({"processes": 2}, "processes=2 is for runs on a Ray cluster"),
        ({"ray": "nowhere"}, "Ray address 'nowhere' is not HOST:PORT"),
        ({"margin": 0}, "margin=0 must be above 0, for example 1"),
        ({"margin": -2}, "margin=-2 must be above 0, for example 2"),
        ({"data": ""}, "data is empty; name at least one or leave it out for the default"),
    ],
)
def test_places_and_margins_that_cannot_be(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Comparison(**fields)


def test_the_same_question_has_the_same_folder_and_another_has_another() -> None:
    first = Comparison(networks=("small", "b=resnet18(stem=deep)"))
    assert str(first.folder).startswith("runs/compare-small-b-")
    free = {"seeds": 9, "workers": 2, "device": "cpu", "budget": "3m", "loader_processes": 2, "keep_models": False}
    free["margin"] = 2.0
    assert msgspec.structs.replace(first, **free).folder == first.folder
    others = [{"epochs": 3}, {"data": "scenes(size=64)"}, {"precision": "bf16"}, {"recipes": ("plain",)}, {"name": "x"}]
    folders = {msgspec.structs.replace(first, **other).folder for other in others}
    assert len({*folders, first.folder}) == 1 + len(others)
    assert str(Comparison(out="here").folder) == "here"
    assert Population(spaces="regnetx", count=3).folder == Population(spaces="regnetx").folder
    assert Search(space="regnetx", trials=3).folder == Search(space="regnetx").folder
    assert Timing(spaces="regnetx", repeats=3).folder == Timing(spaces="regnetx").folder
    assert Timing(spaces="regnetx", threads=3).folder != Timing(spaces="regnetx").folder


def test_recipes_that_are_named_are_kept_and_none_are_those_of_the_task() -> None:
    kinds = ((Population, {"spaces": ("regnetx",)}, "regnet-10ep"), (Search, {"space": "regnetx"}, "regnet-10ep"))
    for kind, fields, of_classes in (*kinds, (Comparison, {}, ("plain", "tricks"))):
        many = kind is Comparison
        field, of_others = ("recipes", ("dense",)) if many else ("recipe", "dense")

        def asked(made: Any, field: str = field) -> Any:
            return getattr(made, f"asked_{field}")

        assert asked(kind(**fields)) == of_classes
        assert asked(kind(**fields, task="semantic")) == of_others
        named = kind(**fields, task="semantic", **{field: of_classes})
        assert asked(named) == of_classes, "it is refused, not replaced"
        assert kind(**fields, **{field: of_classes}) == kind(**fields), "the same question"
        assert kind(**fields, task="detect", **{field: of_others}) == kind(**fields, task="detect")


def test_a_folder_is_named_after_what_is_asked_whatever_that_is() -> None:
    names = ("small", "some/where/my net.json(x=1)", "timm:vgg11")
    told = [Comparison(networks=("small",)), Comparison(networks=tuple(f"n{i}=small" for i in range(30)))]
    assert all(len(each.folder.parts) == 2 and len(each.folder.name) < 64 for each in told)
    assert Comparison(networks=names[::2]).folder.name.startswith("compare-small-timm-vgg11-")


def test_a_bound_of_latency_needs_a_model() -> None:
    for kind, named in ((Population, "spaces"), (Search, "space")):
        with pytest.raises(ValueError, match="--latency needs --latency-model"):
            kind(**{named: "regnetx", "bounds": {"latency": "..8"}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("space = 'regnetx'\nmacs = '..3M'", r"macs is one of bounds: write bounds = \{macs = '\.\.3M'\}"),
        ("space = 'regnetx'\nbounds = ['macs=..3M']", r"bounds=\[macs=..3M\] is not a mapping of names to texts"),
    ],
)
def test_bounds_in_a_file_are_one_table(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_toml(text, Search)
