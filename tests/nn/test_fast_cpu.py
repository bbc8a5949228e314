"""The fast forms of convolution and norm against their slow twin, `norm(conv(x))`, on any processor.

What a user can change about a convolution or norm, so that they must not be taken, is in test_plain.py.
"""

import copy

import pytest
import torch
from torch import nn

from dorsal.nn import fast_cpu, plain
from dorsal.nn.build import build
from dorsal.nn.fast_cpu import convolve_and_norm, matrix_product
from dorsal.zoo import named, network
from tests.random_state import randomised

SHAPES = {  # C_in, C_out, kernel, stride, groups, bias
    "1x1": (8, 12, 1, 1, 1, False),
    "1x1 with bias": (8, 12, 1, 1, 1, True),
    "1x1 strided": (8, 12, 1, 2, 1, False),
    "1x1 grouped": (8, 12, 1, 1, 2, False),
    "3x3": (8, 12, 3, 1, 1, False),
    "3x3 strided with bias": (8, 12, 3, 2, 1, True),
    "3x3 grouped": (8, 12, 3, 1, 4, False),
    "from one channel": (1, 4, 3, 1, 1, False),
}
NETWORKS = ["resnet50", "resnest50", "res2net50_26w_4s", "res2netplus50", "regnety_004"]


@pytest.fixture(autouse=True)
def forms(monkeypatch):
    """Takes the fast forms whatever the processor; the names of those that were taken."""
    taken: list[str] = []
    monkeypatch.setattr(fast_cpu, "is_faster_here", lambda _: True)
    for name in ("folded", "matrix_product"):
        form = getattr(fast_cpu, name)
        monkeypatch.setattr(fast_cpu, name, lambda *args, name=name, form=form: taken.append(name) or form(*args))
    return taken


def pair(shape, seed=0):
    torch.manual_seed(seed)
    c_in, c_out, kernel, stride, groups, bias = SHAPES[shape]
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=bias).double()
    norm = nn.BatchNorm2d(c_out).double()
    norm.load_state_dict(randomised(norm.state_dict(), seed) | {"weight": torch.randn(c_out).double()})
    return conv, norm


def images(shape, layout=torch.contiguous_format, size=9):
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(3, SHAPES[shape][0], size, size, dtype=torch.float64, generator=draw)
    return x.to(memory_format=layout)


def plainly(conv, norm, x):
    return norm(conv(x))


