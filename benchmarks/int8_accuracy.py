"""What int8 costs networks that have really learnt, by every recipe in both runtimes.

    python benchmarks/int8_accuracy.py --cifar SHEETS --weights WEIGHTS [--epochs 30] [--size 64] [--work int8_accuracy]

SHEETS is CIFAR-10 as `experiments/cifar10_spaces/prepare.py` takes it: 10,000 training and 1,000 test images. WEIGHTS
holds published .th files of CIFAR ResNets, which are converted. A small ResNeSt, RegNetY and Res2Net are trained at
`--size` px. Ranges come from 128 training images; each form answers all test images, in float32 and in int8.

For each form: accuracy, the points that it loses against the model with the bound that it stays below on other images
with a probability of 95 %, whether that is at most `--max-drop`, how far its outputs are from the model's on 64 other
training images (a share of how far its answers are apart), and which part of the MACs is really in its precision.
Many forms are looked at on the same images, so the best of them says less than its own bound.

What is in --work is not made again: images, models, forms and answers. `results.json` there has the whole table.
"""

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace

import dorsal
from dorsal.data.spec import Folder, format_data
from dorsal.deploy.forms import RUNTIMES, Form
from dorsal.deploy.possible import why_not
from dorsal.deploy.proof import drop
from dorsal.deploy.quantize import BIASES, RANGES, Quantization
from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.evaluate import prepared_images
from dorsal.jobs.forms import Calibration, Made, Make
from dorsal.jobs.kept import contribution
from dorsal.jobs.machine import available_cores, instructions, machine, runtime_versions, versions
from dorsal.jobs.make_form import make_form, rewrites_in
from dorsal.jobs.rivals import write_inputs
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.epoch import Epoch
from dorsal.weights.card import CHECKPOINT_FILE, MODEL_FILE
from dorsal.weights.convert import convert
from dorsal.weights.published import find_published
from dorsal.weights.saved import read_card

TRAINED = ("resnest_small", "regnety_small", "res2net_small")
CALIBRATION, HELD = 128, 64


def unpacked(sheets: Path, folder: Path) -> Path:
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        script = Path(__file__).parents[1] / "experiments" / "cifar10_spaces" / "prepare.py"
        subprocess.run([sys.executable, script, sheets, part], check=True)
        part.rename(folder)
    return folder


def converted(file: Path, folder: Path) -> Path:
    if not (folder / MODEL_FILE).exists():
        convert(file, find_published(file), folder, origin=f"dorsal weights convert {file.name}")
    return folder


