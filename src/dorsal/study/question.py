"""What every question of a study shares: its form as TOML and as a command, its seeds, its folder. No torch."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from dorsal.data.spec import DATA_HELP, data_text
from dorsal.jobs.resources import ResourceOptions
from dorsal.jobs.store import without_password
from dorsal.language.amounts import read_duration
from dorsal.language.fields import check_fields
from dorsal.language.options import Option, option, options_of
from dorsal.recipes.text import text_of as recipe_text
from dorsal.spec.task import AnyTask, Classify, parse_task, task_text

_MOST_SEEDS = 10_000
_LONGEST_NAME = 40

Question = TypeVar("Question", bound=msgspec.Struct)

Seeds = Annotated[int | tuple[int, ...], option("How many seeds, or which: 5 or 1,2,7.", metavar="N|N,N", free=True)]
Budget = Annotated[
    str | None,
    option("Make as many runs as fit in this time, e.g. 10m or 2h.", metavar="TIME", free=True),
]
Storage = Annotated[
    str | None,
    option("An Optuna storage URL (default: a SQLite file in the folder).", metavar="URL", free=True),
]
Out = Annotated[
    str,
    option(
        "Folder of what is made (default: one in runs/ named after the question).",
        metavar="FOLDER",
        path=True,
        free=True,
    ),
]
Data = Annotated[
    str,
    option(DATA_HELP, path=True, text=data_text),
]
DataSets = Annotated[
    str | tuple[str, ...],
    option(f"{DATA_HELP} Several data sets give an answer over all of them.", path=True, text=data_text),
]
RECIPE = "A named recipe (`dorsal recipes` lists them), one with edits, 'plain(epochs=3)', or a TOML or JSON file."
DENSE = "dense"
"""The recipe of all tasks but classification where a question names none."""


def recipe_option(of_classes: str) -> Any:
    """The option of recipes. None means those of the task; `of_classes`, in words, are those of a classification."""
    told = f"{RECIPE} Default: {of_classes}; {DENSE} for other tasks than classify."
    return option(told, name="recipe", metavar="RECIPE", path=True, text=recipe_text)


def own_recipe(of_classes: str, task: AnyTask) -> str:
    """The recipe of a question that names none: `of_classes` where that is its task."""
    return of_classes if isinstance(task, Classify) else DENSE


def task_text_of(_: str, task: AnyTask) -> str:
    """The text of a task that is given as a value."""
    return task_text(task)


TaskText = Annotated[
    str,
    option(
        "What is learnt: classify, semantic, detect, instance (with masks), cascade; fields in brackets, as in "
        "detect(head=cascade, masks=true).",
        metavar="TASK",
        text=task_text_of,
    ),
]
Epochs = Annotated[int | None, option("Epochs in place of the recipe's own.", least=1)]
Name = Annotated[str, option("Title of the study, and its name in the storage.")]
KeepModels = Annotated[bool, option("Keep the model of every finished run as a folder.", free=True)]
Accept = Annotated[
    bool, option("Train even where images do not look as the weights to begin from learnt them.", free=True)
]
Edit = Annotated[str, option("Change the spaces' base network, e.g. 'stem=simple(stride=1), strides=[1, 2, 2, 2]'.")]
SampleSeed = Annotated[int, option("Random seed of the sample.", least=0)]
LatencyFile = Annotated[str, option("File or folder that `dorsal space latency` made.", metavar="PATH", path=True)]

_COSTS = {
    "macs": "Bound of MACs, e.g. 360M..400M or ..5M.",
    "params": "Bound of parameters.",
    "activations": "Bound of activations: the outputs of all convolutions.",
}
_LATENCY = {"latency": "Bound of the predicted time in ms, e.g. ..8 or forward_b1_ms=..8; takes --latency-model."}
_OTHERS = "Bound of any other quantity, e.g. layers=..60."
CostBounds = Annotated[dict[str, str], option(_OTHERS, name="bound", metavar="NAME=RANGE", own=_COSTS)]
Bounds = Annotated[dict[str, str], option(_OTHERS, name="bound", metavar="NAME=RANGE", own=_COSTS | _LATENCY)]


class Training(ResourceOptions, frozen=True, kw_only=True):
    """What the questions share that train networks on data. Abstract, as `ResourceOptions` is.

    Raises ValueError naming the field whose value cannot be.
    """

    name: Name
    epochs: Epochs = None
    seeds: Seeds = 1
    out: Out = ""
    storage: Storage = None
    keep_models: KeepModels = True

    def __post_init__(self) -> None:
        super().__post_init__()
        seed_list(self.seeds)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seed_list(self.seeds)


class TaskTraining(Training, frozen=True, kw_only=True):
    """What the questions share that train networks for any task. Abstract, as `Training` is.

    Raises ValueError naming the field whose value cannot be.
    """

    task: TaskText = "classify"

    def __post_init__(self) -> None:
        super().__post_init__()
        msgspec.structs.force_setattr(self, "task", task_text(self.asked_task))

    @property
    def asked_task(self) -> AnyTask:
        """The task, in which something may be left open."""
        return parse_task(self.task)


def from_toml(text: str, kind: type[Question]) -> Question:
    """A question of this kind from TOML with its fields as keys.

    Raises ValueError with what a syntax error is, for an unknown field with suggestions, for one that is missing, or
    for a wrong value.
    """
    fields = read_toml(text, kind)
    for each in options_of(kind):
        if each.default is msgspec.NODEFAULT and each.field not in fields:
            raise ValueError(f"{_name(kind)} needs {each.field}: {each.meaning}")
    return kind(**fields)


def read_toml(text: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that a TOML text gives a question of this kind, which may read tables into fields by a function
    `without_tables`. Raises ValueError as `from_toml`."""
    try:
        fields = msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a TOML file: {error}") from None
    fields = getattr(kind, "without_tables", dict)(fields)
    for each in options_of(kind):
        if key := next((key for key in fields if key in each.own), ""):
            raise ValueError(f"{key} is one of {each.field}: write {each.field} = {{{key} = {fields[key]!r}}}")
    check_fields(fields, kind.__struct_fields__, _name(kind))
    return fields


