import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.recipes.recipe import WORDS
from dorsal.recipes.text import (
    NAMED,
    Recipe,
    from_json,
    from_toml,
    read_recipes,
    recipe,
    recipe_hash,
    recipe_text,
    scaled,
    to_json,
    to_toml,
)
from dorsal.spec.digest import digest


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    share = st.floats(0, 0.9)
    fields = {
        "epochs": draw(st.integers(11, 500)),
        "batch": draw(st.integers(1, 8192)),
        "lr": draw(st.floats(1e-6, 10)),
        "momentum": draw(st.floats(0.1, 0.99)),
        "weight_decay": draw(share),
        "steps": tuple(sorted(draw(st.sets(st.floats(0.01, 0.99), max_size=4)))),
        "warmup_epochs": draw(st.floats(0, 10)),
        "augment_magnitude": draw(st.integers(0, 30)),
        "zero_init": draw(st.booleans()),
        "flip": draw(st.booleans()),
        "freeze": (freeze := draw(st.one_of(st.integers(0, 5), st.just("all")))),
        "head_epochs": 0 if freeze == "all" else draw(st.integers(0, 10)),
        "level_decay": 1.0 if freeze == "all" else draw(st.floats(0.1, 1)),
        "norm": (norm := draw(st.sampled_from(WORDS["norm"]))),
        "precise_bn": draw(st.integers(0, 10_000)) if freeze == 0 and norm != "frozen" else 0,
        **{name: draw(share) for name in ("mixup", "cutmix", "erasing", "drop_path", "ema", "label_smoothing")},
        **{name: draw(st.sampled_from(words)) for name, words in WORDS.items() if name != "norm"},
    }
    return Recipe(**fields)


@given(recipes())
def test_every_form_reads_back(made: Recipe) -> None:
    assert from_json(to_json(made)) == made
    assert from_toml(to_toml(made)) == made
    assert recipe(recipe_text(made)) == made


@given(recipes(), recipes())
def test_hash_tells_recipes_apart(a: Recipe, b: Recipe) -> None:
    assert (recipe_hash(a) == recipe_hash(b)) == (a == b)
    assert hash(a) == hash(from_json(to_json(a)))


def test_whole_numbers_are_floats_too() -> None:
    assert recipe_hash(Recipe(warmup_epochs=1)) == recipe_hash(Recipe(warmup_epochs=1.0))


def test_hashes_are_pinned() -> None:
    assert recipe_hash(Recipe(epochs=3, lr=0.25)) == recipe_hash(from_toml("epochs = 3\nlr = 0.25"))
    assert {name: recipe_hash(made) for name, made in NAMED.items()} == {
        "plain": "27d688442892720e",
        "tricks": "8a2e9f55ebf076e3",
        "finetune": "df6707b813581a0e",
        "finetune-frozen-norm": "4a9f85f3407211eb",
        "head": "6fedbecccf5e04a4",
        "dense": "1280e82d83cda1ee",
        "detectron2-1x": "b90fc3084f758c73",
        "deeplab": "0fb00641885ffa4c",
        "resnest": "f9d28f3f8f42c53c",
        "res2net": "651df7c7d8d3cd23",
        "regnet-10ep": "2243fda80e18627d",
        "regnet-100ep": "29b9fc91f750dd14",
    }


def test_a_field_of_a_later_version_leaves_hashes_as_they_were() -> None:
    fields = [(field.name, field.type, field.default) for field in msgspec.structs.fields(Recipe)]
    later = msgspec.defstruct("Later", [*fields, ("later", float, 0.0)], kw_only=True, frozen=True)
    given = msgspec.structs.asdict(NAMED["resnest"])
    assert digest(later(**given)) == recipe_hash(NAMED["resnest"])
    assert digest(later(**given, later=1.0)) != recipe_hash(NAMED["resnest"])


def test_recipes_are_known_by_their_texts_and_files_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs = 4\n")
    texts = ["tricks", "plain(batch=50)", str(tmp_path / "mine.toml")]
    assert read_recipes(texts, None) == {
        "tricks": NAMED["tricks"], "plain(batch=50)": recipe("plain(batch=50)"), "mine": Recipe(epochs=4),
    }  # fmt: skip


