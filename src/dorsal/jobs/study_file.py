"""`study.json`: the plan of a study beside its store, so that the study can be read at any time, finished or not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.records import STUDY_SCHEMA, Kind, Study
from dorsal.jobs.scores import SCORES_FILE
from dorsal.jobs.store import HIDDEN, Store, without_password
from dorsal.language.files import FOLDERS, absence, check_folder
from dorsal.weights.card import MODEL_FILE

STUDY_FILE = "study.json"
DATA_SETS_FILE = "data_sets.json"
"""In the folder of a comparison on several data sets; those of its single comparisons lie in it."""
_OWN_STORE = "study.db"
"""The SQLite file of a study that has no other storage."""
_OF_STUDIES = ("search.json", "spaces.json", STUDY_FILE)
OF_A_MODEL = (MODEL_FILE, SCORES_FILE)
"""What may stand in one folder: a model, and what models scored."""
_KINDS: dict[Kind, str] = {
    "comparison": "a comparison",
    "population": "a population of `dorsal space run`",
    "search": "a search of `dorsal space search`",
}


class StudyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds.

    - `study`: without its trials, which are in the store.
    - `storage`: a URL with its password hidden, or "" for the SQLite file in the same folder.
    - `settings`: each setting in which runs were made. Versions and hardware round differently, so a report says so
      where there are several.
    """

    study: Study
    storage: str
    settings: tuple[str, ...]
    schema: int = STUDY_SCHEMA


def storage_of(folder: Path, storage: str | None) -> str | None:
    """The storage of the study in this folder, `storage` where there is no study yet; None is the folder's SQLite file.

    Raises ValueError where the study is in another storage, or in one with a password and none is given, and where the
    folder's file is not there any more: all would be trained again.
    """
    saved = read_study_file(folder)
    if saved is None:
        return storage
    there = saved.storage or None
    if there is None and not (folder / _OWN_STORE).exists():
        raise ValueError(
            f"{str(folder / _OWN_STORE)!r} is missing, and with it all runs of the study; nothing there was touched: "
            "put it back, or name another folder"
        )
    if storage is None:
        if there and HIDDEN in there:
            raise ValueError(f"the study in {str(folder)!r} is stored at {there}; give that URL with its password")
        return there
    known, asked = (without_password(each or _own_store(folder)) for each in (there, storage))
    if known != asked:
        raise ValueError(f"the study in {str(folder)!r} is stored at {known}, not at {asked}; leave storage out")
    return storage


def storage_url(folder: Path, storage: str | None) -> str:
    """The URL of `storage_of`. Raises ValueError as that does."""
    return storage_of(folder, storage) or _own_store(folder)


def _own_store(folder: Path) -> str:
    from sqlalchemy import URL

    # Not an f-string: a folder's name may have `?`, `#`, `%` or braces in it.
    return URL.create("sqlite", database=str(folder / _OWN_STORE)).render_as_string()


def load_plan(folder: Path, file: str = STUDY_FILE) -> StudyFile:
    """What this file of the folder plans. Raises ValueError when there is none, and as `read_study_file` does."""
    saved = read_study_file(folder, file)
    if saved is None:
        raise ValueError(f"{str(folder)!r} holds no study: {absence(folder, file)}")
    return saved


def load_study(folder: Path, storage: str | None = None, file: str = STUDY_FILE) -> Study:
    """The study that this file of the folder plans, with all trials that have ended by now.

    `storage` is needed only where the study has one whose URL has a password. Raises ValueError when there is no study,
    it cannot be read, or it is of another schema, and as `storage_of` does.
    """
    study = load_plan(folder, file).study
    with Store(storage_url(folder, storage), study.name) as store:
        trials = store.trials()
    keys = dict.fromkeys(run.key for run in study.runs)
    return msgspec.structs.replace(study, trials=tuple(trials[key] for key in keys if key in trials))


def refuse_others(folder: Path, *own: str) -> None:
    """Raises ValueError where the folder holds a study or something else of ours whose file is none of `own`, and where
    it is a file."""
    check_folder("out", folder)
    for file, what in FOLDERS.items():
        if file not in (*own, *_OF_STUDIES) and (folder / file).is_file():
            raise ValueError(f"out={str(folder)!r} holds {what}; name another folder")
    if STUDY_FILE not in own and (saved := read_study_file(folder)):
        raise ValueError(f"out={str(folder)!r} holds {_KINDS[saved.study.kind]}; name another folder")


def refuse_other_studies(folder: Path, kind: Kind, name: str) -> None:
    """Raises ValueError as `refuse_others` does, and where the folder holds a study of another kind, or one of another
    name, under which the store knows none of its runs."""
    refuse_others(folder, STUDY_FILE)
    saved = read_study_file(folder)
    if saved is None:
        return
    if saved.study.kind != kind:
        raise ValueError(f"out={str(folder)!r} holds {_KINDS[saved.study.kind]}; name another folder")
    if saved.study.name != name:
        raise ValueError(
            f"out={str(folder)!r} holds a study with the name {saved.study.name!r}, not {name!r}; give that name, or "
            "name another folder"
        )


def read_study_file(folder: Path, file: str = STUDY_FILE) -> StudyFile | None:
    """The file's content, None where there is no file. Raises ValueError for another schema or a damaged file."""
    return read_record(folder / file, StudyFile, STUDY_SCHEMA, "study")


def write_study_file(folder: Path, saved: StudyFile, file: str = STUDY_FILE) -> None:
    """Writes the file atomically. Raises OSError when it cannot be written; the old file is then still there."""
    write_record(folder / file, msgspec.structs.replace(saved, storage=without_password(saved.storage)))
