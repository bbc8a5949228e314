"""Semantic heads against detectron2's and torchvision's numbers, and on pyramids of other forms."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead as TorchvisionFcn

from dorsal.spec.layers import Feature
from dorsal.tasks.semantic.deeplab import Aspp, DeepLabHead, FcnHead, _seen
from dorsal.tasks.semantic.fpn import FpnHead
from dorsal.tasks.semantic.inference import at_file_size
from dorsal.tasks.semantic.segmenter import pixel_cross_entropy
from tests.tasks.golden import Golden, golden


def pyramid(*strides: int, channels: int = 16) -> tuple[Feature, ...]:
    return tuple(Feature(f"p{index}", channels, stride) for index, stride in enumerate(strides))


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    return torch.allclose(found.to(expected.dtype), expected, rtol=tolerance, atol=tolerance)


def close_gradient(found: Tensor | None, expected: Tensor) -> bool:
    assert found is not None
    return float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def in_double(tensor: Tensor, learnt: bool = True) -> Tensor:
    """A leaf in float64, for gradients: where a value before a ReLU is within the noise of float32 of 0, the processor
    would decide which side it is on."""
    return tensor.double().requires_grad_(learnt)


def differing(found: Tensor, expected: Tensor) -> float:
    """The share of pixels that differ."""
    return float((found != expected).float().mean())


def scaled(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def fpn_state(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's names (p4.2.norm.weight: third module of the branch of P4, after an upsampling) as ours."""
    state = {}
    for name, tensor in weights.items():
        level, *rest = name.split(".")
        if level == "predictor":
            state[name] = tensor
        else:
            place, *leaf = rest
            part = "1" if leaf[0] == "norm" else "0"
            state[f"branches.{int(level[1]) - 2}.{int(place) // 2}.{part}.{leaf[-1]}"] = tensor
    return state


def test_fpn_head_is_detectron2s(real_data: Path) -> None:
    item = golden(real_data, "pan_semantic_head")
    head = FpnHead(pyramid(4, 8, 16, 32), classes=4, channels=32)
    head.load_state_dict(fpn_state(item.under("in.w.")))
    maps = [in_double(item.tensors[f"in.p{level}"], level > 3) for level in range(2, 6)]
    logits = head.double()(maps)
    assert close(logits, item.tensors["out.logits_stride4"])
    whole = scaled(logits, 4)
    assert close(whole[0, :, 96:, 128:], item.tensors["out.logits_image_0_from_row_96_column_128"])
    assert differing(whole.argmax(1), item.tensors["out.argmax_padded"]) <= 0.001
    targets = torch.full((2, 160, 192), 255, dtype=torch.uint8)
    for index, ((height, width), size) in enumerate(
        zip(item.config["image_sizes"], item.config["output_sizes"], strict=True)
    ):
        assert close(at_file_size(whole[index], (height, width), size), item.tensors[f"out.logits_output_{index}"])
        targets[index, :height, :width] = item.tensors[f"in.target_{index}"]
    loss = item.config["loss_weight"] * pixel_cross_entropy(whole, targets)
    assert float(loss.detach()) == pytest.approx(item.values["loss_sem_seg"], rel=1e-5)
    loss.backward()
    gradients = dict(head.named_parameters())
    expected = fpn_state(item.under("out.grad.w."))
    assert len(expected) == 11
    for name, gradient in expected.items():
        assert close_gradient(gradients[name].grad, gradient), name
    assert close_gradient(maps[2].grad, item.tensors["out.grad.p4"])
    assert close_gradient(maps[3].grad, item.tensors["out.grad.p5"])