def to_toml(question: msgspec.Struct) -> str:
    """The question as TOML, without the fields that are None."""
    fields: dict[str, Any] = msgspec.to_builtins(question)
    return msgspec.toml.encode({key: value for key, value in fields.items() if value is not None}).decode()


def command(verb: Sequence[str], question: msgspec.Struct) -> str:
    """The command that asks the same. Defaults are left out, and a storage's password is hidden."""
    given = [(each, getattr(question, each.field)) for each in options_of(type(question))]
    given.sort(key=lambda pair: not pair[0].argument)
    words = [word for each, value in given if value != each.default for word in _words(each, value)]
    return shlex.join([*verb, *words])


def _words(said: Option, value: Any) -> Iterator[str]:
    """One option of a command."""
    name = f"--{said.name}"
    match value:
        case tuple() if said.argument:
            yield from value
        case str() if said.argument:
            yield value
        case bool():
            yield name if value else f"--no-{said.name}"
        case dict():
            for key, part in value.items():
                yield from (f"--{key}", part) if key in said.own else (name, f"{key}={part}")
        case (int(), *_):  # one seed is listed as `7,`: 7 alone is how many
            yield from (name, ",".join(map(str, value)) + "," * (len(value) == 1))
        case tuple():
            for part in value:
                yield from (name, str(part))
        case _:
            yield from (name, without_password(value) if said.field.endswith("storage") else str(value))


def own_folder(verb: str, names: Iterable[str], question: msgspec.Struct) -> Path:
    """The folder of a question that names none: `runs/compare-resnet50-resnest50-3f2a1c`.

    The same question finds it again, also where options differ that are `free`: seeds, trials, workers, device, ...
    """
    asked = {
        each.field: value
        for each in options_of(type(question))
        if not each.free and (value := getattr(question, each.field)) != each.default
    }
    digest = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()[:6]
    told = "-".join(dict.fromkeys(re.sub(r"[^\w.]+", "-", name).strip("-.") for name in names))
    return Path("runs", "-".join(filter(None, (verb, told[:_LONGEST_NAME].strip("-."), digest))))


def _name(kind: type[msgspec.Struct]) -> str:
    """A kind of question in a sentence: "a comparison"."""
    return "a" + re.sub("([A-Z])", r" \1", kind.__name__).lower()


def check_budget(budget: str | None) -> None:
    """Raises ValueError for a budget that is no duration."""
    if budget is not None:
        read_duration(budget)


def seed_list(seeds: int | tuple[int, ...]) -> tuple[int, ...]:
    """The seeds themselves, where they are given as how many of 1, 2, 3, …

    Raises ValueError for none, for more than anyone runs, for one out of range, and for one that is there twice.
    """
    if isinstance(seeds, int) and seeds > _MOST_SEEDS:
        raise ValueError(f"seeds={seeds} is more than {_MOST_SEEDS}; nearest valid: {_MOST_SEEDS}")
    listed = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else seeds
    if not listed:
        raise ValueError(f"seeds={seeds} leaves nothing to run; nearest valid: 1")
    for seed in listed:
        if not 0 <= seed < 2**31:
            raise ValueError(f"seeds: {seed} must be at least 0 and below 2**31")
        if listed.count(seed) > 1:
            raise ValueError(f"seeds: {seed} is given twice; each seed is run once")
    return listed
