"""Models on disk: what is written is what is read, nothing else is accepted, and their output can be verified."""

import hashlib
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from dorsal.nn.build import build
from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.saved import (
    check_savable,
    load_model,
    make_card,
    read_card,
    reference_images,
    save_model,
    verify_model,
)
from dorsal.zoo import network
from tests.random_state import randomised

PREPROCESSING = Preprocessing(image_size=48, resize=55, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), color_order="bgr")


def card_of(net, classes, **fields):
    rest = {"preprocessing": PREPROCESSING, "metrics": {"accuracy": 50.0}, "license": "MIT", "source": "here"}
    return make_card(net, classes=classes, origin="a test", **{**rest, **fields})


@pytest.fixture
def saved(tmp_path):
    net = network("small(mixer=split_attention, classes=3)")
    model = build(net).eval()
    model.load_state_dict(randomised(model.state_dict()))
    save_model(tmp_path, model, card_of(net, ("a", "b", "c")))
    return tmp_path, model


def test_round_trip(saved):
    folder, model = saved
    loaded, card = load_model(folder)
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(loaded(images), model(images))
    assert card.text == "small(mixer=split_attention, classes=3)"
    assert card.preprocessing == PREPROCESSING
    assert (card.license, card.source, card.metrics) == ("MIT", "here", {"accuracy": 50.0})
    assert not list(folder.glob("*.tmp"))


def test_loading_initialises_nothing(saved):
    before = torch.random.get_rng_state()
    loaded, _ = load_model(saved[0])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(p.requires_grad and not p.is_meta for p in loaded.parameters())


def test_saving_leaves_the_model_as_it_is(saved):
    folder, model = saved
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    save_model(folder, model, card_of(model.network, ("a", "b", "c")))
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_damaged_or_foreign_files_are_refused(saved):
    folder, _ = saved
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="damaged or of another model"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="is missing"):
        load_model(folder)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "schema": 1}))
    with pytest.raises(ValueError, match="schema 1 and this version of dorsal reads 2"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps({**card, "colour": "red"}))
    with pytest.raises(ValueError, match="cannot be read: Object contains unknown field `colour`"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)
    (folder / "model.json").unlink()
    with pytest.raises(ValueError, match="holds no model"):
        load_model(folder)


def test_a_card_names_as_many_classes_as_the_network_has():
    with pytest.raises(ValueError, match="2 names for a network of 10 classes"):
        card_of(network("small"), ("a", "b"))


def test_reference_images_are_the_documented_ones():
    images = reference_images(3, 64)
    assert (images.shape, images.dtype) == ((2, 3, 64, 64), torch.float32)
    for index in (0, 1, 2, 4095, 24575):
        byte = (index * 2654435761 % 2**32) // 2**24
        assert images.flatten()[index].item() == pytest.approx(byte / 127.5 - 1, abs=1e-6)
    assert images.abs().max() <= 1
    assert images.std() == pytest.approx(3**-0.5, abs=0.01)  # as evenly spread values in -1..1 have


def test_a_sound_model_verifies(saved):
    assert [(check.name, check.holds) for check in verify_model(saved[0])] == [
        ("sha256", True),
        ("network", True),
        ("output", True),
    ]


def test_a_network_without_classifier_verifies(tmp_path):
    net = network("small(classes=0)")
    save_model(tmp_path, build(net), card_of(net, ()))
    assert all(check.holds for check in verify_model(tmp_path))


def failing(folder):
    return [check.name for check in verify_model(folder) if not check.holds]


def test_changed_weights_fail_by_hash_and_output(saved):
    folder, _ = saved
    state = load_file(folder / "model.safetensors")
    state["fc.bias"] = state["fc.bias"] + 0.1
    save_file(state, folder / "model.safetensors")
    assert failing(folder) == ["sha256", "output"]


def test_another_network_of_the_same_shapes_fails_by_its_output(saved):
    """What no hash and no key tells: pooling before the mixer instead of after it has the same parameters."""
    folder, _ = saved
    path = folder / "model.json"
    card = json.loads(path.read_text())
    for stage in card["network"]["stages"]:
        stage["block"]["downsample"] = "pool_before"
    path.write_text(json.dumps(card))
    assert failing(folder) == ["network", "output"]


