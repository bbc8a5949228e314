"""Several processes on the CPU (gloo) against one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dorsal.data.sampling import order
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.text import recipe
from dorsal.train.batches import Batches
from dorsal.train.loop import fit
from tests.processes import in_two_processes
from tests.train.tiny import make_data, make_network

RECIPE = "plain(epochs=2, batch=16, ema=0.5)"


def fits_twice(checkpoint: Path, _: Callable[[Any], None]) -> list[Any]:
    """What a process says of a run from the beginning, and of one with its checkpoint: the curve, sums of the
    parameters, and how long the first epoch took."""
    torch.set_num_threads(1)
    said = []
    for where in (None, checkpoint):
        result = fit(make_network(norm="group"), recipe(RECIPE), make_data(train=33), seed=0, checkpoint=where)
        state = [float(p.detach().double().sum()) for p in result.model.parameters()]
        curve = [(e.train_loss, e.val_loss, e.score) for e in result.curve]
        said.append((curve, state, result.curve[0].seconds))
    torch.distributed.destroy_process_group()
    return said


def test_two_processes_are_one_with_the_same_batches_and_go_on_from_the_checkpoint_of_the_first(tmp_path: Path) -> None:
    """Group norm, since batch norm sees one process's part. The last batch has one image, so one process has none.
    Their folders are of their own, as those of two machines are."""

    before: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        before.append(epoch)
        raise KeyboardInterrupt

    net, made, data = make_network(norm="group"), recipe(RECIPE), make_data(train=33)
    with pytest.raises(KeyboardInterrupt):
        fit(net, made, data, seed=0, checkpoint=tmp_path / "0", on_epoch=stop)
    first, second = in_two_processes(fits_twice, tmp_path / "0", tmp_path / "1")
    assert [run[:2] for run in first] == [run[:2] for run in second]
    alone = fit(net, made, data, seed=0)
    # Sums in another order: float32 rounding, grown over 6 steps.
    (begun, begun_state, begun_seconds), (resumed, resumed_state, resumed_seconds) = first
    for curve in (begun, resumed):
        for got, epoch in zip(curve, alone.curve, strict=True):
            assert got == pytest.approx([epoch.train_loss, epoch.val_loss, epoch.score], rel=1e-4)
    for state in (begun_state, resumed_state):
        assert state == pytest.approx(
            [float(p.detach().double().sum()) for p in alone.model.parameters()], rel=1e-3, abs=1e-4
        )
    assert [resumed_seconds] == [epoch.seconds for epoch in before] != [begun_seconds]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_make_up_the_batches(world: int) -> None:
    whole = Batches(33, 16, partial(order, 33, 5), 0, 1)
    parts = [Batches(33, 16, partial(order, 33, 5), rank, world) for rank in range(world)]
    for made in (whole, *parts):
        made.epoch = 2
    for index, (batch, *shares) in enumerate(zip(whole, *parts, strict=True)):
        kept = [share[: part.share(index)] for share, part in zip(shares, parts, strict=True)]
        assert sorted(image for share in kept for image in share) == sorted(batch)
        assert whole.size(index) == len(batch) == sum(part.share(index) for part in parts)
        assert all(shares)
    assert sorted(image for batch in whole for image in batch) == list(range(33))
