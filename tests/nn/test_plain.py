"""What a user can change about a convolution or a norm: the fast forms follow it or are not taken.

Every change makes the plain calls, `norm(conv(x))`, give something else than before; the fast forms must give the same.
"""

import functools
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import FrozenBatchNorm2d

from dorsal import build, network
from dorsal.nn import blocks, fast_cpu, layers, plain
from dorsal.nn.fast_cpu import convolve_and_norm
from tests.nn.test_forms import DOUBLE, close, made
from tests.random_state import randomised

SHAPES = {"1x1": (1, 0), "3x3": (3, 1)}  # kernel, padding


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """Takes the fast forms whatever the processor, and matrix products in double precision too; the shapes of the
    weights that they were taken for."""
    seen: list[tuple[int, ...]] = []
    original = fast_cpu._should_multiply
    monkeypatch.setattr(fast_cpu, "is_faster_here", lambda _: True)
    monkeypatch.setattr(
        fast_cpu, "_should_multiply", lambda conv: seen.append(tuple(conv.weight.shape)) or original(conv)
    )
    plain._original_calls.cache_clear()
    yield seen
    plain._original_calls.cache_clear()


def pair(shape="3x3"):
    torch.manual_seed(0)
    kernel, padding = SHAPES[shape]
    two = SimpleNamespace(conv=nn.Conv2d(8, 12, kernel, padding=padding).double(), norm=nn.BatchNorm2d(12).double())
    two.norm.load_state_dict(randomised(two.norm.state_dict()))
    two.norm.eval()
    return two


def images():
    return torch.randn(3, 8, 17, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def slow(conv, norm, x):
    return norm(conv(x))


def results(call, two):
    """Answers with gradients wanted and not; then the gradients."""
    with torch.no_grad():
        answers = [call(two.conv, two.norm, images())]
    x = images().requires_grad_()
    answers.append(call(two.conv, two.norm, x))
    leaves = [x, *(p for module in (two.conv, two.norm) for p in module.parameters() if p.requires_grad)]
    weights = torch.randn(answers[-1].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    return [*answers, *torch.autograd.grad((answers[-1] * weights).sum(), leaves)]


def check(two, before=None):
    """The fast forms give what the plain calls give, and that is not what these gave `before`."""
    plainly = results(slow, two)
    for mine, other in zip(results(convolve_and_norm, two), plainly, strict=True):
        assert (mine - other).abs().max() <= 1e-10 * other.abs().max().clamp(min=1.0)
    if before is not None:
        shapes = [a.shape == b.shape for a, b in zip(plainly, before, strict=False)]
        assert not all(shapes) or any((a - b).abs().max() > 1e-3 for a, b in zip(plainly, before, strict=False))


@pytest.fixture(params=SHAPES)
def shape(request, monkeypatch):
    """3x3 convolutions are folded, 1x1 are matrix products."""
    if request.param == "1x1":
        monkeypatch.setattr(fast_cpu, "_precision", lambda _: torch.bfloat16)
    return request.param


def test_the_fast_forms_are_taken_where_nothing_was_changed(shape, taken, monkeypatch):
    forms = []
    for name in ("folded", "matrix_product"):
        form = getattr(fast_cpu, name)
        monkeypatch.setattr(fast_cpu, name, lambda *args, name=name, form=form: forms.append(name) or form(*args))
    two = pair(shape)
    check(two)
    assert taken == [tuple(two.conv.weight.shape)] * 2
    assert forms == {"1x1": ["matrix_product"] * 2, "3x3": ["folded"]}[shape]


def values(module, **attributes):
    def change(two):
        for name, value in attributes.items():
            setattr(getattr(two, module), name, value)

    return change


def weight_of(*shape):
    return nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))


def double(value):
    return 2 * value


