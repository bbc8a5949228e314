"""Every family in every form that users put a network into: traced, exported, compiled, copied, frozen, spread out."""

import copy
import functools
import io
import pickle
import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.ops import FrozenBatchNorm2d

from dorsal.nn import fast_cpu
from dorsal.nn.backbone import set_checkpointing
from dorsal.nn.build import build
from dorsal.nn.inner_features import InnerFeatures
from dorsal.nn.norms import SyncBatchNorm
from dorsal.spec.adapt import with_deformable, with_output_stride
from dorsal.spec.cost import cost
from dorsal.zoo import NETWORKS, named, network
from tests.processes import in_two_processes
from tests.random_state import randomised

LEAN = "depths=[1, 1, 2, 1], classes=7"
ONE = f"{LEAN}, widths=[64, 128, 256, 512]"  # a quarter of the published widths: what is tested here is the same in all
FAMILIES = {
    "resnet": f"resnet18({LEAN}, widths=[16, 32, 64, 128])",
    "resnet-d": f"resnet50d({ONE})",
    "resnext": f"resnext50_32x4d({ONE})",
    "se": f"seresnet50({ONE})",
    "sk": f"skresnet50({ONE})",
    "cifar": "resnet20(depths=[1, 2, 1])",
    "resnest": f"resnest50({ONE})",
    "resnest-fast": f"resnest50_fast_4s2x40d({LEAN}, widths=[128, 256, 512, 1024])",  # half: 2x40 must divide
    "res2net": f"res2net50_26w_4s({ONE})",
    "res2net-d": f"res2net50d({ONE})",
    "res2next": f"res2next50({ONE})",
    "res2netplus": f"res2netplus50_aliased({ONE})",
    "dla": "dla60_res2net(depths=[2, 2, 4, 2], widths=[32, 64, 128, 256], classes=7)",
    "regnetx": f"regnetx_002({LEAN})",
    "regnety": f"regnety_004({LEAN})",
    "regnetz": f"regnetz_005({LEAN})",
    "crossed": f"resnet50d({ONE}, attention=squeeze_excite, mixer=[conv(group_width=16), "
    "multi_scale(scales=4, width=26), split_attention(radix=2), selective_kernel])",
}
families = pytest.mark.parametrize("family", FAMILIES)
# Where one takes seconds: these by default, which have every block, mixer and arrangement between them, and all of them
# with `-m "slow or not slow"`.
FIRST = ("crossed", "dla", "regnetz")
costly = pytest.mark.parametrize(
    "family", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
DOUBLE = IMAGES.double()  # where an eager fast form and the plain calls are compared: only rounding may differ


@functools.cache
def state_of(family):
    """Random weights, with running statistics that are those of the images but for random factors: none drowns."""
    torch.manual_seed(0)
    model = build(network(FAMILIES[family]))
    model.load_state_dict(randomised(model.state_dict()))
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(IMAGES)
    for norm in norms:
        norm.running_var.mul_(torch.rand_like(norm.running_var) + 0.5)
    return model.state_dict()


def made(family, **options):
    with torch.device("meta"):
        model = build(network(FAMILIES[family]), **options)
    model.load_state_dict({key: value.clone() for key, value in state_of(family).items()}, assign=True)
    torch.manual_seed(0)
    return model


def close(a, b, tolerance=1e-5):
    return (a - b).abs().max() <= tolerance * b.abs().max()


@families
@pytest.mark.parametrize("training", [False, True])
def test_symbolic_trace_follows_both_modes(family, training):
    model = made(family).double()
    traced = torch.fx.symbolic_trace(model)  # traced in training mode, used in both
    model.train(training), traced.train(training)
    assert close(traced(DOUBLE), model(DOUBLE), 1e-9)


@costly
def test_export_with_dynamic_sizes(family):
    model = made(family).eval()
    dynamic = torch.export.Dim.AUTO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        exported = torch.export.export(
            model, (torch.randn(3, 3, 64, 96),), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},)
        ).module()
    other = torch.randn(2, 3, 97, 65)
    assert close(exported(other), model(other))


@costly
def test_compiles_without_a_graph_break(family):
    model = made(family).double().train()
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    weights = torch.randn(2, 10 if family == "cifar" else 7).double()
    (compiled(DOUBLE) * weights).sum().backward()
    (twin(DOUBLE) * weights).sum().backward()
    for (key, mine), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert close(mine.grad, other.grad, 1e-7) or mine.grad.abs().max() < 1e-9, key
    for mine, other in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.allclose(mine, other)


