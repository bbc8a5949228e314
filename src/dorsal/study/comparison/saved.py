"""What stands beside comparisons: `data_sets.json` beside several, `deployed.json` in one. No torch."""

from __future__ import annotations

from pathlib import Path

from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.study_file import DATA_SETS_FILE, load_study, read_study_file, refuse_others
from dorsal.language.files import absence
from dorsal.study.comparison.records import (
    ARMS_FILE,
    ARMS_SCHEMA,
    DATA_SETS_SCHEMA,
    DataSetsPlan,
    DataSetStudies,
    DeployedArms,
)


def load_data_sets(folder: Path, storage: str | None = None) -> DataSetStudies:
    """The comparison on several data sets in this folder, with all runs that have ended by now.

    Raises ValueError when there is none, and as `load_study` does.
    """
    plan = read_data_sets(folder)
    if plan is None:
        raise ValueError(f"{str(folder)!r} holds no comparison on several data sets: {absence(folder, DATA_SETS_FILE)}")
    folders = {each.name: folder / each.name for each in plan.data_sets}
    begun = {name: home for name, home in folders.items() if read_study_file(home)}
    return DataSetStudies(plan=plan, studies={name: load_study(home, storage) for name, home in begun.items()})


def read_data_sets(folder: Path) -> DataSetsPlan | None:
    """The plan in this folder, None where there is none. Raises ValueError for another schema or a damaged file."""
    return read_record(folder / DATA_SETS_FILE, DataSetsPlan, DATA_SETS_SCHEMA, "list of data sets")


def read_deployed(folder: Path) -> DeployedArms | None:
    """The deployed arms of the comparison in this folder, None where there are none. Raises ValueError for another
    schema or a damaged file."""
    return read_record(folder / ARMS_FILE, DeployedArms, ARMS_SCHEMA, "list of deployed arms")


def write_data_sets(folder: Path, plan: DataSetsPlan) -> None:
    """Writes the plan, all of it or nothing. Raises OSError when it cannot be written."""
    write_record(folder / DATA_SETS_FILE, plan)


def refuse_single(folder: Path, name: str) -> DataSetsPlan | None:
    """The plan that the folder holds. Raises ValueError where it holds a comparison of another name, or anything
    else."""
    before = read_data_sets(folder)
    refuse_others(folder, DATA_SETS_FILE)
    if before is not None and before.name != name:
        raise ValueError(
            f"out={str(folder)!r} holds a comparison with the name {before.name!r}, not {name!r}; give that name, or "
            "name another folder"
        )
    return before
