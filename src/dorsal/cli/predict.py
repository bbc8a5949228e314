"""`dorsal predict`: what a trained model sees in image files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dorsal.cli.options import AsJson
from dorsal.jobs.resources import Device
from dorsal.language.files import check_folder
from dorsal.language.options import option
from dorsal.spec.task import Classify, Detect, Semantic, task_text

if TYPE_CHECKING:
    from dorsal.annotations.labels import Labels
    from dorsal.jobs.predict import Prediction
    from dorsal.weights.card import Card

PREDICTIONS_FILE = "predictions.json"
WRITTEN_FILE = ".dorsal-predict.json"
"""The names of all that a call writes, so that the next one replaces that and nothing else."""
_LABELS = ".labels.png"
_TOP, _LEAST_SCORE = 3, 0.5
_TOLD = 10
"""Objects, or classes, that are printed of an image; --json has all."""


def predict(
    images: Annotated[tuple[Path, ...], option("Image files, or folders of them.", metavar="IMAGE", argument=True)],
    model: Annotated[
        Path, option("A folder that `dorsal train`, `dorsal weights` or `dorsal deploy` made.", metavar="FOLDER")
    ],
    top: Annotated[int | None, option(f"Classifiers: how many classes to name, {_TOP} unless given.", least=1)] = None,
    least_score: Annotated[
        float | None,
        option(
            f"Detectors: list and draw what scores at least so much, {_LEAST_SCORE:g} unless given; files have all "
            "that is found."
        ),
    ] = None,
    out: Annotated[Path | None, option("Folder of pictures and of the results as files.", metavar="FOLDER")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what is in image files.

    A classifier names their most probable classes, a detector their objects, a segmenter the class of each pixel.
    Images are prepared as the model's card says. All files are read before the model runs, so one bad file stops the
    call at once. With --out there is a picture of each image, and a file predictions.json: of a detector a result file
    of COCO, whose image_id are the names of the files, with a number where several have one name; of a segmenter the
    names of label images, PNG files with the number of each pixel's class. Places are pixels of the image files, turned
    as their EXIF orientation says.

    Examples:
        dorsal predict cat.jpg dog.png --model runs/train --top 1
        dorsal predict photos/new --model runs/detector --out seen
    """
    from dorsal.data.decode import Reading
    from dorsal.jobs.predict import Predictor

    if least_score is not None and not 0 <= least_score <= 1:
        raise ValueError(f"least_score={least_score:g} must be from 0 to 1")
    predictor = Predictor(model, device)
    if predictor.note:
        sys.stderr.write(f"note: {predictor.note}\n")
    _check_options(predictor.card, top, least_score)
    top, least = top or _TOP, _LEAST_SCORE if least_score is None else least_score
    suffixes = Reading(channels=predictor.card.network.in_channels).suffixes
    files = tuple(dict.fromkeys(file for path in images for file in _files(path, suffixes)))
    names, seen_files = _names(files), predictor.files(files)
    if out is not None:
        endings = (".jpg", _LABELS) if isinstance(predictor.card.task, Semantic) else (".jpg",)
        replaced = _make_room(out, files, [f"{name}{ending}" for name in names.values() for ending in endings])
    answers: dict[str, Any] = {}
    results: list[Any] = []
    for seen in seen_files:
        answers[str(seen.path)] = _answer(seen, predictor.card, top, least)
        if out is not None:
            results += _write(seen, predictor.card, out, names[seen.path], least)
        if not as_json:
            print(f"{seen.path}: {_told(answers[str(seen.path)]) or f'nothing that scores {least:g} or more'}")
    if out is not None:
        import msgspec

        whole = answers if predictor.card.labels is None else results
        (out / PREDICTIONS_FILE).write_bytes(msgspec.json.encode(whole))
        sys.stderr.write(f"pictures and {PREDICTIONS_FILE} in {out}{replaced}\n")
    if as_json:
        import json

        print(json.dumps(answers, allow_nan=False))


