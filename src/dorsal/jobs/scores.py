"""`scores.json`: what models scored on images, beside the store that keeps each outcome. No torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dorsal.jobs.json_file import read_record
from dorsal.jobs.records import Machine, ModelScore
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import AnyTask, Classify

SCORES_FILE = "scores.json"
SCORES_SCHEMA = 2


class ScoreRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model and what it scored.

    - `name`: what it is called in tables. `model`: its folder. `network`: reads back as its network.
    - `task`: what it was trained for. `classes`: in the order of its outputs.
    - `preprocessing`: how the images were prepared. `images`: which they are.
    """

    name: str
    model: str
    network: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    images: str
    result: ModelScore
    task: AnyTask = Classify()


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Models scored on the same images. `data`, `split`: as they were asked for. `machine`, `versions`: where and with
    what it was done last."""

    data: str
    split: str | None
    models: tuple[ScoreRow, ...]
    machine: Machine
    versions: dict[str, str]
    created: str
    schema: int = SCORES_SCHEMA


def read_scores(folder: Path) -> Scores | None:
    """The scores in a folder, None where there are none. Raises ValueError as `read_record` does."""
    return read_record(folder / SCORES_FILE, Scores, SCORES_SCHEMA, "list of scores")
