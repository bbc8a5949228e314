"""A deployed model as a folder: its files, all that it takes to run them, and where they come from. No torch.

bundle.json       what `predict.py` reads, with the card of the model and digests of its files
model.*           one model file, or OpenVINO's two
predict.py        what is in image files, with numpy, Pillow and the runtime alone (`deploy.standalone`)
deployment.json   what was measured and shown (`study.deployment.records`)
README.md         the same for people
source/           the model that all of it is made of, to deploy anew on another machine
"""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec

from dorsal.deploy import standalone
from dorsal.deploy.forms import FILES, RUNTIMES, Form, Precision, Rewrite, Runtime
from dorsal.deploy.possible import why_not_run
from dorsal.deploy.quantize import Quantization
from dorsal.deploy.runtime import Aim, OnnxSession, OpenVinoSession, Session
from dorsal.language.files import sha256_of
from dorsal.spec.layers import Size
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import Classify, Detect, Semantic
from dorsal.weights.card import Card

BUNDLE_FILE, SCRIPT, SOURCE = "bundle.json", "predict.py", "source"
SCHEMA = 1
_PACKAGES: dict[Runtime, str] = {"torch": "torch", "compile": "torch", "aoti": "torch"}


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is in the folder.

    - `runtime`, `precision`, `rewrite`: the form. `versions`: of the runtime's package, when the bundle was made.
    - `aim`, `threads`: how it was measured, and is opened unless told otherwise.
    - `files`: sha256 of each model file; the first is opened. `pixels`: the graph takes uint8 [N, H, W, C] and
      normalizes itself. `batch`, `size`: the only number of images and their only height and width, None for any.
    - `task`, `masks`, `classes`, `preprocessing`, `channels`: what `predict.py` needs to know of the card.
    - `quantization`: how the form came to be in int8. `instructions`: what a package was compiled for, "" for others.
    - `card`: the model's.
    """

    runtime: Runtime
    precision: Precision
    rewrite: Rewrite
    versions: dict[str, str]
    aim: Aim
    threads: int
    files: dict[str, str]
    pixels: bool = False
    batch: int | None = None
    size: Size | None = None
    task: Literal["classify", "semantic", "detect"]
    masks: bool
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    channels: int
    quantization: Quantization | None = None
    instructions: str = ""
    card: Card
    schema: int = SCHEMA

    @property
    def form(self) -> Form:
        """What it runs as."""
        return Form(self.runtime, self.precision, self.rewrite)

    @property
    def known_card(self) -> Card:
        """The card, with the digest of these files in place of the weights' own."""
        digest = hashlib.sha256("".join(self.files.values()).encode()).hexdigest()
        return msgspec.structs.replace(self.card, sha256=digest)


def make_bundle(
    folder: Path,
    form: Form,
    card: Card,
    *,
    aim: Aim,
    threads: int,
    batch: int | None = None,
    size: Size | None = None,
    quantization: Quantization | None = None,
    instructions: str = "",
) -> Bundle:
    """Writes script and record beside the model files in `folder`, the record last: a folder without one is none.

    Raises OSError when a file cannot be written.
    """
    package = _PACKAGES.get(form.runtime, form.runtime)
    bundle = Bundle(
        runtime=form.runtime,
        precision=form.precision,
        rewrite=form.rewrite,
        versions={package: version(package)},
        aim=aim,
        threads=threads,
        files={name: sha256_of(folder / name) for name in FILES[form.runtime]},
        batch=batch,
        size=size,
        task=_task_of(card),
        masks=isinstance(card.task, Detect) and card.task.masks,
        classes=card.class_names or card.label_names,
        preprocessing=card.preprocessing,
        channels=card.network.in_channels,
        quantization=quantization,
        instructions=instructions,
        card=card,
    )
    shutil.copyfile(standalone.__file__, folder / SCRIPT)
    write_bundle(folder, bundle)
    return bundle


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Writes the record, whole or not at all."""
    temporary = folder / f".{BUNDLE_FILE}"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(bundle)))
    temporary.replace(folder / BUNDLE_FILE)


def _task_of(card: Card) -> Literal["classify", "semantic", "detect"]:
    match card.task:
        case Classify():
            return "classify"
        case Semantic():
            return "semantic"
        case Detect():
            return "detect"


def is_bundle(folder: Path) -> bool:
    """Whether a deployed model is there."""
    return (folder / BUNDLE_FILE).is_file()


class _Schema(msgspec.Struct):
    schema: int


def read_bundle(folder: Path) -> Bundle:
    """The record in `folder`. Raises ValueError where there is none, or it cannot be read."""
    path = folder / BUNDLE_FILE
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema != SCHEMA:
            raise ValueError(f"{path} has schema {schema} and this version of dorsal reads {SCHEMA}")
        return msgspec.json.decode(content, type=Bundle)
    except OSError:
        raise ValueError(f"{str(folder)!r} holds no deployed model: there is no {BUNDLE_FILE} in it") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def open_bundle(
    folder: Path, threads: int | None = None, shape: tuple[int, ...] | None = None, aim: Aim | None = None
) -> Session:
    """The form in `folder`, ready to be called. `shape` [N, C, H, W] is that of all images, None if they differ. `aim`
    and `threads` are as in the record unless given.

    Raises ValueError for a file that is missing or not the one of the record, for a form that cannot exist on this
    machine, and for one that the runtime does not open.
    """
    bundle = read_bundle(folder)
    for name, digest in bundle.files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            what = "is not the file that the bundle was made with" if path.is_file() else "is missing"
            raise ValueError(f"{path} {what}; copy the bundle anew, or make it anew by `dorsal deploy --again`")
    if reason := why_not_run(bundle.form) or _why_not_here(bundle):
        raise ValueError(f"{str(folder)!r} does not run here: {reason}; `dorsal deploy --again` makes one that does")
    threads = bundle.threads if threads is None else threads
    try:
        return _opened(bundle, folder / next(iter(bundle.files)), threads, shape, aim or bundle.aim)
    except Exception as error:
        raise ValueError(f"{RUNTIMES[bundle.runtime]} cannot open {folder}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first line of what a runtime says that is not where in its code it says so."""
    lines = (line.strip() for line in str(error).splitlines())
    places = ("Exception from ", "Check '")
    return next((line for line in lines if line and not line.startswith(places)), type(error).__name__)


def _opened(bundle: Bundle, path: Path, threads: int, shape: tuple[int, ...] | None, aim: Aim) -> Session:
    match bundle.runtime:
        case "onnxruntime":
            return OnnxSession(path, threads, aim)
        case "openvino":
            return OpenVinoSession(path, threads, bundle.precision, aim, shape)
        case _:
            from dorsal.deploy.programs import ProgramSession

            return ProgramSession(path, bundle.form, threads, aim)


def _why_not_here(bundle: Bundle) -> str:
    """Why a package that was compiled elsewhere cannot run here."""
    if not bundle.instructions:
        return ""
    import torch

    here = torch.backends.cpu.get_cpu_capability()
    if here != bundle.instructions:
        return f"it is compiled for {bundle.instructions}, and this processor has {here}"
    made_with, here = bundle.versions["torch"], version("torch")
    return "" if here == made_with else f"it is compiled with torch {made_with}, and here is {here}"


def other_versions(bundle: Bundle) -> str:
    """What to say where the runtime has another version here than when the bundle was made; "" where it has not."""
    for package, made_with in bundle.versions.items():
        try:
            here = version(package)
        except PackageNotFoundError:  # which opening it says
            continue
        if here != made_with:
            return f"the bundle was made and shown to be right with {package} {made_with}, and here is {here}"
    return ""
