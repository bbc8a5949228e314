"""Whether anything was learnt, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dorsal.findings.learning import Learning
from dorsal.report.words.numerals import plural
from dorsal.spec.metric import ACCURACY, Metric

_NAMED = 5


def error_words(metric: Metric) -> str:
    """What an error is: of other scores than accuracy, for which the word is common, with how it comes about."""
    return "error" if metric == ACCURACY else f"error (100 − {metric.short})"


def learning_sentences(found: Learning) -> Iterator[str]:
    """Which results are not shown to be more than what takes no learning; nothing if all are."""
    if found.metric == ACCURACY:
        constant = f"always answering one class, which scores {found.constant:.1f} %"
        nothing, not_all = f"is shown to beat {constant}", f"are not shown to beat {constant}"
    else:
        low = f"{found.constant:.3g} point{'s' * (found.constant != 1)} of {found.metric.short}"
        nothing, not_all = f"reaches {low}", f"are below {low}, as if nothing was learnt"
    if found.nothing:
        yield (
            f"Nothing was learnt: of {plural(found.results, 'result')} none {nothing}. They say nothing of the "
            "networks, so nothing is compared and nothing planned. Train longer, or look at the recipe and the data."
        )
    elif found.unlearnt:
        counts = Counter(found.unlearnt)
        named = [f"{name} ({times} times)" if times > 1 else name for name, times in counts.most_common(_NAMED)]
        more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        yield f"{len(found.unlearnt):,} of {plural(found.results, 'result')} {not_all}: {', '.join(named)}{more}."
