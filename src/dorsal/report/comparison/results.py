"""A comparison as files: results.json, which reads back, and tables of its runs and learning curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.json_file import write_whole
from dorsal.jobs.records import STUDY_SCHEMA, Study
from dorsal.jobs.study_file import DATA_SETS_FILE
from dorsal.language.files import no_file
from dorsal.recipes.epoch import Epoch
from dorsal.report.files import csv_of, json_of
from dorsal.report.words.comparison import ASSUMPTIONS, caveats, conclusions, method, no_shares, notes

RUN = ("arm", "recipe", "seed")


class _Version(msgspec.Struct):
    schema: int
    kind: str = ""


class _Header(msgspec.Struct):
    study: _Version


class _Results(msgspec.Struct, forbid_unknown_fields=True):
    """`analysis` follows from the study and is written for other programs; reading leaves it alone."""

    study: Study
    analysis: msgspec.Raw


def write_results(study: Study, found: ComparisonFindings, folder: Path) -> None:
    """Writes results.json, trials.csv and curves.csv into `folder`, each whole or not at all.

    In results.json a number that is not finite is the string "nan", "inf" or "-inf", which JSON has no number for.
    """
    whole = _writable(msgspec.to_builtins({"study": study, "analysis": with_words(study, found)}))
    write_whole(folder / "results.json", json_of(whole))
    write_whole(folder / "trials.csv", _trials(study))
    write_whole(folder / "curves.csv", _curves(study))


def with_words(study: Study, found: ComparisonFindings) -> dict[str, Any]:
    """The findings as builtins, with the sentences that go with them."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    for written, comparison in zip(whole["comparisons"].values(), found.comparisons.values(), strict=True):
        written |= {"method": method(found), "assumptions": ASSUMPTIONS, "notes": list(notes(comparison))}
    return {
        **whole,
        "shares_reason": no_shares(found),
        "sentences": conclusions(study, found),
        "caveats": caveats(study, found),
    }


def read_results(path: Path) -> Study:
    """The study of a results.json.

    Raises ValueError when the file does not exist, is not a comparison's results, or has another schema.
    """
    if not path.is_file():
        raise ValueError(f"results file {str(path)!r} {no_file(path)}; give the results.json of a study")
    if (path.parent / DATA_SETS_FILE).is_file():
        raise ValueError(f"{str(path)!r} is that of a comparison on several data sets; give its folder")
    text = path.read_bytes()
    try:
        header = msgspec.json.decode(text, type=_Header).study
        if header.schema != STUDY_SCHEMA:
            raise ValueError(
                f"{str(path)!r} has schema {header.schema} and this version of dorsal reads {STUDY_SCHEMA}; "
                "use the version that wrote it"
            )
        if header.kind != "comparison":
            raise ValueError(f"{str(path)!r} is that of a {header.kind}, not of a comparison; give its folder")
        # Not strict, so that the strings of numbers that are not finite become numbers again.
        return msgspec.json.decode(text, type=_Results, strict=False).study
    except msgspec.DecodeError as error:
        raise ValueError(f"{str(path)!r} is not the results.json of a study: {error}") from None


def _writable(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _writable(each) for key, each in value.items()}
        case list() | tuple():
            return [_writable(each) for each in value]
        case _:
            return value


def _trials(study: Study) -> bytes:
    names = ("status", "score", "seconds", "error")
    rows = [[*run, *(getattr(trial, name) for name in names), len(trial.curve)] for run, trial in study.ended().items()]
    return csv_of((*RUN, *names, "epochs"), rows)


def _curves(study: Study) -> bytes:
    names = Epoch.__struct_fields__
    rows = [
        [*run, *(getattr(epoch, name) for name in names)]
        for run, trial in study.ended().items()
        for epoch in trial.curve
    ]
    return csv_of((*RUN, *names), rows)
