"""Options of the command line, which come from the questions; what is meant by words that it does not know."""

import shlex
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import pytest

from dorsal.cli.app import APP
from dorsal.cli.group import Entry, Verbs
from dorsal.cli.verb import Verb
from dorsal.language.options import Option, options_of
from dorsal.study import question
from dorsal.study.comparison.question import Comparison
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.population.question import Population
from dorsal.study.recheck.question import Recheck
from dorsal.study.search.question import Search
from dorsal.study.timing.question import Timing

KINDS = {
    "compare": Comparison,
    "evaluate": Evaluation,
    "space run": Population,
    "space search": Search,
    "space recheck": Recheck,
    "space latency": Timing,
}


def verbs(group: Verbs = APP, before: str = "") -> Iterator[tuple[str, Verb]]:
    for name in group.verbs:
        found = group.get_command(click.Context(group), name)
        if isinstance(found, Verb):
            yield f"{before}{name}", found
        elif isinstance(found, Verbs):
            yield from verbs(found, f"{before}{name} ")


ALL = dict(verbs())


def flags(verb: Verb) -> list[str]:
    return [flag for param in verb.params for flag in (*param.opts, *param.secondary_opts) if flag.startswith("-")]


@pytest.mark.parametrize("path", KINDS)
def test_every_field_of_a_question_is_an_option_and_every_option_a_field(path: str) -> None:
    kind, verb = KINDS[path], ALL[path]
    assert [each.field for each in options_of(kind)] == [each.field for each in verb.asked]
    assert {each.field for each in verb.asked} == set(kind.__struct_fields__)
    names = {f"--{each.name}" for each in verb.asked if not each.argument}
    assert names <= set(flags(verb))


def test_every_verb_says_what_it_does_shows_examples_and_means_each_option() -> None:
    assert len(ALL) > 20
    for path, verb in ALL.items():
        assert verb.help
        assert verb.examples, path
        assert all(example.startswith("dorsal ") for example in verb.examples), path
        for each in (*verb.asked, *verb.beside):
            assert each.meaning.endswith("."), (path, each.field)
        assert len(flags(verb)) == len(set(flags(verb))), path


def test_examples_are_commands_that_their_verbs_read() -> None:
    for path, verb in ALL.items():
        for example in verb.examples:
            words = shlex.split(example.partition(" > ")[0])[1:]
            if "$(" in example:
                continue
            assert " ".join(words).startswith(path), example
            verb.make_context(path, words[len(path.split()) :])


def test_the_list_of_verbs_says_what_their_help_begins_with() -> None:
    def entries(group: Verbs, before: str = "") -> Iterator[tuple[str, str]]:
        for name, found in group.verbs.items():
            if isinstance(found, Entry):
                yield f"{before}{name}", found.says
            else:
                yield from entries(found, f"{before}{name} ")

    assert dict(entries(APP)).keys() == ALL.keys()
    for path, says in entries(APP):
        assert (ALL[path].help or "").replace("\n", " ").startswith(says.removesuffix(".")), path


GIVEN: dict[str, Any] = {
    "models": ("runs/x", "models/y"),
    "split": "all",
    "networks": ("small", "b=resnet18"),
    "recipes": ("plain", "tricks(epochs=3, mixup=0)"),
    "spaces": ("regnetx", "regnety"),
    "space": "regnety",
    "population": "runs/x",
    "recipe": "plain",
    "seeds": (7,),
    "bounds": {"macs": "..9G", "layers": "..90"},
    "objectives": ("error", "macs"),
    "epochs": 3,
    "match": "macs=20M",
    "budget": "10m",
    "data": "scenes(size=64, train=100)",
    "sampler": "gp",
    "edit": "stem=deep",
    "storage": "sqlite:///other.db",
    "ray": "local",
    "device": "cpu",
    "precision": "bf16",
    "calls": ("forward",),
    "runtimes": ("eager", "openvino"),
    "batches": (1, 2),
    "out": "el se/wh'ere",
    "name": "a study",
    "latency_model": "",
    "against": "a population/x",
    "against_storage": "postgresql://me@host/db",
    "keep_models": False,
    "accept": True,
    "until_decided": True,
    "task": "detect(head=cascade)",
    "gallery": False,
    "scales": (0.75, 1.0),
    "flip": True,
}


