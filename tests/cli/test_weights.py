"""`dorsal weights` and what `dorsal evaluate` makes of its folders."""

import hashlib
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from dorsal.cli.evaluate import _print
from dorsal.jobs.device import choose_device
from dorsal.jobs.records import ModelScore
from dorsal.nn.build import build
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import Classify
from dorsal.tasks import saved
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.tasks.detect.checkpoints import load_detector
from dorsal.weights import published as published_module
from dorsal.weights.class_names import CIFAR10
from dorsal.weights.formats import from_ours
from dorsal.weights.published import PublishedWeights, published
from dorsal.weights.saved import load_model, verify_model
from dorsal.zoo import network
from tests.random_state import randomised
from tests.tasks.detect.test_checkpoints import torchvision_state

DEVICE = choose_device("auto")
TRUNK = "resnet50(depths=[1, 1, 1, 1])"
SMALL = "resnet18(depths=[1, 1], widths=[16, 32], strides=[1, 2], classes=10)"


@pytest.fixture
def foreign(tmp_path):
    """A torchvision checkpoint of a small network under a published name, and its model."""
    net = network(SMALL)
    model = build(net).eval()
    model.load_state_dict(randomised(model.state_dict()))
    torch.save(from_ours(model.state_dict(), net, "torchvision"), tmp_path / "new.pth")
    prefix = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()[:8]
    return (tmp_path / "new.pth").rename(tmp_path / f"net-{prefix}.pth"), model


@pytest.fixture
def listed(foreign, monkeypatch):
    """The same file as if the table had it, at an address nobody answers."""
    file, _ = foreign
    entry = PublishedWeights(
        id="net.test",
        network=SMALL,
        format="torchvision",
        file=file.name,
        url=f"http://127.0.0.1:9/{file.name}",
        license="CC-BY-NC-4.0",
        classes="cifar10",
        preprocessing=Preprocessing(image_size=32, resize=36, interpolation="bicubic"),
        metrics={"top1": 91.2},
        recipe="a test",
    )
    monkeypatch.setattr(published_module, "published", lambda: (entry,))
    monkeypatch.setenv("DORSAL_HOME", str(file.parent / "home"))
    monkeypatch.delenv("DORSAL_WEIGHTS", raising=False)
    return file


