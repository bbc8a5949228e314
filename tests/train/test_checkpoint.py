import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dorsal.data.split import ImageData
from dorsal.jobs.engine import Worker, WorkerDeath, thread_variables
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.text import Recipe, recipe
from dorsal.spec.network import Network
from dorsal.train import checkpoint
from dorsal.train.checkpoint import CorruptError, load, save, set_aside
from dorsal.train.loop import Fit, fit
from tests.processes import ROOT
from tests.train.tiny import make_data, make_network

PLAIN = recipe("plain(epochs=4, batch=16)")
TRICKS = recipe("tricks(epochs=4, batch=16, ema=0.8, drop_block=0.1, dropout=0.1, precise_bn=20)")
RUN = {"seed": 0}


class StopError(Exception):
    """Stands for whatever ends a process."""


def stop_at(epoch: int, step: int):
    def on_step(progress: Step) -> None:
        if (progress.epoch, progress.step) == (epoch, step):
            raise StopError

    return on_step


def losses(result: Fit) -> list[tuple[str, ...]]:
    return [tuple(value.hex() for value in (e.train_loss, e.val_loss, e.score, e.learning_rate)) for e in result.curve]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[key], right[key]) for key in left.keys() | right.keys())


@pytest.mark.parametrize("made", [PLAIN, TRICKS, recipe("plain(epochs=4, batch=16, optimizer=adamw, lr=0.001)")])
def test_interrupted_twice_and_resumed_is_unbroken(
    network: Network, data: ImageData, made: Recipe, tmp_path: Path
) -> None:
    unbroken = fit(network, made, data, seed=1)
    path = tmp_path / "run.pt"
    for place in ((1, 2), (2, 2), (4, 1)):
        with pytest.raises(StopError):
            fit(network, made, data, seed=1, checkpoint=path, on_step=stop_at(*place))
    seen: list[int] = []
    resumed = fit(network, made, data, seed=1, checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [4]
    assert losses(resumed) == losses(unbroken)
    assert same(resumed.model, unbroken.model)


def test_a_finished_run_is_only_read(network: Network, data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    first = fit(network, TRICKS, data, seed=1, checkpoint=path)
    again = fit(network, TRICKS, data, seed=1, checkpoint=path, on_step=stop_at(1, 1))
    assert again.curve == first.curve
    assert same(again.model, first.model)


def test_diverged_runs_diverge_again(network: Network, data: ImageData, tmp_path: Path) -> None:
    made = recipe("plain(epochs=30, batch=16, lr=1000000, warmup_epochs=0)")
    first = fit(network, made, data, seed=0, checkpoint=tmp_path / "run.pt")
    again = fit(network, made, data, seed=0, checkpoint=tmp_path / "run.pt")
    assert (again.status, again.error, losses(again)) == ("diverged", first.error, losses(first))


def fits_until_killed(path: Path, tell: Callable[[object], None]) -> None:
    """Tells the losses of each epoch, and its process in the middle of the third."""
    torch.set_num_threads(1)

    def on_step(progress: Step) -> None:
        if (progress.epoch, progress.step) == (3, 2):
            tell(os.getpid())
            time.sleep(600)

    def on_epoch(epoch: Epoch) -> None:
        tell((epoch.train_loss.hex(), epoch.val_loss.hex()))

    made = recipe("tricks(epochs=4, batch=16)")
    fit(make_network(), made, make_data(), seed=1, checkpoint=path, on_step=on_step, on_epoch=on_epoch)


def test_killed_and_resumed_in_another_process_is_unbroken(
    network: Network, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    monkeypatch.syspath_prepend(ROOT)
    worker: Worker[Path, object] = Worker(fits_until_killed, thread_variables(1))
    worker.begin(path)
    *told, pid = [worker.receive()[1] for _ in range(3)]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert worker.receive()[1] == WorkerDeath("worker died (signal 9, most likely for want of memory)")
    worker.stop()
    made = recipe("tricks(epochs=4, batch=16)")
    seen: list[int] = []
    resumed = fit(network, made, data, seed=1, checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [3, 4]
    unbroken = losses(fit(network, made, data, seed=1))
    assert losses(resumed) == unbroken
    assert told == [unbroken[0][:2], unbroken[1][:2]]


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("norm of the network is batch there and group here", {"network": make_network(norm="group")}),
        ("lr of the recipe is 0.003 there and 0.04 here", {"recipe": recipe("plain(epochs=4, batch=16, lr=0.04)")}),
        ("seed is 1 there and 2 here", {"seed": 2}),
        ("fingerprint of the data is", {"data": make_data(train=41)}),
        ("precision is float32 there and bf16 here", {"precision": "bf16"}),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(
    network: Network, data: ImageData, tmp_path: Path, says: str, change: dict[str, object]
) -> None:
    path = tmp_path / "run.pt"
    call = {"network": network, "recipe": PLAIN, "data": data, "seed": 1, "checkpoint": path}
    with pytest.raises(StopError):
        fit(**call, on_step=stop_at(2, 1))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"is of another run: .*{says}"):
        fit(**{**call, **change})
    assert path.read_bytes() == before


def cut(content: bytes) -> bytes:
    return content[:-100]


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip_a_bit, lambda _: b"", lambda _: b"not a checkpoint"])
def test_a_corrupt_checkpoint_is_kept_and_the_run_starts_over(
    network: Network, data: ImageData, tmp_path: Path, damage
) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(StopError):
        fit(network, PLAIN, data, seed=1, checkpoint=path, on_step=stop_at(2, 1))
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    result = fit(network, PLAIN, data, seed=1, checkpoint=path)
    assert losses(result) == losses(fit(network, PLAIN, data, seed=1))
    assert len(result.notes) == 1
    assert "cut short or altered; it is kept as run.pt.corrupt1, and the run started over" in result.notes[0]
    assert (tmp_path / "run.pt.corrupt1").read_bytes() == damaged


def test_set_aside_deletes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    for content in ("a", "b"):
        path.write_text(content)
        set_aside(path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"run.pt.corrupt1": "a", "run.pt.corrupt2": "b"}


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullFile:
    """A file on a disk that has no room left."""

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *_: object) -> None: ...

    write = full


@pytest.mark.parametrize(("target", "name", "fault"), [(os, "fsync", full), (Path, "open", lambda *_: FullFile())])
def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, name: str, fault: object
) -> None:
    path = tmp_path / "run.pt"
    save(path, RUN, {"weights": torch.ones(3)})
    with monkeypatch.context() as patch:
        patch.setattr(target, name, fault)
        with pytest.raises(OSError, match="checkpoint not written, the last one is kept: No space left") as error:
            save(path, RUN, {"weights": torch.zeros(3)})
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    assert torch.equal(load(path, RUN)["weights"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_full_disk_ends_fit_with_its_error(
    network: Network, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fit(network, PLAIN, data, seed=1, checkpoint=tmp_path / "run.pt")


def test_another_schema_is_refused_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "run.pt"
    save(path, RUN, {})
    was = checkpoint.SCHEMA
    monkeypatch.setattr(checkpoint, "SCHEMA", was + 1)
    with pytest.raises(ValueError, match=f"has schema {was}; this version of dorsal reads {was + 1}"):
        load(path, RUN)


def test_load_tells_absent_from_corrupt(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt", RUN)
    (tmp_path / "bad.pt").write_bytes(b"x" * 500)
    with pytest.raises(CorruptError):
        load(tmp_path / "bad.pt", RUN)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save(path, RUN, {"weights": Path("not a plain value")})
    with pytest.raises(Exception, match="Weights only load failed"):
        load(path, RUN)
