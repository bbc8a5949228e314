"""`dorsal predict`: what a trained model sees in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.cli.options import AsJson
from dorsal.jobs.resources import Device
from dorsal.language.options import option


def predict(
    images: Annotated[tuple[Path, ...], option("Image files, or folders of them.", metavar="IMAGE", argument=True)],
    model: Annotated[Path, option("A folder that `dorsal train` or `dorsal weights` made.", metavar="FOLDER")],
    top: Annotated[int, option("How many classes to name.", least=1)] = 3,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Name the most probable classes of image files, prepared as the model's card says.

    All files are read before the model runs, so one bad file stops the call at once.

    Examples:
        dorsal predict cat.jpg dog.png --model runs/train --top 1
        dorsal predict photos/new --model runs/train
    """
    import json

    import torch

    from dorsal.data.decode import Reading, read_pixels, scan
    from dorsal.data.transform import eval_transform
    from dorsal.jobs.evaluate import normalization_of
    from dorsal.jobs.train import choose_device
    from dorsal.weights.saved import load_model

    device = choose_device(device)
    net, card = load_model(model)
    reading = Reading(channels=card.network.in_channels)
    images = tuple(file for path in images for file in _files(path, reading.suffixes))
    bad = [f"{path} {found.problem}" for path in images if (found := scan(path, reading)).problem]
    if bad:
        raise ValueError("; ".join(bad))
    if not card.classes:
        raise ValueError(f"{model} has no classifier, so it names no class")
    net.to(device)
    prep, names = card.preprocessing, card.class_names or card.classes
    prepare = eval_transform(prep.image_size, normalization_of(prep), prep.resize, prep.interpolation)
    answers = {}
    with torch.inference_mode():
        for path in images:
            pixels = torch.from_numpy(read_pixels(path, reading, prep.levels))
            probabilities = net(prepare(pixels)[None].to(device))[0].softmax(0).cpu()
            if not probabilities.isfinite().all():
                raise ValueError(f"{path}: the outputs of {model} on it are not finite, so they name no class")
            best = probabilities.topk(min(top, len(names)))
            answers[str(path)] = [
                {"class": names[index], "probability": round(value, 6)}
                for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
    if as_json:
        print(json.dumps(answers, allow_nan=False))
        return
    for name, guesses in answers.items():
        print(f"{name}: " + ", ".join(f"{guess['class']} {100 * guess['probability']:.1f} %" for guess in guesses))


def _files(path: Path, suffixes: frozenset[str]) -> list[Path]:
    """The path itself, or of a folder the image files in it and below. ValueError for a folder without any."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise ValueError(f"{path} has no image files; valid: {', '.join(sorted(suffixes))}")
    return found
