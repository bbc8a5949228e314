"""Which results can be told from having learnt nothing. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Study
from dorsal.jobs.results import network_results, score_of
from dorsal.spec.metric import ACCURACY, Metric
from dorsal.spec.task import Classify, metric_of
from dorsal.stats import share_at_least

LEVEL = 0.05
LEAST = 1.0
"""In other tasks than classification something has been learnt from so many points on above the constant answer."""


class Learning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who learnt.

    - `constant`: a score in percent that shows nothing: in a classification that of always answering the largest class
      of the validation images, in other tasks LEAST above what saying the same everywhere scores.
    - `results`: how many there are. `unlearnt`: whose result is not shown to be above `constant`, once a result.
    - `metric`: what they are scores of.
    """

    constant: float
    results: int
    unlearnt: tuple[str, ...]
    metric: Metric = ACCURACY

    @property
    def nothing(self) -> bool:
        """Whether there are results, and none is shown to be above `constant`."""
        return 0 < self.results == len(self.unlearnt)

    @property
    def mostly_nothing(self) -> bool:
        """Whether most results are not shown to be above `constant`: their spread is not that of trained networks."""
        return 2 * len(self.unlearnt) > self.results


def learning(scores: Iterable[tuple[str, float]], data: DataSummary) -> Learning:
    """Judges scores in percent, each given with a name, by intervals over the validation images.

    The lower end of a score's one-sided interval (`stats.share_at_least`) must lie above `constant`, at LEVEL for all
    scores together (Bonferroni): where nothing was learnt, that is found 95 times in 100. A mean over seeds is judged
    as one run is, since all seeds see the same images.

    Scores of other tasks are no shares of images: they must lie LEAST above that of saying the same everywhere.
    """
    results = list(scores)
    if not isinstance(data.task, Classify):
        constant = data.constant + LEAST
        low = tuple(name for name, score in results if score < constant)
        return Learning(constant=constant, results=len(results), unlearnt=low, metric=metric_of(data.task))
    confidence = 1 - LEVEL / max(1, len(results))
    images = data.val_images
    unlearnt = [
        name
        for name, score in results
        if 100 * share_at_least(min(score / 100, 1) * images, images, confidence) <= data.constant
    ]
    return Learning(constant=data.constant, results=len(results), unlearnt=tuple(unlearnt))


def network_learning(study: Study, labels: Iterable[str]) -> Learning:
    """`learning` of these networks of a study with one recipe, of those that have a result."""
    errors = ((label, error) for label, (_, error) in network_results(study).items() if error is not None)
    chosen = set(labels)
    return learning(((label, score_of(error)) for label, error in errors if label in chosen), study.data)
