"""The examples of README and docs/ run as they stand: Python blocks and commands of a page in order, in one folder.

A command that trains, times or searches is worked out up to its first run: its networks, spaces, recipes and data are
read and its runs planned. The runs themselves are made by the tests marked slow, and only where they take minutes.
What a page shows below a command, in the same block, must be in its output.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import dorsal
from dorsal.cli.app import APP
from dorsal.jobs.json_file import write_record
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.latency.records import MODEL, LatencyModel, Measurements, Setting, TimedNetwork
from dorsal.report.comparison.results import write_results
from dorsal.space.space import to_toml
from dorsal.spec.network import to_json
from dorsal.spec.task import at, parse_task
from dorsal.study.timing.fit import fit_model
from dorsal.tasks.data import open_for
from dorsal.tasks.method import method_of
from dorsal.weights.card import CHECKPOINT_FILE
from dorsal.weights.formats import from_ours
from dorsal.weights.published import PublishedWeights, find_published
from tests.findings.studies import make_case

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "experiments" / "cifar10_spaces" / "population"
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
    if path.name not in ("log.md", "reading.md")  # what was, and an order of files
)

NOT_RUN = {
    r"^(make|pip|python|initdb|pg_ctl|createdb)\b": "works on the machine and not on the folder",
    r"--device cuda|--gpus|--ray|\.MEMORY": "takes a GPU or a cluster",
    r"--storage postgresql": "takes a server",
    r"\bFOLDER\b|…": "has a gap to fill in",
    r"dorsal space pick runs/population\)": "has a command in it",
    r"space recheck": "takes the images that the population was trained on",
    r"dorsal evaluate runs/compare": "takes models of a study that was run",
    r"(model|deploy|evaluate|report) deployed": "takes a deployed model",
    r"/mnt/": "takes a folder of published files",
    r"--against|runs/search": "takes a search that was run",
}
"""Commands that are not run, by a pattern of their text, with the reason."""


SLOW = r"^dorsal (space (analyse|narrow|pick)|report) (runs/(?!search)|experiments/)"
"""Commands that analyse the 128 networks of the study in experiments/."""

WEIGHTS = ("*.pth", "*.ckpt", "*.th")
"""Files of about a hundred megabytes, which only the pages that name them have beside them."""


class ReachedError(BaseException):
    """A command came as far as its first run. No command catches it."""


class Example(NamedTuple):
    """A command, or a block of Python or TOML, of a page, and the lines of output that the page shows after it."""

    kind: Literal["command", "python", "toml"]
    text: str
    shown: list[str]


def examples(page: str) -> list[Example]:
    found: list[Example] = []
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        first = number
        if match := re.match(r"```(\w*)", lines[number]):
            number += 1
            while not lines[number].startswith("```"):
                number += 1
            if match[1] in ("python", "console", "toml"):
                found += _block(match[1], lines[first + 1 : number])
        elif re.match(r" {4}\S", lines[number]) and (number == 0 or not lines[number - 1].strip()):
            while number + 1 < len(lines) and (lines[number + 1].startswith("    ") or not lines[number + 1].strip()):
                number += 1
            block = [line[4:] for line in lines[first : number + 1]]
            if found and found[-1].kind == "python" and lines[first - 2] == "```":  # what it prints, right below
                found[-1].shown.extend(filter(None, block))
            else:
                found += _block("python" if _is_python(block) else "console", block)
        number += 1
    return found


def _is_python(block: list[str]) -> bool:
    return bool(re.match(r"(import|from) \w|\w+(, \w+)* = ", block[0]))


def _block(kind: str, block: list[str]) -> list[Example]:
    """The examples of a block. Lines below a command are what it prints."""
    if kind in ("python", "toml"):
        return [Example(kind, "\n".join(block), [])]
    found: list[Example] = []
    for text in re.sub(r"\\\n\s*", " ", "\n".join(block)).split("\n"):
        if command := re.match(r"(?:\$ )?((?:\w+=\S+ )?(?:dorsal|make|pip|python|initdb) .*)", text):
            parts = re.split(r"\s+&&\s+", re.split(r"\s{2,}#", command[1])[0])
            found += [Example("command", part.strip(), []) for part in parts]
        elif found and text.strip():
            found[-1].shown.append(text)
    return found


def _photos(folder: Path, classes: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for index in range(6):
                pixels = random.integers(0, 255, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


def _files(folder: Path) -> None:
    """What the pages take as there: photographs, a model, a checkpoint, and the study that this project ships."""
    _photos(folder / "photos", ("boot", "hat"))
    _photos(folder / "more_photos", ("boot", "hat"))
    _photos(folder / "imagenet", ("n01440764", "n01443537"))
    _photos(folder / "cifar10", ("cat", "dog"))
    Image.open(folder / "photos" / "val" / "hat" / "0.png").save(folder / "cat.jpg")
    data = dorsal.open_data(folder / "photos")
    net = dorsal.network("small(classes=2)")
    for name in ("runs/mine", "runs/train", "models/mine"):
        save_trained(folder / name, dorsal.build(net), trained_card(net, data, "tests", dorsal.recipe("plain")), 50.0)
        if name.startswith("runs/"):
            (folder / name / CHECKPOINT_FILE).touch()  # it was trained there
    _annotated(folder)
    (folder / "names.txt").write_text("".join(f"class{index}\n" for index in range(5)))
    torch.save({"model_state_dict": _random("resnet50(classes=5)", "timm")}, folder / "best.pth")
    torch.save(
        {"ema": {f"module.{key}": value for key, value in _random("resnet50", "timm").items()}}, folder / "last.ckpt"
    )
    torch.save(_random("resnet20", "pytorch_resnet_cifar10"), folder / "resnet20-12fca82f.th")
    torch.save(_random("resnest50", "resnest"), folder / "resnest50-528c19ca.pth")
    for name in ("anynet", "population", "both", "a"):
        shutil.copytree(STUDY, folder / "runs" / name)
    one = json.loads((STUDY / "spaces.json").read_text(encoding="utf-8"))  # of one space, as its page has it
    (folder / "runs" / "a" / "spaces.json").write_text(
        json.dumps({**one, "spaces": one["spaces"][:1]}), encoding="utf-8"
    )
    shutil.copytree(STUDY, folder / STUDY.relative_to(ROOT))
    case = make_case("whole")
    for name in ("compare", "compare-small"):
        (folder / "runs" / name).mkdir()
        write_results(*case, folder / "runs" / name)
    (folder / "winner.json").write_text(to_json(dorsal.network("small")), encoding="utf-8")
    (folder / "next.toml").write_text(to_toml(dorsal.read_space("anynetx_e")), encoding="utf-8")
    write_record(folder / "runs" / "latency" / MODEL, _latency())


def _annotated(folder: Path) -> None:
    """Pets in COCO's format, streets as pairs of images, and a model of each."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    (folder / "pets" / "images").mkdir(parents=True)
    for split in ("train", "val"):
        for part in (f"streets/{split}", f"streets/{split}annot"):
            (folder / part).mkdir(parents=True)
        images, boxes = [], []
        for index in range(4):
            shades = pixels + np.uint8(index + 4 * (split == "val"))  # no image is there twice
            Image.fromarray(shades).save(folder / "pets" / "images" / f"{split}{index}.png")
            Image.fromarray(shades).save(folder / "streets" / split / f"{index}.png")
            Image.fromarray(pixels[..., 0] % 2).save(folder / "streets" / f"{split}annot" / f"{index}.png")
            images.append({"id": index, "file_name": f"{split}{index}.png", "height": 40, "width": 48})
            corners = [4, 4, 24, 4, 24, 20, 4, 20]
            box = {"bbox": [4, 4, 20, 16], "area": 320, "segmentation": [corners], "iscrowd": 0}
            boxes.append({"id": index, "image_id": index, "category_id": 1, **box})
        told = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
        (folder / "pets" / f"instances_{split}.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "streets" / "names.txt").write_text("road\nsky\n", encoding="utf-8")
    for name, text, spec in (("pets", "instance", "coco:pets"), ("streets", "semantic", "pairs:streets")):
        data = open_for(parse_task(text), spec.replace(":", f":{folder}/") + "(size=64)")
        task, net = at(parse_task(text), data.size), dorsal.network("small(classes=0)")
        model = method_of(task, data.labels).build(net, dorsal.recipe("plain"), None)
        save_trained(
            folder / "runs" / name, model, trained_card(net, data, "tests", dorsal.recipe("plain"), None, task), 50.0
        )


def _latency() -> LatencyModel:
    """A model of times that follow from MACs, 5 to 22 ms a forward pass of one image."""
    drawn = dorsal.sample("regnetx", 40, {"macs": "50M..400M"}, 5)
    setting = Setting(calls=("forward", "step"), batches=(1, 16), threads=1, device="cpu", precision="float32")
    timed = []
    for row in range(len(drawn)):
        costs = {name: float(column[row]) for name, column in drawn.costs.items() if name != "image_size"}
        rounds = (dict.fromkeys(setting.quantities(), 2 + 5e-08 * costs["macs"]),) * 2
        timed.append(TimedNetwork(label=f"{row}", network_hash=f"{row}", image_size=224, costs=costs, rounds=rounds))
    return fit_model(
        Measurements(
            setting=setting,
            spaces=("regnetx",),
            machine=dorsal.load(STUDY).study.machine,
            versions={},
            created="2026-01-02",
            networks=tuple(timed),
        )
    )


def _random(text: str, package: str) -> dict[str, torch.Tensor]:
    net = dorsal.network(text)
    return from_ours(dorsal.build(net).state_dict(), net, package)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    _files(folder)
    return folder


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where published weights are put, once for all pages."""
    return tmp_path_factory.mktemp("fetched")


@pytest.fixture
def place(files: Path, fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that pages take, but for weights; published ones are random, from no network."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*WEIGHTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def fetch(entry: PublishedWeights, *_: Any) -> Path:
        file = fetched / entry.local_name
        if not file.exists():
            write = save_file if file.suffix == ".safetensors" else torch.save
            write(_random(entry.network, entry.format), file)
        return file

    monkeypatch.setattr("dorsal.weights.fetch.check_file", lambda _, path: path)
    for module in ("dorsal.weights.fetch", "dorsal.weights.source"):
        monkeypatch.setattr(f"{module}.fetch", fetch)
    return tmp_path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that would begin to train or to time says so instead."""

    def reached(*_: Any, **__: Any) -> None:
        raise ReachedError

    for name in (
        "dorsal.jobs.execution.engine_of",
        "dorsal.study.choice.run.engine_of",
        "dorsal.study.search.run.engine_of",
        "dorsal.study.timing.run.LocalPool",
        "dorsal.study.deployment.run._prepare",
        "dorsal.train.loop.fit",
    ):
        monkeypatch.setattr(name, reached)
    monkeypatch.setattr("dorsal.study.timing.run.why_not", lambda _: "")  # runtimes need not be installed


def run_command(text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    words = shlex.split(text, comments=True)
    target: Path | None = None
    if ">" in words:
        target, words = Path(words[-1]), words[: words.index(">")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises((SystemExit, ReachedError)) as ended:
        APP(words[1:])
    out, err = capsys.readouterr()
    code = ended.value.code if isinstance(ended.value, SystemExit) else 0
    assert not code, f"{text}\n{out}{err}"
    if target is not None:
        target.write_text(out, encoding="utf-8")
    return out + err


def run_python(text: str, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    with warnings.catch_warnings(), contextlib.suppress(ReachedError):
        warnings.filterwarnings("ignore", category=UserWarning)  # said of guesses, as the pages tell
        exec(text, names)
    return capsys.readouterr().out


def reason_not_to_run(text: str) -> str:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, text)), "")


def assert_shown(shown: list[str], out: str) -> None:
    """Every line that a page shows is in the output, but for spaces between words."""
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert not [line for line in shown if " ".join(line.split()) not in lines], out


def is_slow(example: Example) -> bool:
    return example.kind == "command" and bool(re.search(SLOW, example.text)) and not reason_not_to_run(example.text)


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("page", "slow"),
    [
        *((page, False) for page in PAGES),
        *(pytest.param(page, True, marks=pytest.mark.slow) for page in PAGES if any(map(is_slow, examples(page)))),
    ],
)
def test_examples_of_a_page_run_in_order(
    page: str, slow: bool, files: Path, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for weights in [each for pattern in WEIGHTS for each in files.glob(pattern) if each.name in text]:
        shutil.copy(weights, place)
    names: dict[str, Any] = {"__name__": "__main__", "dorsal": dorsal}
    found = examples(page)
    for example in found:
        if example.kind == "toml":
            file = "study.toml" if "networks =" in example.text else "mine.toml"
            (place / file).write_text(example.text, encoding="utf-8")
    for example in found:
        if example.kind == "python":
            assert_shown(example.shown, run_python(example.text, names, capsys))
        elif example.kind == "command" and not reason_not_to_run(example.text) and (slow or not is_slow(example)):
            out = run_command(example.text, capsys, monkeypatch)
            assert_shown(example.shown, out)


def test_every_reason_is_of_some_command() -> None:
    texts = [example.text for page in PAGES for example in examples(page) if example.kind == "command"]
    assert not [pattern for pattern in (*NOT_RUN, SLOW) if not any(re.search(pattern, text) for text in texts)]
    assert sum(not reason_not_to_run(text) for text in texts) > 40


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_python_examples_of_the_readme_run_to_their_end(number: int, place: Path) -> None:
    entry = find_published("resnest50.timm_in1k")
    (place / "published").mkdir()
    save_file(_random(entry.network, entry.format), place / "published" / entry.local_name)
    scripts = [each.text for each in examples("README.md") if each.kind == "python"]
    assert len(scripts) == 2
    shutil.rmtree(place / "runs")
    (place / "example.py").write_text(scripts[number].replace('budget="2h"', 'budget="1m"'), encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "example.py"],
        env={**os.environ, "DORSAL_WEIGHTS": str(place / "published")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not told.returncode, told.stderr
    assert len(list(place.glob("runs/*/report.html"))) == 1


@pytest.mark.slow
def test_the_main_job_prints_the_tables_that_the_readme_shows(place: Path) -> None:
    """Figures differ by machine, and the sentences on them; titles, heads, arms and limits do not."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"It ends with:\n\n((?: {4}.*\n|\n)+)", readme)
    assert shown is not None
    told = subprocess.run(
        [sys.executable, "-m", "dorsal", "compare"], capture_output=True, text=True, check=True, cwd=place
    )

    def fixed(text: str) -> list[str]:
        lines = (line.strip() for line in text.splitlines())
        return [re.sub(r"[\d., ]+(to [\d ]+)?|━+", " ", line) for line in lines if line[:1] in "┃│TCW" and line]

    assert fixed(shown[1])
    assert not [line for line in fixed(shown[1]) if line not in fixed(told.stdout)], told.stdout
