"""Where and with what a study ran."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from dorsal.jobs.records import Machine
from dorsal.jobs.remarks import EmulatedBfloat16
from dorsal.recipes.recipe import Precision

_PACKAGES = ("dorsal", "torch", "torchvision", "timm", "accelerate", "numpy", "optuna")
_RUNTIMES = ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino")
_INSTRUCTIONS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)


def machine(device: str, workers: int, threads: int) -> Machine:
    """This machine, as the workers of a study use it."""
    return Machine(
        processor=_processor(),
        cores=available_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        device=device,
        workers=workers,
        threads=threads,
        accelerator=_accelerator(device),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on, where they are installed as packages."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # Dorsal itself, run from its sources
            found[package] = version(package)
    return found


def runtime_versions() -> dict[str, str]:
    """Versions of what runs and makes deployed models, where it is installed."""
    found = {}
    for package in _RUNTIMES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def instructions() -> tuple[str, ...]:
    """Instruction sets of this processor that make networks fast, as far as the system tells: avx2, avx512_vnni, ..."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return ()
    lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return tuple(name for name in _INSTRUCTIONS if name in flags)


def available_cores() -> int:
    """Cores this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def precision_remarks(device: str, precision: Precision) -> list[EmulatedBfloat16]:
    """Whether `precision` is emulated on this device."""
    return [EmulatedBfloat16(device)] if precision == "bf16" and _emulates_bfloat16(device) else []


def _emulates_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        return not torch.cpu._is_avx512_bf16_supported()
    return False  # others were not measured


def _accelerator(device: str) -> str:
    if device != "cuda":
        return ""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():  # platform.processor() is empty on most Linux systems
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
