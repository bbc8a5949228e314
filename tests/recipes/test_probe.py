import json

import numpy as np
import pytest

from dorsal.cli.recipes import recipes
from dorsal.recipes.probe import PROBES, Neighbors, PenaltyChoice, Probe, averages, centred, check_images, check_level
from dorsal.recipes.text import (
    Recipe,
    any_recipe,
    from_json,
    from_toml,
    recipe,
    recipe_hash,
    recipe_text,
    text_of,
    to_json,
    to_toml,
)

TEXTS = {
    "probe": Probe(),
    "probe(level=2)": Probe(level=2),
    "probe(penalties=[0.01])": Probe(penalties=(0.01,)),
    "neighbors": Neighbors(),
    "neighbors(level=0, k=10)": Neighbors(level=0, k=10),
}


@pytest.mark.parametrize("text", TEXTS)
def test_every_form_reads_back(text, tmp_path):
    made = TEXTS[text]
    assert any_recipe(text) == made
    assert any_recipe(made) is made
    assert recipe_text(made) == text_of("recipe", made) == text
    assert from_json(to_json(made)) == from_toml(to_toml(made)) == made
    (tmp_path / "mine.toml").write_text(to_toml(made))
    assert any_recipe(tmp_path / "mine.toml") == made


def test_hashes_are_pinned_and_tell_the_kinds_apart():
    assert {text: recipe_hash(made) for text, made in TEXTS.items()} == {
        "probe": "2cf0f64f1fe3a4df",
        "probe(level=2)": "b62b8197bc63a604",
        "probe(penalties=[0.01])": "95f7eb1126701ab8",
        "neighbors": "a072bef567d28a5f",
        "neighbors(level=0, k=10)": "3b042bafbd43507d",
    }
    assert len({recipe_hash(made) for made in (*TEXTS.values(), Recipe())}) == len(TEXTS) + 1
    assert recipe_hash(Probe(penalties=[1])) == recipe_hash(Probe(penalties=np.array([1.0])))


def test_named_probes_are_their_defaults():
    assert {name: each.recipe for name, each in PROBES.items()} == {"probe": Probe(), "neighbors": Neighbors()}


def test_what_trains_refuses_a_probe():
    assert recipe("plain") == any_recipe("plain")
    with pytest.raises(
        ValueError, match=r"^recipe=neighbors\(k=3\) trains no network: .* a recipe that trains: plain$"
    ):
        recipe("neighbors(k=3)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prob", "unknown recipe 'prob'; did you mean probe"),
        ("probe(k=3)", "unknown field 'k' of probe; valid: level, penalties"),
        ("probe(level=-1)", "level=-1 is below 0; nearest valid: 0"),
        ("probe(level=last)", "level=last is not a whole number"),
        ("neighbors(k=0)", "k=0 is below 1; nearest valid: 1"),
        ("probe(penalties=[])", r"penalties=\[\] must be numbers from 1e-08 to 10000; nearest valid: \[0.01\]"),
        ("probe(penalties=[1, 0.1])", r"penalties=\[1.0, 0.1\] must increase, .* nearest valid: \[0.1, 1.0\]"),
        ("probe(penalties=[0, 1])", r"nearest valid: \[1.0\]"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        any_recipe(text)


def test_a_file_says_which_kind_it_is():
    with pytest.raises(ValueError, match="type=prob is not known; did you mean probe"):
        from_json('{"type": "prob"}')


@pytest.mark.parametrize(
    ("asked", "images", "message"),
    [
        (Probe(), [1, 0, 1, 0], "2 training images of 4 classes are too few to probe with"),
        (Probe(), [5, 0, 5, 1], "class 'b' has no training image"),
        (Neighbors(), [9, 0, 0, 0], "class 'b' and 2 more has no training image"),
        (Neighbors(k=50), [5, 5, 5, 5], "k=50 of neighbors is above the 20 training images; nearest valid: k=20"),
    ],
)
def test_too_few_images_are_refused(asked, images, message):
    check_images(asked, [50] * 4, "abcd")
    with pytest.raises(ValueError, match=message):
        check_images(asked, images, "abcd")


def test_a_level_that_is_not_there_is_refused():
    for level in (None, 0, 4):
        check_level(level, 5, "resnet18")
    with pytest.raises(
        ValueError, match=r"level=5 does not exist in resnet18, which has levels 0 to 4; .* level=4, or"
    ):
        check_level(5, 5, "resnet18")
    with pytest.raises(ValueError, match="level=0: timm:x gives no maps; leave level out"):
        check_level(0, 0, "timm:x")


def test_few_inner_images_are_averaged_over():
    assert not averages(Probe(), 500, 10)  # ten a class
    assert averages(Probe(), 499, 10)
    assert not averages(Probe(penalties=(1.0,)), 20, 10)  # nothing to choose


def test_the_edge_of_the_sweep():
    asked = Probe(penalties=(0.1, 1, 10))
    for penalty, at_edge in ((0.1, True), (1.0, False), (10.0, True)):
        assert PenaltyChoice(penalty=penalty, inner=(50.0, 50.0, 50.0)).is_at_edge(asked) is at_edge
    assert not PenaltyChoice(penalty=None).is_at_edge(asked)
    assert not PenaltyChoice(penalty=0.1).is_at_edge(Probe(penalties=(0.1,)))
    inner = (50.0, 60.0)
    assert not PenaltyChoice(penalty=1e4, inner=inner).is_at_edge(Probe(penalties=(1, 1e4)))  # the largest there is
    assert centred(asked, 10).penalties == (1, 10, 100)
    assert centred(asked, 0.1).penalties == (0.01, 0.1, 1)
    assert centred(Probe(penalties=(1, 10, 100, 1000)), 1000).penalties == (32, 320, 3200)


def test_the_command_lists_them(capsys):
    recipes()
    assert "neighbors: level=none, k=5" in capsys.readouterr().out
    recipes(as_json=True)
    assert [row["name"] for row in json.loads(capsys.readouterr().out)][-2:] == ["probe", "neighbors"]
    recipes("probe(level=2)")
    assert capsys.readouterr().out.splitlines()[0].split() == ["level", "2", "(default", "none)"]
