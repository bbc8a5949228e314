import numpy as np
import pytest
import torch
from torch import nn

import dorsal
from dorsal.data.dataset import EvaluationBatches
from dorsal.nn.build import build
from dorsal.nn.timm import build_timm
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.timm import TimmNetwork
from dorsal.train.features import feature_key, features_needed, features_of, kept_features, pooled

EVERY = (None, 0, 1, 2)


def settled(model: nn.Module) -> nn.Module:
    """With running statistics of its own, so that training and evaluation mode differ."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="module")
def model(network):
    return settled(build(network)).train()


@pytest.fixture
def batches(data):
    return EvaluationBatches(data.train, data.size, data.normalization, 16)


def test_features_are_those_of_each_image_alone(model, data, batches):
    seen = []
    found = features_of(model, batches, EVERY, on_batch=seen.append)
    assert seen == [1, 2, 3]
    assert model.training
    model.eval()
    alone = EvaluationBatches(data.train, data.size, data.normalization, 1)
    with torch.inference_mode():
        for index, (image, _) in enumerate(alone):
            maps = model.features(image)
            for level in (0, 1, 2):
                expected = maps[level][0].mean((1, 2))
                torch.testing.assert_close(torch.from_numpy(found[level][index]), expected, rtol=1e-5, atol=1e-6)
            logits = model.fc(torch.from_numpy(found[None][index]))
            torch.testing.assert_close(logits, model(image)[0], rtol=1e-5, atol=1e-5)
    model.train()
    assert {level: each.shape for level, each in found.items()} == {
        None: (40, 8), 0: (40, 8), 1: (40, 8), 2: (40, 8),
    }  # fmt: skip
    assert all(each.dtype == np.float32 for each in found.values())


def test_the_last_level_is_what_the_classifier_sees():
    model = settled(build(dorsal.network("resnet18(head_width=24, classes=3)"))).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        last, first = pooled(model, images, (None, 0))
        torch.testing.assert_close(model.fc(last), model(images))
        torch.testing.assert_close(first, model.features(images)[0].mean((2, 3)))


def test_networks_of_timm_have_the_same_levels():
    model = build_timm(TimmNetwork("mobilenetv3_small_050", classes=3)).eval()  # a convolution after the pool
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        last, first = pooled(model, images, (None, 0))
        torch.testing.assert_close(model.model.get_classifier()(last), model(images))
        torch.testing.assert_close(first, model.features(images)[0].mean((2, 3)))
        model.info = ()  # as of a network that gives no maps
        torch.testing.assert_close(pooled(model, images, (None,))[0], last)
        with pytest.raises(ValueError, match="level=1: the network gives no maps"):
            pooled(model, images, (1,))


def test_a_backbone_ends_in_its_last_map(network):
    backbone = build(network).eval().pyramid((1,))
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        last, level = pooled(backbone, images, (None, 1))
    assert torch.equal(last, level)


def test_what_has_no_levels_is_refused(model):
    with pytest.raises(TypeError, match="model is of type Identity; it must be a network"):
        pooled(nn.Identity(), torch.zeros(1, 3, 8, 8), (None,))
    with pytest.raises(ValueError, match="level=3 does not exist in the network, which has levels 0 to 2"):
        pooled(model, torch.zeros(2, 3, 16, 16), (3,))


def test_features_that_are_not_finite_are_refused(network, batches):
    broken = build(network)
    nn.init.constant_(broken.stem.convs[0].conv.weight, torch.inf)
    with pytest.raises(ValueError, match="the features of these images are not finite"):
        features_of(broken, batches)


def test_features_are_computed_once(model, batches, tmp_path):
    made, notes = [], []

    def make():
        made.append(model)
        return model

    def ask(*levels):
        return kept_features(tmp_path, "key", make, lambda: batches, levels, on_note=notes.append)

    expected = features_of(model, batches, (None, 2))
    for _ in range(2):
        for level, found in ask(None, 2).items():
            assert np.array_equal(found, expected[level])
            torch.from_numpy(found)  # raises a warning where it may not be written
    assert len(made) == 1
    ask(None, 1)  # one more level
    assert (len(made), notes) == (2, [])
    path = tmp_path / "key.level2.npy"
    content = path.read_bytes()
    assert len(content) - 128 == features_needed(40, 8)
    for damaged in (content[:-1], content[:-1] + b"x", b""):
        path.write_bytes(damaged)
        assert np.array_equal(ask(2)[2], expected[2])
        assert notes.pop() == f"{path} is damaged; its features are computed again"
    assert len(made) == 5
    assert sorted(each.suffix for each in tmp_path.iterdir() if not each.name.startswith(".")) == [
        ".npy", ".npy", ".npy", ".sha256", ".sha256", ".sha256",
    ]  # fmt: skip


def test_nothing_is_kept_of_a_pass_that_fails(model, batches, tmp_path):
    def stop(number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_features(tmp_path, "key", lambda: model, lambda: batches, on_batch=stop)
    assert [each.name for each in tmp_path.iterdir()] == [".key.lock"]


def test_the_key_depends_on_all_that_features_depend_on():
    prepared = Preprocessing(image_size=32, resize=36)
    first = feature_key("w", "n", "i", prepared)
    others = {
        feature_key("v", "n", "i", prepared),
        feature_key("w", "m", "i", prepared),
        feature_key("w", "n", "j", prepared),
        feature_key("w", "n", "i", prepared.at(64)),
    }
    assert len({first, *others}) == 5
    assert first == feature_key("w", "n", "i", Preprocessing(image_size=32, resize=36))
