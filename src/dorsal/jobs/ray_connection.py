"""This process as a driver of a Ray cluster: the import, the connection, and what can go wrong with them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

from dorsal.jobs.resources import host_and_port

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing to anyone
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints a page on standard output for every death, which we report
}
_SECONDS_TO_REACH = 5.0
_SECONDS_TO_JOIN = 30.0


def load_ray() -> ModuleType:
    """Ray, imported so that it keeps quiet."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # read when it is imported, and by the processes it starts
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError("runs on a Ray cluster need an extra: pip install 'dorsal[ray]'") from None
    return ray  # type: ignore[no-any-return]


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[None]:
    """In here this process is a driver of the cluster. Its handler of SIGTERM, which Ray replaces, is put back."""
    ray = load_ray()
    if ray.is_initialized():
        raise ValueError("this process is connected to a Ray cluster already; call ray.shutdown() first")
    if address is not None:
        _check_reachable(address)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        try:
            # An address of None would mean whichever cluster Ray finds.
            ray.init(
                address=address or "local", log_to_driver=False, logging_level="ERROR",
                include_dashboard=None if address else False,
            )  # fmt: skip
        except (RuntimeError, ConnectionError, ValueError, ray.exceptions.RayError) as error:
            raise ValueError(f"Ray cluster {address or 'here'}: {' '.join(str(error).split())}") from error
        yield
    finally:
        ray.shutdown()
        if main and before is not None:
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """Raises ValueError if nobody answers there, or no Ray that takes drivers from here.

    Ray itself goes on trying for many minutes and cannot be interrupted, so another process tries first.
    """
    try:
        socket.create_connection(host_and_port(address), timeout=_SECONDS_TO_REACH).close()
    except OSError as error:
        raise ValueError(f"Ray cluster {address} cannot be reached: {error}") from None
    script = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        subprocess.run(
            [sys.executable, "-c", script, address], capture_output=True, check=False, timeout=_SECONDS_TO_JOIN
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"Ray cluster {address} took no driver within {_SECONDS_TO_JOIN:g} s; is this the port that `ray start "
            "--head` printed, and this machine a node of the cluster?"
        ) from None