@pytest.mark.parametrize(("strides", "channels", "groups"), [((4, 8, 16), 48, 16), ((1, 2, 4), 64, 32), ((8,), 20, 4)])
def test_fpn_head_takes_any_pyramid_whose_strides_double(strides, channels, groups) -> None:
    head = FpnHead(pyramid(*strides), classes=3, channels=channels)
    maps = [torch.randn(1, 16, 64 // stride, 32 // stride) for stride in strides]
    assert head(maps).shape == (1, 3, 64 // strides[0], 32 // strides[0])
    assert {m.num_groups for m in head.modules() if isinstance(m, nn.GroupNorm)} == {groups}
    assert [len(branch) for branch in head.branches] == [1, 1, 2][: len(strides)]
    assert torch.equal(head([*maps, torch.randn(1, 16, 1, 1)]), head(maps))
    with pytest.raises(IndexError):
        head(maps[:-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FpnHead(pyramid(4, 8, 16, 16), 3), r"strides 4, 8, 16, 16: head fpn needs strides that double"),
        (lambda: FpnHead((), 3), "strides none"),
        (
            lambda: FpnHead((*pyramid(4), *pyramid(8, channels=32)), 3),
            "a pyramid of 16, 32 channels: head fpn needs equal ones",
        ),
        (lambda: DeepLabHead(pyramid(4, 8, 16, 32), 3), "strides 4, 8, 16, 32: head deeplab needs the last to be 8"),
        (lambda: DeepLabHead(pyramid(8, 16), 3), "strides 8, 16: the finer form of head deeplab needs a map of str"),
        (lambda: FcnHead(pyramid(8), 3), "a pyramid of 1 levels"),
    ],
)
def test_a_pyramid_that_a_head_cannot_use_is_refused_by_its_strides(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def aspp_state(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's names of an ASPP as ours; of the five branches, the last is the pooled one."""
    state = {}
    for name, tensor in weights.items():
        place, leaf = name.rsplit(".", 1)
        place = place.replace("convs.4.1", "pooled.0").replace("convs.", "branches.")
        if not place.startswith("pooled") and not place.endswith("norm"):
            place += ".conv"
        state[f"{place}.{leaf}"] = tensor
    return state


def deeplab_state(weights: dict[str, Tensor], fine: bool) -> dict[str, Tensor]:
    prefix = "decoder.res5.project_conv." if fine else "aspp."
    aspp = {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}
    state = {f"aspp.{name}": t for name, t in aspp_state(aspp).items()}
    for name, tensor in weights.items():
        if name.startswith("decoder.res2."):
            place, leaf = name.removeprefix("decoder.res2.").rsplit(".", 1)
            place = place if place.endswith("norm") else f"{place}.conv"
            state[place.replace("project_conv", "fine_project").replace("fuse_conv", "fuse") + f".{leaf}"] = tensor
    return state | {name: t for name, t in weights.items() if name.startswith("predictor.")}


def deeplab(item: Golden, name: str) -> DeepLabHead:
    info = (Feature("res2", 8, 4), Feature("res5", 32, 16))
    head = DeepLabHead(info, 4, channels=16, fine=name == "v3plus", fine_channels=12, dropout=0.0)
    missing = head.load_state_dict(deeplab_state(item.under(f"in.w.{name}."), name == "v3plus"), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return head


@pytest.mark.parametrize("name", ["v3", "v3plus"])
def test_deeplab_is_detectron2s_in_evaluation(real_data: Path, name: str) -> None:
    item = golden(real_data, "seg_deeplab")
    head = deeplab(item, name).eval()
    maps = item.tensors["in.res2"], item.tensors["in.res5"]
    assert close(head.aspp(maps[1]), item.tensors[f"out.{name}.aspp"])
    logits = head(maps)
    assert close(logits, item.tensors[f"out.{name}.logits_stride{head.stride}"])
    whole = scaled(logits, head.stride)
    assert differing(whole.argmax(1), item.tensors[f"out.{name}.argmax"]) <= 0.001
    cropped = item.tensors[f"out.{name}.logits_image_1_cropped"]
    assert close(whole[1, :, : cropped.shape[1], : cropped.shape[2]], cropped)


def hardest(logits: Tensor, targets: Tensor, share: float) -> Tensor:
    """detectron2's loss of the hardest pixels, which Dorsal does not offer: ignored ones count with a loss of 0."""
    each = F.cross_entropy(logits, targets.long(), ignore_index=255, reduction="none").flatten()
    return each.topk(int(share * each.numel())).values.mean()


@pytest.mark.parametrize("name", ["v3", "v3plus"])
def test_deeplab_is_detectron2s_in_training(real_data: Path, name: str) -> None:
    item = golden(real_data, "seg_deeplab")
    head = deeplab(item, name).train().double()
    maps = in_double(item.tensors["in.res2"]), in_double(item.tensors["in.res5"])
    whole = scaled(head(maps), head.stride)
    targets = item.tensors["in.target"]
    mined = item.config["losses"][name] == "hard_pixel_mining"
    loss = hardest(whole, targets, item.config["hard_pixels"]) if mined else pixel_cross_entropy(whole, targets)
    assert float(loss.detach()) == pytest.approx(item.values[name]["training_loss"], rel=1e-5)
    loss.backward()
    assert close_gradient(maps[1].grad, item.tensors[f"out.{name}.grad.res5"])
    for level, norm in item.values[name]["gradient_norm"].items():
        gradient = maps[0 if level == "res2" else 1].grad
        assert gradient is not None
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-4)
    after = deeplab_state(item.under(f"out.{name}.after_training_step."), name == "v3plus")
    assert after
    found = head.state_dict()
    for key, tensor in after.items():
        assert close(found[key], tensor), key


def test_losses_on_the_same_logits_are_detectron2s(real_data: Path) -> None:
    item = golden(real_data, "seg_deeplab")
    expected = item.values["losses_on_eval_logits_of_v3plus"]
    with torch.no_grad():
        whole = scaled(deeplab(item, "v3plus").eval()((item.tensors["in.res2"], item.tensors["in.res5"])), 4)
    targets = item.tensors["in.target"]
    assert int((targets == 255).sum()) == expected["ignored"]
    assert float(pixel_cross_entropy(whole, targets)) == pytest.approx(expected["cross_entropy"], rel=1e-5)


def test_aspp_is_torchvisions_once_the_norm_of_its_pooled_branch_is_folded(real_data: Path) -> None:
    """torchvision normalizes the pooled branch; in evaluation that is a factor of its weight and a bias."""
    item = golden(real_data, "seg_aspp_torchvision")
    theirs = item.under("in.w.aspp.")
    weight = {key: theirs.pop(f"convs.4.{key}") for key in ("1.weight", "2.weight", "2.bias")}
    mean, var = theirs.pop("convs.4.2.running_mean"), theirs.pop("convs.4.2.running_var")
    factor = weight["2.weight"] / (var + item.config["eps"]).sqrt()
    state = {
        "pooled.0.weight": weight["1.weight"] * factor[:, None, None, None],
        "pooled.0.bias": weight["2.bias"] - mean * factor,
    }
    for name, tensor in theirs.items():
        *place, part, leaf = name.replace("convs", "branches").split(".")
        state[".".join([*place, "conv" if part == "0" else "norm", leaf])] = tensor
    aspp = Aspp(32, 16, tuple(item.config["rates"]), dropout=0.5).eval()
    assert not aspp.load_state_dict(state, strict=False).unexpected_keys
    x = item.tensors["in.x"]
    for index, branch in enumerate(aspp.branches):
        assert close(branch(x), item.tensors[f"out.branch_{index}"])
    assert close(aspp.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, 9, 11), item.tensors["out.branch_4"])
    assert close(aspp(x), item.tensors["out.aspp"])


def test_rates_follow_the_output_stride() -> None:
    def rates(stride: int) -> list[int]:
        head = DeepLabHead(pyramid(4, 8, stride), 3, channels=8)
        return [branch.conv.dilation[0] for branch in head.aspp.branches]

    assert rates(16) == [1, 6, 12, 18]
    assert rates(8) == [1, 12, 24, 36]


def test_the_auxiliary_head_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs, ours = TorchvisionFcn(32, 5).eval(), FcnHead(pyramid(4, 8, 16, channels=32), 5).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 32, 6, 7)
    assert torch.equal(ours((x[:, :, :1], x, x[:, :, :2])), theirs(x))


@pytest.mark.parametrize("size", [(4, 4), (6, 7), (12, 20), (19, 5), (1, 1)])
def test_taps_that_meet_only_padding_are_left_out(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    aspp = Aspp(6, 4, (6, 12, 18), dropout=0.0).double()
    x = torch.randn(3, 6, *size).double().requires_grad_()
    results = [[branch(x) for branch in aspp.branches], [_seen(branch, x) for branch in aspp.branches]]
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-12)
    inputs = [x, *aspp.branches.parameters()]
    gradients = [torch.autograd.grad(sum(y.pow(3).sum() for y in ys), inputs) for ys in results]
    for plain, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-9)


def test_a_watched_branch_is_called_whole() -> None:
    aspp, seen = Aspp(6, 4, (6, 12, 18), dropout=0.0), []
    conv = aspp.branches[3].conv
    assert isinstance(conv, nn.Conv2d)
    conv.register_forward_hook(lambda *given: seen.append(given[2].shape))
    aspp(torch.randn(2, 6, 4, 4))
    assert seen == [(2, 4, 4, 4)]
