"""`study.json`: the plan of a study beside its store, so that the study can be read at any time, finished or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.records import STUDY_SCHEMA, Study, Trial
from dorsal.jobs.store import Store
from dorsal.study.plan import Run
from dorsal.study.question import HIDDEN, without_password

STUDY_FILE = "study.json"
_OWN = "study.db"
"""The SQLite file of a study that has no other storage."""
SPACES = "spaces.json"
"""Beside a plan that is of a population: the spaces and what was drawn from them."""
SEARCH = "search.json"
"""Beside a plan that is of a search: the space and what was asked for in turn."""
_KINDS: dict[str | None, str] = {
    SPACES: "a population of `dorsal space run`",
    SEARCH: "a search of `dorsal space search`",
}


class RunName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run of the plan by the key that the store knows it by."""

    key: str
    arm: str
    recipe: str
    seed: int


class StudyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: the study without its trials, which are in the store; its runs in order; what was timed.

    `storage` is a URL with its password hidden, or "" for the SQLite file in the same folder. `settings` describes each
    setting in which runs were made: versions and hardware round differently, so a report tells of more than one.
    """

    study: Study
    runs: tuple[RunName, ...]
    storage: str
    timings: dict[str, RunTiming]
    settings: tuple[str, ...]
    schema: int = STUDY_SCHEMA


def storage_of(folder: Path, storage: str | None) -> str | None:
    """The storage of the study in this folder, `storage` where there is no study yet; None is the folder's SQLite file.

    Raises ValueError where the study is in another storage, or in one with a password and none is given, and where the
    folder's file is not there any more: all would be trained again.
    """
    saved = read_saved(folder)
    if saved is None:
        return storage
    there = saved.storage or None
    if there is None and not (folder / _OWN).exists():
        raise ValueError(
            f"{str(folder / _OWN)!r} is missing, and with it all runs of the study; nothing there was touched: put it "
            "back, or name another folder"
        )
    if storage is None:
        if there and HIDDEN in there:
            raise ValueError(f"the study in {str(folder)!r} is stored at {there}; give that URL with its password")
        return there
    known, asked = (without_password(each or _own_file(folder)) for each in (there, storage))
    if known != asked:
        raise ValueError(f"the study in {str(folder)!r} is stored at {known}, not at {asked}; leave storage out")
    return storage


def storage_url(folder: Path, storage: str | None) -> str:
    """The URL of `storage_of`. Raises ValueError as that does."""
    return storage_of(folder, storage) or _own_file(folder)


def _own_file(folder: Path) -> str:
    return f"sqlite:///{folder / _OWN}"


def load_plan(folder: Path, file: str = STUDY_FILE) -> StudyFile:
    """What this file of the folder plans. Raises ValueError when there is none, and as `read_saved` does."""
    saved = read_saved(folder, file)
    if saved is None:
        raise ValueError(f"{str(folder)!r} holds no study: there is no {file} in it")
    return saved


def load_study(folder: Path, storage: str | None = None, file: str = STUDY_FILE) -> Study:
    """The study that this file of the folder plans, with all trials that have ended by now.

    `storage` is needed only where the study has one whose URL has a password. Raises ValueError when there is no study,
    it cannot be read, or it is of another schema, and as `storage_of` does.
    """
    saved = load_plan(folder, file)
    with Store(storage_url(folder, storage), saved.study.name) as store:
        return msgspec.structs.replace(saved.study, trials=_in_order(saved.runs, store.trials()))


def refuse_other_studies(folder: Path, own: str | None, name: str) -> None:
    """Raises ValueError where the folder holds another kind of study than the one that has the file `own` beside its
    plan, a comparison having none; or one of another name, under which the store knows none of its runs."""
    there = next((file for file in (SPACES, SEARCH) if (folder / file).exists()), None)
    if there != own and (there or (folder / STUDY_FILE).exists()):
        raise ValueError(f"out={str(folder)!r} holds {_KINDS.get(there, 'a comparison')}; name another folder")
    saved = read_saved(folder)
    if saved is not None and saved.study.name != name:
        raise ValueError(
            f"out={str(folder)!r} holds a study with the name {saved.study.name!r}, not {name!r}; give that name, or "
            "name another folder"
        )


def read_saved(folder: Path, file: str = STUDY_FILE) -> StudyFile | None:
    """The file's content, None where there is no file. Raises ValueError for another schema or a damaged file."""
    return read_record(folder / file, StudyFile, STUDY_SCHEMA, "study")


def write_saved(folder: Path, saved: StudyFile, file: str = STUDY_FILE) -> None:
    """Writes the file atomically. Raises OSError when it cannot be written; the old file is then still there."""
    write_record(folder / file, msgspec.structs.replace(saved, storage=without_password(saved.storage)))


def run_name(run: Run) -> RunName:
    """The run by its key."""
    return RunName(run.key, run.arm, run.recipe, run.seed)


def _in_order(runs: tuple[RunName, ...], trials: Mapping[str, Trial]) -> tuple[Trial, ...]:
    """The trials of these runs, called as the plan calls them now: labels may have changed since they ended."""
    return tuple(
        msgspec.structs.replace(trials[run.key], arm=run.arm, recipe=run.recipe) for run in runs if run.key in trials
    )