@pytest.fixture
def pictures(tmp_path):
    """Four pictures a class, of several sizes, in folders of CIFAR's class names."""
    generator = np.random.default_rng(0)
    for name in CIFAR10:
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for index in range(4):
            pixels = generator.integers(0, 256, (40 + index, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def test_list_filters(dorsal):
    code, out, _ = dorsal("weights", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [entry.id for entry in published()]
    _, out, _ = dorsal("weights", "list", "RESNEST50*", "--json")
    rows = json.loads(out)
    assert {row["id"] for row in rows} == {e.id for e in published() if e.id.startswith("resnest50")}
    assert next(row for row in rows if row["id"] == "resnest50.official_in1k")["sha256_prefix"] == "528c19ca"
    _, out, _ = dorsal("weights", "list", "--network", "res2net50_26w_4s", "--json")
    assert {row["network"] for row in json.loads(out)} == {"res2net50_26w_4s"}
    _, out, _ = dorsal("weights", "list", "--license", "cc-by-nc-sa")
    assert all("non-commercial" in line for line in out.splitlines()[1:])
    _, out, _ = dorsal("weights", "list", "no such", "--json")
    assert json.loads(out) == []


def test_list_is_free_of_torch():
    script = "import sys; sys.argv=['dorsal','weights','list']; from dorsal.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\nprint(sorted({'torch', 'numpy', 'timm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_pull_from_a_folder(dorsal, listed, foreign, tmp_path):
    out = tmp_path / "model"
    code, text, err = dorsal("weights", "pull", "net.test", "--to", out, "--from", listed.parent, "--json")
    assert code == 0, err
    assert "forbids commercial use" in err
    card = json.loads(text)["card"]
    assert card["license"] == "CC-BY-NC-4.0"
    assert card["source"] == f"http://127.0.0.1:9/{listed.name}"
    assert card["source_sha256"] == hashlib.sha256(listed.read_bytes()).hexdigest()
    assert card["metrics"] == {"top1": 91.2}
    loaded, _ = load_model(out)
    images = torch.randn(2, 3, 33, 33)
    assert torch.equal(loaded(images), foreign[1](images))
    assert dorsal("weights", "verify", out)[0] == 0


def test_pull_without_a_network_says_where_to_put_the_file(dorsal, listed):
    code, _, err = dorsal("weights", "pull", "net.test")
    assert code == 2
    assert "Connection refused" in err
    code, _, err = dorsal("weights", "pull", "net.test", "--offline")
    assert code == 2
    assert listed.name in err
    assert "--from" in err


def test_convert_of_a_published_file_needs_its_name_only(dorsal, listed, tmp_path):
    out = tmp_path / "model"
    code, text, err = dorsal("weights", "convert", listed, "--out", out)
    assert (code, err) == (0, "")
    assert "published: top1 91.20 %" in text
    card = load_model(out)[1]
    assert (card.classes, card.preprocessing.resize) == (CIFAR10, 36)
    listed.write_bytes(listed.read_bytes()[:-7])
    code, _, err = dorsal("weights", "convert", listed, "--out", tmp_path / "again")
    assert code == 2
    assert "is not the file of net.test, or is damaged" in err
    assert not (tmp_path / "again").exists()


def test_convert_of_ones_own_file_takes_options(dorsal, foreign, tmp_path):
    file, _ = foreign
    (tmp_path / "names.txt").write_text("".join(f"class {i}\n" for i in range(10)))
    words = ("weights", "convert", file, "--network", SMALL, "--out", tmp_path / "model", "--license", "MIT")
    options = (
        "--classes",
        tmp_path / "names.txt",
        "--preprocessing",
        "image_size=288, std=[0.5, 0.5, 0.5], color_order=bgr",
    )
    code, text, err = dorsal(*words, *options, "--json")
    assert (code, err) == (0, "")
    card = json.loads(text)["card"]
    assert card["classes"][9] == "class 9"
    assert (card["license"], card["source"], card["metrics"]) == ("MIT", f"file {file.name}", {})
    assert card["preprocessing"] == {
        "image_size": 288,
        "resize": 329,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.5, 0.5, 0.5],
        "color_order": "bgr",
        "levels": None,
    }
    code, _, err = dorsal(*words)
    assert code == 0
    assert "the card will say short side 256" in err


def test_a_file_in_pycls_order_becomes_rgb(dorsal, tmp_path):
    net = network("regnetx_002(depths=[1, 1], widths=[24, 56], strides=[2, 2])")
    state = from_ours(build(net).state_dict(), net, "pycls")
    torch.save({"model_state": state}, tmp_path / "x.pyth")
    text = "regnetx_002(depths=[1, 1], widths=[24, 56], strides=[2, 2])"
    words = ("--network", text, "--classes", "imagenet", "--preprocessing", "color_order=bgr")
    code, _, err = dorsal("weights", "convert", tmp_path / "x.pyth", *words, "--out", tmp_path / "model")
    assert code == 0, err
    _, card = load_model(tmp_path / "model")
    assert card.preprocessing.color_order == "rgb"
    assert card.class_names[0] == "tench"
    weights = load_file(tmp_path / "model" / "model.safetensors")["stem.convs.0.conv.weight"]
    assert torch.equal(weights.flip(1), state["stem.conv.weight"])


def test_partial_takes_what_fits_and_says_the_rest(dorsal, foreign, tmp_path):
    file, model = foreign
    text = SMALL.replace("classes=10", "classes=3")
    words = ("weights", "convert", file, "--network", text, "--preprocessing", "image_size=32")
    code, _, err = dorsal(*words, "--out", tmp_path / "a")
    assert code == 2
    assert "the file has classes=10 and the network classes=3" in err
    code, _, err = dorsal(*words, "--partial", "--out", tmp_path / "b")
    assert code == 0
    assert "fc.weight" in err
    loaded = load_model(tmp_path / "b")[0]
    assert torch.equal(loaded.stem.convs[0].conv.weight, model.stem.convs[0].conv.weight)
    assert loaded.fc.weight.shape == (3, 32)


def test_a_file_of_several_networks_lists_them_and_options_choose(dorsal, foreign, tmp_path):
    file, model = foreign
    state = torch.load(file, weights_only=True)
    average = {f"module.{key}": value + 1 for key, value in state.items()}
    torch.save({"model": state, "ema": average, "n_averaged": torch.tensor(3)}, tmp_path / "two.pth")
    words = ("weights", "convert", tmp_path / "two.pth", "--network", SMALL, "--preprocessing", "image_size=32")
    code, _, err = dorsal(*words, "--out", tmp_path / "a")
    assert code == 2
    assert "choose one by state (--state) and prefix (--prefix): state 'model' prefix ''" in err
    code, _, err = dorsal(*words, "--state", "ema", "--prefix", "module.", "--out", tmp_path / "b")
    assert (code, err) == (0, "note: took the tensors under 'ema' whose names begin 'module.'\n")
    assert torch.equal(load_model(tmp_path / "b")[0].fc.bias, model.fc.bias + 1)
    code, _, err = dorsal(
        "weights", "convert", tmp_path / "b", "--to-format", "timm", "--prefix", "a", "--out", "x.pth"
    )
    assert code == 2
    assert "its card says the rest" in err


def test_weights_that_are_not_finite_become_no_model(dorsal, foreign, tmp_path):
    file, _ = foreign
    state = torch.load(file, weights_only=True)
    state["bn1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "bad.pth")
    words = ("weights", "convert", tmp_path / "bad.pth", "--network", SMALL, "--preprocessing", "image_size=32")
    for more in ((), ("--partial",)):
        code, out, err = dorsal(*words, *more, "--out", tmp_path / "model")
        assert (code, out) == (2, "")
        assert "bad.pth has values that are not finite (NaN or infinity) in bn1.weight\n" in err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["back.safetensors", "back.pth"])
def test_convert_back_is_the_same_checkpoint(dorsal, listed, tmp_path, name):
    assert dorsal("weights", "convert", listed, "--out", tmp_path / "model")[0] == 0
    code, out, err = dorsal("weights", "convert", tmp_path / "model", "--to-format", "timm", "--out", tmp_path / name)
    assert code == 0, err
    assert name in out
    back = load_file(tmp_path / name) if name.endswith("s") else torch.load(tmp_path / name, weights_only=True)
    before = torch.load(listed, weights_only=True)
    assert back.keys() == before.keys()
    assert all(torch.equal(back[key], before[key]) for key in before)
    assert not list(tmp_path.glob("*.tmp"))


def test_verify_fails_with_exit_code_1(dorsal, listed, tmp_path):
    model = tmp_path / "model"
    dorsal("weights", "convert", listed, "--out", model)
    code, out, _ = dorsal("weights", "verify", model, "--json")
    assert code == 0
    assert json.loads(out)["holds"] is True
    whole = bytearray((model / "model.safetensors").read_bytes())
    whole[-2] ^= 0x40
    (model / "model.safetensors").write_bytes(whole)
    code, out, _ = dorsal("weights", "verify", model)
    assert code == 1
    assert "FAILS  sha256" in out


def test_evaluate_prepares_images_as_the_card_says(dorsal, listed, foreign, pictures, tmp_path):
    """Against torchvision's own transforms on every picture there is."""
    from torchvision.transforms import v2

    dorsal("weights", "convert", listed, "--out", tmp_path / "model")
    code, out, err = dorsal("evaluate", tmp_path / "model", "--data", pictures, "--json")
    begins = f"scoring {tmp_path / 'model'} on {pictures}\n"
    assert (code, err) == (0, f"{begins}scoring on {DEVICE}: 40 images of {pictures}, all of it\n")
    found = json.loads(out)
    assert found["data"] == f"40 images of {pictures}, all of it"
    peer = v2.Compose(
        [
            v2.Resize(36, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(32),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    right, loss = 0, 0.0
    for label, name in enumerate(CIFAR10):
        for path in (pictures / name).iterdir():
            image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
            logits = foreign[1](peer(image)[None])[0].detach()
            right += int(logits.argmax()) == label
            loss += float(-logits.log_softmax(0)[label])
    assert found["images"] == 40
    assert found["score"] == pytest.approx(100 * right / 40)
    assert found["loss"] == pytest.approx(loss / 40, rel=1e-4)
    assert found["preprocessing"]["interpolation"] == "bicubic"


def test_evaluate_splits(dorsal, listed, pictures, tmp_path):
    dorsal("weights", "convert", listed, "--out", tmp_path / "model")
    words = ("evaluate", tmp_path / "model", "--data", f"{pictures}(val_fraction=0.25)", "--json", "--split")
    assert f"scoring on {DEVICE}: 10 images of {pictures} that training holds out" in dorsal(*words, "val")[2]
    found = {split: json.loads(dorsal(*words, split)[1]) for split in ("val", "train", "all")}
    assert [found[split]["images"] for split in ("val", "train", "all")] == [10, 30, 40]
    assert 4 * found["all"]["loss"] == pytest.approx(found["val"]["loss"] + 3 * found["train"]["loss"])


def test_evaluate_refuses_other_splits_and_other_classes(dorsal, listed, pictures, tmp_path):
    dorsal("weights", "convert", listed, "--out", tmp_path / "model")
    code, _, err = dorsal("evaluate", tmp_path / "model", "--data", pictures, "--split", "vall")
    assert code == 2
    assert "split=vall is not known; did you mean val or all?" in err
    (pictures / "cat").rename(pictures / "lion")
    code, _, err = dorsal("evaluate", tmp_path / "model", "--data", pictures)
    assert code == 2
    assert "1 of the data's 10 classes are not among the model's 10: lion" in err


def test_evaluate_scores_a_part_of_the_classes_and_says_how_many_are_absent(dorsal, listed, pictures, tmp_path):
    dorsal("weights", "convert", listed, "--out", tmp_path / "model")
    whole = json.loads(dorsal("evaluate", tmp_path / "model", "--data", pictures, "--json")[1])
    for name in CIFAR10:
        if name not in ("cat", "ship"):
            shutil.rmtree(pictures / name)
    for path in sorted((pictures / "ship").iterdir())[1:]:
        path.unlink()
    code, out, err = dorsal("evaluate", tmp_path / "model", "--data", pictures, "--json")
    assert code == 0
    assert "note: 8 of the model's 10 classes have no images here and no accuracy" in err
    found = json.loads(out)
    assert found["images"] == 5
    per_class = dict(zip(found["classes"], found["per_class"], strict=True))
    assert [name for name in CIFAR10 if per_class[name] is not None] == ["cat", "ship"]
    assert per_class["cat"] == whole["per_class"][CIFAR10.index("cat")]


def test_evaluate_finds_classes_in_another_order(dorsal, foreign, pictures, tmp_path):
    """Folders are in the order of their names, logits in the order of the card."""
    file, _ = foreign
    words = ("weights", "convert", file, "--network", SMALL, "--preprocessing", "image_size=32, resize=36")
    losses = {}
    for name, order in (("forth", CIFAR10), ("back", CIFAR10[::-1])):
        (tmp_path / f"{name}.txt").write_text("\n".join(order))
        assert dorsal(*words, "--classes", tmp_path / f"{name}.txt", "--out", tmp_path / name)[0] == 0
        data = ("--data", pictures, "--split", "all", "--json")
        losses[name] = json.loads(dorsal("evaluate", tmp_path / name, *data)[1])
    for index, label in enumerate(CIFAR10):  # back to front, the folder of class i is scored by logit 9 - i
        renamed = pictures.parent / "renamed" / CIFAR10[9 - index]
        renamed.parent.mkdir(exist_ok=True)
        (pictures / label).rename(renamed)
    again = json.loads(
        dorsal("evaluate", tmp_path / "back", "--data", tmp_path / "renamed", "--split", "all", "--json")[1]
    )
    assert again["loss"] == pytest.approx(losses["forth"]["loss"])
    assert losses["back"]["loss"] != pytest.approx(losses["forth"]["loss"])


def test_evaluate_warns_of_what_is_not_the_cards(dorsal, listed, pictures, tmp_path):
    (tmp_path / "model").mkdir()
    dorsal("weights", "convert", listed, "--out", tmp_path / "model", "--preprocessing", "mean=[0.5, 0.5, 0.5]")
    call = ("evaluate", tmp_path / "model", "--data")
    _, _, err = dorsal(*call, pictures, "--image-size", 40)
    assert "note: --image-size 40 is not the model's: its card says short side 36 (bicubic), centre 32" in err
    assert "leave it out" in err
    _, _, err = dorsal(*call, f"{pictures}(size=64, normalization=imagenet)")
    assert "note: size=64 of the data is not used" in err
    assert "--image-size 64" in err
    assert "note: normalization=imagenet of the data is not used" in err


def test_a_network_without_classifier_predicts_and_scores_nothing(dorsal, pictures, tmp_path):
    net = network(SMALL.replace("classes=10", "classes=0"))
    torch.save(from_ours(build(net).state_dict(), net, "timm"), tmp_path / "x.pth")
    words = (
        "--network",
        SMALL.replace("classes=10", "classes=0"),
        "--classes",
        "none",
        "--preprocessing",
        "image_size=32",
    )
    code, _, err = dorsal("weights", "convert", tmp_path / "x.pth", *words, "--out", tmp_path / "model")
    assert (code, err) == (0, "")
    assert "no classifier" in dorsal("evaluate", tmp_path / "model", "--data", pictures)[2]
    image = next((pictures / "cat").iterdir())
    assert "no classifier" in dorsal("predict", image, "--model", tmp_path / "model")[2]


BAD = [
    (["list", "resnett"], "no published weights match 'resnett'"),
    (["list", "--network", "resnett50"], "did you mean resnet50"),
    (["list", "--network", "timm:vit_base_patch16_224"], "is of timm"),
    (["pull", "resnest50.oficial_in1k"], "did you mean resnest50.official_in1k"),
    (["pull", "resnest50.official_in1k", "--from", "nowhere"], "--from 'nowhere' is not a folder"),
    (["convert", "no_such.pth", "--out", "x"], "'no_such.pth' is not a file"),
    (["convert", "text.pth", "--out", "x"], "name its network with --network"),
    (["convert", "text.pth", "--network", "resnet50", "--out", "x", "--preprocessing", "size=3"], "has no field size"),
    (
        ["convert", "text.pth", "--network", "resnet50", "--out", "x", "--preprocessing", "resize=3"],
        "image_size=224 must be from 1 to resize=3",
    ),
    (
        ["convert", "text.pth", "--network", "resnet50", "--out", "x", "--preprocessing", "interpolation=cubic"],
        "Invalid enum value 'cubic'",
    ),
    (
        ["convert", "text.pth", "--network", "resnet50", "--out", "x", "--preprocessing", "image_size=224"],
        "text.pth",
    ),
    (["convert", "text.pth", "--to-format", "timm", "--out", "x"], "holds no model"),
    (["convert", "text.pth", "--to-format", "timm", "--network", "resnet50", "--out", "x"], "its card says the rest"),
    (["verify", "nowhere"], "holds no model"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda v: " ".join(v)[:60])
def test_bad_input_is_one_sentence_and_exit_code_2(dorsal, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no checkpoint")
    code, out, err = dorsal("weights", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("dorsal: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_export_refuses_unknown_endings_and_formats(dorsal, listed, tmp_path):
    dorsal("weights", "convert", listed, "--out", tmp_path / "model")
    code, _, err = dorsal("weights", "convert", tmp_path / "model", "--to-format", "timm", "--out", tmp_path / "x.onnx")
    assert code == 2
    assert "ends in '.onnx'; valid: .safetensors" in err
    code, _, err = dorsal("weights", "convert", tmp_path / "model", "--to-format", "tim", "--out", tmp_path / "x.pth")
    assert code == 2
    assert "did you mean timm" in err


def test_help_shows_examples(dorsal):
    for verb in ("list", "pull", "convert", "verify"):
        code, out, _ = dorsal("weights", verb, "--help")
        assert code == 0
        assert "Example" in out
    assert "verify" in dorsal("weights", "--help")[1]


@pytest.mark.parametrize(("name", "accuracy"), [("resnet20-12fca82f.th", 91.5), ("resnet56-4bfd9763.th", 92.6)])
def test_published_cifar_networks_score_as_measured(dorsal, real_data, tmp_path, name, accuracy):
    """From the published file to its accuracy on the first 1,000 test images, with two commands."""
    with Image.open(real_data / "cifar10_png" / "cifar10_batch_50.png") as sheet:
        images = np.asarray(sheet)[..., :3].reshape(1000, 32, 32, 3)
    labels = np.load(real_data / "cifar10_png" / "labels.npy")[50_000:51_000]
    for label, class_name in enumerate(CIFAR10):
        (tmp_path / "images" / class_name).mkdir(parents=True)
        for index in np.flatnonzero(labels == label):
            Image.fromarray(images[index]).save(tmp_path / "images" / class_name / f"{index:03}.png")
    code, _, err = dorsal("weights", "convert", real_data / "weights" / name, "--out", tmp_path / "model")
    assert (code, err) == (0, "")
    assert all(check.holds for check in verify_model(tmp_path / "model"))
    code, out, err = dorsal("evaluate", tmp_path / "model", "--data", tmp_path / "images", "--json")
    assert (code, err.splitlines()[0]) == (0, f"scoring {tmp_path / 'model'} on {tmp_path / 'images'}")
    # A check that takes long says how far it is in between.
    assert err.splitlines()[-1] == f"scoring on {DEVICE}: 1,000 images of {tmp_path / 'images'}, all of it"
    found = json.loads(out)
    assert found["images"] == 1000
    assert round(found["score"], 1) == accuracy


def test_models_of_few_and_of_many_classes_stand_in_one_table(capsys, tmp_path):
    rows = []
    for classes in (3, 9):
        scorer = ClassifyScorer(classes)
        scorer.add(range(4), torch.eye(classes)[[0, 1, 2, 0]], torch.tensor([0, 1, 2, 1]))
        found = scorer.score()
        result = ModelScore(
            key="", score=found.score, scores=found.scores, loss=found.loss, images=found.images, seconds=1.0
        )
        rows.append(SimpleNamespace(name=f"{classes} classes", images=f"of {classes}", result=result, task=Classify()))
    _print(SimpleNamespace(models=rows), tmp_path)
    few, many = [line.split("│") for line in capsys.readouterr().out.splitlines() if "75.00" in line]
    assert [cell.strip() == "" for cell in few] != [cell.strip() == "" for cell in many]  # it has no top-5


def test_several_models_are_scored_as_jobs_and_kept_in_a_folder(dorsal, foreign, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, _ = foreign
    words = ("weights", "convert", file, "--network", SMALL, "--preprocessing", "image_size=32, resize=36")
    (tmp_path / "classes.txt").write_text("\n".join(CIFAR10))
    for name in ("a", "b"):
        assert dorsal(*words, "--classes", tmp_path / "classes.txt", "--out", name)[0] == 0
    alone = json.loads(dorsal("evaluate", "a", "--data", pictures, "--json")[1])
    code, out, err = dorsal("evaluate", "a", "b", "--data", pictures, "--out", "scores", "--json")
    assert code == 0, err
    assert f"each is scored on 40 images of {pictures}, all of it\n" in err
    assert "1 model, 0 of them done; about " in err  # b has the weights of a
    found = json.loads(out)
    assert [each["name"] for each in found["models"]] == ["a", "b"]
    assert {each["result"]["score"] for each in found["models"]} == {alone["score"]}
    assert json.loads((tmp_path / "scores" / "scores.json").read_text()) == found
    code, out, err = dorsal("evaluate", "a", "b", "--data", pictures, "--out", "scores")
    assert "1 model, 1 of them done" in err
    assert f"{alone['score']:.2f}" in out
    assert out.endswith("scores: scores/scores.json\n")
    assert not (tmp_path / "runs").exists()


def test_a_detector_becomes_a_folder_that_every_verb_takes(dorsal, tmp_path):
    torch.save(torchvision_state(masks=True), tmp_path / "mask.pth")
    (tmp_path / "names.txt").write_text("\n".join("abcde"))
    told = ("weights", "convert", tmp_path / "mask.pth", "--network", TRUNK, "--out", tmp_path / "out")
    code, out, err = dorsal(*told, "--detector", "--classes", tmp_path / "names.txt")
    assert (code, "5 classes" in out, "RoIAlign is aligned" in err) == (0, True, True)
    model, card = saved.load_model(tmp_path / "out")
    assert (card.label_names, card.task.masks, card.category_ids) == (tuple("abcde"), True, (1, 2, 3, 4, 5))
    found = load_detector(torchvision_state(masks=True), network(TRUNK))
    expected = found.build().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert dorsal("weights", "verify", tmp_path / "out")[0] == 0
    for more, said in (
        (("--partial", "--detector"), "--partial does nothing beside --detector"),
        (("--config", "x.yaml"), "is of a detector; give --detector too"),
    ):
        code, _, err = dorsal(*told, *more)
        assert (code, said in err) == (2, True)


def test_a_detector_that_is_converted_as_a_network_is_told_the_option(dorsal, tmp_path):
    trunk = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    torch.save(FasterRCNN(trunk, num_classes=3).state_dict(), tmp_path / "detector.pth")
    words = ("weights", "convert", tmp_path / "detector.pth", "--out", tmp_path / "out", "--network")
    code, _, err = dorsal(*words, "resnet18")
    assert (code, "; a whole detector is converted with --detector" in err) == (2, True)
    assert not (tmp_path / "out").exists()
    assert dorsal(*words, "resnet18(classes=0)")[0] == 0, "its trunk alone is a network"
    (tmp_path / "out" / "checkpoint.pt").touch()
    code, _, err = dorsal(*words, "resnet18(classes=0)")
    assert (code, "holds a model that was trained there; name another folder" in err) == (2, True)