def _answer(seen: Prediction, card: Card, top: int, least_score: float) -> list[dict[str, Any]]:
    """What is said of an image: its best classes, its objects, or the share of pixels of each class, best first."""
    found, names = seen.found, card.class_names or card.label_names
    if found.probabilities is not None:
        best = (-found.probabilities).argsort(kind="stable")[: min(top, len(names))].tolist()
        return [{"class": names[at], "probability": round(float(found.probabilities[at]), 6)} for at in best]
    if found.objects is not None and found.objects.scores is not None:
        rows = zip(found.objects.labels, found.objects.scores, found.objects.boxes, strict=True)
        return [
            {"class": names[label], "score": round(float(score), 6), "box": [round(float(x), 2) for x in box]}
            for label, score, box in rows
            if score >= least_score
        ]
    import numpy as np

    assert found.semantic is not None
    labels, counts = np.unique(found.semantic, return_counts=True)
    shares = sorted(zip((counts / found.semantic.size).tolist(), labels.tolist(), strict=True), reverse=True)
    return [{"class": names[label], "share": round(share, 6)} for share, label in shares]


def _told(answer: list[dict[str, Any]]) -> str:
    """The answer in a line."""
    parts = []
    for each in answer[:_TOLD]:
        if "box" in each:
            x0, y0, x1, y1 = (round(x) for x in each["box"])
            parts.append(f"{each['class']} {each['score']:.2f} at {x0}, {y0} to {x1}, {y1}")
        else:
            parts.append(f"{each['class']} {100 * each.get('probability', each.get('share', 0)):.1f} %")
    more = f" and {len(answer) - _TOLD} more" if len(answer) > _TOLD else ""
    return ("; " if answer and "box" in answer[0] else ", ").join(parts) + more


def _write(seen: Prediction, card: Card, out: Path, name: str, least_score: float) -> list[Any]:
    """Writes the picture, and the label image of a segmenter; returns the entries of the file of predictions."""
    from PIL import Image

    from dorsal.report.pictures import draw

    labels: Labels = card.known
    picture = Image.fromarray(draw(seen.pixels, seen.found, labels, least_score=least_score))
    picture.save(out / f"{name}.jpg", quality=92)
    if seen.found.objects is not None:
        from dorsal.annotations.coco import write_results

        return list(write_results(seen.found, name + seen.path.suffix, card.category_ids))
    if seen.found.semantic is not None:
        Image.fromarray(seen.found.semantic).save(out / f"{name}{_LABELS}")
        return [{"image": name + seen.path.suffix, "labels": f"{name}{_LABELS}", "classes": card.label_names}]
    return []


def _check_options(card: Card, top: int | None, least_score: float | None) -> None:
    """Raises ValueError for an option that does nothing for a model of this task."""
    if top is not None and not isinstance(card.task, Classify):
        raise ValueError(f"top={top} is of classifiers; the model is of task {task_text(card.task)}, so leave it out")
    if least_score is not None and not isinstance(card.task, Detect):
        raise ValueError(
            f"least_score={least_score:g} is of detectors; the model is of task {task_text(card.task)}, so leave it out"
        )


def _make_room(out: Path, files: tuple[Path, ...], names: list[str]) -> str:
    """Makes the folder for pictures of these names, without what an earlier call wrote there; returns what to say of
    that.

    Raises ValueError, before anything is removed, where an image to be looked at, or a file that no earlier call wrote,
    would be lost.
    """
    import json

    check_folder("out", out)
    record = out / WRITTEN_FILE
    listed = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    earlier = {name for name in map(str, listed) if Path(name).name == name}  # nothing outside of the folder
    written = {PREDICTIONS_FILE, *names}
    own = {file.resolve() for file in files}
    for name in sorted(written | earlier):
        if (out / name).resolve() in own:
            raise ValueError(f"out={str(out)!r} holds {name!r}, which is to be looked at; name another folder")
        if name not in earlier and (out / name).exists():
            raise ValueError(f"out={str(out)!r} holds {name!r}, which no earlier call wrote; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name in earlier:
        (out / name).unlink(missing_ok=True)
    record.write_text(json.dumps(sorted(written), allow_nan=False), encoding="utf-8")
    return " (replaced)" if earlier else ""


def _names(files: tuple[Path, ...]) -> dict[Path, str]:
    """A name for what is written of each file: its own without the ending, with a number where several have it."""
    names: dict[Path, str] = {}
    for file in files:
        name, number = file.stem, 2
        while name in names.values():
            name, number = f"{file.stem}-{number}", number + 1
        names[file] = name
    return names


def _files(path: Path, suffixes: frozenset[str]) -> list[Path]:
    """The path itself, or of a folder the image files in it and below. ValueError for a folder without any."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise ValueError(f"{path} has no image files; valid: {', '.join(sorted(suffixes))}")
    return found
