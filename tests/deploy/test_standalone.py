"""The script of a bundle says what Dorsal says of the same image files, without Dorsal."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

import dorsal
from dorsal.annotations.annotation import Annotation
from dorsal.annotations.labels import Labels
from dorsal.cli.app import main
from dorsal.data.decode import Reading, read_pixels
from dorsal.data.geometry import map_image, resized
from dorsal.data.transform import eval_crop, eval_transform, to_float
from dorsal.data.view import Frame, Seen, padded, stacked, whole
from dorsal.deploy import standalone
from dorsal.deploy.export import Exportable, export_onnx, export_openvino
from dorsal.deploy.forms import Form, Runtime
from dorsal.deploy.possible import why_not
from dorsal.deploy.rewrite import rewritten
from dorsal.jobs.predict import predict
from dorsal.recipes.recipe import Recipe
from dorsal.spec.preprocessing import Normalization, Preprocessing
from dorsal.spec.task import at, parse_task
from dorsal.tasks.detect.heads import Predictor
from dorsal.tasks.method import method_of
from dorsal.tasks.saved import builder_of
from dorsal.weights.saved import make_card, save_model
from tests.data.pictures import png16
from tests.deploy.models import randomised

SCRIPT = Path(standalone.__file__)
CLASSES = tuple("abcde")
CLASSIFIER = "resnest_small(depths=[1, 1], widths=[16, 32], strides=[1, 2], classes=5)"
TRUNK = "small(depths=[1, 1, 1], widths=[16, 32, 64])"
SIZES = [(333, 517), (97, 641), (641, 97), (30, 41), (64, 64), (65, 64), (73, 73), (8, 300), (400, 300)]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "color_order": "rgb", "levels": None}


def about(**fields: Any) -> dict[str, Any]:
    """A bundle.json of a classifier of ImageNet's normalization at 64 px, but for these fields."""
    prep = {"image_size": 64, "resize": 73, "interpolation": "bilinear", **IMAGENET}
    known = {"schema": 1, "runtime": "onnxruntime", "precision": "float32", "versions": {}, "aim": "latency"}
    known |= {"threads": 1, "files": {}, "pixels": False, "batch": None, "size": None, "task": "classify"}
    return known | {"masks": False, "classes": list(CLASSES), "preprocessing": prep, "channels": 3} | fields


