"""Every network against every implementation of it: the cases, and the command that records what they give.

    python -m tests.nn.matrix

runs the cases that docs/parity.json has no result for and writes each result there; deleting the file starts anew. It
takes a good hour of one core and 10 GB.
"""

from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from dorsal.spec.adapt import with_output_stride
from dorsal.spec.cost import cost
from dorsal.spec.stem import Dla
from dorsal.zoo import NETWORKS, named
from tests.nn.oracles import Difference, Oracle, compare, oracles

RECORD = Path(__file__).parents[2] / "docs" / "parity.json"
PREFERRED = ("resnest", "pycls", "torchvision", "timm")
"""Whose implementation is compared at the published image size too, the authors' own first."""
DILATED = {
    "torchvision": ("resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    "timm": (
        *("resnet18", "resnet50", "resnet50d", "resnext50_32x4d", "seresnet50", "skresnet50", "res2net50_26w_4s"),
        *("res2net50d", "res2next50", "regnetx_008", "regnety_008", "regnetz_005"),
    ),
    "resnest": ("resnest50", "resnest101", "resnest50_fast_1s4x24d", "resnest50_fast_4s2x40d"),
}
"""Networks compared at output strides 8 and 16 too. timm's ResNeSt is not among them: dilated, it leaves out average
pools that its authors keep."""
PUBLISHED_SIZE_MACS = 40e9
"""The cost up to which networks are compared at 224 and 225 too."""
WITHOUT_PARAMETERS = 200e6
IN_FLOAT32 = 1e9
"""Numbers of parameters from which their gradients are left out, and from which float64 would not fit into memory."""


class Case(msgspec.Struct, frozen=True):
    """One comparison of one of our networks; `sizes` are heights and widths of images."""

    network: str
    package: str
    sizes: tuple[tuple[int, int], ...]
    output_stride: int = 32

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if cost(named(self.network)).params > IN_FLOAT32 else torch.float64

    @property
    def tolerance(self) -> float:
        return 1e-9 if self.dtype == torch.float64 else 1e-3

    def oracle(self) -> Oracle:
        (found,) = (oracle for oracle in oracles(self.network) if oracle.package == self.package)
        return found

    def run(self) -> Difference:
        net = named(self.network)
        if self.output_stride < 32:
            net = with_output_stride(net, self.output_stride)
        parameters = cost(net).params < WITHOUT_PARAMETERS
        return compare(
            net, self.oracle(), self.sizes, output_stride=self.output_stride, parameters=parameters, dtype=self.dtype
        )


class Result(msgspec.Struct, frozen=True):
    """A case that was run, the oracle's own name, the type of numbers, and what came out."""

    case: Case
    name: str
    dtype: str
    difference: Difference


class Record(msgspec.Struct, frozen=True):
    """All results, and what they were made with."""

    command: str
    versions: dict[str, str]
    results: tuple[Result, ...]


def cases() -> list[Case]:
    """Small images for all, the published size for the affordable ones, and small output strides; cheapest first."""
    found = []
    for name, net in sorted(NETWORKS.items(), key=lambda item: cost(item[1]).macs):
        packages = [oracle.package for oracle in oracles(name)]
        small, published = ((64, 64), (65, 65)), ((224, 224), (225, 225))
        if isinstance(net.stem, Dla):  # timm's DLA pools round down and fail where sizes are odd
            small, published = ((64, 64), (64, 96)), ((224, 224), (192, 256))
        if net.head.classes == 10:
            small = ((32, 32), (33, 33))
        found += [Case(name, package, small) for package in packages]
        if packages and net.head.classes == 1000 and cost(net).macs < PUBLISHED_SIZE_MACS:
            found.append(Case(name, next((p for p in PREFERRED if p in packages), packages[0]), published))
        dilated = [package for package, names in DILATED.items() if name in names]
        found += [Case(name, package, small, stride) for package in dilated for stride in (8, 16)]
    return found


def main() -> None:
    """Runs what has no result yet."""
    torch.set_num_threads(1)
    packages = ("torch", "torchvision", "timm", "pycls", "resnest")
    versions = {package: version(package) for package in packages}
    results = list(msgspec.json.decode(RECORD.read_bytes(), type=Record).results) if RECORD.exists() else []
    done = {result.case for result in results}
    for case in sorted((case for case in cases() if case not in done), key=lambda case: case.sizes):
        found = case.run()
        results.append(Result(case, case.oracle().name, str(case.dtype).removeprefix("torch."), found))
        print(f"{found.largest:.1e}  {case}", flush=True)
        write(Record("python -m tests.nn.matrix", versions, tuple(results)))


def write(record: Record) -> None:
    """Writes one result a line."""
    lines = [msgspec.json.encode(result).decode() for result in record.results]
    head = msgspec.json.encode({"command": record.command, "versions": record.versions}).decode()
    temporary = RECORD.with_suffix(".part")
    temporary.write_text(f'{head[:-1]},\n"results":[\n' + ",\n".join(lines) + "\n]}\n")
    temporary.replace(RECORD)


if __name__ == "__main__":
    main()
