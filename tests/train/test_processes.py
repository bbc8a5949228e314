"""Several processes on the CPU (gloo) against one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dorsal.train.batches import Batches
from dorsal.train.loop import fit
from dorsal.train.recipe import recipe
from tests.train.tiny import make_data, make_network

RECIPE = "plain(epochs=2, batch=16, ema=0.5)"
WORKER = f"""
import json, sys, torch, warnings
torch.set_num_threads(1)
from dorsal.train.loop import fit
from dorsal.train.recipe import recipe
from tests.train.tiny import make_data, make_network
for _ in range(2):
    result = fit(make_network(norm="group"), recipe({RECIPE!r}), make_data(train=33), seed=0)
state = [float(p.detach().double().sum()) for p in result.model.parameters()]
print(json.dumps([[(e.train_loss, e.val_loss, e.accuracy) for e in result.curve], state]))
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_processes_are_one_with_the_same_batches() -> None:
    """Group norm, since batch norm sees one process's part. The last batch has one image, so one process has none."""
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
        command = [sys.executable, "-c", WORKER]
        workers.append(
            subprocess.Popen(command, cwd=root, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True)
        )
    outputs = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    assert outputs[0] == outputs[1]
    curve, state = outputs[0]
    alone = fit(make_network(norm="group"), recipe(RECIPE), make_data(train=33), seed=0)
    # Sums in another order: float32 rounding, grown over 6 steps.
    for got, epoch in zip(curve, alone.curve, strict=True):
        assert got == pytest.approx([epoch.train_loss, epoch.val_loss, epoch.accuracy], rel=1e-4)
    assert state == pytest.approx(
        [float(p.detach().double().sum()) for p in alone.model.parameters()], rel=1e-3, abs=1e-4
    )


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