def finish(folder: Path, *files: str, **fields: Any) -> dict[str, Any]:
    """Makes a folder that has the model's files a bundle."""
    shutil.copy(SCRIPT, folder / "predict.py")
    runtime = fields.get("runtime", "onnxruntime")
    package = "torch" if runtime in ("compile", "aoti") else runtime
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    if "versions" not in fields:
        fields["versions"] = {package: version(package)}
    known = about(**{"files": sums} | fields)
    (folder / "bundle.json").write_text(json.dumps(known))
    return known


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours of some range with noise on them."""
    random = np.random.default_rng(seed)
    low, high = random.integers(0, 100), random.integers(150, 256)
    coarse = random.integers(low, high, (max(height // 16, 2), max(width // 16, 2), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + random.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)


def photos(folder: Path, sizes: list[tuple[int, int]], turned: bool = True) -> list[Path]:
    """JPEG files of these sizes, and one that is turned by its EXIF orientation."""
    paths = []
    for number, size in enumerate(sizes):
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(photo(*size, number)).save(paths[-1], quality=90)
    if turned:
        exif = Image.Exif()
        exif[0x0112] = 6
        paths.append(folder / "turned.jpg")
        Image.fromarray(photo(150, 233)).save(paths[-1], exif=exif)
    return paths


def planes(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


def normalized(image: NDArray[np.uint8]) -> torch.Tensor:
    return to_float(Normalization(mean=tuple(IMAGENET["mean"]), std=tuple(IMAGENET["std"])))(planes(image))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_are_those_of_evaluation(interpolation, channels: int) -> None:
    prep = about()["preprocessing"] | {"interpolation": interpolation}
    for number, size in enumerate([*SIZES, (1200, 901)]):
        image = photo(*size, number)[..., :channels]
        ours = standalone.prepare(image, about(preprocessing=prep, pixels=True))
        theirs = np.moveaxis(eval_crop(64, 73, interpolation)(planes(image)).numpy(), 0, -1)
        assert (ours.dtype, ours.shape) == (np.uint8, theirs.shape)
        apart = ours.astype(int) - theirs
        # Overshoot of bicubic weights, rounded twice, is a second level in a few pixels.
        assert np.abs(apart).max() <= (1 if interpolation == "bilinear" else 2)
        assert np.mean(apart != 0) < 0.02
        assert abs(apart.mean()) < 0.01


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_values_are_those_of_evaluation(order) -> None:
    prep = about()["preprocessing"] | {"color_order": order}
    normalization = Normalization(mean=tuple(prep["mean"]), std=tuple(prep["std"]), color_order=order)
    image = photo(64, 64)
    ours = standalone.prepare(image, about(preprocessing=prep))
    theirs = eval_transform(64, normalization, 73)(planes(image)).numpy()
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(np.moveaxis(ours, -1, 0), theirs)


def test_whole_images_are_those_of_evaluation() -> None:
    known = about(task="semantic")
    for size in SIZES:
        image, frame = photo(*size), whole(size, 64)
        view = map_image(planes(image), frame.affine, frame.size)
        theirs = stacked([normalized(np.moveaxis(view.numpy(), 0, -1))], padded(frame.size)).numpy()
        ours = standalone.stacked([standalone.prepare(image, known)], known).transpose(0, 3, 1, 2)
        assert ours.shape == theirs.shape
        apart = np.abs(ours - theirs) * 255 * np.array(IMAGENET["std"])[:, None, None]
        assert apart.max() <= 1.001
        assert np.mean(apart > 0.5) < 0.02
        assert not ours[..., frame.size[0] :, :].any()
        assert not ours[..., frame.size[1] :].any()


def test_images_are_fitted_into_a_fixed_size() -> None:
    known = about(task="detect", size=[64, 96], batch=3)
    for size, fitted in {(128, 192): (64, 96), (200, 100): (64, 32), (60, 200): (29, 96), (97, 641): (15, 96)}.items():
        view = standalone.prepare(photo(*size), known)
        assert view.shape == (*fitted, 3)
        batch = standalone.stacked([view], known)
        assert batch.shape == (3, 64, 96, 3)
        assert not batch[1:].any()
    # A graph that normalizes gets what becomes 0, to half a level.
    known = known | {"pixels": True}
    batch = standalone.stacked([standalone.prepare(photo(200, 100), known)], known)
    assert batch.dtype == np.uint8
    assert batch[0, 0, 95].tolist() == batch[2, 0, 0].tolist() == [124, 116, 104]


def _images(folder: Path) -> dict[str, Path]:
    """Files of every kind that Pillow tells apart."""
    colour = Image.fromarray(photo(40, 61))
    clear = colour.copy()
    clear.putalpha(Image.fromarray(photo(40, 61, 1)[..., 0]))
    palette = colour.quantize(20)
    kinds = {
        "grey.png": colour.convert("L"),
        "bits.png": colour.convert("1"),
        "palette.png": palette,
        "clear.png": clear,
        "grey_clear.png": clear.convert("LA"),
        "print.jpg": colour.convert("CMYK"),
        "colour.webp": colour,
    }
    for name, image in kinds.items():
        image.save(folder / name)
    palette.save(folder / "palette_clear.png", transparency=3)
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        colour.save(folder / f"turned{turn}.jpg", exif=exif)
    names = [*kinds, "palette_clear.png", *(f"turned{turn}.jpg" for turn in range(1, 9))]
    return {name: folder / name for name in names}


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_read_as_dorsal_reads_them(tmp_path: Path, channels: int) -> None:
    model = standalone.Model(about(channels=channels), lambda *_: ())
    for name, path in _images(tmp_path).items():
        theirs = read_pixels(path, Reading(channels=channels))
        np.testing.assert_array_equal(np.moveaxis(model.read(path), -1, 0), theirs, err_msg=name)


@pytest.mark.parametrize("levels", [None, [[200, 4000]] * 3])
def test_deep_files(tmp_path: Path, levels) -> None:
    prep = about()["preprocessing"] | {"levels": levels}
    model = standalone.Model(about(preprocessing=prep), lambda *_: ())
    deep = np.random.default_rng(0).integers(0, 5000, (20, 30, 3))
    (tmp_path / "grey.png").write_bytes(png16(deep[..., :1]))
    Image.fromarray(deep[..., 0].astype(np.uint16)).save(tmp_path / "grey.tif")
    for path in (tmp_path / "grey.png", tmp_path / "grey.tif"):
        theirs = read_pixels(path, Reading(), levels)
        np.testing.assert_array_equal(np.moveaxis(model.read(path), -1, 0), theirs)
    (tmp_path / "colour.png").write_bytes(png16(deep * 13))
    if levels:
        with pytest.raises(ValueError, match="colour of more than 8 bits a channel, which Pillow does not read"):
            model.read(tmp_path / "colour.png")
    else:
        theirs = read_pixels(tmp_path / "colour.png", Reading())
        assert np.abs(np.moveaxis(model.read(tmp_path / "colour.png"), -1, 0).astype(int) - theirs).max() <= 1


def test_classes_of_pixels_are_those_at_file_size() -> None:
    logits = torch.randn(6, 40, 64)
    for file in ((33, 57), (90, 130), (37, 58), (8, 300)):
        theirs = F.interpolate(logits[None, :, :37, :58], size=file, mode="bilinear")[0].argmax(0).numpy()
        ours = standalone._classes((37, 58), file, logits.numpy())["classes"]
        assert np.mean(ours == theirs) > 0.999


# The command line, with a runtime that is not there.


class Fake(types.ModuleType):
    """ONNX Runtime, of one graph with fixed answers."""

    __version__ = "1.2.3"
    SessionOptions = types.SimpleNamespace

    @staticmethod
    def InferenceSession(path: Path, *_: Any, **__: Any) -> Any:  # noqa: N802
        if path.read_bytes() != b"graph":
            raise RuntimeError("no graph")
        logits = np.log(np.array([[0.1, 0.2, 0.4, 0.05, 0.25]], np.float32))
        return types.SimpleNamespace(
            get_inputs=lambda: [types.SimpleNamespace(name="images")],
            run=lambda _, inputs: [logits.repeat(len(inputs["images"]), 0)],
        )


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "onnxruntime", Fake("onnxruntime"))
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    finish(folder, "model.onnx", versions={"onnxruntime": "1.2.3"})
    Image.fromarray(photo(40, 61)).save(tmp_path / "x.png")
    return folder


def called(bundle: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code, output and errors of the bundle's script."""
    spec = importlib.util.spec_from_file_location("predict_of_a_bundle", bundle / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    try:
        code = script.main(words)
    except SystemExit as exit_:
        code = cast("int", exit_.code)
    found = capsys.readouterr()
    return code, found.out, found.err


def test_answers_in_words_and_as_json(bundle: Path, capsys) -> None:
    path = str(bundle.parent / "x.png")
    code, out, err = called(bundle, capsys, path, "--top", "2")
    assert (code, out, err) == (0, f"{path}: c 40.0 %; e 25.0 %\n", "")
    code, out, err = called(bundle, capsys, path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        path: [
            {"class": "c", "probability": 0.4},
            {"class": "e", "probability": 0.25},
            {"class": "b", "probability": 0.2},
        ]
    }


def test_another_version_is_warned_of(bundle: Path, capsys) -> None:
    finish(bundle, "model.onnx", versions={"onnxruntime": "1.3.0"})
    code, out, err = called(bundle, capsys, str(bundle.parent / "x.png"))
    assert (code, len(out.splitlines())) == (0, 1)
    assert err == "warning: made with onnxruntime 1.3.0, run in 1.2.3: answers may differ\n"


def _change(folder: Path, **fields: Any) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _lose(folder: Path, field: str) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != field}))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda at: (at / "model.onnx").write_bytes(b"grapf"), "model.onnx is missing, or its sha256 is not the one"),
        (lambda at: (at / "model.onnx").unlink(), "model.onnx is missing, or its sha256 is not the one in bundle.json"),
        (lambda at: (at / "bundle.json").unlink(), "bundle.json cannot be read: [Errno 2]"),
        (lambda at: (at / "bundle.json").write_text("{"), "bundle.json cannot be read: Expecting"),
        (lambda at: (at / "bundle.json").write_text("[]"), "bundle.json cannot be read: "),
        (lambda at: _change(at, schema=2), "bundle.json has schema 2, and this file reads schema 1"),
        (lambda at: _change(at, classes=[]), "bundle.json is not as `dorsal deploy` wrote it: "),
        (lambda at: _change(at, classes=5), "bundle.json is not as `dorsal deploy` wrote it: "),
        (lambda at: _lose(at, "channels"), "bundle.json lacks 'channels'"),
        (lambda at: _change(at, runtime="tensorflow_of_no_one"), "bundle.json lacks 'tensorflow_of_no_one'"),
        (
            lambda _: sys.modules.update(onnxruntime=cast("Any", None)),
            "is not installed: pip install onnxruntime==1.2",
        ),
        (
            lambda at: (
                (at / "model.onnx").write_bytes(b""),
                finish(at, "model.onnx", versions={"onnxruntime": "1.2.3"}),
            ),
            "onnxruntime 1.2.3 cannot open model.onnx: no graph",
        ),
    ],
)
def test_a_bundle_that_cannot_be_used(bundle: Path, capsys, harm, says: str) -> None:
    harm(bundle)
    code, out, err = called(bundle, capsys, str(bundle.parent / "x.png"))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1


