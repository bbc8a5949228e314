"""`search.json`: what a search asked for in turn, beside the plan and the store of its training. No torch."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from dorsal.data.summary import DataSummary
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.study_file import load_study, read_study_file, refuse_other_studies
from dorsal.language.files import absence
from dorsal.recipes.recipe import Recipe
from dorsal.study.population.saved import changed_since
from dorsal.study.search.records import SEARCH_SCHEMA, SearchLog, SearchStudy

SEARCH_FILE = "search.json"

_FIXED = ("space", "bounds", "sampler", "objectives", "seed", "latency_model")
"""What no two calls on one folder differ in."""


def load_search(folder: Path, storage: str | None = None) -> SearchStudy:
    """The search in this folder with all runs that have ended by now.

    Raises ValueError when there is none, and as `load_study` does.
    """
    log = _read(folder)
    if log is None:
        raise ValueError(f"{str(folder)!r} holds no search: {absence(folder, SEARCH_FILE)}; see `dorsal space search`")
    study = load_study(folder, storage)
    if study.kind != "search":
        raise ValueError(f"{str(folder)!r} holds no search but a {study.kind}; see `dorsal space search`")
    return SearchStudy(study=study, log=log)


def log_so_far(folder: Path, name: str, asked: SearchLog, recipes: dict[str, Recipe], data: DataSummary) -> SearchLog:
    """The log that the folder holds, or the one asked for, of no network yet, where it holds no network either.

    Raises ValueError where the folder holds something else, or a search of another question.
    """
    refuse_other_studies(folder, "search", name)
    before, saved = _read(folder), read_study_file(folder)
    where = f"out={str(folder)!r} holds"
    if before is None and saved is not None:
        raise ValueError(f"{where} a search without its {SEARCH_FILE}; put that back, or name another folder")
    if before is None or not before.networks:
        return asked
    for field in _FIXED:
        then, now = getattr(before, field), getattr(asked, field)
        if then != now:
            what = f"another {field}" if field == "space" else f"{field} {then or None} instead of {now or None}"
            raise ValueError(f"{where} a search with {what}; name another folder")
    if saved is not None and (changed := changed_since(saved.study, recipes, data)):
        raise ValueError(f"{where} a search with another {changed}; name another folder")
    return replace(before, against=asked.against) if asked.against else before


def write_log(folder: Path, log: SearchLog) -> None:
    """Writes the file atomically. Raises OSError when it cannot be written; the old file is then still there."""
    write_record(folder / SEARCH_FILE, log)


def _read(folder: Path) -> SearchLog | None:
    return read_record(folder / SEARCH_FILE, SearchLog, SEARCH_SCHEMA, "search")