def trained(name: str, data: Folder, epochs: int, folder: Path) -> Path:
    """Trains the network for so many epochs, or goes on from its last whole epoch."""

    def tell(epoch: Epoch) -> None:
        print(f"{name}: epoch {epoch.epoch} of {epochs}, {epoch.score:.1f} %, {epoch.seconds:.0f} s", flush=True)

    if not (folder / MODEL_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        opened, recipe = dorsal.open_data(data), dorsal.recipe(f"plain(batch=64, epochs={epochs})")
        network = dorsal.network(f"{name}(classes={len(opened.classes)})")
        found = dorsal.fit(network, recipe, opened, seed=1, checkpoint=folder / CHECKPOINT_FILE, on_epoch=tell)
        if found.score is None:
            sys.exit(f"{name}: {found.error}")
        card = trained_card(network, opened, "benchmarks/int8_accuracy.py", recipe)
        save_trained(folder, found.model, card, found.score.score)
    return folder


def jobs_of(model: Path, data: Folder, work: Path, threads: int) -> list[Make]:
    """The forms of a model in each runtime that is there: float32, and of it int8 by each recipe."""
    images = len(dorsal.open_data(data).train)
    places = tuple(np.random.default_rng(0).permutation(images)[: CALIBRATION + HELD].tolist())
    (image,) = prepared_images(read_card(model), data, "train", np.array(places[:1]))
    work.mkdir(parents=True, exist_ok=True)
    write_inputs(work / "inputs.npz", image)
    rewrites, jobs = rewrites_in(model), []
    rewrite = next(each for each in ("chunked", "folded", "none") if each in rewrites)
    for runtime in RANGES:
        form = Form(runtime, "float32", rewrite)  # type: ignore[arg-type]
        if reason := why_not(form):
            print(f"{RUNTIMES[form.runtime]}: not available: {reason}")
            continue
        exact = Make(
            form=form,
            folder=work / form.name,
            model=model,
            inputs=work / "inputs.npz",
            aim="latency",
            threads=threads,
            calibration=Calibration(data=data, split="train", places=places[:CALIBRATION], held=places[CALIBRATION:]),
        )
        jobs.append(exact)
        own = replace(form, precision="int8")
        for ranges, bias in product(RANGES[runtime], BIASES[runtime]):
            recipe = Quantization(ranges=ranges, bias=bias, images=CALIBRATION)
            folder = work / f"{own.name}-{recipe.ranges}-{recipe.bias}"
            jobs.append(replace(exact, form=own, folder=folder, graph=exact.folder, quantization=recipe))
    return jobs


def made(jobs: list[Make], threads: int) -> list[Made | str]:
    """What comes of making the forms, each in another process, or came of it before."""
    found: list[Made | str] = []
    with ChildProcess(make_form, threads) as call:
        for job in jobs:
            kept = job.folder / "made.json"
            if kept.exists():
                found.append(msgspec.json.decode(kept.read_bytes(), type=Made))
                continue
            said = call(job)
            if isinstance(said, Made):
                kept.write_bytes(msgspec.json.encode(said))
            found.append(said if isinstance(said, Made) else str(said))
    return found


def rows_of(model: Path, data: Folder, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """What is known of each form of a model then."""
    work = asked.work / "forms" / model.name
    jobs = jobs_of(model, data, work, asked.threads)
    outcomes = made(jobs, asked.threads)
    there = [str(job.folder) for job, found in zip(jobs, outcomes, strict=True) if isinstance(found, Made)]
    question = dorsal.Evaluation(
        models=(str(model), *there),
        data=format_data(data),
        split="val",
        device="cpu",
        workers=1,
        threads=asked.threads,
        out=str(work / "scores"),
    )
    scores = {row.name: row for row in dorsal.run(question).models}
    exact, rows = scores[str(model)], []
    values = contribution(work / "scores", exact.result, exact.task).values()
    for job, found in zip(jobs, outcomes, strict=True):
        row: dict[str, Any] = {"model": model.name, "network": exact.network, "float32": exact.result.score}
        row |= {"form": job.form.name, "recipe": msgspec.to_builtins(job.quantization)}
        said = scores.get(str(job.folder))
        if isinstance(found, str) or said is None or said.result.error:
            rows.append(row | {"failed": found if isinstance(found, str) else said and said.result.error})
            continue
        lost = drop(contribution(work / "scores", said.result, said.task).values(), values, asked.max_drop)
        done = found.executed
        row |= {"score": said.result.score, "drop": msgspec.to_builtins(lost), "outcome": lost.outcome}
        row |= {"error": found.error, "flips": found.agreement.flips}
        if done is not None:
            row |= {"share": done.share(job.form.precision), "fallen": done.fallen(job.form.precision)}
        rows.append(row)
    return rows


def show(row: dict[str, Any]) -> None:
    recipe = row["recipe"]
    ways = f"{recipe['ranges']}, bias {recipe['bias']}" if recipe else ""
    begin = f"{row['model']:24} {row['form']:27} {ways:20}"
    if "score" not in row:
        print(f"{begin} failed: {row['failed']}")
        return
    lost = row["drop"]
    points = f"{row['float32']:7.1f} {row['score']:6.1f} {lost['value']:7.2f} {lost['high']:7.2f}  {row['outcome']:9}"
    share = f"{100 * row['share']:6.1f} %" if "share" in row else ""
    print(f"{begin} {points} {row['error']:8.2g} {share} {' '.join(row.get('fallen', ()))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of the sheets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the .th files")
    parser.add_argument("--networks", default=",".join(TRAINED), help="what is trained")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--max-drop", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--work", type=Path, default=Path("int8_accuracy"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.work.mkdir(parents=True, exist_ok=True)
    processor = machine("cpu", 1, asked.threads).processor
    print(f"{processor}, {', '.join(instructions())}; {asked.threads} threads; {versions() | runtime_versions()}")
    data = Folder(path=str(unpacked(asked.cifar, asked.work / "cifar10")), size=asked.size)
    models = [converted(file, asked.work / file.stem) for file in sorted(asked.weights.glob("resnet*.th"))]
    for name in filter(None, asked.networks.split(",")):
        models.append(trained(name, data, asked.epochs, asked.work / f"{name}-{asked.size}px-{asked.epochs}"))
    columns = "float32   form    drop   below  it is        error    share"
    print(f"{'model':24} {'form':27} {'ranges and biases':20} {columns}")
    rows = []
    for model in models:
        own = rows_of(model, data, asked)
        for row in own:
            show(row)
        rows += own
        (asked.work / "results.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