def test_images_and_options_that_cannot_be(bundle: Path, capsys) -> None:
    folder = bundle.parent
    (folder / "text.jpg").write_text("an HTML page saved under the wrong name")
    Image.fromarray(photo(5, 9)).save(folder / "small.png")
    whole_file = (folder / "x.png").read_bytes()
    (folder / "cut.png").write_bytes(whole_file[: len(whole_file) // 2])
    Image.fromarray(np.zeros((9, 9), np.float32)).save(folder / "floats.tif")
    for words, says in (
        (["absent.jpg"], "absent.jpg cannot be read: No such file or directory"),
        ([str(folder)], "cannot be read: Is a directory"),
        ([str(folder / "text.jpg")], "text.jpg cannot be read: cannot identify image file"),
        ([str(folder / "cut.png")], "cut.png cannot be read: "),
        ([str(folder / "small.png")], "it is 9x5 px; the smallest side allowed is 8 px"),
        ([str(folder / "floats.tif")], "images of mode F are not for a model of 3 channels"),
    ):
        code, out, err = called(bundle, capsys, *words)
        assert (code, out, err.count("\n"), says in err) == (2, "", 1, True), err
    for words in (["--top", "0"], ["--least-score", "2"], ["--top", "x"], []):
        code, out, err = called(bundle, capsys, *words, *([str(folder / "x.png")] if words else []))
        assert (code, out) == (2, "")
        assert "error: " in err


# Real runtimes.


def exported(runtime: Runtime, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path, any_size: bool):
    """Writes a model as the runtime opens it; returns the names of its files."""
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    folder.mkdir(exist_ok=True)
    if runtime == "onnxruntime":
        export_onnx(model, inputs, folder / "model.onnx", any_size=any_size)
        return ["model.onnx"]
    if runtime == "openvino":
        export_openvino(model, inputs, folder / "model.xml", any_size=any_size)
        return ["model.xml", "model.bin"]
    inputs = (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
    with torch.no_grad():
        program = torch.export.export(Exportable(model).to(memory_format=torch.channels_last), inputs)
        if runtime == "aoti":
            torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))
        else:
            torch.export.save(program, folder / "model.pt2")
    return ["model.pt2"]


def saved_classifier(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    network = dorsal.network(CLASSIFIER)
    net = randomised(dorsal.build(network))
    with torch.inference_mode():
        said = net(torch.stack([normalized(photo(64, 64, seed)) for seed in range(20)]))
        scale = 1 / (said - said.mean(0)).std()
        net.fc.bias.sub_(said.mean(0)).mul_(scale)  # answers are as far apart as those of a trained model
        net.fc.weight.mul_(scale)
    prep = Preprocessing(image_size=64, resize=73)
    words = {"license": "none", "source": "a test", "origin": "a test"}
    save_model(folder, net, make_card(network, classes=CLASSES, preprocessing=prep, metrics={}, **words))
    return net


def close(bundle: Path, model: Path, paths: list[Path]) -> None:
    """Asserts that a bundle and a saved classifier say the same, and not always the same."""
    ours = standalone.load(bundle)
    worst, labels = 0.0, set()
    for path, theirs in zip(paths, predict(model, paths, "cpu"), strict=True):
        assert theirs.probabilities is not None
        (found,) = ours.see([ours.read(path)])
        assert found["probabilities"].argmax() == theirs.label
        labels.add(theirs.label)
        worst = max(worst, np.abs(found["probabilities"] - theirs.probabilities).max())
    assert worst < 1e-3
    assert len(labels) > 1


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_classifier_end_to_end_without_torch_and_dorsal(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    net = saved_classifier(tmp_path / "model")
    at_ = tmp_path / "bundle"
    files = exported(runtime, rewritten(net, "folded"), (torch.randn(2, 3, 64, 64),), at_, True)
    finish(at_, *files, runtime=runtime)
    paths = photos(tmp_path, SIZES)
    close(at_, tmp_path / "model", paths)
    # As a process that would fail if it imported either.
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("torch", "torchvision", "dorsal"):
        (stubs / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    words = [str(at_ / "predict.py"), *map(str, paths), "--json", "--top", "5"]
    clean = os.environ | {"PYTHONPATH": str(stubs)}
    done = subprocess.run([sys.executable, *words], env=clean, cwd=stubs, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    words = ["--model", str(tmp_path / "model"), "--json", "--top", "5", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["dorsal", "predict", *map(str, paths), *words])
    with pytest.raises(SystemExit):
        main()
    expected = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(said) == list(expected)
    for path in expected:
        assert [list(each) for each in said[path]] == [list(each) for each in expected[path]]
        assert said[path][0]["class"] == expected[path][0]["class"]
        ours, theirs = ({each["class"]: each["probability"] for each in answer[path]} for answer in (said, expected))
        assert ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize(
    "runtime", ["torch", *(pytest.param(each, marks=pytest.mark.slow) for each in ("compile", "aoti"))]
)
def test_a_classifier_as_a_program_of_torch(tmp_path: Path, runtime: Any) -> None:
    net = saved_classifier(tmp_path / "model")
    at_ = tmp_path / "bundle"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = exported(runtime, net, (torch.randn(1, 3, 64, 64),), at_, False)
        finish(at_, *files, runtime=runtime, batch=1, size=[64, 64])
        close(at_, tmp_path / "model", photos(tmp_path, SIZES))
    if runtime == "aoti":
        finish(at_, *files, runtime=runtime, batch=1, size=[64, 64], instructions="another")
        with pytest.raises(ValueError, match="it is compiled for another, and this processor has"):
            standalone.load(at_)


class OfPixels(torch.nn.Module):
    """A classifier that normalizes uint8 [N, H, W, C] itself."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(IMAGENET["mean"]) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET["std"]) * 255)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(((images.float() - self.mean) / self.std).permute(0, 3, 1, 2))


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_a_graph_of_pixels_and_a_batch_that_is_not_full(tmp_path: Path, runtime: Runtime) -> None:
    net = OfPixels(saved_classifier(tmp_path / "model"))
    at_ = tmp_path / "bundle"
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    if runtime == "torch":
        at_.mkdir()
        torch.export.save(torch.export.export(Exportable(net), (images,)), at_ / "model.pt2")
        files = ["model.pt2"]
    else:
        files = exported(runtime, net, (images,), at_, False)
    finish(at_, *files, runtime=runtime, pixels=True, batch=4, size=[64, 64])
    close(at_, tmp_path / "model", photos(tmp_path, SIZES[:3]))
    model = standalone.load(at_)
    together = model.see([photo(90, 70, 1), photo(30, 99, 2), photo(64, 64, 3)])
    alone = [model.see([photo(90, 70, 1)])[0], model.see([photo(30, 99, 2)])[0], model.see([photo(64, 64, 3)])[0]]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-5)


def saved_dense(folder: Path, text: str) -> tuple[torch.nn.Module, Any]:
    """A model of another task, saved in `folder`, and its method."""
    torch.manual_seed(0)
    task, network, labels = at(parse_task(text), 64), dorsal.network(TRUNK), Labels(classes=CLASSES)
    method = method_of(task, labels)
    model = randomised(method.build(network, Recipe(), None))
    for module in model.modules():  # scores of some range
        if isinstance(module, Predictor):
            torch.nn.init.normal_(module.classes.weight, std=0.3)
            torch.nn.init.normal_(module.deltas.weight, std=0.05)
    prep, words = Preprocessing(image_size=64, resize=64), {"license": "none", "source": "a test", "origin": "a test"}
    card = make_card(network, task=task, labels=labels, classes=(), preprocessing=prep, metrics={}, **words)
    save_model(folder, model, card, builder_of(card))
    return model, method


def expected(method: Any, model: torch.nn.Module, image: NDArray[np.uint8], size: tuple[int, int]) -> Annotation:
    """What Dorsal sees in an image that is fitted into a fixed size."""
    file = image.shape[:2]
    scale = min(64 / min(file), 64 * 5 / 3 / max(file), size[0] / file[0], size[1] / file[1])
    to = (round(file[0] * scale), round(file[1] * scale))
    frame = Frame(resized(file, to), to, file)
    view = map_image(planes(image), frame.affine, frame.size)
    view = normalized(np.moveaxis(view.numpy(), 0, -1))
    with torch.inference_mode():
        (found,) = method.predict(model, stacked([view], size), [Seen(frame, Annotation(size=file))])
    return cast("Annotation", found)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_segmenter_of_any_size(tmp_path: Path, runtime: Runtime) -> None:
    model, _ = saved_dense(tmp_path / "model", "semantic")
    at_ = tmp_path / "bundle"
    files = exported(runtime, rewritten(model, "folded"), (torch.randn(2, 3, 64, 96),), at_, True)
    finish(at_, *files, runtime=runtime, task="semantic")
    paths = photos(tmp_path, SIZES)
    ours = standalone.load(at_)
    for path, theirs in zip(paths, predict(tmp_path / "model", paths, "cpu"), strict=True):
        (found,) = ours.see([ours.read(path)])
        assert theirs.semantic is not None
        assert found["classes"].shape == theirs.semantic.shape
        same = np.mean(found["classes"] == theirs.semantic)
        assert np.unique(theirs.semantic).size > 1
        assert same >= 0.995
        shares = dict.fromkeys(CLASSES, 0.0) | {each["class"]: each["share"] for each in ours.answer(found)}
        assert shares == pytest.approx(
            {name: np.mean(found["classes"] == n) for n, name in enumerate(CLASSES)}, abs=1e-6
        )


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("text", ["semantic", "detect", pytest.param("cascade(masks=true)", marks=pytest.mark.slow)])
def test_other_tasks_of_a_fixed_size(tmp_path: Path, runtime: Runtime, text: str) -> None:
    model, method = saved_dense(tmp_path / "model", text)
    at_, size = tmp_path / "bundle", (64, 96)
    inputs = (torch.randn(2, 3, *size), torch.tensor([[64, 96], [60, 90]]))[: 1 if text == "semantic" else 2]
    files = exported(runtime, rewritten(model, "folded"), inputs, at_, False)
    task = "semantic" if text == "semantic" else "detect"
    finish(at_, *files, runtime=runtime, task=task, batch=2, size=size, masks="masks" in text)
    paths = photos(tmp_path, [(128, 192), (333, 517), (150, 70), (97, 641), (40, 50)])
    ours = standalone.load(at_)
    for path in paths:
        image = ours.read(path)
        theirs = expected(method, model, image, size)
        found = ours.see([image, photo(100, 100)])[0]
        if task == "semantic":
            same = np.mean(found["classes"] == theirs.semantic)
            assert same >= 0.995
            continue
        assert theirs.objects is not None
        assert theirs.objects.scores is not None
        # Objects of almost the same score may change places, and the last of 100 may be another one.
        apart = np.abs(theirs.objects.boxes[:50, None] - found["boxes"]).max(2)
        apart[theirs.objects.labels[:50, None] != found["labels"]] = np.inf
        boxes, scores = apart.min(1), np.abs(theirs.objects.scores[:50] - found["scores"][apart.argmin(1)])
        assert len(boxes) == 50
        assert boxes.max() < 0.5
        assert scores.max() < 0.01
        if "masks" in text:
            assert found["masks"].shape == (len(found["boxes"]), 28, 28)
        for each in ours.answer(found, least_score=0.0):
            assert list(each) == ["class", "score", "box"]
