"""Where runs are made: worker processes on this machine, or a Ray cluster. As data."""

from __future__ import annotations

import msgspec

DEVICES = ("cpu", "cuda", "mps")

LOCAL_CLUSTER = "local"
"""In place of a cluster's address: a cluster of this machine alone, started for these runs and ended after them."""


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Where runs are made, and on what.

    Without `ray`: `workers` processes of `threads` threads each on this machine; None is as many as the cores have room
    for, 1 on an accelerator. With `ray`, HOST:PORT of a cluster's head or "local": each run has `processes` processes
    of `threads` CPUs and `gpus` GPUs each, and at most `workers` are made at once.

    Raises ValueError naming the field whose value cannot be.
    """

    workers: int | None
    threads: int
    device: str
    ray: str | None = None
    gpus: float = 0
    processes: int = 1

    def __post_init__(self) -> None:
        for field in ("workers", "threads", "processes"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"{field}={value} is below 1; nearest valid: 1")
        if self.device not in DEVICES:
            raise ValueError(f"device={self.device!r} is not there; valid: {', '.join(DEVICES)}")
        if self.gpus < 0:
            raise ValueError(f"gpus={self.gpus:g} is below 0; nearest valid: 0")
        if self.ray is None and (self.gpus or self.processes > 1):
            field = "gpus" if self.gpus else "processes"
            raise ValueError(f"{field}={getattr(self, field):g} is for runs on a Ray cluster; give ray as well")
        if self.ray not in (None, LOCAL_CLUSTER):
            host_and_port(self.ray)


def resources_of(asked: msgspec.Struct) -> Resources:
    """Where the runs of a question that has the fields of `Resources` are made. Raises ValueError as that does."""
    return Resources(**{field: getattr(asked, field) for field in Resources.__struct_fields__})


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT. ValueError where it is not that."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ValueError(f"Ray address {address!r} is not HOST:PORT of the cluster's head, e.g. 127.0.0.1:6379")
    return host, int(port)
