"""A step: when the loss is read, gradients added up over micro-batches, clipping, balanced batches."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dorsal.annotations.labels import Labels
from dorsal.data.orders import balanced_order
from dorsal.data.split import Split
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe
from dorsal.spec.task import AnyTask
from dorsal.tasks.method import Method
from dorsal.train import loop
from dorsal.train.loop import fit
from tests.train.tiny import make_data, make_network

PLAIN = "plain(epochs={}, batch={}, optimizer=sgd, momentum=0, lr=0.1, warmup_epochs=0, flip=false)"


def test_the_loss_is_read_every_50_steps_and_at_the_end_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = loop._read

    def count(run: loop._Run, epoch: int, first: int, losses: list[Tensor]) -> float:
        reads.append(len(losses))
        return read(run, epoch, first, losses)

    monkeypatch.setattr(loop, "_read", count)
    item = Tensor.item

    def fails(tensor: Tensor) -> object:
        assert not tensor.requires_grad, "a loss was read within a step"
        return item(tensor)

    monkeypatch.setattr(Tensor, "item", fails)
    monkeypatch.setattr(Tensor, "__float__", fails)
    fit(make_network(), recipe(PLAIN.format(1, 1)), make_data(train=120), seed=0)
    assert reads == [50, 50, 20]


@pytest.mark.parametrize("bad", [0, 3, 57, 119])
def test_a_diverged_run_names_its_step(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    descend, steps = loop._descend, iter(range(1000))

    def breaks(run: loop._Run, images: Tensor, targets: Tensor, share: float) -> Tensor:
        loss = descend(run, images, targets, share)
        return loss * float("nan") if next(steps) == bad else loss

    monkeypatch.setattr(loop, "_descend", breaks)
    result = fit(make_network(), recipe(PLAIN.format(1, 1)), make_data(train=120), seed=0)
    assert (result.status, result.score) == ("diverged", None)
    assert result.error == f"loss is nan in epoch 1, step {bad + 1} of 120"


@pytest.mark.parametrize("micro", [1, 5, 16, 100])
def test_micro_batches_give_the_result_of_the_whole_batch(micro: int) -> None:
    """But for batch norm: the network has group norm."""
    network, data = make_network("group"), make_data(train=40)
    made = recipe("plain(epochs=2, batch=16, mixup=0.2, label_smoothing=0.1, clip=1)")
    whole = fit(network, made, data, seed=0)
    pieces = fit(network, made, data, seed=0, micro_batch=micro)
    assert [epoch.train_loss for epoch in pieces.curve] == pytest.approx([e.train_loss for e in whole.curve], rel=1e-5)
    for mine, theirs in zip(pieces.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_no_more_images_than_a_micro_batch_are_in_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    method = loop.method_of

    def watched(task: AnyTask, labels: Labels, train: Split | None) -> Method:
        made = method(task, labels, train)
        losses = made.losses

        def counted(model: nn.Module, images: Tensor, targets: Tensor, made: Recipe) -> dict[str, Tensor]:
            seen.append(len(images))
            return losses(model, images, targets, made)

        made.losses = counted  # type: ignore[method-assign]
        return made

    monkeypatch.setattr(loop, "method_of", watched)
    fit(make_network(), recipe(PLAIN.format(1, 16)), make_data(train=40), seed=0, micro_batch=6)
    assert seen == [6, 6, 4, 6, 6, 4, 6, 2]


def test_a_micro_batch_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="micro_batch=0 is below 1; nearest valid: 1"):
        fit(make_network(), recipe("plain"), make_data(), seed=0, micro_batch=0)


def test_a_clipped_step_has_the_norm_of_the_clip() -> None:
    """One step of plain gradient descent moves the weights by the rate times the clip, and no further than without."""
    network, data = make_network(), make_data(train=16)

    def weights(clip: float, rate: float) -> Tensor:
        made = recipe(f"plain(epochs=1, batch=16, optimizer=sgd, momentum=0, warmup_epochs=0, weight_decay=0, "
                      f"flip=false, lr={rate}, clip={clip})")  # fmt: skip
        return torch.cat([each.detach().ravel() for each in fit(network, made, data, seed=0).model.parameters()])

    start = weights(0, 1e-8)

    def moved(clip: float) -> float:
        return float((weights(clip, 0.1) - start).norm())

    free = moved(0)
    assert free > 0.1 * 0.01
    assert moved(0.01) == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert moved(1e6) == pytest.approx(free)


def test_balanced_order_has_every_class_equally_often() -> None:
    labels = np.array([0] * 61 + [2] * 3 + [3] * 6)  # of class 1 there is no image
    orders = [balanced_order(labels, seed=1, epoch=epoch) for epoch in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    for drawn in orders:
        assert len(drawn) == len(labels)
        counts = np.bincount(labels[drawn.numpy()])
        assert counts[1] == 0
        assert sorted(counts[[0, 2, 3]].tolist()) == [23, 23, 24]
        of_small = np.bincount(drawn.numpy(), minlength=70)[61:64]
        assert of_small.max() - of_small.min() <= 1
        assert len(set(drawn.tolist()) & set(range(61))) in (23, 24)  # large classes: no image twice


def test_balanced_batches_are_used() -> None:
    data = make_data(train=40)
    plain, balanced = (
        fit(make_network(), recipe(f"plain(epochs=1, batch=16{extra})"), data, seed=0)
        for extra in ("", ", sampling=balanced")
    )
    assert plain.curve[0].train_loss != balanced.curve[0].train_loss
