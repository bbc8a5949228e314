"""What every network does as a module, whatever its blocks."""

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torchvision.ops import DropBlock2d, StochasticDepth

from dorsal.nn import norms
from dorsal.nn.backbone import set_checkpointing
from dorsal.nn.blocks import ResidualBlock
from dorsal.nn.build import build, set_drop_block
from dorsal.nn.layers import ConvNorm
from dorsal.nn.norms import normalize
from dorsal.nn.split_attention import SplitAttentionMixer, split_attention_by_group
from dorsal.spec.arrangement import Tree
from dorsal.spec.cost import cost
from dorsal.spec.layers import features
from dorsal.spec.text import edit
from dorsal.zoo import NETWORKS, named, network
from tests.networks import networks
from tests.random_state import randomised

FAMILIES = ["resnet18", "resnet50", "resnest50", "res2net50_26w_4s", "res2netplus50", "regnety_004", "skresnet50"]
FAMILIES += ["seresnet50", "resnet20", "resnet50(mixer=multi_scale(inner=split_attention), norm=group)"]


def short(net, most=2):
    """The network with at most two blocks a stage: every distinct block, a fraction of the time."""
    return edit(net, {"depths": [min(stage.depth, most) for stage in net.stages], "classes": 7})


def lean(text):
    """Short, and where it is wide, a quarter as wide."""
    net = short(network(text))
    widths = [stage.width for stage in net.stages]
    return edit(net, {"widths": [width // 4 for width in widths]}) if widths[0] >= 64 else net


# The others differ in width and depth alone from some that are here.
AFFORDABLE = [name for name in NETWORKS if cost(short(named(name)), 224).params < 15e6]


@pytest.mark.parametrize("name", AFFORDABLE)
def test_trains_at_batch_one_and_every_parameter_learns(name):
    """One image of the smallest size: the last maps are 1x1, where batch norm has a single value a channel."""
    net = short(named(name))
    model = build(net).train()
    size = max(net.total_stride, 8)
    loss = nn.functional.cross_entropy(model(torch.randn(1, 3, size, size)), torch.tensor([3]))
    loss.backward()
    assert loss.isfinite()
    missing = [key for key, p in model.named_parameters() if p.grad is None]
    assert missing == []
    for key, buffer in model.named_buffers():
        assert buffer.isfinite().all(), key


@pytest.mark.parametrize("text", FAMILIES)
def test_every_parameter_has_a_gradient_that_is_not_zero(text):
    torch.manual_seed(0)
    model = build(lean(text)).train()
    # The pairwise product keeps gradients of shifts before a norm from cancelling to rounding errors.
    images = torch.randn(4, 3, 64, 64)
    logits = model(images)
    (logits * torch.randn_like(logits)).sum().backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_random_crossings_train_at_batch_one_and_evaluate_at_odd_sizes(net):
    model = build(net).train()
    model(torch.randn(1, net.in_channels, 17, 17)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    maps = model.eval().features(torch.randn(1, net.in_channels, 33, 49))
    sizes = [(level.channels, -(-33 // level.stride), -(-49 // level.stride)) for level in features(net)]
    assert [tuple(m.shape[1:]) for m in maps] == sizes


def test_a_tree_of_linear_blocks_ends_in_the_activation_of_its_root():
    net = edit(network("resnet50"), {"depths": [2, 2, 2, 2], "classes": 7})
    stages = tuple(
        msgspec.structs.replace(s, block=msgspec.structs.replace(s.block, output="linear"), arrangement=Tree())
        for s in net.stages
    )
    model = build(msgspec.structs.replace(net, stages=stages)).train()
    assert type(model.head) is nn.Identity
    model(torch.randn(2, 3, 64, 64)).sum().backward()


def test_features_and_forward_agree():
    model = build(short(named("resnest50"))).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.fc(model.features(images)[-1].mean((2, 3))), model(images))


@pytest.mark.parametrize("text", FAMILIES)
def test_no_module_is_called_twice(text):
    """A module with two call sites has two distributions: quantisers cannot observe it."""
    model = build(lean(text)).eval()
    calls: dict[str, int] = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    model(torch.randn(1, 3, 64, 64))
    assert {name: count for name, count in calls.items() if count > 1} == {}


@pytest.mark.parametrize("radix", [1, 2, 4])
@pytest.mark.parametrize("cardinality", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_radix_major_split_attention_equals_the_loop_over_groups(radix, cardinality, size):
    net = network(f"small(mixer=split_attention(radix={radix}, cardinality={cardinality}))")
    model = build(net).double().eval()
    model.load_state_dict(randomised(model.state_dict()))
    mixer = next(m for m in model.modules() if isinstance(m, SplitAttentionMixer))
    x = torch.randn(2, 16, size, size, dtype=torch.float64)
    assert torch.allclose(mixer(x), split_attention_by_group(mixer, x), atol=1e-12, rtol=1e-12)


def test_batch_norm_on_one_value_keeps_its_statistics_and_learns():
    norm = nn.BatchNorm2d(3).train()
    nn.init.constant_(norm.running_mean, 0.5)
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    before = norm.running_mean.clone()
    y = normalize(norm, x)
    y.square().sum().backward()
    assert torch.allclose(y.flatten(), (x.flatten() - 0.5) / (1 + norm.eps) ** 0.5)
    assert torch.equal(norm.running_mean, before)
    assert norm.weight.grad.abs().min() > 0
    reference = nn.BatchNorm2d(3)
    reference.load_state_dict(norm.state_dict())
    batch = torch.randn(4, 3, 5, 5)
    assert torch.equal(normalize(norm, batch), reference(batch))
    assert torch.equal(norm.running_var, reference.running_var)
    assert torch.equal(normalize(norm.eval(), x), reference.eval()(x))


def test_batch_norm_on_one_value_is_seen_by_hooks_and_refused_without_statistics():
    norm = nn.BatchNorm2d(3).train()
    modes: list[bool] = []
    norm.register_forward_hook(lambda norm, *_: modes.append(norm.training))
    normalize(norm, torch.randn(1, 3, 1, 1))
    assert modes == [False]  # it is normalized as in evaluation
    assert norm.training
    with pytest.raises(ValueError, match="more than 1 value per channel when training"):
        normalize(nn.BatchNorm2d(3, track_running_stats=False), torch.randn(1, 3, 1, 1))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}])
def test_synchronised_norm_is_batch_norm_where_the_other_processes_are_empty(options, monkeypatch):
    monkeypatch.setattr(norms, "_several_processes", lambda: True)
    monkeypatch.setattr(norms.dist, "all_reduce", lambda _: None)
    mine, other = norms.SyncBatchNorm(3, **options).double(), nn.BatchNorm2d(3, **options).double()
    state = randomised(mine.state_dict())
    mine.load_state_dict(state), other.load_state_dict(state)
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    assert torch.allclose(normalize(mine, x), normalize(other, x))
    assert all(torch.allclose(a, b) for a, b in zip(mine.buffers(), other.buffers(), strict=True))


def test_a_second_run_for_the_gradient_leaves_norms_without_statistics_alone():
    model = build(short(named("resnet20"))).train()
    model.stages[0][0].mixer.norm = nn.BatchNorm2d(16, track_running_stats=False)
    kept = model.stages[0][0].expand.norm
    set_checkpointing(model, True)
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    assert kept.momentum == model.stages[0][0].mixer.norm.momentum == 0.1
    assert int(kept.num_batches_tracked) == 1


def branches(model):
    return [m for m in model.modules() if isinstance(m, ResidualBlock)]


@pytest.mark.parametrize("text", FAMILIES)
def test_drop_path_acts_on_every_residual_branch(text):
    """At rate near 1 a training pass is the shortcuts alone, but for the first block, whose rate is 0."""
    model = build(lean(text), drop_path=0.5).train()
    paths = [m for m in model.modules() if isinstance(m, StochasticDepth)]
    assert len(paths) == len(branches(model)) - 1
    assert [round(m.p, 6) for m in paths] == [round(0.5 * i / len(paths), 6) for i in range(1, len(paths) + 1)]
    images = torch.randn(3, 3, 64, 64)
    torch.manual_seed(0)
    kept = model(images)
    for block in branches(model)[1:]:
        block.drop_path.p = 0.999999
        dropped: list[torch.Tensor] = []
        handle = block.act.register_forward_pre_hook(lambda _, inputs, out=dropped: out.append(inputs[0].clone()))
        entered: list[torch.Tensor] = []
        other = block.register_forward_pre_hook(lambda _, inputs, out=entered: out.append(inputs[0].clone()))
        model(images)
        handle.remove()
        other.remove()
        expected = block.shortcut(block.shortcut_pool(entered[0]))
        assert torch.allclose(dropped[0], expected, atol=1e-5), text
    torch.manual_seed(0)
    assert not torch.equal(model(images), kept)
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("text", FAMILIES)
def test_drop_block_zeroes_squares_in_the_last_two_stages_in_training_only(text):
    net = lean(text)
    model = build(net, drop_block=0.3).train()
    drops = [m for m in model.modules() if isinstance(m, DropBlock2d)]
    sites = sum(3 if isinstance(b.reduce, ConvNorm) else 2 for stage in model.stages[-2:] for b in stage)
    assert len(drops) == sites
    zeros: list[float] = []

    def count(_, inputs, output):
        zeros.append(float((output[inputs[0] != 0] == 0).float().mean()))

    for drop in drops:
        drop.register_forward_hook(count)
    images = torch.randn(4, 3, 96, 96)
    torch.manual_seed(0)
    model(images)
    assert min(zeros) > 0
    set_drop_block(model, 0.0)
    zeros.clear()
    model(images)
    assert max(zeros) == 0
    set_drop_block(model, 0.3)
    zeros.clear()
    model.eval()(images)
    assert max(zeros) == 0


@pytest.mark.parametrize("text", FAMILIES)
def test_zero_init_makes_every_block_its_shortcut(text):
    images = torch.randn(2, 3, 64, 64)
    for zero_init in (True, False):
        model = build(lean(text), zero_init=zero_init).eval()
        x = model.stem.pool(model.stem.convs(images))
        for block in (block for stage in model.stages for block in stage):
            # SE after the norm of a zero branch gates zeros, so the rule holds there too.
            is_shortcut = torch.equal(block(x), block.act(block.shortcut(block.shortcut_pool(x)).clone()))
            assert is_shortcut == zero_init
            x = block(x)


def test_dropout_acts_in_training_only():
    model = build(short(named("resnet18")), dropout=0.5)
    images = torch.randn(2, 3, 64, 64)
    model.eval()
    assert torch.equal(model(images), model(images))
    model.dropout.train()
    assert not torch.equal(model(images), model(images))


@pytest.mark.parametrize("option", ["drop_path", "drop_block", "dropout"])
def test_probabilities_are_checked(option):
    with pytest.raises(ValueError, match=f"{option}=1.5 must be at least 0 and below 1"):
        build(named("resnet20"), **{option: 1.5})


def test_initialisation_is_the_same_rule_for_all_and_seeded():
    torch.manual_seed(3)
    first = build(named("regnety_002")).state_dict()
    torch.manual_seed(3)
    second = build(named("regnety_002")).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    weight = first["stages.3.0.expand.conv.weight"]
    assert float(weight.std()) == pytest.approx((2 / weight.shape[0]) ** 0.5, rel=0.02)
    assert float(first["stages.3.0.mixer.norm.running_var"].min()) == 1


def test_builds_on_meta_without_touching_the_generator():
    before = torch.random.get_rng_state()
    with torch.device("meta"):
        model = build(named("resnest269"))
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert torch.equal(torch.random.get_rng_state(), before)


def test_deformable_starts_as_a_plain_convolution_at_half_weight():
    torch.manual_seed(0)
    model = build(network("small(mixer=conv(deformable=true))")).eval()
    mixer = model.stages[0][0].mixer
    x = torch.randn(2, 16, 9, 9)
    plain = nn.functional.conv2d(x, mixer.conv.weight, stride=2, padding=1) / 2
    assert torch.allclose(mixer.conv(x), plain, atol=1e-5)
