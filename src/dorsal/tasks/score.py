"""What evaluation gives: a score, and what was said of each image, which is enough to compute it anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import msgspec
from numpy.typing import NDArray


class NotFiniteError(ValueError):
    """A model says what is no number, so that it means nothing."""


def check_output(said: Any, shape: tuple[int, ...]) -> None:
    """Raises ValueError where a model does not say a tensor of this shape, as its task on these data has it."""
    found = tuple(getattr(said, "shape", ()))
    if found != shape:
        what = f"a tensor {list(found)}" if found else f"a {type(said).__name__}"
        raise ValueError(f"the model gives {what} where the task and the classes of the data need {list(shape)}")


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model does on a split.

    - `score`: the task's metric in percent. `scores`: others, by name, in percent too.
    - `loss`: mean over images without label smoothing or weights; None for a task that would need a second pass.
    - `images`: how many there were. `per_class`: the metric of each class; None for a class without images.
    """

    score: float
    scores: dict[str, float]
    loss: float | None
    images: int
    per_class: tuple[float | None, ...]


Evidence = Mapping[str, NDArray[Any]]
"""What a model said of each image, arrays [n, …] by name, in the order of the split: enough to compute the score."""


class Scorer(Protocol):
    """Collects what a model says of the images of a split, in any order and in any number of processes."""

    def add(self, indices: Sequence[int], found: Any, seen: Any) -> None:
        """Takes what `Method.predict` returned for the images with these places in the split, and what
        `Method.validation` gave with them."""

    def merged(self, parts: Sequence[Self]) -> Self:
        """A scorer that has taken all that these have; no image may be in two of them."""

    def score(self) -> Score:
        """The score of everything taken so far."""

    def evidence(self) -> Evidence:
        """What was said of each image, in the order of the split."""