def multiplied(conv, norm, x):
    return norm(matrix_product(conv, x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("form", "shape"),
    [
        *((convolve_and_norm, shape) for shape in SHAPES),
        *((multiplied, shape) for shape in ("1x1", "1x1 with bias", "1x1 strided")),
    ],
)
def test_values_gradients_and_statistics_equal_the_plain_calls(form, shape, training, layout):
    fast, slow = pair(shape), pair(shape)
    results = []
    for (conv, norm), call in ((fast, form), (slow, plainly)):
        norm.train(training)
        x = images(shape, layout).requires_grad_()
        y = call(conv, norm, x)
        leaves = [x, *conv.parameters(), *norm.parameters()]
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        results.append([y, *first, *second, norm.running_mean, norm.running_var, norm.num_batches_tracked])
    for mine, other in zip(*results, strict=True):
        assert (mine - other).abs().max() <= 1e-9 * other.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_folded_equals_the_plain_calls(shape, layout, mode, forms):
    conv, norm = pair(shape)
    norm.eval()
    x = images(shape, layout, size=25)
    with mode():
        expected = norm(conv(x))
        answer = convolve_and_norm(conv, norm, x)
    assert forms == ["folded"]
    assert (answer - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("shape", SHAPES)
def test_1x1_convolutions_in_bfloat16_are_matrix_products(shape, forms):
    conv, norm = (module.float() for module in pair(shape))
    x = images(shape).float()
    convolve_and_norm(conv, norm, x)
    with torch.autocast("cpu", torch.bfloat16):
        convolve_and_norm(conv, norm, x)
    convolve_and_norm(conv.bfloat16(), norm.bfloat16(), x.bfloat16())
    for layout in (torch.contiguous_format, torch.channels_last):
        made = fast_cpu.matrix_product(conv, images(shape, layout).bfloat16()) if forms else None
        assert made is None or made.stride(1) == 1
    assert forms[:2] == (["matrix_product"] * 2 if shape in ("1x1", "1x1 with bias", "1x1 strided") else [])


@pytest.mark.parametrize(
    ("side", "contiguous", "last"),  # whether maps that were so are channels last as the convolution meets them
    [(24, True, True), (12, False, True), (6, False, False)],
)
def test_the_layout_is_that_of_the_larger_of_map_and_weight(side, contiguous, last):
    weight = torch.randn(64, 64, 3, 3)  # 36,864 values; the maps have 36,864, 9,216 and 2,304
    x = torch.randn(1, 64, side, side)
    for layout, expected in ((torch.contiguous_format, contiguous), (torch.channels_last, last)):
        met = fast_cpu._laid_out(x.to(memory_format=layout), weight)
        assert torch.equal(met, x)
        assert (met.stride(1) == 1) == expected
    kept = x.to(memory_format=torch.channels_last)
    assert fast_cpu._laid_out(kept, weight.to(memory_format=torch.channels_last)) is kept
    assert fast_cpu._laid_out(kept, torch.randn(4096, 64, 1, 1)) is kept  # in both layouts at once


@pytest.mark.parametrize("text", NETWORKS)
def test_whole_networks_answer_and_learn_alike_on_small_maps(text, forms, monkeypatch):
    model = build(network(text)).double().eval()
    model.load_state_dict(randomised(model.state_dict()))
    x = torch.randn(3, 3, 49, 49, dtype=torch.float64)
    found = {}
    for large in (0, 10**9):
        monkeypatch.setattr(plain, "LARGE", large)
        forms.clear()
        with torch.no_grad():
            answer = model(x)
        assert bool(forms) == (large == 0)
        model.zero_grad()
        model(x).square().sum().backward()
        found[large] = [answer, *(parameter.grad.clone() for parameter in model.parameters())]
    for mine, other in zip(*found.values(), strict=True):
        assert (mine - other).abs().max() <= 1e-10 * other.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("text", NETWORKS)
def test_whole_networks_answer_alike_folded_and_not_in_both_layouts(text, forms):
    model = build(network(text)).double().eval()
    model.load_state_dict(randomised(model.state_dict()))
    x = torch.randn(2, 3, 65, 65, dtype=torch.float64)
    expected = model(x).detach()
    assert forms == []
    with torch.inference_mode():
        for layout in (torch.contiguous_format, torch.channels_last):
            answer = model(x.to(memory_format=layout))
            assert (answer - expected).abs().max() <= 1e-10 * expected.abs().max()
    assert set(forms) == {"folded"}


def test_folding_follows_every_change_of_weights():
    block = build(named("resnet20")).eval().stages[0][0].mixer
    x = torch.randn(2, 16, 16, 16)

    def check(x=x):
        with torch.no_grad():
            expected = block.act(block.norm(block.conv(x)))
            assert torch.allclose(block(x), expected, atol=1e-5 if x.dtype == torch.float32 else 0.05)

    check()
    block.conv.weight.data.mul_(2)  # leaves the version as it is
    check()
    block.norm.running_var.data.fill_(3.0)
    check()
    block.train()(x)  # as does batch norm
    block.eval()
    check()
    with torch.no_grad():
        block.norm.bias.add_(1)
    check()
    block.load_state_dict(randomised(block.state_dict(), seed=3))
    check()
    other = {key: value * 1.5 for key, value in block.state_dict().items()}
    with torch.no_grad():
        called = torch.func.functional_call(block, other, (x,))
    block.load_state_dict(other, assign=True)
    check()
    with torch.no_grad():
        assert torch.allclose(called, block(x))
    block.to(torch.bfloat16)
    check(x.bfloat16())
    block.to(torch.float64)
    check(x.double())
    assert set(copy.deepcopy(block).state_dict()) == set(other)


def test_autocast_gives_the_precision_of_the_plain_calls():
    conv, norm = (module.float().eval() for module in pair("3x3"))
    x = images("3x3").float()
    with torch.no_grad():
        exact = norm(conv(x))
        with torch.autocast("cpu", torch.bfloat16):
            fast, slow = convolve_and_norm(conv, norm, x), norm(conv(x))
    assert fast.dtype == slow.dtype == torch.bfloat16
    assert (fast - exact).abs().mean() <= 1.5 * (slow - exact).abs().mean()


def test_half_precision_weights_and_small_maps_are_not_folded(forms):
    conv, norm = pair("3x3")
    norm.eval()
    with torch.no_grad():
        convolve_and_norm(conv, norm, images("3x3", size=4))
        convolve_and_norm(conv.bfloat16(), norm.bfloat16(), images("3x3", size=25).bfloat16())
    assert forms == []


def test_tracers_and_exporters_see_the_two_modules():
    block = build(named("resnet20")).eval().stages[0][0].mixer
    x = torch.randn(2, 16, 16, 16)
    with torch.no_grad():
        nodes = torch.fx.symbolic_trace(block).graph.nodes
        assert [node.target for node in nodes if node.op == "call_module"] == ["conv", "norm", "act"]
        exported = torch.export.export(block, (x,))
        targets = [str(node.target) for node in exported.graph.nodes]
        assert any("conv2d" in target for target in targets)
        assert any("batch_norm" in target for target in targets)
        assert torch.allclose(exported.module()(x), block(x), atol=1e-5)


def test_compiles_without_a_break_and_to_the_same_answer():
    block = build(named("resnet20")).eval().stages[0][0].mixer
    x = torch.randn(2, 16, 16, 16)
    with torch.no_grad():
        compiled = torch.compile(block, backend="eager", fullgraph=True)
        assert torch.allclose(compiled(x), block(x), atol=1e-5)