@pytest.mark.slow
@families
def test_compiles_to_machine_code(family):
    """Forward and backward by the default compiler (about a minute each)."""
    model = made(family).eval()
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        mine = torch.compile(model)(IMAGES)
        mine.square().sum().backward()
    other = twin(IMAGES)
    other.square().sum().backward()
    assert close(mine, other, 1e-4)
    for (key, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert close(a.grad, b.grad, 1e-2) or b.grad.abs().max() < 1e-4, key


@families
def test_copies_and_pickles_are_the_same_and_apart(family):
    model = made(family).eval()
    expected = model(IMAGES)
    copied = copy.deepcopy(model)
    pickled = pickle.loads(pickle.dumps(model))
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for twin in (copied, pickled, saved):
        assert torch.equal(twin(IMAGES), expected)
        assert twin.info == model.info
        assert twin.network == model.network


@costly
def test_functional_call_uses_the_given_state(family):
    """And per-sample gradients by vmap of grad agree with one image at a time."""
    model, images = made(family).eval().double(), IMAGES.double()
    state = {key: value.detach() for key, value in model.named_parameters()}
    other = {key: value + 0.01 for key, value in state.items()}
    expected = copy.deepcopy(model)
    expected.load_state_dict(other, strict=False)
    assert close(torch.func.functional_call(model, other, (images,)), expected(images), 1e-12)

    def loss(parameters, image):
        return torch.func.functional_call(model, parameters, (image[None],)).square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(state, images)
    alone = torch.func.grad(loss)(state, images[1])
    for key, gradient in gradients.items():
        assert torch.allclose(gradient[1], alone[key], rtol=1e-7, atol=1e-9 * float(alone[key].abs().max()) + 1e-12), (
            key
        )


@families
def test_autocast_to_bfloat16(family, monkeypatch):
    """The fast forms are about as exact in it as the plain calls; how exact that is depends on the processor."""
    model = made(family).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(IMAGES)
        loss = logits.float().square().mean()
    loss.backward()
    assert logits.dtype == torch.bfloat16
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    with torch.no_grad():
        full = model(IMAGES)
        errors = []
        for fast in (True, False):
            monkeypatch.setattr(fast_cpu, "is_faster_here", lambda _, fast=fast: fast)
            with torch.autocast("cpu", torch.bfloat16):
                errors.append(float((model(IMAGES).float() - full).abs().mean()))
    assert max(errors) <= 0.1 * full.abs().max()
    assert errors[0] <= 2 * errors[1]


@families
def test_channels_last_is_kept_to_the_end(family):
    model = made(family).eval()
    expected = model.features(IMAGES)
    model.to(memory_format=torch.channels_last)
    maps = model.features(IMAGES.to(memory_format=torch.channels_last))
    for mine, other in zip(maps, expected, strict=True):
        assert close(mine, other, 1e-4)
        assert mine.is_contiguous(memory_format=torch.channels_last)


@families
@pytest.mark.parametrize("stride", [8, 16])
def test_output_stride_keeps_the_weights_and_the_resolution(family, stride):
    net = network(FAMILIES[family])
    if net.total_stride < stride:
        with pytest.raises(ValueError, match=f"output_stride={stride} .* valid: 1, 2, 4"):
            with_output_stride(net, stride)
        return
    dilated = with_output_stride(net, stride)
    assert dilated.total_stride == stride
    model, plain = build(dilated).eval(), made(family).eval()
    model.load_state_dict(plain.state_dict())
    maps = model.features(torch.randn(1, 3, 65, 97))
    for level, found in zip(model.info, maps, strict=True):
        assert found.shape[1:] == (level.channels, -(-65 // level.stride), -(-97 // level.stride))
    same = [level.stride <= stride // 2 for level in model.info]
    for kept, mine, other in zip(same, model.features(IMAGES), plain.features(IMAGES), strict=True):
        assert not kept or torch.equal(mine, other)


@families
def test_frozen_levels_neither_learn_nor_collect_statistics(family):
    model = made(family, drop_path=0.5).freeze(2).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(IMAGES).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert not [key for key in changed if key.startswith(("stem.", "stages.0."))]
    assert any(key.startswith("stages.1.") for key in changed)
    assert all(p.requires_grad for p in model.freeze(0).parameters())
    with pytest.raises(ValueError, match="freeze=9 must be from 0"):
        model.freeze(9)
    pyramid = model.freeze(0).pyramid((len(model.stages),))  # of one level, but all of it can be frozen
    assert not any(p.requires_grad for p in pyramid.freeze(len(model.info)).parameters())


@costly
@pytest.mark.parametrize("policy", ["frozen", "sync", "group"])
def test_norm_policies_reach_every_layer(family, policy):
    net = network(FAMILIES[family])
    if policy == "group":
        model = build(network(f"{FAMILIES[family][:-1]}, norm=group)"))
        wanted: type = nn.GroupNorm
    else:
        model, wanted = (
            made(family, norm_policy=policy),
            {"frozen": FrozenBatchNorm2d, "sync": SyncBatchNorm}[policy],
        )
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | FrozenBatchNorm2d)]
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in build(net).modules())
    assert all(type(norm) is wanted for norm in norms)
    if policy != "group":
        plain = made(family).double().eval()
        assert close(model.double().eval()(DOUBLE), plain(DOUBLE), 1e-9)
        model.float()
    model.train()(IMAGES).square().sum().backward()
    learns = [key for key, p in model.named_parameters() if p.grad is not None and "norm" in key]
    assert bool(learns) == (policy != "frozen")


@costly
def test_checkpointing_changes_memory_and_nothing_else(family):
    """Same gradients, and the running statistics count each batch once."""
    results = []
    for on in (False, True):
        model = made(family, drop_path=0.3).train()
        set_checkpointing(model, on)
        kept = []
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: (kept.append(t.numel()), t)[1], lambda t: t):
            loss = model(IMAGES).square().sum()
        saved = sum(kept)
        loss.backward()
        results.append((saved, [p.grad for p in model.parameters()], list(model.buffers())))
    (all_of_it, gradients, buffers), (less, again, others) = results
    assert less < 0.6 * all_of_it
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(a.abs().max())) for a, b in zip(gradients, again, strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(buffers, others, strict=True))


