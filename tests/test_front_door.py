"""The front door takes what people pass: values, texts and paths; anything else is answered in one sentence."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

import dorsal
from dorsal.annotations.labels import Labels
from dorsal.data.spec import Folder, Scenes
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.spec.layers import Feature
from dorsal.spec.network import to_json
from dorsal.spec.timm import TimmNetwork
from dorsal.study.comparison.question import command_line

TINY = "scenes(size=32, train=40, val=20)"


class Pyramid(nn.Module):
    """A pyramid of someone else's."""

    info = (Feature("a", 8, 4), Feature("b", 16, 8), Feature("c", 32, 16))

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 16, 2, 2), nn.Conv2d(16, 32, 2, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a = self.a(x)
        b = self.b(a)
        return a, b, self.c(b)


def forms_of_a_network(folder: Path) -> list[Any]:
    file = folder / "net.json"
    file.write_text(to_json(dorsal.network("small")))
    return [dorsal.network("small"), "small", file, str(file)]


def test_what_takes_a_network_takes_its_text_and_its_file(tmp_path: Path) -> None:
    takers: list[Callable[[Any], Any]] = [
        dorsal.network,
        dorsal.cost,
        dorsal.layers,
        dorsal.features,
        lambda given: dorsal.difference(given, "resnet18"),
        lambda given: dorsal.difference("resnet18", given),
        lambda given: dorsal.edit(given, "classes=5"),
        lambda given: dorsal.match_cost(given, "macs", "20M"),
        lambda given: dorsal.build(given).network,
        lambda given: dorsal.create(given).network,
        lambda given: dorsal.Comparison(networks=[given], recipes="plain").networks[0].endswith(("small", "net.json")),
    ]
    for take in takers:
        first, *others = map(take, forms_of_a_network(tmp_path))
        assert all(other == first for other in others)


def test_recipes_spaces_and_data_are_taken_in_every_form(tmp_path: Path) -> None:
    recipe, space = dorsal.recipe("plain(epochs=3)"), dorsal.read_space("regnetx")
    (tmp_path / "r.toml").write_text("epochs = 3\noptimizer = 'adamw'\nlr = 0.003\nweight_decay = 0.05\n")
    (tmp_path / "s.json").write_bytes(msgspec.json.encode(space))
    assert dorsal.recipe(recipe) is recipe
    assert dorsal.recipe(tmp_path / "r.toml") == dorsal.recipe(str(tmp_path / "r.toml")) == recipe
    assert dorsal.read_space(space) is space
    assert dorsal.read_space(tmp_path / "s.json") == space
    drawn = [dorsal.sample(given, np.int64(2), seed=np.int64(1)) for given in (space, "regnetx", tmp_path / "s.json")]
    assert len({tuple(each.costs["macs"]) for each in drawn}) == 1
    assert msgspec.json.encode(drawn[0].sampling.seed) == b"1"
    data = dorsal.open_data(TINY)
    assert dorsal.open_data(data) is data


def test_fit_and_evaluate_take_texts_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dorsal.fit(
        "small", "plain(epochs=1, batch=20, warmup_epochs=0)", TINY, seed=np.int64(0), device=torch.device("cpu")
    )
    assert made.status == "finished"
    assert dorsal.evaluate(made.model, "val", TINY).score == made.curve[-1].score
    with pytest.raises(ValueError, match="split=vall is not known; did you mean val"):
        dorsal.evaluate(made.model, "vall", TINY)  # type: ignore[arg-type]
    data = dorsal.open_data(TINY)
    save_trained(
        tmp_path / "model",
        made.model,
        trained_card(dorsal.network("small(classes=10)"), data, "tests", dorsal.recipe("plain")),
        1.0,
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (tmp_path / "model", str(tmp_path / "model"), "~/model"):
        assert dorsal.evaluate(folder, "val", TINY).score == made.curve[-1].score
    assert dorsal.evaluate(folder, "all", TINY).images == dorsal.evaluate(made.model, "all", data).images == 60
    for model in (made.model, folder):
        assert dorsal.evaluate(model, None, TINY) == dorsal.evaluate(model, "val", TINY, device="auto")
    with pytest.raises(TypeError, match=r"^data=.* is of type ImageData; it must be a text, a path"):
        dorsal.evaluate(folder, "val", data)
    with pytest.raises(TypeError, match=r"^split=.* is of type SceneSplit; it must be val, train"):
        dorsal.evaluate(folder, data.val, TINY)
    with pytest.raises(ValueError, match="device='tpu' is not there; valid: auto, "):
        dorsal.evaluate(folder, "val", TINY, device="tpu")


def test_a_network_as_text_is_fitted_to_the_data_and_a_value_must_fit() -> None:
    with pytest.raises(ValueError, match="classes=1000 of the network, but the data have 10"):
        dorsal.fit(dorsal.network("resnet18"), "plain", TINY, seed=0)
    with pytest.raises(ValueError, match="in_channels=4 is written out, but the images have 3 channels"):
        dorsal.fit("small(in_channels=4)", "plain", TINY, seed=0)


def test_edits_are_texts_or_mappings_of_texts_and_values() -> None:
    expected = dorsal.network("resnet18(stem=deep, widths=[32, 64, 128, 256], classes=5)")
    assert dorsal.edit("resnet18", "stem=deep, widths=[32, 64, 128, 256], classes=5") == expected
    given = {"stem": "deep", "widths": np.array([32, 64, 128, 256]), "classes": np.int64(5)}
    assert dorsal.edit("resnet18", given) == expected
    with pytest.raises(ValueError, match=r"classes=2\.5 is not a whole number"):
        dorsal.edit("resnet18", {"classes": 2.5})


def test_questions_take_values_and_still_say_their_command() -> None:
    asked = dorsal.Comparison(
        networks=[dorsal.network("resnet18(stem=deep)"), TimmNetwork("efficientnet_b0"), "se=small", Path("~/x.json")][
            :3
        ],
        recipes=[dorsal.recipe("plain(epochs=3)"), "tricks"],
        data=Scenes(size=64),
        seeds=np.array([1, 2]),
        workers=np.int32(2),
        out=Path("runs/x"),
    )
    assert command_line(asked) == (
        "dorsal compare 'resnet18(stem=deep)' timm:efficientnet_b0 se=small --recipe 'plain(epochs=3)' --recipe tricks "
        "--seeds 1,2 --data 'scenes(size=64)' --out runs/x --workers 2"
    )
    assert msgspec.json.decode(msgspec.json.encode(asked), type=dorsal.Comparison) == asked
    population = dorsal.Population(spaces=dorsal.read_space("regnetx"), recipe=dorsal.recipe("plain"), data=Folder("."))
    assert (population.spaces, population.recipe, population.data) == (("regnetx",), "plain", ".")
    assert dorsal.Search(space=dorsal.read_space("regnetx"), objectives="error").space == "regnetx"
    assert dorsal.Recheck(population=Path("runs/x"), epochs=np.int64(20)).epochs == (20,)
    assert dorsal.Timing(spaces=[Path("runs/x"), "regnetx"]).spaces == ("runs/x", "regnetx")


def test_a_space_without_a_name_is_answered_with_how_to_write_it() -> None:
    other = msgspec.structs.replace(dorsal.read_space("regnetx"), name="mine")
    with pytest.raises(ValueError, match=r"spaces: 'mine' is not one of .*to mine.toml, and give that path"):
        dorsal.Population(spaces=[other])


def test_a_recipe_holds_plain_numbers() -> None:
    made = dorsal.Recipe(epochs=np.int64(3), lr=np.float32(0.5), steps=[0.5])
    assert msgspec.json.decode(msgspec.json.encode(made), type=dorsal.Recipe) == made
    with pytest.raises(ValueError, match="epochs=many is not a whole number"):
        dorsal.Recipe(epochs="many")


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "network": (dorsal.network, "network"),
    "cost": (dorsal.cost, "network"),
    "layers": (dorsal.layers, "network"),
    "features": (dorsal.features, "network"),
    "difference": (lambda given: dorsal.difference("small", given), "b"),
    "edit": (lambda given: dorsal.edit("small", given), "changes"),
    "match_cost": (lambda given: dorsal.match_cost("small", "macs", given), "target"),
    "build": (dorsal.build, "network"),
    "create": (dorsal.create, "name"),
    "register_smp": (dorsal.register_smp, "name"),
    "load_model": (dorsal.load_model, "folder"),
    "save_model": (lambda given: dorsal.save_model(given, torch.nn.Identity(), given), "folder"),
    "recipe": (dorsal.recipe, "recipe"),
    "open_data": (dorsal.open_data, "data"),
    "fit": (lambda given: dorsal.fit(given, "plain", TINY, seed=0), "network"),
    "embed": (lambda given: dorsal.embed(given, TINY), "model"),
    "evaluate": (lambda given: dorsal.evaluate(given, "val", TINY), "model"),
    "read_space": (dorsal.read_space, "space"),
    "sample": (lambda given: dorsal.sample(given, 3), "space"),
    "Comparison": (lambda given: dorsal.Comparison(networks=[given]), "networks"),
    "Choice": (lambda given: dorsal.Choice(weights=[given]), "weights"),
    "Population": (lambda given: dorsal.Population(spaces=given), "spaces"),
    "Search": (lambda given: dorsal.Search(space=given), "space"),
    "Timing": (lambda given: dorsal.Timing(spaces=[given]), "spaces"),
    "Recheck": (lambda given: dorsal.Recheck(population=given), "population"),
    "Evaluation": (lambda given: dorsal.Evaluation(models=[given]), "models"),
    "Deployment": (lambda given: dorsal.Deployment(model=given), "model"),
    "run": (dorsal.run, "question"),
    "load": (dorsal.load, "folder"),
    "analyse": (dorsal.analyse, "study"),
    "analyse_table": (dorsal.analyse_table, "table"),
    "to_supervision": (dorsal.to_supervision, "annotation"),
    "predict": (lambda given: dorsal.predict(given, []), "model"),
    "task_model": (lambda given: dorsal.task_model(given, Labels(classes=("a",)), Pyramid()), "task"),
    "write_report": (lambda given: dorsal.write_report(given, "x"), "study"),
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_answered_by_the_name_of_the_argument(name: str) -> None:
    call, argument = WRONG[name]
    with pytest.raises(TypeError, match=re.escape(argument) + r"=<object .*> is of type object; it must be [^\n]+$"):
        call(object())


def test_every_function_of_the_front_door_is_tried() -> None:
    takes_nothing = {"register_timm"}
    other = {"Network", "Recipe"}  # structs of numbers and parts
    assert set(dorsal.__all__) - takes_nothing - other == WRONG.keys()
    assert not inspect.signature(dorsal.register_timm).parameters


@pytest.mark.parametrize(
    "call", [dorsal.load, dorsal.load_model, dorsal.analyse], ids=["load", "load_model", "analyse"]
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_that_is_not_there_is_named(call: Callable[[Any], Any], kind: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="'runs/x' holds no"):
        call(kind("runs/x"))