def test_epochs_of_recipes_are_replaced() -> None:
    own, given = read_recipes(["tricks"], None)["tricks"], read_recipes(["tricks"], 3)["tricks"]
    assert given == msgspec.structs.replace(own, epochs=3)
    assert recipe_hash(own) != recipe_hash(given)
    with pytest.raises(ValueError, match="warmup_epochs=5 is not below epochs=3"):
        read_recipes(["tricks", "resnest"], 3)


def test_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text("epochs = 4\n")
    with pytest.raises(ValueError, match="recipe 'mine' is there twice; leave one out, or give its file another name"):
        read_recipes([str(tmp_path / folder / "mine.toml") for folder in ("a", "b")], None)


def test_names_are_the_shortest_text() -> None:
    assert [recipe_text(made) for made in NAMED.values()] == list(NAMED)
    assert recipe_text(recipe("tricks(ema=0)")) == "tricks(ema=0.0)"


def test_files(tmp_path) -> None:
    for name, text in (("a.toml", to_toml(NAMED["resnest"])), ("a.json", to_json(NAMED["resnest"]))):
        path = tmp_path / name
        path.write_text(text)
        assert recipe(str(path)) == NAMED["resnest"]
    (tmp_path / "b.toml").write_text("epochs = 3")
    assert recipe(str(tmp_path / "b.toml")) == Recipe(epochs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plian", "unknown recipe 'plian'; did you mean plain"),
        ("plain(epoch=3)", "unknown field 'epoch' of a recipe; did you mean epochs"),
        ("plain(epochs=x)", "epochs=x is not a whole number"),
        ("plain(epochs=0)", "epochs=0 is out of range; nearest valid: 1"),
        ("plain(optimizer=adam)", "optimizer=adam is not known; did you mean adamw"),
        ("plain(label_smoothing=1.5)", "label_smoothing=1.5 is out of range; nearest valid: 0.99"),
        (
            "plain(warmup_epochs=20)",
            "warmup_epochs=20 is not below epochs=6; nearest valid: warmup_epochs=3, or epochs=21",
        ),
        ("plain(steps=[0.5, 0.2])", r"steps=\[0.5, 0.2\] must increase between 0 and 1; nearest valid: \[0.2, 0.5\]"),
        (
            "plain(momentum=0, optimizer=nesterov)",
            "momentum=0 leaves optimizer=nesterov nothing .* nearest valid: optimizer=sgd",
        ),
        ("plain(auto_augment=randaugment(2))", "expected a field name"),
        ("plain(auto_augment=randaugment(n=2))", "randaugment takes no arguments"),
        ("nowhere.toml", "recipe file 'nowhere.toml' does not exist"),
        ("[1]", "is not a recipe"),
        ("plain(epochs=3", r"found the end; try: plain\(epochs=3\)$"),
        ("plain(steps=[0.2, 0.5", r"; try: plain\(steps=\[0.2, 0.5\]\)$"),
        ("plain(epochs=3, batc=5", "found the end$"),  # closed it would not be one either
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(text)


@pytest.mark.parametrize("read", [from_json, from_toml])
def test_broken_files_are_refused(read) -> None:
    with pytest.raises(ValueError, match="not a recipe"):
        read("{]")


def test_not_a_number_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="lr=nan is out of range"):
        Recipe(lr=float("nan"))


def test_scaled_keeps_the_rate_per_image() -> None:
    assert scaled(NAMED["regnet-100ep"], 128) == msgspec.structs.replace(NAMED["regnet-100ep"], batch=128, lr=0.1)


def test_published_figures() -> None:
    resnest, res2net, regnet = NAMED["resnest"], NAMED["res2net"], NAMED["regnet-100ep"]
    assert resnest.lr / resnest.batch * 256 == pytest.approx(0.1)
    assert (resnest.decay_on, resnest.zero_init, resnest.optimizer) == ("weights", True, "nesterov")
    assert (res2net.decay_on, res2net.zero_init, res2net.optimizer) == ("all", False, "sgd")
    assert regnet.lr / regnet.batch * 128 == pytest.approx(0.1)
    assert (regnet.decay_on, regnet.weight_decay, regnet.precise_bn) == ("all", 5e-5, 8192)


def test_reading_recipes_needs_no_torch() -> None:
    code = "import sys, dorsal.recipes.text as r; r.recipe('tricks(epochs=3)'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
