"""One process at a time on a study."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dorsal.language.files import check_folder

_HOLDER = "lock.pid"
_OF_A_START = {"lock", _HOLDER, "study.db", "timings.json"}
"""Files that a study has before anything is decided."""


UNGUARDED = 113
"""Exit code of a worker whose main module begins a study as it is imported."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it for this process; the operating system lets go of it however the process ends.

    It guards the folder, not a storage that several folders share. A refusal (ValueError) inside the block deletes the
    folder if this call made it and it holds no more than timings.

    Raises ValueError when another process holds it, naming that, or when the folder cannot be written. A worker that is
    only importing the main module, which would begin the study again, ends here.
    """
    if getattr(mp.current_process(), "_inheriting", False):  # as multiprocessing itself finds out
        os._exit(UNGUARDED)  # without a word: the process that started this one says why
    check_folder("out", folder)
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        pid = (folder / _HOLDER).read_text(encoding="utf-8").strip() if (folder / _HOLDER).is_file() else "unknown"
        raise ValueError(
            f"out={str(folder)!r}: another process (pid {pid}) is at work on this study; "
            "wait for it or name another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"out={str(folder)!r} cannot be written: {error.strerror or error}") from None
    try:
        (folder / _HOLDER).write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    except (ValueError, SystemExit):
        if folder in missing and {path.name for path in folder.iterdir()} <= _OF_A_START:
            with contextlib.suppress(OSError):  # the refusal is what matters
                shutil.rmtree(folder)
            for parent in missing[1:]:
                with contextlib.suppress(OSError):  # another process may have begun a study there
                    parent.rmdir()
        raise
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()