@families
def test_inner_nodes_by_name(family):
    model = made(family).double().eval()
    prefix = "stages.1.blocks.0" if family == "dla" else "stages.1.0"
    nodes = InnerFeatures(model, ("stages.2", f"{prefix}.mixer", "stem.convs.0"))
    seen = {}
    for name in nodes.names:
        model.get_submodule(name).register_forward_hook(lambda *args, name=name: seen.update({name: args[2].clone()}))
    maps = nodes(DOUBLE)
    model(DOUBLE)
    for level, found in zip(nodes.info, maps, strict=True):
        assert close(found, seen[level.name], 1e-9)
        assert found.shape[1:] == (level.channels, 64 // level.stride, 64 // level.stride)
    kept = {key.split(".")[2] for key in nodes.state_dict() if key.startswith("body.stages.")}
    assert kept == {"0", "1", "2"}


@costly
def test_an_inner_node_is_the_same_beside_others(family):
    """Activations further on overwrite maps in place; a map that was asked for is kept."""
    model, images = made(family).double(), DOUBLE[..., :33, :33]
    prefix = "stages.0.blocks.0" if family == "dla" else "stages.0.0"
    names = ("stem.convs.0.norm", f"{prefix}.expand.norm", f"{prefix}.expand", "stages.0", "stages.2")
    alone_ones, together = [InnerFeatures(model, (name,)) for name in names], InnerFeatures(model, names)
    for training in (True, False):
        alone = [node.train(training)(images)[0] for node in alone_ones]
        beside = together.train(training)(images)
        assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))


def test_an_unknown_node_or_one_that_is_no_map_is_refused():
    with pytest.raises(ValueError, match=r"'stages\.1\.0\.mixr' does not exist.*did you mean stages\.1\.0\.mixer"):
        InnerFeatures(made("resnet"), ("stages.1.0.mixr",))
    with pytest.raises(ValueError, match=r"'fc' is no feature map: its output is \[1, 7\]"):
        InnerFeatures(made("resnet"), ("fc",))


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("sk", "crossed")])
def test_deformable_stages_start_as_plain_convolutions_of_half_weight(family):
    """Offsets start at zero and masks at one half, so doubling the 3x3 weights gives the plain network."""
    net = network(FAMILIES[family])
    deformable = with_deformable(net, (2, 3))
    model, plain = build(deformable).eval().double(), made(family).eval().double()
    missing, surplus = model.load_state_dict(plain.state_dict(), strict=False)
    assert surplus == []
    assert missing
    assert all(".offset." in key for key in missing)
    for name, module in model.named_modules():
        if hasattr(module, "offset"):
            assert name.startswith(("stages.1.", "stages.2."))
            module.weight.data.mul_(2)
    assert close(model(DOUBLE), plain(DOUBLE), 1e-12)
    for module in model.modules():
        if hasattr(module, "offset"):
            nn.init.normal_(module.offset.weight, std=0.1)
    assert not close(model(DOUBLE), plain(DOUBLE), 1e-3)
    model.train()(DOUBLE).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_deformable_split_attention_has_two_offset_groups():
    net = named("resnest200_dcn")
    offsets = [layer for stage in (net,) for layer in _layers(stage) if layer.name.endswith("offset")]
    assert len(offsets) == 24 + 36 + 3
    assert all(layer.out_channels == 2 * 27 and layer.groups == 2 for layer in offsets)
    with pytest.raises(ValueError, match="selective_kernel has no deformable form"):
        with_deformable(network(FAMILIES["sk"]), (2,))
    with pytest.raises(ValueError, match="stage 5 does not exist; valid: 1 to 4"):
        with_deformable(net, (5,))


