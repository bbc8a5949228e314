"""`choice.json`: candidates and rounds of a choice, beside the comparison of its finalists. No torch."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from dorsal.jobs.json_file import read_record
from dorsal.jobs.study_file import STUDY_FILE, load_study
from dorsal.language.files import absence
from dorsal.study.choice.records import CHOICE_FILE, CHOICE_SCHEMA, FINETUNE, ChoiceStudy


def load_choice(folder: Path, storage: str | None = None) -> ChoiceStudy:
    """The choice in this folder, with what has ended of the comparison of its finalists.

    Raises ValueError when there is none, it is of another schema, and as `load_study` does.
    """
    study = read_choice(folder)
    if study is None:
        raise ValueError(f"{str(folder)!r} holds no choice of weights: {absence(folder, CHOICE_FILE)}")
    home = folder / FINETUNE
    if not study.finalists or not (home / STUDY_FILE).is_file():
        return study
    return replace(study, finetuning=load_study(home, storage))


def read_choice(folder: Path) -> ChoiceStudy | None:
    """What the file holds, None where there is none. Raises ValueError for another schema or a damaged file."""
    return read_record(folder / CHOICE_FILE, ChoiceStudy, CHOICE_SCHEMA, "choice of weights")
