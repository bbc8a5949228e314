"""Trained weights on disk: what is written is what is read, and nothing else is accepted."""

import json

import pytest
import torch

from dorsal.nn.build import build
from dorsal.weights.saved import load_model, make_card, save_model
from dorsal.zoo import network
from tests.nn.test_parity import randomised


@pytest.fixture
def saved(tmp_path):
    net = network("small(mixer=split_attention, classes=3)")
    model = build(net).eval()
    model.load_state_dict(randomised(model.state_dict()))
    normalisation = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    card = make_card(net, ("a", "b", "c"), 48, normalisation, {"accuracy": 50.0}, "a test")
    save_model(tmp_path, model, card)
    return tmp_path, model


def test_round_trip(saved):
    folder, model = saved
    loaded, card = load_model(folder)
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(loaded(images), model(images))
    assert card.text == "small(mixer=split_attention, classes=3)"
    assert not list(folder.glob("*.tmp"))


def test_loading_initialises_nothing(saved):
    before = torch.random.get_rng_state()
    loaded, _ = load_model(saved[0])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(p.requires_grad and not p.is_meta for p in loaded.parameters())


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
    (folder / "model.json").write_text(json.dumps({**card, "schema": 0}))
    with pytest.raises(ValueError, match="schema 0 and this version of dorsal reads 1"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)
    (folder / "model.json").unlink()
    with pytest.raises(ValueError, match="holds no model"):
        load_model(folder)
