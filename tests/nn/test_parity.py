"""Same state, same answer as implementations that are not ours: random weights, randomised norm statistics, float64."""

import pytest
import torch

from dorsal.nn.build import build
from dorsal.zoo import named, network

timm = pytest.importorskip("timm", reason="timm is in the test extra")

PAIRS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnet34d": "resnet34d",
    "resnet50d": "resnet50d",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    "seresnet50": "seresnet50",
    "skresnet50": "skresnet50",
    "resnest50": "resnest50d",
    "resnest101": "resnest101e",
    "resnest50(mixer=split_attention(radix=4, cardinality=2, width=40), downsample=pool_before)": "resnest50d_4s2x40d",
    "resnest50(mixer=split_attention(radix=1, cardinality=4, width=24), downsample=pool_before)": "resnest50d_1s4x24d",
    "res2net50_26w_4s": "res2net50_26w_4s",
    "res2net101_26w_4s": "res2net101_26w_4s",
    "resnet50(mixer=multi_scale(scales=8, width=14))": "res2net50_14w_8s",
    "resnet50(mixer=multi_scale(scales=2, width=48))": "res2net50_48w_2s",
    "res2net50_26w_4s(stem=deep, shortcut=average_pool)": "res2net50d",
    "res2next50": "res2next50",
    "regnetx_002": "regnetx_002",
    "regnetx_080": "regnetx_080",
    "regnety_004": "regnety_004",
    "regnety_032": "regnety_032",
}


def randomised(state, seed=0):
    """The state with random norm scales, shifts and statistics, so that no layer can hide."""
    draw = torch.Generator().manual_seed(seed)

    def random(key, value):
        if key.endswith("running_var"):
            return torch.rand(value.shape, generator=draw, dtype=value.dtype) + 0.5
        if value.ndim == 1 and value.dtype.is_floating_point:
            centre = 1.0 if key.endswith("weight") else 0.0
            return centre + 0.2 * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        return value

    return {key: random(key, value) for key, value in state.items()}


def in_our_order(text, state):
    """timm's tensors in the order of our state: only Res2Net differs, where timm lists convolutions, then norms."""
    if "multi_scale" not in text and not text.startswith("res2n"):
        return list(state.values())
    blocks: dict[str, list[str]] = {}
    for key in state:
        prefix = ".".join(key.split(".")[:2]) if key.startswith("layer") else key
        blocks.setdefault(prefix, []).append(key)
    keys = []
    for names in blocks.values():
        convs = sorted({name.split(".")[3] for name in names if ".convs." in name})
        cascade = [
            name for index in convs for part in (f".convs.{index}.", f".bns.{index}.") for name in names if part in name
        ]
        rest = [name for name in names if name not in cascade]
        middle = next((i for i, name in enumerate(rest) if ".conv3." in name), len(rest))
        keys += rest[:middle] + cascade + rest[middle:]
    return [state[key] for key in keys]


@pytest.mark.parametrize("text", PAIRS)
def test_forward_and_gradient_equal_timm(text):
    torch.manual_seed(0)
    theirs = timm.create_model(PAIRS[text]).double().eval()
    ours = build(network(text)).double().eval()
    state = randomised(theirs.state_dict())
    theirs.load_state_dict(state)
    ours.load_state_dict(dict(zip(ours.state_dict(), in_our_order(text, state), strict=True)))
    for size in (64, 65):
        images = torch.randn(2, 3, size, size, dtype=torch.float64)
        results = []
        for model in (ours, theirs):
            leaf = images.clone().requires_grad_()
            logits = model(leaf)
            (gradient,) = torch.autograd.grad(logits.square().sum(), leaf)
            results.append((logits.detach(), gradient))
        for mine, other in zip(*results, strict=True):
            assert (mine - other).abs().max() <= 1e-9 * other.abs().max()


@pytest.mark.parametrize("text", ["resnet50", "resnest50", "res2net50_26w_4s", "regnety_032"])
def test_parity_at_the_published_image_size(text):
    """At 224 and 225, forward only: the ceil modes of average pools differ at odd sizes alone."""
    theirs = timm.create_model(PAIRS[text]).double().eval()
    ours = build(named(text)).double().eval()
    state = randomised(theirs.state_dict(), seed=1)
    theirs.load_state_dict(state)
    ours.load_state_dict(dict(zip(ours.state_dict(), in_our_order(text, state), strict=True)))
    for size in (224, 225):
        images = torch.randn(1, 3, size, size, dtype=torch.float64)
        with torch.no_grad():
            mine, other = ours(images), theirs(images)
        assert (mine - other).abs().max() <= 1e-9 * other.abs().max()


def test_cifar_resnet_is_the_paper_option_a():
    """ResNet-20 written out by hand from arXiv 1512.03385 section 4.2."""
    model = build(named("resnet20")).double().eval()
    model.load_state_dict(randomised(model.state_dict()))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def conv_norm(module, x):
        return module.norm(torch.nn.functional.conv2d(x, module.conv.weight, None, module.conv.stride, 1))

    x = conv_norm(model.stem.convs[0], images).relu()
    for stage in model.stages:
        for block in stage:
            y = conv_norm(block.expand, conv_norm(block.mixer, x).relu())
            if y.shape != x.shape:
                zeros = torch.zeros_like(x[:, : x.shape[1] // 2, ::2, ::2])
                x = torch.cat((zeros, x[:, :, ::2, ::2], zeros), 1)
            x = (x + y).relu()
    expected = model.fc(x.mean((2, 3)))
    assert torch.allclose(model(images), expected, atol=1e-12, rtol=0)
