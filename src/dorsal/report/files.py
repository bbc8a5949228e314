"""What reports are written as: JSON, tables as CSV, pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dorsal.jobs.records import Study
from dorsal.jobs.results import error_of


def check_html(path: Path) -> None:
    """Raises ValueError when a page is to be written to a file of another ending."""
    if path.suffix != ".html":
        raise ValueError(f"plot={str(path)!r} must end in .html; nearest valid: {str(path.with_suffix('.html'))!r}")


def json_of(value: Any) -> bytes:
    """JSON of builtins and structs, for people to read too; a number that is not finite is null."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def csv_of(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def networks_csv(study: Study, networks: Sequence[Mapping[str, Any]]) -> bytes:
    """A line for each of `networks`, which have a `label` and what else there is to say of them.

    Added are the error in percent with each seed, the network as text, and the `reason` of runs that did not finish.
    Columns that a network does not have are empty.
    """
    arms = {arm.label: arm for arm in study.arms}
    trials = {(arm, seed): trial for (arm, _, seed), trial in study.ended().items()}
    rows = []
    for network in networks:
        runs = {seed: trials.get((network["label"], seed)) for seed in study.seeds}
        errors = {
            f"error_seed_{seed}": error_of(run.score) if run and run.score is not None else None
            for seed, run in runs.items()
        }
        reason = "; ".join(run.error for run in runs.values() if run and run.error)
        rows.append({**network, **errors, "text": arms[network["label"]].text, "reason": reason})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_of(names, ([row.get(name) for name in names] for row in rows))
