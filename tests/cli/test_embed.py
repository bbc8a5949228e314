"""`dorsal embed` and `dorsal.embed`: the features of images by a saved model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

import dorsal as front
from dorsal.data.transform import eval_transform
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.nn.build import build
from dorsal.recipes.recipe import Recipe
from tests.train.tiny import make_data, make_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of three classes, and photographs of two others."""
    folder = tmp_path_factory.mktemp("embed")
    save_trained(
        folder / "model", build(make_network()), trained_card(make_network(), make_data(), "tests", Recipe()), 50.0
    )
    random = np.random.default_rng(0)
    for name in ("boot", "hat"):
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(3):
            pixels = random.integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{index}.png")
    return folder


def read(path):
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return arrays["features"], arrays["labels"], json.loads(str(arrays["about"]))
    with safetensors.safe_open(path, "numpy") as file:
        return file.get_tensor("features"), file.get_tensor("labels"), json.loads(file.metadata()["about"])


@pytest.mark.parametrize(("level", "suffix"), [(None, ".npz"), (1, ".safetensors")])
def test_features_are_written_with_what_is_needed_to_use_them(dorsal, folder, tmp_path, level, suffix):
    out = tmp_path / "made" / f"features{suffix}"
    asked = () if level is None else ("--level", level)
    code, said, _ = dorsal("embed", folder / "model", "--data", folder / "photos", *asked, "--out", out, "--json")
    assert code == 0
    features, labels, about = read(out)
    model, card = front.load_model(folder / "model")
    prepared = card.preprocessing
    prepare = eval_transform(prepared.image_size, prepared.normalization, prepared.resize)
    for row, path in enumerate(about["images"]):
        image = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)
        with torch.inference_mode():
            maps = model.features(prepare(image)[None])
        expected = maps[-1 if level is None else level].mean((2, 3))[0]
        torch.testing.assert_close(torch.from_numpy(features[row]), expected, rtol=1e-5, atol=1e-6)
        assert about["classes"][labels[row]] == path.split("/")[-2]
    assert features.shape == (6, 8)
    assert json.loads(said) | {"images": about["images"]} == about | {"file": str(out), "channels": 8}
    assert (about["level"], about["weights"], front.network(about["network"])) == (level, card.sha256, card.network)


def test_python_gives_the_same_as_values(folder):
    made = front.embed(folder / "model", "scenes(size=32, train=20, val=10)", level=0)
    assert made.features.shape == (10, 8)
    assert made.images == tuple("0123456789")
    assert made.labels.tolist() == list(range(10))
    assert front.embed(folder / "model", "scenes(size=32, train=20, val=10)", "all", batch=7).features.shape == (30, 8)


def test_python_is_told_of_each_batch(folder):
    told = []
    front.embed(
        folder / "model", "scenes(size=32, train=20, val=10)", "all", batch=7, on_batch=lambda *at: told.append(at)
    )
    assert told == [(number, 5) for number in range(1, 6)]


def test_a_network_with_its_weights_gives_what_the_folder_gives(folder):
    data = "scenes(size=32, train=20, val=10)"
    made, card = front.embed(folder / "model", data), front.load_model(folder / "model")[1]
    named = front.embed(f"{card.text}@{folder / 'model'}", data)
    np.testing.assert_array_equal(made.features, named.features)
    assert (made.weights, made.preprocessing) == (named.weights, named.preprocessing)
    (folder / "bare").mkdir()
    torch.save(front.load_model(folder / "model")[0].state_dict(), folder / "bare" / "mine.pth")
    with pytest.raises(ValueError, match="nobody says how images are prepared for these weights"):
        front.embed(f"{card.text}@{folder / 'bare' / 'mine.pth'}", data)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--level", 3), "level=3 does not exist in small(…), which has levels 0 to 2; nearest valid: level=2, or"),
        (("--level", "-1"), "level=-1 is below 0; nearest valid: 0"),
        (
            ("--out", "features.txt"),
            "out='features.txt' ends in neither .npz nor .safetensors; nearest valid: features.npz",
        ),
        (("--split", "test"), "split=test is not known; valid: val, train, all"),
        (("--data", "nowhere"), "data='nowhere' is neither 'scenes' nor an existing folder"),
        (("--data", "photos(channels=1)"), "channels=1 of the data, but the model takes 3; leave it out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(dorsal, folder, monkeypatch, words, message):
    monkeypatch.chdir(folder)
    text = front.load_model("model")[1].text
    before = sorted(folder.rglob("*"))
    data = () if "--data" in words else ("--data", "photos")
    code, out, err = dorsal("embed", "model", *data, *words)
    assert (code, out) == (2, "")
    assert message.replace("small(…)", text) in err.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_features_larger_than_memory_are_refused(dorsal, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100))
    code, _, err = dorsal("embed", folder / "model", "--data", folder / "photos")
    assert code == 2
    assert "the features of 6 images take 192 bytes of memory and 100 bytes are free" in err
    code, _, err = dorsal("embed", tmp_path)
    assert code == 2
    assert "holds no model" in err
