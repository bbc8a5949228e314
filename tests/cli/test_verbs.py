"""The verbs as a user calls them: output, JSON, and one clear sentence with exit code 2 for bad input."""

import json
import os
import sys

import pytest
from PIL import Image

from dorsal.jobs.study_file import StudyFile, write_study_file
from dorsal.spec.cost import cost
from dorsal.zoo import NETWORKS, named, network
from tests.findings.studies import make_case

TINY = "small(depths=[1, 1], widths=[16, 32], strides=[2, 2])"
SCENES = "scenes(train=60, val=30, size=32)"


def test_list_all_and_by_pattern(dorsal):
    code, out, _ = dorsal("list")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(NETWORKS)
    code, out, _ = dorsal("list", "regnety_*", "--json")
    assert [row["name"] for row in json.loads(out)] == [name for name in NETWORKS if name.startswith("regnety_")]
    _, out, _ = dorsal("list", "res2", "--json")
    assert {row["name"] for row in json.loads(out)} == {name for name in NETWORKS if "res2" in name}


def test_list_within_bounds(dorsal):
    _, out, _ = dorsal("list", "--max-macs", "1G", "--max-params", "5M", "--image-size", 160, "--json")
    expected = {n for n, net in NETWORKS.items() if cost(net, 160).macs <= 1e9 and cost(net, 160).params <= 5e6}
    assert {row["name"] for row in json.loads(out)} == expected
    _, out, _ = dorsal("list", "--max-macs", "1")
    assert "none of" in out


def test_show_one(dorsal):
    code, out, _ = dorsal("show", "resnest50", "--layers")
    assert code == 0
    assert "split_attention" in out
    assert "stages.0.0.mixer.fc1" in out
    _, out, _ = dorsal("show", "resnet50(mixer=multi_scale(width=26))", "--json", "--image-size", 160)
    shown = json.loads(out)
    assert shown["text"] == "res2net50_26w_4s"
    assert shown["cost"]["macs"] == cost(named("res2net50_26w_4s"), 160).macs
    assert [level["stride"] for level in shown["features"]] == [2, 4, 8, 16, 32]


def test_show_lists_what_the_blocks_have(dorsal):
    for name, listed in (("resnet18", False), ("resnet50", True)):
        _, out, _ = dorsal("show", name)
        words = {line.split()[0] for line in out.splitlines() if line.strip()}
        of_bottlenecks = {"expansion", "order", "downsample", "output"}
        assert words & of_bottlenecks == (of_bottlenecks if listed else set())
        assert {"attention", "head_width"} <= words  # none is a choice of these


def test_show_two_says_in_which_choices_they_differ(dorsal):
    _, out, _ = dorsal("show", "resnet50", "resnest50")
    assert "pool_after" in out
    assert "1.314" in out
    _, out, _ = dorsal("show", "resnet50", "resnest50", "--json")
    assert json.loads(out)["differs"]["mixer"] == ["conv", "split_attention"]
    _, out, _ = dorsal("show", "resnet50", "resnet101(depths=[3, 4, 6, 3])")
    assert "the same network" in out


def test_show_a_network_of_timm(dorsal):
    code, out, _ = dorsal("show", "timm:efficientnet_b0")
    assert code == 0
    assert "5.289 M parameters, 385.8 M MACs" in out
    assert "blocks.4" in out
    _, out, _ = dorsal("show", "timm:resnet50(classes=10)", "--image-size", 64, "--json")
    shown = json.loads(out)
    assert shown["text"] == "timm:resnet50(classes=10)"
    assert shown["cost"]["macs"] == cost(network("resnet50(classes=10)"), 64).macs
    assert [level["stride"] for level in shown["features"]] == [2, 4, 8, 16, 32]


def test_show_a_network_beside_one_of_timm(dorsal):
    _, out, _ = dorsal("show", "resnet50", "timm:resnet50")
    assert "another architecture" in out
    assert "1.000" in out
    _, out, _ = dorsal("show", "resnet50", "timm:resnet50", "--json")
    assert json.loads(out)["differs"] == {"another architecture": ["resnet50", "timm:resnet50"]}
    _, out, _ = dorsal("show", "timm:vgg11", "timm:vgg11(classes=1000)")
    assert "the same network" in out


