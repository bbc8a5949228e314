"""Several processes on the CPU (gloo) against one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dorsal.train.batches import Batches
from dorsal.train.loop import EpochResult, fit
from dorsal.train.recipe import recipe
from tests.train.tiny import make_data, make_network

RECIPE = "plain(epochs=2, batch=16, ema=0.5)"
WORKER = f"""
import json, sys, torch, warnings
from pathlib import Path
torch.set_num_threads(1)
from dorsal.train.loop import fit
from dorsal.train.recipe import recipe
from tests.train.tiny import make_data, make_network
checkpoint = Path(sys.argv[1]) if sys.argv[1:] else None
for _ in range(1 if checkpoint else 2):
    result = fit(make_network(norm="group"), recipe({RECIPE!r}), make_data(train=33), seed=0, checkpoint=checkpoint)
state = [float(p.detach().double().sum()) for p in result.model.parameters()]
print(json.dumps([[(e.train_loss, e.val_loss, e.accuracy) for e in result.curve], state]))
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def in_two_processes(*checkpoints: Path) -> list[Any]:
    """What each of them says: the curve, and sums of the parameters."""
    port, root = free_port(), Path(__file__).parents[2]
    workers = []
    for rank in range(2):
        variables = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", WORKER, *map(str, checkpoints[rank : rank + 1])]
        workers.append(
            subprocess.Popen(command, cwd=root, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True)
        )
    try:
        return [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def test_two_processes_are_one_with_the_same_batches() -> None:
    """Group norm, since batch norm sees one process's part. The last batch has one image, so one process has none."""
    first, second = in_two_processes()
    assert first == second
    curve, state = first
    alone = fit(make_network(norm="group"), recipe(RECIPE), make_data(train=33), seed=0)
    # Sums in another order: float32 rounding, grown over 6 steps.
    for got, epoch in zip(curve, alone.curve, strict=True):
        assert got == pytest.approx([epoch.train_loss, epoch.val_loss, epoch.accuracy], rel=1e-4)
    assert state == pytest.approx(
        [float(p.detach().double().sum()) for p in alone.model.parameters()], rel=1e-3, abs=1e-4
    )


def test_all_processes_go_on_from_the_checkpoint_of_the_first(tmp_path: Path) -> None:
    """Their folders are of their own, as those of two machines are."""

    def stop(epoch: EpochResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            make_network(norm="group"),
            recipe(RECIPE),
            make_data(train=33),
            seed=0,
            checkpoint=tmp_path / "0",
            on_epoch=stop,
        )
    first, second = in_two_processes(tmp_path / "0", tmp_path / "1")
    assert first == second
    alone = fit(make_network(norm="group"), recipe(RECIPE), make_data(train=33), seed=0)
    (before, *_), (unbroken, *_) = first[0], alone.curve
    assert before == [unbroken.train_loss, unbroken.val_loss, unbroken.accuracy]
    for got, epoch in zip(first[0], alone.curve, strict=True):
        assert got == pytest.approx([epoch.train_loss, epoch.val_loss, epoch.accuracy], rel=1e-4)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_make_up_the_batches(world: int) -> None:
    whole = Batches(33, 16, 5, 0, 1)
    parts = [Batches(33, 16, 5, rank, world) for rank in range(world)]
    for made in (whole, *parts):
        made.epoch = 2
    for index, (batch, *shares) in enumerate(zip(whole, *parts, strict=True)):
        kept = [share[: part.share(index)] for share, part in zip(shares, parts, strict=True)]
        assert sorted(image for share in kept for image in share) == sorted(batch)
        assert whole.size(index) == len(batch) == sum(part.share(index) for part in parts)
        assert all(shares)
    assert sorted(image for batch in whole for image in batch) == list(range(33))
