"""What a study is and what came of it: plain frozen data, written as JSON, read by the report. No torch."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dorsal.spec.cost import Cost
from dorsal.spec.layers import Feature
from dorsal.spec.network import Network

STUDY_SCHEMA = 1
Status = Literal["finished", "diverged", "failed"]


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured time of one call in milliseconds: median and quartiles over `repeats`, with what was measured."""

    median_ms: float
    low_ms: float
    high_ms: float
    batch: int
    threads: int
    repeats: int
    device: str


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network of a comparison: `label` is its short name in tables, `text` reads back as the network.

    `network` is None for a network of timm, which `text` names; `features` is its pyramid then, and empty for Dorsal's
    own, whose pyramid follows from `network`.
    `changes` says what `--match` changed; `differences` its choices other than those of the first arm (choice →
    [first arm's value, this arm's]).
    """

    label: str
    text: str
    network: Network | None
    network_hash: str
    cost: Cost
    changes: str = ""
    differences: dict[str, tuple[str, str]] = {}
    forward: Latency | None = None
    train_step: Latency | None = None
    features: tuple[Feature, ...] = ()


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of a learning curve, epochs from 1. Losses are means over images, accuracy is top-1 in percent."""

    epoch: int
    train_loss: float
    val_loss: float
    accuracy: float
    learning_rate: float
    seconds: float


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run. `accuracy` is the last epoch's, in percent; None unless finished."""

    arm: str
    recipe: str
    seed: int
    status: Status
    accuracy: float | None
    curve: tuple[Epoch, ...]
    seconds: float
    error: str = ""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where it ran. `accelerator` is the name of the GPU, "" on the CPU, and where there is no name."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    device: str
    workers: int
    threads: int
    accelerator: str = ""


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole comparison: everything that the tables and the page show, and what is needed to run it again."""

    name: str
    command: str
    created: str
    arms: tuple[Arm, ...]
    recipes: dict[str, dict[str, Any]]
    seeds: tuple[int, ...]
    epochs: dict[str, int]
    image_size: int
    data: str
    data_fingerprint: str
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    machine: Machine
    versions: dict[str, str]
    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    schema: int = STUDY_SCHEMA
