"""Which results can be told from always answering one class. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Study
from dorsal.jobs.results import network_results, score_of
from dorsal.stats import share_at_least

LEVEL = 0.05


class Learning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who learnt.

    - `constant`: the score in percent of always answering the largest class of the validation images.
    - `results`: how many there are. `unlearnt`: whose result is not shown to be above `constant`, once a result.
    """

    constant: float
    results: int
    unlearnt: tuple[str, ...]

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
    """
    results = list(scores)
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