def test_weights_that_do_not_load_fail(saved):
    folder, _ = saved
    state = load_file(folder / "model.safetensors")
    del state["fc.bias"]
    save_file(state, folder / "model.safetensors")
    assert failing(folder) == ["sha256", "output"]
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert failing(folder) == ["sha256", "output"]


def test_a_card_with_a_text_of_another_network_fails(saved):
    path = saved[0] / "model.json"
    card = json.loads(path.read_text())
    for text in ("small(classes=3)", "no_such_network"):
        path.write_text(json.dumps({**card, "text": text}))
        assert failing(saved[0]) == ["network"]


def test_a_missing_reference_is_said(saved):
    (saved[0] / "reference.safetensors").unlink()
    with pytest.raises(ValueError, match=r"reference\.safetensors is missing"):
        verify_model(saved[0])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(saved, tmp_path, wrong):
    folder, model = saved
    state = load_file(folder / "model.safetensors")
    state["stages.1.0.reduce.norm.bias"][0] = wrong
    save_file(state, folder / "model.safetensors")
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "sha256": sha256}))
    with pytest.raises(
        ValueError, match=r"model\.safetensors has values that are not finite .* in stages\.1\.0\.reduce"
    ):
        load_model(folder)
    assert [check.name for check in verify_model(folder) if not check.holds] == ["output"]
    assert "not finite" in verify_model(folder)[2].found
    model.load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"the model has values that are not finite .* in stages\.1\.0\.reduce\.norm\.bias"
    ):
        save_model(tmp_path / "new", model, card_of(model.network, ("a", "b", "c")))
    assert not (tmp_path / "new").exists()


def test_finite_weights_whose_output_is_not_are_refused(saved, tmp_path):
    _, model = saved
    model.stages[0][0].expand.norm.running_var.fill_(-1)
    with pytest.raises(ValueError, match="the weights are finite, but the network's output is not"):
        save_model(tmp_path / "new", model, card_of(model.network, ("a", "b", "c")))
    assert not (tmp_path / "new").exists()


def test_another_networks_state_is_refused_in_a_sentence(saved, tmp_path):
    _, model = saved
    with pytest.raises(ValueError, match=r"the state is not of this network: missing .*fc\.weight"):
        save_model(tmp_path / "new", model.pyramid((1, 3)), card_of(model.network, ("a", "b", "c")))


def test_what_cannot_be_written_after_training_is_refused_before_it(saved, tmp_path):
    net = saved[1].network
    bad = os.fsdecode(b"na\xefve")
    for fields in ({"classes": ("a", bad, "c")}, {"classes": ("a", "b", "c"), "class_names": ("x", "y", bad)}):
        with pytest.raises(ValueError, match=r"class.*: 'na\\udcefve' is not UTF-8 text and cannot be written"):
            check_savable(tmp_path / "new", card_of(net, **fields))
    with pytest.raises(ValueError, match=r"recipe: .* is not UTF-8"):
        check_savable(tmp_path / "new", card_of(net, ("a", "b", "c"), recipe=bad))
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        check_savable(tmp_path / "file", card_of(net, ("a", "b", "c")))
    check_savable(tmp_path / "new", card_of(net, ("ä", "b", "c")))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_may_be_given_as_text_or_path(saved, tmp_path):
    folder, model = saved
    card = save_model(str(tmp_path / "again"), model, load_model(str(folder))[1])
    assert read_card(str(tmp_path / "again")) == card
    assert all(check.holds for check in verify_model(str(tmp_path / "again")))
    for call in (load_model, read_card, verify_model, lambda folder: save_model(folder, model, card)):
        with pytest.raises(TypeError, match="folder=3 is of type int; it must be a path"):
            call(3)
    with pytest.raises(TypeError, match="model='x' is of type str; it must be a torch module"):
        save_model(tmp_path, "x", card)
