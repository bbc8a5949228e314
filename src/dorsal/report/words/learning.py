"""Whether anything was learnt, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dorsal.findings.learning import Learning
from dorsal.report.words.numerals import plural

_NAMED = 5


def learning_sentences(found: Learning) -> Iterator[str]:
    """Who cannot be told from always answering one class; nothing where all learnt."""
    constant = f"always answering one class, which scores {found.constant:.1f} %"
    if found.nothing:
        yield (
            f"Nothing was learnt: of {plural(found.results, 'result')} none can be told from {constant}. They say "
            "nothing of the networks, so nothing is compared and nothing planned. Train longer, or look at the recipe "
            "and the data."
        )
    elif found.unlearnt:
        counts = Counter(found.unlearnt)
        named = [f"{name} ({times} times)" if times > 1 else name for name, times in counts.most_common(_NAMED)]
        more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        yield (
            f"{len(found.unlearnt):,} of {plural(found.results, 'result')} cannot be told from {constant}: "
            f"{', '.join(named)}{more}."
        )
