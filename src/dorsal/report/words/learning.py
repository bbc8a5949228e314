"""Whether anything was learnt, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dorsal.findings.learning import Learning
from dorsal.report.words.numerals import plural

_NAMED = 5


def learning_sentences(found: Learning) -> Iterator[str]:
    """Which results are not shown to beat always answering one class; nothing if all are."""
    constant = f"always answering one class, which scores {found.constant:.1f} %"
    if found.nothing:
        yield (
            f"Nothing was learnt: of {plural(found.results, 'result')} none is shown to beat {constant}. They say "
            "nothing of the networks, so nothing is compared and nothing planned. Train longer, or look at the recipe "
            "and the data."
        )
    elif found.unlearnt:
        counts = Counter(found.unlearnt)
        named = [f"{name} ({times} times)" if times > 1 else name for name, times in counts.most_common(_NAMED)]
        more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        yield (
            f"{len(found.unlearnt):,} of {plural(found.results, 'result')} are not shown to beat {constant}: "
            f"{', '.join(named)}{more}."
        )
