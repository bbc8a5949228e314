"""One process at a time on a study."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it for this process; the operating system lets go of it however the process ends.

    It guards the folder, not a storage that several folders share. Raises ValueError when another process holds it,
    naming that, or when the folder cannot be written; RuntimeError in a worker that is only importing the main module.
    """
    if getattr(mp.current_process(), "_inheriting", False):  # as multiprocessing itself finds out
        raise RuntimeError(
            "workers import the main module, and this one would begin the study again: "
            'put what starts it under `if __name__ == "__main__":`'
        )
    holder = folder / "lock.pid"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text(encoding="utf-8").strip() if holder.is_file() else "unknown"
        raise ValueError(
            f"out={str(folder)!r}: another process (pid {pid}) is at work on this study; "
            "wait for it or name another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"out={str(folder)!r} cannot be written: {error.strerror or error}") from None
    try:
        holder.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
