"""A table of scores in words: what was read, what it shows, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.findings.table.analyse import TableFindings
from dorsal.report.words.answers import answer_caveats, answer_sentences, data_set_caveats
from dorsal.report.words.numerals import plural


def what_was_read(found: TableFindings) -> str:
    """The columns that were taken, and how much is in them."""
    columns = ", ".join(f"{role} from {name!r}" for role, name in found.columns.items())
    sizes = [(len(found.arms), "arm"), (len(found.data_sets) or 1, "data set"), (len(found.seeds), "seed")]
    direction = "Lower is better." if found.lower_is_better else "Higher is better."
    counts = ", ".join(plural(*size) for size in sizes)
    return f"{plural(found.rows, 'row')}: {counts}. Columns: {columns}. {direction} Margin: {margin(found)}."


def margin(found: TableFindings) -> str:
    """The margin with its unit."""
    return f"{found.margin:g}{unit(found).removesuffix('s' * (found.margin == 1))}"


def unit(found: TableFindings) -> str:
    """What stands behind a difference."""
    return " points" if found.in_points else ""


def repeat(found: TableFindings) -> str:
    """What the overall answer repeats."""
    return "data set" if found.data_sets else "seed"


def conclusions(found: TableFindings) -> tuple[str, ...]:
    """What the table shows: the top, then the first arm against every other."""
    return answer_sentences(found.overall, found.records, margin=found.margin, unit=unit(found), repeat=repeat(found))


def caveats(found: TableFindings) -> Iterator[str]:
    """What the table does not show."""
    answer = found.overall
    if found.data_sets:
        yield from data_set_caveats(answer.repeats)
    elif answer.images is None and answer.repeats == 1:
        yield "One seed gives no interval: add seeds, or give predictions on each image."
    elif answer.images is None:
        yield f"Intervals cover the noise of {plural(answer.repeats, 'seed')}: not the choice of test images."
    elif answer.repeats == 1:
        yield (
            f"Intervals cover the choice of the {answer.images:,} test images: they are of these trained models, and "
            "not of others trained with another seed."
        )
    else:
        yield f"Intervals cover {plural(answer.repeats, 'seed')} and {answer.images:,} test images."
    yield from answer_caveats(answer, repeat(found))
    yield "A table does not say whether the arms were tuned alike."
