"""The card beside every saved model: which network, which classes, how images are prepared. No torch."""

from __future__ import annotations

import msgspec

from dorsal.annotations.labels import Labels
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import AnyTask, Classify

SCHEMA = 3
READ = (2, 3)
"""The schemas that are read. In 2 every model is a classifier."""
CHECKPOINT_FILE = "checkpoint.pt"
"""Beside a model, the state of the training that made it."""
MODEL_FILE = "model.json"
"""The card in the folder of a model."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known about a model's weights.

    - `network`, with its `text` and `network_hash`.
    - `task`: what it was trained for, with nothing left open. A classifier of no classes is a trunk.
    - `classes`: the names of class folders in the order of the logits (ImageNet: WordNet ids); `class_names`: readable
      names where these differ. Both are empty if there is no classifier.
    - `labels`: of other tasks, what the numbers in annotations stand for; `category_ids`: what the format of the
      training data calls them, to write results with.
    - `preprocessing`: how images are prepared. `metrics`: scores in percent.
    - `license`: an SPDX identifier, or words.
    - `source`: where the weights were published, or "trained here"; `source_sha256`: of the file there.
    - `trained_on`: the data that they were trained on, "" where nobody says; `recipe`: how. `origin`: the command that
      made this folder.
    - `sha256`: of model.safetensors.
    """

    network: Network
    text: str
    network_hash: str
    task: AnyTask = Classify()
    labels: Labels | None = None
    category_ids: tuple[int, ...] = ()
    classes: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing
    metrics: dict[str, float]
    license: str
    source: str
    source_sha256: str = ""
    trained_on: str = ""
    recipe: str = ""
    origin: str
    sha256: str = ""
    schema: int = SCHEMA

    @property
    def known(self) -> Labels:
        """What the numbers that the model says stand for."""
        return self.labels or Labels(classes=self.classes)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of all labels, classes before stuff."""
        return (*self.known.classes, *self.known.stuff)