def value_of(kind: type[msgspec.Struct], each: Option) -> Any:
    if kind is Recheck and each.field in ("epochs", "networks"):
        return {"epochs": (20, 50), "networks": 7}[each.field]
    if kind is Comparison and each.field in ("seeds", "resample", "deployed"):
        # to which others may be added; goes with no tuning; goes with no Ray
        return {"seeds": 7, "resample": None, "deployed": False}[each.field]
    return GIVEN.get(each.field, 7)


@pytest.mark.parametrize("path", KINDS)
def test_the_recorded_command_asks_the_same_question(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, verb = KINDS[path], ALL[path]
    whole = kind(**{each.field: value_of(kind, each) for each in options_of(kind)})
    words = shlex.split(question.command(("dorsal", *path.split()), whole))
    read: list[msgspec.Struct] = []
    monkeypatch.setattr(verb, "function", lambda **given: read.extend(v for v in given.values() if type(v) is kind))
    verb.main(words[1 + len(path.split()) :], standalone_mode=False)
    assert read == [whole]
    assert question.from_toml(question.to_toml(whole), kind) == whole


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("compare small --seed 2", "try: dorsal compare small --seeds 2"),
        ("compare small --device=cpu --epoch=2", "try: dorsal compare small --device=cpu --epochs=2"),
        ("compare small --size 48", "but a field of --data; try: dorsal compare small --data 'scenes(size=48)'"),
        (
            "compare small --data 'photos(size=96)' --val-fraction=0.1",
            "try: dorsal compare small --data 'photos(size=96, val_fraction=0.1)'",
        ),
        ("train small --lr 0.1", "but a field of --recipe; try: dorsal train small --recipe 'plain(lr=0.1)'"),
        ("train small --budget 3m", "but of `dorsal compare`, `dorsal choose`, `dorsal space run`"),
        ("compare small --nonsense", "see `dorsal compare --help`"),
        ("--seeds 3 compare", "options come after the verb"),
        ("compre small", "try: dorsal compare small"),
        ("fit small --epochs 1", "try: dorsal train small --epochs 1"),
        ("create resnet50", "try: dorsal show resnet50"),
        ("sample regnetx", "try: dorsal space sample regnetx"),
        ("pull resnest50.official_in1k", "try: dorsal weights pull resnest50.official_in1k"),
        ("space compare small", "try: dorsal compare small"),
        ("space reckeck runs/x", "try: dorsal space recheck runs/x"),
        ("xyzzy", "see `dorsal --help`"),
        ("space run", "SPACE... is missing"),
        ("space run", "; e.g. dorsal space run anynetx_a"),
        ("compare small --seeds", "--seeds"),
        ("train small resnet18", "resnet18"),
    ],
)
def test_what_was_meant_is_a_command_to_paste(dorsal: Any, words: str, meant: str) -> None:
    code, out, err = dorsal(*shlex.split(words))
    assert (code, out) == (2, "")
    assert err.startswith("dorsal: ")
    assert meant in err
    assert err.count("\n") == 1


def test_what_is_plain_simply_works(dorsal: Any) -> None:
    assert dorsal("help", "compare") == dorsal("compare", "--help") == dorsal("compare", "-h")
    assert dorsal("help", "space", "run")[1].startswith("Usage: dorsal space run")
    assert dorsal("help") == dorsal("--help") == dorsal()
    assert dorsal("version") == dorsal("--version")
    assert dorsal("space")[1].startswith("Usage: dorsal space")


def test_an_option_that_may_be_repeated_takes_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    verb, read = ALL["compare"], list[Comparison]()
    monkeypatch.setattr(verb, "function", lambda asked, **_: read.append(asked))
    verb.main(["small", "--recipe", "plain,tricks(epochs=3, mixup=0)", "--seeds", "1, 2"], standalone_mode=False)
    assert (read[0].recipes, read[0].seeds) == (("plain", "tricks(epochs=3, mixup=0)"), (1, 2))


def test_options_replace_the_fields_of_a_file_that_may_begin_with_a_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "study.toml").write_text('networks = ["small"]\nseeds = 3\nout = "~/here"\n', encoding="utf-8-sig")
    verb, read = ALL["compare"], list[Comparison]()
    monkeypatch.setattr(verb, "function", lambda asked, **_: read.append(asked))
    verb.main(["--file", "~/study.toml", "--seeds", "4"], standalone_mode=False)
    assert read == [Comparison(networks=("small",), seeds=4, out=str(tmp_path / "here"))]
