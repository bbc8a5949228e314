"""Deployed forms as jobs: what it takes to make one, and what is known of it then. No torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dorsal.data.spec import DataSpec
from dorsal.deploy.executed import Executed
from dorsal.deploy.forms import Form
from dorsal.deploy.proof import OutputAgreement
from dorsal.deploy.quantize import Quantization
from dorsal.deploy.runtime import Aim
from dorsal.jobs.plan import ScoredSplit

BUSY = 0.1
"""A round of timing in which other work takes a larger share of the processor is made again."""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The images of the data that ranges come from, in this order, and those that show which ranges are good: the
    places of both in a split."""

    data: DataSpec
    split: ScoredSplit | None
    places: tuple[int, ...]
    held: tuple[int, ...]


class Make(msgspec.Struct, frozen=True, kw_only=True):
    """A form to be made in `folder`, of the saved model in folder `model`, for the `inputs` in a file by
    `rivals.write_inputs`.

    `graph` is the folder of the same graph in float32, of which a form in another precision is made; None where the
    runtime shares none. `quantization` is how it comes to be in int8, None for other precisions.
    """

    form: Form
    folder: Path
    model: Path
    inputs: Path
    aim: Aim
    threads: int
    calibration: Calibration
    graph: Path | None = None
    quantization: Quantization | None = None


class Full(msgspec.Struct, frozen=True):
    """There was no room to write a form."""

    path: str


class Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a form once it is made.

    - `agreement`: of the outputs with those of the model; of a form in float32 it decides.
    - `error`: how far it is from the model on held-out images, to tell recipes apart: that of `agreement`, and of a
      detector `proof.unlike`.
    - `size`: MiB of its files. `executed`: in which precision it computes, None where the runtime does not tell.
    """

    agreement: OutputAgreement
    error: float
    size: float
    executed: Executed | None