def _layers(net):
    from dorsal.spec.layers import layers

    return layers(net)


def test_no_classes_give_the_pooled_vector():
    net = network("resnet18(classes=0)")
    model = build(net).eval()
    assert model(IMAGES).shape == (2, 512)
    assert torch.equal(model(IMAGES), model.features(IMAGES)[-1].mean((2, 3)))
    assert cost(net).params == sum(p.numel() for p in model.parameters())


def test_what_is_no_batch_of_images_is_refused_and_an_empty_one_goes_through():
    model = made("resnest").eval()
    assert model(torch.zeros(0, 3, 64, 64)).shape == (0, 7)
    assert [m.shape[0] for m in model.features(torch.zeros(0, 3, 64, 64))] == [0] * 5
    with pytest.raises(ValueError, match=r"images are torch.uint8; divide by 255"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"shape \[1, 4, 64, 64\]; this network takes \[N, 3, height, width\]"):
        model.features(torch.zeros(1, 4, 64, 64))
    with pytest.raises(ValueError, match=r"shape \[3, 64, 64\]"):
        model(torch.zeros(3, 64, 64))


@families
def test_tiny_and_odd_images(family):
    model = made(family).eval()
    for height, width in ((1, 1), (2, 3), (7, 5), (33, 17)):
        for level, found in zip(model.info, model.features(torch.randn(1, 3, height, width)), strict=True):
            assert found.shape[1:] == (level.channels, -(-height // level.stride), -(-width // level.stride))


def halves_equal_the_whole(chosen, _):
    """In one of two processes: what of a network on half of a batch differs from one on the whole of it, or "equal"."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    for family in chosen:
        whole = made(family, norm_policy="train").double().train()
        weights = torch.randn(4, whole.network.head.classes, generator=torch.Generator().manual_seed(1)).double()
        (whole(images) * weights).sum().div(2).backward()
        parallel = DistributedDataParallel(made(family, norm_policy="sync").double().train())
        mine = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
        (parallel(images[mine]) * weights[mine]).sum().backward()
        for (key, a), b in zip(whole.named_parameters(), parallel.module.parameters(), strict=True):
            if not torch.allclose(a.grad, b.grad, rtol=1e-6, atol=1e-8 * float(a.grad.abs().max()) + 1e-9):
                return f"gradients of {family}: {key}"
        for (key, a), b in zip(whole.named_buffers(), parallel.module.buffers(), strict=True):
            if not torch.allclose(a, b, rtol=1e-9):
                return f"statistics of {family}: {key}"
    dist.destroy_process_group()
    return "equal"


@pytest.mark.parametrize(
    "chosen",
    [("crossed", "regnetz"), pytest.param(tuple(FAMILIES), marks=pytest.mark.slow)],
    ids=["two", "all"],
)
def test_two_processes_with_synchronised_norms_are_one(chosen):
    """DistributedDataParallel on halves of a batch: the gradients and statistics of the whole batch."""
    assert in_two_processes(halves_equal_the_whole, chosen, chosen) == ["equal", "equal"]


def test_every_family_of_the_zoo_is_here():
    """A new family must come into this suite: each distinct kind of stage, block and mixer of the zoo is in it."""

    def kinds(net):
        for stage in net.stages:
            block = stage.block
            inner = getattr(block.mixer, "inner", None)
            yield (type(stage.arrangement), type(block), type(block.mixer), type(inner), type(block.shortcut))

    here = {kind for text in FAMILIES.values() for kind in kinds(network(text))}
    zoo = {kind: name for name, net in NETWORKS.items() for kind in kinds(net)}
    # Left out: other pairs of a mixer and a shortcut that are both here.
    assert {name for kind, name in zoo.items() if kind not in here} == {
        "dla60",
        "resnet34d",
        "skresnet34",
    }
