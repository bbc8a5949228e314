"""Where runs are made, and with what: worker processes on this machine, or a Ray cluster. As data."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dorsal.language.options import check_options, option
from dorsal.recipes.recipe import Precision

DEVICES = ("auto", "cpu", "cuda", "mps")

LOCAL_CLUSTER = "local"
"""In place of a cluster's address: a cluster of this machine alone, started for these runs and ended after them."""

Device = Annotated[str, option("auto, cpu, cuda or mps. auto is cuda if it is there, else mps, else cpu.", free=True)]
Workers = Annotated[
    int | None,
    option(
        "Most jobs (runs, models) at once (default: cores / threads on the CPU, 1 on another device, on Ray what there "
        "is room for).",
        least=1,
        free=True,
    ),
]
RayAddress = Annotated[
    str | None, option("Work on a Ray cluster: HOST:PORT of its head, or local.", metavar="ADDRESS", free=True)
]
Gpus = Annotated[float, option("With --ray: GPUs of each process.", least=0, free=True)]


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """With what a run is made. Abstract: a question extends it, so that Python, TOML and the command line stay flat.

    Raises ValueError naming the field whose value cannot be.
    """

    device: Device = "auto"
    precision: Annotated[
        Precision, option("float32, or bf16: autocast to bfloat16, which not every processor has units for.")
    ] = "float32"
    micro_batch: Annotated[
        int | None,
        option(
            "Most images that a process holds at a time; the gradients of a larger batch are added up over several "
            "passes (default: the whole batch).",
            least=1,
        ),
    ] = None
    loader_processes: Annotated[
        int, option("Processes that prepare the images of a run; with 0 it prepares them itself.", least=0, free=True)
    ] = 0

    def __post_init__(self) -> None:
        check_options(self)
        check_device_name(self.device)


class ResourceOptions(RunOptions, frozen=True, kw_only=True):
    """Where many runs are made, and with what. Abstract, as `RunOptions` is; `resources` is the value to hand on.

    Raises ValueError naming the field whose value cannot be.
    """

    workers: Workers = None
    threads: Annotated[int, option("CPU threads of each run.", least=1, free=True)] = 1
    ray: RayAddress = None
    gpus: Gpus = 0
    processes: Annotated[int, option("With --ray: processes of each run.", least=1)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ray is None and (self.gpus or self.processes > 1):
            field = "gpus" if self.gpus else "processes"
            raise ValueError(f"{field}={getattr(self, field):g} is for runs on a Ray cluster; give ray as well")
        if self.ray not in (None, LOCAL_CLUSTER):
            host_and_port(self.ray)

    @property
    def resources(self) -> Resources:
        """Where the runs of the question are made, and with what."""
        return msgspec.convert(self, Resources, from_attributes=True)


class Resources(ResourceOptions, frozen=True, kw_only=True):
    """Where runs are made, and with what.

    Without `ray`: `workers` processes of `threads` threads each on this machine. With it, each run has `processes`
    processes of `threads` CPUs and `gpus` GPUs each, and at most `workers` runs are made at once.
    """


def check_device_name(device: str) -> None:
    """Raises ValueError for a text that names no kind of device."""
    kind, colon, number = device.partition(":")
    if kind == "cuda" and colon:
        raise ValueError(
            f"device={device!r} names one of several GPUs; give cuda, with CUDA_VISIBLE_DEVICES={number} in the "
            "environment"
        )
    if device not in DEVICES:
        raise ValueError(f"device={device!r} is not there; valid: {', '.join(DEVICES)}")


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT. ValueError where it is not that."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ValueError(f"Ray address {address!r} is not HOST:PORT of the cluster's head, e.g. 127.0.0.1:6379")
    return host, int(port)