class DoubledConv(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class DoubledNorm(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


class RoundedConv(nn.Conv2d):
    """As torch's training for quantisation has it: a subclass that rounds the weight in its forward."""

    def forward(self, x):
        return self._conv_forward(x, (self.weight * 4).round() / 4, self.bias)


class LowRank(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.base, self.extra = conv, nn.Conv2d(8, 12, 1).double()

    def forward(self, x):
        return self.base(x) + self.extra(x)


class DoublingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        return 2 * out if func is F.conv2d else out


def doubling_weight(two):
    two.conv.weight = nn.Parameter(two.conv.weight.detach().as_subclass(DoublingTensor))


def own(module, method):
    """A method of the object's own in place of its class's."""

    def change(two):
        original = getattr(getattr(two, module), method)
        setattr(getattr(two, module), method, lambda *args: 2 * original(*args))

    return change


def own_compiled(two):
    conv = two.conv
    conv._compiled_call_impl = lambda x: 2 * nn.Conv2d.forward(conv, x)  # as conv.compile() does


def hooked(module, register, hook, **options):
    return lambda two: getattr(getattr(two, module), register)(hook, **options)


def scaled(wrap):
    def change(two):
        wrap(two.conv)
        for name, parameter in two.conv.named_parameters():
            if name.endswith(("original0", "weight_g")):
                parameter.data.mul_(3)

    return change


def pruned_for_good(two):
    prune.random_unstructured(two.conv, "weight", 0.5)
    prune.remove(two.conv, "weight")


def frozen(two):
    other = FrozenBatchNorm2d(12).double()
    other.load_state_dict(two.norm.state_dict())
    other.running_var.mul_(2)
    two.norm = other


def put(module, make):
    return lambda two: setattr(two, module, make(getattr(two, module)))


CHANGES = {
    "circular padding": values("conv", padding_mode="circular"),
    "reflected padding": values("conv", padding_mode="reflect"),
    "replicated padding": values("conv", padding_mode="replicate"),
    "padding as a word": values("conv", padding="valid"),
    "padding as a list": values("conv", padding=[2, 0]),
    "padding as a number": values("conv", padding=2),
    "stride as a number": values("conv", stride=2),
    "stride as a list": values("conv", stride=[2, 1]),
    "uneven stride": values("conv", stride=(2, 1)),
    "dilation": values("conv", dilation=(2, 2)),
    "groups": values("conv", groups=2, weight=weight_of(12, 4, 3, 3)),
    "a 1x1 weight": values("conv", weight=weight_of(12, 8, 1, 1), padding=(0, 0)),
    "a padded 1x1 weight": values("conv", weight=weight_of(12, 8, 1, 1)),
    "a weight of another size": values("conv", weight=weight_of(12, 8, 5, 3)),
    "no bias": values("conv", bias=None),
    "a weight that is a subclass of tensor": doubling_weight,
    "a subclass of convolution": values("conv", __class__=DoubledConv),
    "a rounding convolution": values("conv", __class__=RoundedConv),
    "a subclass of norm": values("norm", __class__=DoubledNorm),
    "a forward of its own": own("conv", "forward"),
    "an inner forward of its own": own("conv", "_conv_forward"),
    "a call of its own": own("conv", "_call_impl"),
    "a compiled call of its own": own_compiled,
    "a norm's forward of its own": own("norm", "forward"),
    "a norm's call of its own": own("norm", "_call_impl"),
    "a hook": hooked("conv", "register_forward_hook", lambda *args: 2 * args[2]),
    "a hook that is always called": hooked(
        "conv", "register_forward_hook", lambda *args: 2 * args[2], always_call=True
    ),
    "a hook with keywords": hooked("conv", "register_forward_hook", lambda *args: 2 * args[3], with_kwargs=True),
    "a hook before": hooked("conv", "register_forward_pre_hook", lambda *args: 2 * args[1][0]),
    "a norm's hook": hooked("norm", "register_forward_hook", lambda *args: 2 * args[2]),
    "a norm's hook before": hooked("norm", "register_forward_pre_hook", lambda *args: 2 * args[1][0]),
    "weight norm": scaled(parametrizations.weight_norm),
    "weight norm by hooks": scaled(nn.utils.weight_norm),
    "spectral norm": lambda two: parametrizations.spectral_norm(two.conv).eval(),
    "spectral norm by hooks": lambda two: nn.utils.spectral_norm(two.conv).eval(),
    "pruned": lambda two: prune.random_unstructured(two.conv, "weight", 0.5),
    "pruned for good": pruned_for_good,
    "low-rank adaptation": put("conv", LowRank),
    "a sequence": put("conv", lambda conv: nn.Sequential(conv, nn.Tanh())),
    # As for adapting to new images without labels (TENT): evaluation by the statistics of the batch.
    "norm without statistics": values("norm", track_running_stats=False, running_mean=None, running_var=None),
    "norm without scale": values("norm", weight=None),
    "norm without shift": values("norm", bias=None),
    "norm without either": values("norm", weight=None, bias=None),
    "norm of other eps": values("norm", eps=3.0),
    "norm in training": lambda two: two.norm.train(),
    "a new norm without statistics": put(
        "norm", lambda _: nn.BatchNorm2d(12, track_running_stats=False).double().eval()
    ),
    "a new norm without either": put("norm", lambda _: nn.BatchNorm2d(12, affine=False).double().eval()),
    "no norm": put("norm", lambda _: nn.Identity()),
    "group norm": put("norm", lambda _: nn.GroupNorm(3, 12).double()),
    "instance norm": put("norm", lambda _: nn.InstanceNorm2d(12).double()),
    "torchvision's frozen norm": frozen,
    "torch's synchronised norm": lambda two: (
        put("norm", nn.SyncBatchNorm.convert_sync_batchnorm)(two) or values("norm", eps=3.0)(two)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of weight norm by hooks
def test_what_is_changed_on_a_module_is_followed(change, shape):
    two = pair(shape)
    before = results(slow, two)
    CHANGES[change](two)
    check(two, before if shape == "3x3" else None)  # without padding its mode changes nothing


METHODS = {
    "Conv2d.forward": (nn.Conv2d, "forward"),
    "Conv2d._conv_forward": (nn.Conv2d, "_conv_forward"),
    "Conv2d.__call__": (nn.Conv2d, "__call__"),
    "Module.__call__": (nn.Module, "__call__"),
    "Module._call_impl": (nn.Module, "_call_impl"),
    "BatchNorm2d.forward": (nn.BatchNorm2d, "forward"),
    "_BatchNorm.forward": (nn.modules.batchnorm._BatchNorm, "forward"),
    "F.conv2d": (F, "conv2d"),
    "F.batch_norm": (F, "batch_norm"),
}


@pytest.mark.parametrize("first", ["replaced first", "called first"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_or_function_of_torch_that_was_replaced_is_called(method, first, shape, monkeypatch):
    two = pair(shape)
    before = results(slow, two)
    if first == "called first":
        convolve_and_norm(two.conv, two.norm, images())
    owner, name = METHODS[method]
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, functools.wraps(original)(lambda *a, **k: 2 * original(*a, **k)), raising=False)
    check(two, before)


@pytest.mark.parametrize("name", ["linear", "avg_pool2d"])
def test_functions_that_a_convolution_does_not_call_are_not_called_when_replaced(name, shape, monkeypatch):
    two = pair(shape)
    two.conv.stride = (2, 2)
    original = getattr(F, name)
    monkeypatch.setattr(F, name, lambda *args: 2 * original(*args))
    check(two)


HOOKS = {
    "forward_hook": lambda *args: 2 * args[2],
    "forward_pre_hook": lambda *args: 2 * args[1][0],
    "full_backward_hook": lambda *args: tuple(None if gradient is None else 2 * gradient for gradient in args[1]),
    "full_backward_pre_hook": lambda *args: tuple(2 * gradient for gradient in args[1]),
}


@pytest.mark.parametrize("watched", ["conv", "norm", "all modules"])
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_change_answers_and_gradients(kind, watched, shape):
    two = pair(shape)
    before = results(slow, two)
    if watched == "all modules":
        handle = getattr(nn.modules.module, f"register_module_{kind}")(HOOKS[kind])
    else:
        handle = getattr(getattr(two, watched), f"register_{kind}")(HOOKS[kind])
    try:
        check(two, before)
    finally:
        handle.remove()


class Functions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return 2 * out if func is F.conv2d else out


class Operators(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return 2 * out if func is torch.ops.aten.convolution.default else out


@pytest.mark.parametrize("mode", [Functions, Operators])
def test_modes_see_the_operators_of_the_plain_calls(mode, shape):
    two = pair(shape)
    before = results(slow, two)
    with mode():
        check(two, before)


def test_a_counter_of_operations_counts_convolutions(shape):
    two = pair(shape)
    counts = []
    for call in (convolve_and_norm, slow):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call(two.conv, two.norm, images())
        counts.append(counter.get_flop_counts()["Global"])
    assert counts[0] == counts[1]
    assert set(counts[0]) == {torch.ops.aten.convolution}


def test_fake_tensors_and_subclasses_of_tensor_take_the_plain_calls(taken, shape):
    two = pair(shape)
    doubled = convolve_and_norm(two.conv, nn.Identity(), images().as_subclass(DoublingTensor))
    assert torch.allclose(doubled.as_subclass(torch.Tensor), 2 * two.conv(images()))
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert convolve_and_norm(two.conv, two.norm, mode.from_tensor(images())).shape == (3, 12, 17, 17)
    with torch.device("meta"):
        assert convolve_and_norm(nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), torch.empty(1, 8, 4, 4)).is_meta
    assert taken == []


class Both(nn.Module):
    def __init__(self, two):
        super().__init__()
        self.conv, self.norm = two.conv, two.norm

    def forward(self, x):
        return convolve_and_norm(self.conv, self.norm, x)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own, on the first tangent
def test_transforms_take_the_plain_calls(taken):
    two = pair()
    scales = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    weights = scales.view(3, 1, 1, 1, 1) * two.conv.weight.detach()

    def call(weight, x):
        return torch.func.functional_call(Both(two), {"conv.weight": weight}, (x,))

    def plainly(weight, x):
        return two.norm(F.conv2d(x, weight, two.conv.bias, padding=1))

    each_weight = torch.vmap(call, (0, None))(weights, images())
    each_image = torch.vmap(torch.func.grad(lambda x: call(weights[0], x[None]).square().sum()))(images())
    tangent = torch.func.jvp(lambda w: call(w, images()), (weights[0],), (weights[1],))[1]
    assert taken == []
    assert torch.allclose(each_weight, torch.stack([plainly(w, images()) for w in weights]))
    x = images().requires_grad_()
    assert torch.allclose(each_image, torch.autograd.grad(plainly(weights[0], x).square().sum(), x)[0])
    assert torch.allclose(tangent, plainly(weights[0] + weights[1], images()) - plainly(weights[0], images()))


def test_weights_swapped_for_one_call_are_followed(taken):
    two = pair()
    with torch.no_grad():
        answer = torch.func.functional_call(Both(two), {"conv.weight": two.conv.weight * 2}, (images(),))
        assert taken == [(12, 8, 3, 3)]
        two.conv.weight.mul_(2)
        assert torch.allclose(answer, slow(two.conv, two.norm, images()))


TAKEN = {
    "one image": (images()[0], put("norm", lambda _: nn.Identity())),
    "single precision": (images().float(), lambda two: (two.conv.float(), two.norm.float())),
    "half precision and a norm in single": (images().bfloat16(), lambda two: (two.conv.bfloat16(), two.norm.float())),
    "no image": (images()[:0], lambda _: None),
}
REFUSED = {
    "another type": (images().float(), lambda _: None),
    "integers": (torch.zeros(3, 8, 17, 17, dtype=torch.long), lambda _: None),
    "another width": (images()[:, :6], lambda _: None),
    "a norm of another type": (images().float(), lambda two: two.conv.float()),
}


@pytest.mark.parametrize("case", TAKEN)
def test_whatever_images_the_plain_calls_take_are_taken(shape, case):
    two = pair(shape)
    x, change = TAKEN[case]
    change(two)
    with torch.no_grad():
        fast, plainly = convolve_and_norm(two.conv, two.norm, x), slow(two.conv, two.norm, x)
    assert fast.dtype == plainly.dtype
    assert fast.shape == plainly.shape
    assert torch.allclose(fast, plainly, atol=1e-5 if fast.dtype == torch.float32 else 1e-8)


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_plain_calls_refuse_is_refused_in_their_words(shape, case):
    two = pair(shape)
    x, change = REFUSED[case]
    change(two)
    messages = []
    for call in (convolve_and_norm, slow):
        with torch.no_grad(), pytest.raises(RuntimeError) as error:
            call(two.conv, two.norm, x)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


WHOLE = {
    "circular padding": lambda model: [setattr(m, "padding_mode", "circular") for m in convolutions(model)],
    "norms without statistics": lambda model: [
        values("norm", track_running_stats=False, running_mean=None, running_var=None)(m)
        for m in model.modules()
        if isinstance(getattr(m, "norm", None), nn.BatchNorm2d)
    ],
}


def convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("change", WHOLE)
@pytest.mark.parametrize("family", ["cifar", "dla", "crossed"])
def test_whole_networks_follow_as_their_traces_do(family, change, taken):
    model = made(family).double().eval()
    with torch.no_grad():
        before = model(DOUBLE)
        assert taken
        WHOLE[change](model)
        answer = model(DOUBLE)
        assert close(answer, torch.fx.symbolic_trace(model)(DOUBLE), 1e-9)
    assert not close(answer, before, 1e-3)


def double_the_answer(_, __, answer):
    return 2 * answer


def hook_after(block, monkeypatch):
    block.mixer_drop.register_forward_hook(double_the_answer)


def hook_before(block, monkeypatch):
    block.mixer_drop.register_forward_pre_hook(lambda _, given: (2 * given[0],))


def own_forward(block, monkeypatch):
    block.mixer_drop.forward = double


def another_module(block, monkeypatch):
    block.mixer_drop = nn.Sequential(nn.Identity(), Doubler())


def hook_on_all_modules(block, monkeypatch):
    def twice(module, _, answer):
        return 2 * answer if module is block.mixer_drop else None

    monkeypatch.setitem(nn.modules.module._global_forward_hooks, 12345, twice)


def method_of_the_class(block, monkeypatch):
    monkeypatch.setattr(nn.Identity, "forward", lambda self, x: 2 * x if self is block.mixer_drop else x)


class Doubler(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize(
    "change", [hook_after, hook_before, own_forward, another_module, hook_on_all_modules, method_of_the_class]
)
def test_a_module_that_does_nothing_is_called_where_anybody_could_tell(change, monkeypatch):
    block = build(network("small")).stages[0][0].double().eval()
    block.load_state_dict(randomised(block.state_dict()))
    x = torch.randn(2, block.reduce.conv.in_channels, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = block(x)
        wanted = torch.relu(block.expand(2 * block.mixer(block.reduce(x))) + block.shortcut(x))
        change(block, monkeypatch)
        found = block(x)
    assert (found - before).abs().max() > 1e-3
    torch.testing.assert_close(found, wanted)


def test_modules_that_do_nothing_are_not_called():
    block = build(network("small")).stages[0][0].eval()
    called = []

    def listen(frame, event, _):
        if event == "call" and frame.f_code is nn.Identity.forward.__code__:
            called.append(frame.f_locals["self"])

    counts = []
    for watched in (False, True):
        if watched:
            block.mixer_drop.register_forward_hook(lambda *_: None)
        called.clear()
        sys.setprofile(listen)
        try:
            block(torch.randn(1, block.reduce.conv.in_channels, 8, 8))
        finally:
            sys.setprofile(None)
        counts.append(sum(module in block.children() for module in called))
    assert counts == [0, 1]


def test_an_ensemble_of_networks_by_vmap():
    models = [build(network("resnet18(classes=3)")).double().eval() for _ in range(2)]
    params, buffers = torch.func.stack_module_state(models)
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64).to(memory_format=torch.channels_last)

    def call(params, buffers, x):
        return torch.func.functional_call(models[0], (params, buffers), (x,))

    found = torch.vmap(call, (0, 0, None))(params, buffers, x)
    torch.testing.assert_close(found, torch.stack([model(x) for model in models]))


@pytest.mark.parametrize("large", [False, True])
def test_on_small_maps_nobody_asks_what_was_changed(large, monkeypatch):
    asked = []
    monkeypatch.setattr(plain, "LARGE", 0 if large else 2**15)
    for module in (fast_cpu, layers, blocks):
        monkeypatch.setattr(module, "runs_plainly", lambda x: asked.append(x.shape) or True)
    with torch.no_grad():
        build(network("small")).eval()(torch.randn(1, 3, 32, 32))
    assert bool(asked) == large


def test_a_hook_on_the_stem_is_called():
    model, seen = build(network("small")).eval(), []
    model.stem.register_forward_hook(lambda _, __, answer: seen.append(tuple(answer.shape)))
    model(torch.randn(1, 3, 32, 32))
    assert seen == [(1, model.stages[0][0].reduce.conv.in_channels, 16, 16)]
