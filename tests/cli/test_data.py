"""What `--data` takes: grey and deep images, folders without splits, and what is said of those that cannot be used."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dorsal.jobs.device import choose_device
from tests.data.pictures import fill, picture, png16

DEVICE = choose_device("auto")
TINY = "small(depths=[1, 1], widths=[16, 32], strides=[2, 2])"
SCENES = "scenes(channels=1, train=40, val=20, size=32)"


def test_grey_scenes_are_trained_and_scored_in_one_channel(dorsal, tmp_path):
    code, _, err = dorsal("train", TINY, "--data", SCENES, "--epochs", 1, "--out", tmp_path)
    assert code == 0
    assert "note: scenes: 40 training and 20 validation images of 10 classes: 0, 1, 2, 3, 4, ...\n" in err
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["network"]["in_channels"] == 1
    assert [len(card["preprocessing"][name]) for name in ("mean", "std")] == [1, 1]
    _, out, err = dorsal("evaluate", tmp_path, "--data", SCENES, "--json")
    assert json.loads(out)["score"] == pytest.approx(card["metrics"]["accuracy"])
    assert err.startswith(f"scoring {tmp_path} on {SCENES}\nscoring on {DEVICE}: 20 validation scenes\n")
    _, same, _ = dorsal("evaluate", tmp_path, "--data", SCENES.replace("channels=1, ", ""), "--json")
    assert json.loads(same)["loss"] == json.loads(out)["loss"]  # the model says how many channels
    picture(1).save(tmp_path / "colour.png")
    assert dorsal("predict", tmp_path / "colour.png", "--model", tmp_path)[0] == 0


def test_the_range_of_deep_images_goes_with_the_model(dorsal, tmp_path):
    """A folder of other range is scaled by that of training, and so is a single image."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 2000)):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(6):
            values = low + rng.integers(0, 2000, (32, 32, 3))
            values[0, 0] = 0 if low == 0 else 3999
            (tmp_path / "train" / name / f"{number}.png").write_bytes(png16(values))
        (tmp_path / "few" / name / "0.png").write_bytes(png16(values[1:]))
    data = f"{tmp_path / 'train'}(size=32)"
    code, _, err = dorsal("train", TINY, "--data", data, "--epochs", 1, "--out", tmp_path / "model")
    assert code == 0
    assert "12 images with more than 8 bits a channel, first: " in err
    assert "; values 0 to 3999, the range of the training images, become 0 to 255" in err
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["preprocessing"]["levels"] == [[0, 3999]] * 3
    _, _, err = dorsal("evaluate", tmp_path / "model", "--data", tmp_path / "few")
    assert "values 0 to 3999, the range of the model's training images" in err


def test_a_folder_is_scored_whole_and_training_images_in_it_are_told_of(dorsal, tmp_path):
    pets = fill(tmp_path / "pets", {"cat": 10, "dog": 5})
    code, _, err = dorsal("train", TINY, "--data", f"{pets}(size=32)", "--epochs", 1, "--out", tmp_path / "model")
    assert code == 0
    split = "split here (val_fraction=0.2, seed=0)"
    assert err.splitlines()[0].startswith("training small")
    assert err.splitlines()[1] == (f"note: {pets}, {split}: 12 training and 3 validation images of 2 classes: cat, dog")
    begins = f"scoring {tmp_path / 'model'} on"
    seen = "note: the model was trained on a part of these images; --split val scores those it has not seen"
    code, out, err = dorsal("evaluate", tmp_path / "model", "--data", pets)
    assert err.startswith(f"{begins} {pets}\nscoring on {DEVICE}: 15 images of {pets}, all of it\n")
    assert seen in err
    assert "on 15 images" in out
    _, out, err = dorsal("evaluate", tmp_path / "model", "--data", pets, "--split", "val")
    held_out = f"3 images of {pets} that training holds out (val_fraction=0.2, seed=0)"
    assert err == f"{begins} {pets}\nscoring on {DEVICE}: {held_out}\n"
    other = fill(tmp_path / "other", {"cat": 1})
    _, _, err = dorsal("evaluate", tmp_path / "model", "--data", other)
    assert err == (
        f"{begins} {other}\nscoring on {DEVICE}: 1 image of {other}, all of it\n"
        "note: 1 of the model's 2 classes has no images here and no accuracy\n"
    )


def test_validation_images_are_never_told_of_as_training_images(dorsal, tmp_path):
    for part, images in (("train", 6), ("val", 2)):
        fill(tmp_path / "pets" / part, {"cat": images, "dog": images})
    seen = "the model was trained on a part of these images"
    for number, data in enumerate((f"{tmp_path / 'pets'}(size=32)", SCENES)):
        model = tmp_path / f"model{number}"
        assert dorsal("train", TINY, "--data", data, "--epochs", 1, "--out", model)[0] == 0
        for split in ((), ("--split", "val"), ("--split", "train"), ("--split", "all")):
            _, _, err = dorsal("evaluate", model, "--data", data, *split)
            assert (seen in err) == (split[1:] in [("train",), ("all",)])


def test_channels_that_the_model_does_not_take_are_refused(dorsal, tmp_path):
    dorsal("train", TINY, "--data", SCENES.replace("channels=1, ", ""), "--epochs", 1, "--out", tmp_path)
    code, _, err = dorsal("evaluate", tmp_path, "--data", SCENES)
    assert (code, err.splitlines()[1:]) == (2, ["dorsal: channels=1 of the data, but the model takes 3; leave it out"])


def test_all_problems_are_in_the_json(dorsal, tmp_path):
    pets = fill(tmp_path / "pets", {"cat": 3, "dog": 3})
    for number in range(30):
        (pets / "cat" / f"bad{number}.png").write_text("no image")
    code, out, err = dorsal("train", TINY, "--data", pets, "--json")
    assert code == 2
    assert len(json.loads(out)["problems"]) == 30
    assert f"all of them: {pets / '.dorsal' / 'problems.txt'}" in err


def test_help_of_data_names_its_fields(dorsal):
    for verb in ("train", "evaluate"):
        _, out, _ = dorsal(verb, "--help")
        words = " ".join(out.replace("│", " ").split())
        assert "scenes(size=64)" in words
        assert "size, val_fraction, seed, normalization, channels, max_pixels" in words


def test_data_that_are_not_there_say_what_was_meant(dorsal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos" / "val", {"cat": 1})
    for text in ("photo/val", "photos/vla", "Photos/val"):
        code, _, err = dorsal("train", TINY, "--data", text)
        assert code == 2
        assert f"data={text!r} is neither 'scenes' nor an existing folder; did you mean 'photos/val'?" in err
