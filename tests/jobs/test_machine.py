"""What is said of a machine before anything runs on it."""

import platform

import pytest
import torch

from dorsal.jobs.machine import precision_remarks
from dorsal.jobs.remarks import EmulatedBfloat16


@pytest.mark.parametrize(
    ("processor", "instructions", "precision", "says"),
    [
        ("x86_64", False, "bf16", True),
        ("AMD64", False, "bf16", True),
        ("x86_64", True, "bf16", False),
        ("x86_64", False, "float32", False),
        ("aarch64", False, "bf16", False),  # not measured
    ],
)
def test_emulated_bfloat16_is_said(monkeypatch, processor, instructions, precision, says):
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    assert precision_remarks("cpu", precision) == [EmulatedBfloat16("cpu")] * says


@pytest.mark.parametrize("instructions", [True, False])
def test_a_graphics_processor_is_asked_without_emulation(monkeypatch, instructions):
    def supported(including_emulation=True):
        return including_emulation or instructions

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert bool(precision_remarks("cuda", "bf16")) != instructions
    assert precision_remarks("mps", "bf16") == []
