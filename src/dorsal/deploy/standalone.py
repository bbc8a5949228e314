"""Says what the model in this folder sees in image files: python predict.py cat.jpg --top 3

Needs numpy, Pillow and the runtime that bundle.json names, and nothing else. From Python, as `import predict`:

    model = predict.load("the folder of this file")
    found = model.see([model.read("cat.jpg")])  # of each image arrays, in pixels of the file
    print(model.answer(found[0]))  # the same with names, as --json has it
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Array = npt.NDArray[Any]
Size = tuple[int, int]
SCHEMA = 1
MIN_SIDE = 8
MULTIPLE, LONGEST = 32, 5 / 3  # whole images: what sides are padded to; the long side against the short one's size


class Model:
    """An opened bundle: `about` is its bundle.json, `run` calls its runtime."""

    def __init__(self, about: dict[str, Any], run: Callable[..., Sequence[Array]]) -> None:
        self.about, self.run = about, run

    def read(self, path: Path | str) -> Array:
        """An image file, upright, as uint8 [H, W, channels]. Raises ValueError where it cannot be read."""
        channels, levels = self.about["channels"], self.about["preprocessing"]["levels"]
        try:
            return _read(path, channels, levels)
        except Exception as error:  # Pillow raises whatever its parsers stumble on
            raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def see(self, images: Sequence[Array]) -> list[dict[str, Array]]:
        """What is found in each image that `read` gave; of a bundle with a fixed batch, in no more than that.

        Of a classifier `probabilities` [K]; of a segmenter `classes` [H, W]; of a detector, best first, `boxes` [n, 4]
        as x0, y0, x1, y1, their `scores` and `labels`, and `masks` [n, 28, 28] within the boxes if it has them.
        """
        views = [prepare(image, self.about) for image in images]
        batch = stacked(views, self.about)
        inputs: list[Array] = [batch if self.about["pixels"] else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))]
        if self.about["task"] == "detect":  # asks for the sizes without padding
            inputs.append(np.array([view.shape[:2] for view in [*views, *batch[len(views) :]]], np.int64))
        said = self.run(*inputs)
        if not all(np.isfinite(part).all() for part in said):
            raise ValueError("the outputs of the model are not finite, so they say nothing")
        kinds: dict[str, Callable[..., dict[str, Array]]] = {
            "classify": _probabilities,
            "semantic": _classes,
            "detect": _objects,
        }
        rows = zip(views, images, *said, strict=False)
        return [kinds[self.about["task"]](view.shape[:2], image.shape[:2], *parts) for view, image, *parts in rows]

    def answer(self, found: dict[str, Array], top: int = 3, least_score: float = 0.5) -> list[dict[str, Any]]:
        """The best classes, the objects, or the share of pixels of each class, best first."""
        names = self.about["classes"]
        if "boxes" in found:
            rows = zip(found["labels"], found["scores"], found["boxes"], strict=True)
            return [
                {"class": names[label], "score": round(float(score), 6), "box": [round(float(x), 2) for x in box]}
                for label, score, box in rows
                if score >= least_score
            ]
        if "probabilities" in found:
            shares, unit = found["probabilities"], "probability"
            best = (-shares).argsort(kind="stable")[:top].tolist()
        else:
            shares, unit = np.bincount(found["classes"].ravel(), minlength=len(names)) / found["classes"].size, "share"
            best = sorted(np.flatnonzero(shares).tolist(), key=lambda at: (shares[at], at), reverse=True)
        return [{"class": names[at], unit: round(float(shares[at]), 6)} for at in best]


def load(folder: Path | str, threads: int | None = None) -> Model:
    """Opens the bundle in a folder. Raises ValueError where it is damaged or its runtime is missing."""
    try:
        about = json.loads(Path(folder, "bundle.json").read_text(encoding="utf-8"))
        schema, files, runtime = about["schema"], about["files"], about["runtime"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"bundle.json cannot be read: {error}") from None
    if schema != SCHEMA:
        raise ValueError(f"bundle.json has schema {schema}, and this file reads schema {SCHEMA}")
    for name, digest in files.items():
        path = Path(folder, name)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{name} is missing, or its sha256 is not the one in bundle.json")
    package = "torch" if runtime in ("compile", "aoti") else runtime
    made = re.split("[-+]", about["versions"][package])[0]
    try:
        module = import_module(package)
    except ImportError:
        raise ValueError(f"{package} is not installed: pip install {package}=={made}") from None
    there = re.split("[-+]", module.__version__)[0]
    if there != made:
        print(f"warning: made with {package} {made}, run in {there}: answers may differ", file=sys.stderr)
    opened = {"onnxruntime": _onnxruntime, "openvino": _openvino}.get(runtime, _torch)
    path = Path(folder, next(iter(files)))
    try:
        return Model(about, opened(module, path, about, threads or about["threads"]))
    except Exception as error:  # every runtime has errors of its own
        raise ValueError(f"{package} {there} cannot open {path.name}: {' '.join(str(error).split())}") from None


def _read(path: Path | str, channels: int, levels: Sequence[Size] | None) -> Array:
    with Image.open(path) as opened:
        deep_colour = ";16" in str(opened.tile) and not opened.mode.startswith("I")
        image: Image.Image = ImageOps.exif_transpose(opened)
    if min(image.size) < MIN_SIDE:
        raise ValueError(f"it is {image.width}x{image.height} px; the smallest side allowed is {MIN_SIDE} px")
    if channels not in (1, 3) or image.mode == "F":
        raise ValueError(f"images of mode {image.mode} are not for a model of {channels} channels; `see` takes arrays")
    if deep_colour and levels:
        raise ValueError("it is in colour of more than 8 bits a channel, which Pillow does not read")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)[..., None]
        if values.min() < -0x8000 or values.max() > 0xFFFF:
            raise ValueError("it has 32-bit values; save it with 8 or 16 bits a channel")
        low, high = np.array(levels or [(0, 0xFFFF)] * channels).T
        span = np.maximum(high - low, 1)
        scaled: Array = ((values.clip(low, high) - low) * 255 + span // 2) // span
        return scaled.astype(np.uint8)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    return np.asarray(image) if channels == 3 else np.asarray(image.convert("L"))[..., None]


def prepare(pixels: Array, about: dict[str, Any]) -> Array:
    """What the graph takes of an image uint8 [H, W, C], not padded: float32 [h, w, C], or uint8 if it normalizes."""
    prep, (height, width) = about["preprocessing"], pixels.shape[:2]
    side, short, long = prep["image_size"], min(height, width), max(height, width)
    if about["task"] != "classify":
        fits = min(about["size"][0] / height, about["size"][1] / width) if about["size"] else np.inf
        scale = min(side / short, side * LONGEST / long, fits)
        pixels = _resized(pixels, (max(round(height * scale), 1), max(round(width * scale), 1)), "bilinear")
    elif (height, width) != (side, side):
        sides = prep["resize"], int(prep["resize"] * long / short)
        height, width = sides if height <= width else sides[::-1]
        top, left = round((height - side) / 2), round((width - side) / 2)
        pixels = _resized(pixels, (height, width), prep["interpolation"])[top : top + side, left : left + side]
    if about["pixels"]:
        return pixels
    mean, std = np.array(prep["mean"], np.float32), np.array(prep["std"], np.float32)
    values: Array = pixels * (1 / (255 * std)) - mean / std
    return np.flip(values, -1) if prep["color_order"] == "bgr" else values


def _resized(pixels: Array, size: Size, interpolation: str) -> Array:
    """uint8 [H, W, C] → [*size, C], antialiased. Across and then down, as in training: Pillow's own order may be
    the other one, which rounds otherwise."""
    if pixels.shape[:2] == size:
        return pixels
    how, across = Image.Resampling[interpolation.upper()], (size[1], len(pixels))
    channels = [Image.fromarray(channel).resize(across, how) for channel in np.moveaxis(pixels, -1, 0)]
    return np.stack([np.asarray(channel.resize(size[::-1], how)) for channel in channels], axis=-1)


def stacked(views: Sequence[Array], about: dict[str, Any]) -> Array:
    """One batch [N, H, W, C]: views at the top left, and around them what is 0 once it is normalized."""
    size, multiple = about["size"], 1 if about["task"] == "classify" else MULTIPLE
    if size is None:
        size = [-(-max(view.shape[axis] for view in views) // multiple) * multiple for axis in (0, 1)]
    fill = np.round(255 * np.array(about["preprocessing"]["mean"])) if about["pixels"] else 0
    batch = np.full((about["batch"] or len(views), *size, views[0].shape[-1]), fill, views[0].dtype)
    for place, view in enumerate(views):
        batch[place, : view.shape[0], : view.shape[1]] = view
    return batch


def _probabilities(_: Size, __: Size, logits: Array) -> dict[str, Array]:
    exponents = np.exp(logits - logits.max())
    return {"probabilities": exponents / exponents.sum()}


def _classes(view: Size, file: Size, logits: Array) -> dict[str, Array]:
    """The best class of each pixel of the file: one class after another is resized, as files may be large."""
    best, classes = np.full(file, -np.inf, np.float32), np.zeros(file, np.int64)
    for label, own in enumerate(logits[:, : view[0], : view[1]]):
        values = _bilinear(_bilinear(own, file[0]).T, file[1]).T
        classes[values > best] = label
        best = np.maximum(values, best)
    return {"classes": classes}


def _bilinear(values: Array, length: int) -> Array:
    """Rows [n, m] → [length, m], not antialiased, corners not aligned."""
    at = np.maximum((np.arange(length) + 0.5) * len(values) / length - 0.5, 0)
    low, share = at.astype(np.int64), (at % 1).astype(np.float32)[:, None]
    found: Array = values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share
    return found


def _objects(view: Size, file: Size, boxes: Array, scores: Array, labels: Array, *masks: Array) -> dict[str, Array]:
    """Objects that have an area in the file."""
    boxes = (boxes / [*view[::-1], *view[::-1]] * [*file[::-1], *file[::-1]]).clip(0, [*file[::-1], *file[::-1]])
    found = dict(zip(("boxes", "scores", "labels", "masks"), (boxes, scores, labels, *masks), strict=False))
    kept = (scores >= 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return {name: part[kept] for name, part in found.items()}


def _onnxruntime(onnxruntime: Any, path: Path, _: dict[str, Any], threads: int) -> Callable[..., Sequence[Array]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def _openvino(openvino: Any, path: Path, about: dict[str, Any], threads: int) -> Callable[..., Sequence[Array]]:
    hint = {"float32": "f32", "bfloat16": "bf16"}.get(about["precision"])
    settings = {"PERFORMANCE_HINT": about["aim"].upper(), "INFERENCE_NUM_THREADS": threads}
    settings |= {"INFERENCE_PRECISION_HINT": hint} if hint else {}
    core = openvino.Core()
    model = core.read_model(path)

    @functools.lru_cache(maxsize=4)
    def compiled(shape: tuple[int, ...] | None) -> Any:
        if shape:
            model.reshape({model.inputs[0]: list(shape)})
        return core.compile_model(model, "CPU", settings)

    # For each shape of images in int8: compiled for any, OpenVINO 2026.4.1 may write zeros. Classifiers, whose images
    # all have one size, are up to 5 % faster so.
    fixed = about["precision"] in ("int8", "mixed") or about["task"] == "classify" or (about["batch"] and about["size"])
    return lambda *inputs: list(compiled(inputs[0].shape if fixed else None)(inputs).values())


def _torch(torch: Any, path: Path, about: dict[str, Any], threads: int) -> Callable[..., Sequence[Array]]:
    torch.set_num_threads(threads)
    if about["runtime"] == "aoti":
        made, here = about.get("instructions"), torch.backends.cpu.get_cpu_capability()
        if made and made != here:
            raise ValueError(f"it is compiled for {made}, and this processor has {here}")
        model = import_module("torch._inductor").aoti_load_package(str(path))
    else:
        model = torch.export.load(path).module(check_guards=False)
    if about["runtime"] == "compile":
        model = torch.compile(model, options={"freezing": True})

    def run(batch: Array, *sizes: Array) -> Sequence[Array]:
        images = torch.from_numpy(batch)
        if not about["pixels"]:  # programs are made for this layout
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return [part.numpy() for part in model(images, *map(torch.from_numpy, sizes))]

    return run


def _told(answer: dict[str, Any]) -> str:
    """A class, or an object, in a line."""
    if "box" in answer:
        x0, y0, x1, y1 = map(round, answer["box"])
        return f"{answer['class']} {answer['score']:.2f} at {x0}, {y0} to {x1}, {y1}"
    return f"{answer['class']} {100 * answer.get('probability', answer.get('share', 0)):.1f} %"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code, 2 for an error."""
    parser = argparse.ArgumentParser(description="Says what the model in this folder sees in image files.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--top", type=int, default=3, help="classifiers: how many classes to name")
    parser.add_argument("--least-score", type=float, default=0.5, help="detectors: name what scores at least so much")
    parser.add_argument("--threads", type=int, help="of the CPU; as many as the bundle was made for unless given")
    parser.add_argument("--json", action="store_true", help="everything as JSON, by file")
    asked = parser.parse_args(argv)
    if asked.top < 1 or not 0 <= asked.least_score <= 1 or (asked.threads or 1) < 1:
        parser.error("--top and --threads must be at least 1, and --least-score from 0 to 1")
    answers = {}
    try:
        model = load(Path(__file__).resolve().parent, asked.threads)
        step = model.about["batch"] or 1
        for paths in (asked.images[start : start + step] for start in range(0, len(asked.images), step)):
            for path, found in zip(paths, model.see([model.read(path) for path in paths]), strict=True):
                answers[str(path)] = answer = model.answer(found, asked.top, asked.least_score)
                if not asked.json:
                    told = "; ".join(map(_told, answer)) or f"nothing that scores {asked.least_score:g} or more"
                    print(f"{path}: {told}")
    except KeyError as error:
        print(f"error: bundle.json lacks {error}", file=sys.stderr)
        return 2
    except (AttributeError, IndexError, TypeError) as error:
        print(f"error: bundle.json is not as `dorsal deploy` wrote it: {error}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps(answers, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