@pytest.mark.parametrize("words", [("show", "timm:vgg11"), ("compare", "small", "timm:vgg11")], ids=str)
def test_without_timm_one_sentence_says_how_to_get_it(dorsal, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)
    code, out, err = dorsal(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "dorsal: timm:vgg11 needs an extra: pip install 'dorsal[timm]'"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network trained for one epoch, through the command line."""

    from dorsal.cli.app import main

    folder = tmp_path_factory.mktemp("trained")
    before, sys.argv = sys.argv, ["dorsal", "train", TINY, "--data", SCENES, "--epochs", "1", "--out", str(folder)]
    with pytest.raises(SystemExit) as ended:
        main()
    sys.argv = before
    assert not ended.value.code
    return folder


def test_train_writes_model_card_and_curve(trained, dorsal):
    card = json.loads((trained / "model.json").read_text())
    assert network(card["text"]) == network(TINY)
    assert card["classes"] == [str(digit) for digit in range(10)]
    assert len(json.loads((trained / "curve.json").read_text())) == 1
    code, out, _ = dorsal("evaluate", trained, "--data", SCENES, "--json")
    assert code == 0
    assert json.loads(out)["score"] == pytest.approx(card["metrics"]["accuracy"])
    assert json.loads(out)["images"] == 30


def test_train_again_goes_on_from_the_checkpoint(trained, dorsal):
    before = (trained / "model.safetensors").read_bytes()
    code, _, err = dorsal("train", TINY, "--data", SCENES, "--epochs", 1, "--out", trained)
    assert (code, "train loss" in err) == (0, False)  # nothing was trained again
    assert (trained / "model.safetensors").read_bytes() == before
    code, _, err = dorsal("train", TINY, "--data", SCENES, "--epochs", 1, "--seed", 2, "--out", trained)
    assert code == 2
    assert "seed" in err


def test_what_cannot_be_written_after_training_is_refused_before_it(dorsal, tmp_path, monkeypatch):
    monkeypatch.setattr("dorsal.train.loop.fit", lambda *_, **__: pytest.fail("trained"))
    for name in (b"cat", b"na\xefve"):
        folder = tmp_path / "photos" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (16, 16), (index, 0, 0)).save(folder / f"{index}.png")
    code, _, err = dorsal("train", TINY, "--data", tmp_path / "photos", "--out", tmp_path / "model")
    assert code == 2
    assert "UTF-8" in err
    assert not (tmp_path / "model").exists()
    (tmp_path / "file").write_bytes(b"")
    code, _, err = dorsal("train", TINY, "--data", SCENES, "--out", tmp_path / "file")
    assert (code, "file" in err) == (2, True)


def test_predict_names_classes_with_probabilities(trained, dorsal, tmp_path):
    for name, mode in (("grey.png", "L"), ("colour.jpg", "RGB"), ("deep.png", "I;16")):
        Image.new(mode, (40, 50)).save(tmp_path / name)
    files = sorted(tmp_path.iterdir())
    code, out, _ = dorsal("predict", *files, "--model", trained, "--top", 10, "--json")
    assert code == 0
    answers = json.loads(out)
    assert set(answers) == {str(file) for file in files}
    for guesses in answers.values():
        assert sum(guess["probability"] for guess in guesses) == pytest.approx(1, abs=1e-4)
        assert sorted(guess["class"] for guess in guesses) == [str(digit) for digit in range(10)]


def test_predict_takes_a_folder_for_the_images_in_it(trained, dorsal, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    files = [tmp_path / "a.png", tmp_path / "deep" / "b.JPG"]
    for file in files:
        Image.new("RGB", (40, 50)).save(file)
    code, out, err = dorsal("predict", tmp_path, "--model", trained, "--json")
    assert code == 0, err
    assert json.loads(out) == json.loads(dorsal("predict", *files, "--model", trained, "--json")[1])
    (tmp_path / "empty").mkdir()
    code, _, err = dorsal("predict", tmp_path / "empty", "--model", trained)
    assert code == 2
    assert "has no image files; valid: " in err


def test_bad_files_for_predict_are_named_before_the_model_runs(trained, dorsal, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    code, _, err = dorsal("predict", tmp_path / "broken.jpg", tmp_path / "tiny.png", "--model", trained)
    assert code == 2
    assert "broken.jpg" in err
    assert "tiny.png" in err
    assert "4x4" in err


BAD = [
    (["list", "resnett"], "no network's name matches"),
    (["list", "--max-macs", "2X"], "--max-macs='2X' is not an amount"),
    (["list", "--image-size", "10"], "image_size=10 is smaller"),
    (["show", "resnett50"], "did you mean"),
    (["show", "resnet50", "--image-size", "31"], "nearest valid: 32"),
    (["show", "a", "b", "c"], "one network or two"),
    (["train", "small", "--recipe", "plian"], "plain"),
    (["train", "small", "--recipe", "plain(epoch=3)"], "epochs"),
    (["train", "small", "--recipe", "plain(epochs=3, clip=1), tricks"], "try: plain(epochs=3, clip=1)"),
    (["train", "small", "--data", "no/such/folder"], "no/such/folder"),
    (["train", "small", "--data", "scenes(sise=32)"], "size"),
    (["train", "small", "--device", "cudda"], "cudda"),
    (["train", "small", "--precision", "fp8"], "bf16"),
    (["train", "timm:vgg11"], "dorsal compare timm:vgg11"),
    (["show", "timm:vgg11", "--layers"], "not those of timm:vgg11"),
    (["show", "timm:vgg1"], "timm:vgg1 is not a model of timm; did you mean"),
    (["compare", "small", "timm:vgg1"], "timm:vgg1 is not a model of timm; did you mean"),
    (["compare", "small", "timm:vgg11"], "recipe tricks: drop_path=0.02 would do nothing in timm:vgg11"),
    (["compare", "small", "timm:vgg11", "--recipe", "plain", "--match", "macs"], "cannot be scaled"),
    (["evaluate", "no/such/model"], "holds no model"),
    (["predict", "no_such.jpg", "--model", "none"], "'none' holds no model"),
    (["predict", "photos/new"], "try: dorsal predict photos/new --model runs/train"),
    (["report", "no/such/study"], "holds no study"),
    (["report", "no/such/results.json"], "results.json"),
    (["compare", "resnett50"], "did you mean"),
    (["compare", "small(mixr=conv)"], "did you mean mixer"),
    (["compare", "small", "--seeds", "0"], "seeds"),
    (["compare", "small", "--seeds", "three"], "--seeds=three is not a whole number or a list of whole numbers"),
    (["compare", "small", "--epochs", "0"], "epochs=0"),
    (["compare", "small", "--match", "flops=20M"], "valid: macs, params, activations"),
    (["compare", "small", "--match", "macs=lots"], "not an amount"),
    (["compare", "small", "--budget", "soon"], "soon"),
    (["compare", "small", "--file", "no_such.toml"], "no_such.toml"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda v: " ".join(v)[:40])
def test_bad_input_is_one_sentence_and_exit_code_2(dorsal, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = dorsal(*words)
    assert (code, out) == (2, "")
    *begun, last = err.splitlines()
    assert message in last
    assert last.startswith("dorsal: ")
    # What is begun is said before torch is imported, and how the data are split before all else.
    assert all("; folder: runs/" in line or line.startswith(("scoring no/such/", "note: scenes: ")) for line in begun)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ("show", "~nosuchuser/x"),
        ("show", "~nosuchuser/x.json"),
        ("compare", "a=~nosuchuser/x.json"),
        ("compare", "--file", "~nosuchuser/x"),
        ("report", "~nosuchuser/x"),
        ("recipes", "~nosuchuser/x.toml"),
        ("space", "show", "~nosuchuser/x.toml"),
        ("weights", "verify", "~nosuchuser/x.pth"),
        ("compare", "small", "--data", "~nosuchuser/x"),
    ],
    ids=" ".join,
)
def test_the_home_of_a_user_who_is_not_there_is_a_path_like_any_other(dorsal, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = dorsal(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("dorsal: ")
    assert "~nosuchuser/x" in err.splitlines()[-1]


def test_image_smaller_than_total_stride_is_refused_before_anything_starts(dorsal, tmp_path):
    deep = "resnet50(strides=[2, 2, 2, 2])"
    code, _, err = dorsal("compare", deep, "--data", "scenes(size=32, train=20, val=10)", "--out", tmp_path / "out")
    assert code == 2
    assert "total stride" in err
    assert not (tmp_path / "out").exists()


def test_options_beside_a_file_replace_its_fields(dorsal, tmp_path):
    (tmp_path / "study.toml").write_text('networks = ["small"]\nseedz = 3\n')
    code, _, err = dorsal("compare", "--file", tmp_path / "study.toml")
    assert code == 2
    assert "did you mean seeds" in err
    (tmp_path / "study.toml").write_text('networks = ["small"]\nseeds = 3\n')
    code, _, err = dorsal("compare", "--file", tmp_path / "study.toml", "--seeds", "0")
    assert code == 2
    assert "seeds=0" in err


def test_help_shows_examples(dorsal):
    for verb in ("compare", "train", "evaluate", "predict", "list", "show", "report", "stats"):
        code, out, _ = dorsal(verb, "--help")
        assert code == 0
        assert "Example" in out


def test_list_finds_names_of_other_packages_and_keeps_its_columns(dorsal):
    lines = dorsal("list", "regnet_y_1_6gf")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["network", "regnety_016"]
    lines = dorsal("list", "resnest50*")[1].splitlines()
    assert len({len(line.partition("  at ")[0].rstrip()) for line in lines}) == 1


def test_a_folder_is_of_a_study_or_of_a_model_that_was_trained_alone(dorsal, tmp_path):
    model, study = tmp_path / "model", tmp_path / "study"
    data = ("--data", "scenes(size=32, train=40, val=20)", "--epochs", 1)
    assert dorsal("train", "small", *data, "--out", model)[0] == 0
    code, _, err = dorsal("compare", "small", "resnet18", *data, "--out", model)
    assert (code, "holds a model; name another folder" in err) == (2, True)
    assert not (model / "study.json").exists()
    write_study_file(study, StudyFile(make_case("whole").study, "", ()))
    code, _, err = dorsal("train", "small", *data, "--out", study)
    assert (code, "holds a comparison; name another folder" in err) == (2, True)
    assert [file.name for file in study.iterdir()] == ["study.json"]
