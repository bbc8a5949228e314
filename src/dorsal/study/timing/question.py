"""The question of a timing as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dorsal.jobs.resources import Device
from dorsal.language.options import check_options, described, option
from dorsal.latency.records import Setting, TimedCall, TimedPrecision, TimedRuntime
from dorsal.space.named import space_text
from dorsal.study.question import CostBounds, Edit, Out, SampleSeed, own_folder


@described
class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks to time on this machine, and how.

    Of a space, networks are sampled; of the folder of a population, each space's first ones are taken as they are.

    Raises ValueError naming the field, the value and what would be valid.
    """

    spaces: Annotated[
        tuple[str, ...],
        option(
            "Names of spaces, TOML or JSON files of one, or folders of populations.",
            metavar="SPACE",
            argument=True,
            path=True,
            text=space_text,
        ),
    ]
    count: Annotated[int, option("Networks of each space.", least=1)] = 60
    bounds: CostBounds = msgspec.field(default_factory=dict)
    seed: SampleSeed = 0
    edit: Edit = ""
    image_size: Annotated[int | None, option("Side of the images in pixels (default: the space's).", least=1)] = None
    calls: Annotated[
        tuple[TimedCall, ...], option("forward, step (a training step, which exists in eager alone), or both.")
    ] = ("forward", "step")
    batches: Annotated[tuple[int, ...], option("Images a call; may be several.", name="batch", least=1)] = (1, 16)
    threads: Annotated[int, option("Threads of a call.", least=1)] = 1
    device: Device = "auto"
    runtimes: Annotated[
        tuple[TimedRuntime, ...],
        option("What forward passes are timed in: eager (PyTorch), and deployed onnxruntime and openvino."),
    ] = ("eager",)
    precision: Annotated[
        TimedPrecision, option("float32; bf16, in eager autocast to bfloat16; int8, of deployed runtimes alone.")
    ] = "float32"
    repeats: Annotated[int, option("Rounds over all networks.", least=1, free=True)] = 5
    out: Out = ""

    def __post_init__(self) -> None:
        check_options(self)
        for field, given in (("calls", self.calls), ("batch", self.batches), ("runtimes", self.runtimes)):
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{field}={','.join(map(str, given))}: name at least one, and each once")
        if self.deployed and "forward" not in self.calls:
            raise ValueError(
                f"calls=step: a training step exists in eager alone, and runtimes={','.join(self.runtimes)}; nearest "
                f"valid: calls={'forward,step' if 'eager' in self.runtimes else 'forward'}, or runtimes=eager"
            )
        if self.deployed and self.device not in ("auto", "cpu"):
            raise ValueError(f"device={self.device}: {', '.join(self.deployed)} is timed on cpu; nearest valid: cpu")
        if self.precision == "int8" and "eager" in self.runtimes:
            valid = ",".join(self.deployed or ("onnxruntime", "openvino"))
            raise ValueError(f"precision=int8: PyTorch eager has no int8 convolutions; nearest valid: runtimes={valid}")

    @property
    def folder(self) -> Path:
        """Where the times and the model are: `out`, or a folder of its own."""
        names = (Path(text).stem for text in self.spaces)
        return Path(self.out) if self.out else own_folder("latency", names, self)

    @property
    def deployed(self) -> tuple[TimedRuntime, ...]:
        """The runtimes that take an exported network."""
        return tuple(runtime for runtime in self.runtimes if runtime != "eager")

    def setting(self, device: str) -> Setting:
        """What of it a measured time depends on, but for the network; `device` is the one that is used."""
        return Setting(
            calls=self.calls if "eager" in self.runtimes else ("forward",),
            batches=self.batches,
            threads=self.threads,
            device=device,
            precision=self.precision,
            runtimes=self.runtimes,
        )
