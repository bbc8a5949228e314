"""`spaces.json`: what was drawn from which spaces, beside the plan and the store of its training. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.records import Study
from dorsal.jobs.study_file import load_plan, load_study, read_study_file, refuse_other_studies
from dorsal.language.files import absence
from dorsal.recipes.recipe import Recipe
from dorsal.space.costs import QUANTITIES
from dorsal.space.space import Space
from dorsal.study.population.records import POPULATION_SCHEMA, HowTrained, PopulationStudy, SpaceSample

SPACES_FILE = "spaces.json"


def load_population(folder: Path, storage: str | None = None) -> PopulationStudy:
    """The population in this folder with all runs that have ended by now.

    Raises ValueError when there is none, and as `load_study` does.
    """
    return _population(folder, _expect(folder).spaces, load_study(folder, storage))


def load_networks(folder: Path) -> PopulationStudy:
    """The population in this folder without its runs, which are in a store that is not opened.

    Raises ValueError when there is none.
    """
    return _population(folder, _expect(folder).spaces, load_plan(folder).study)


def _population(folder: Path, spaces: tuple[SpaceSample, ...], study: Study) -> PopulationStudy:
    if study.kind != "population":
        raise ValueError(f"{str(folder)!r} holds no population but a {study.kind}; see `dorsal space run`")
    planned = {arm.label for arm in study.arms}
    return PopulationStudy(study=study, spaces=tuple(part for each in spaces if (part := _part(each, planned)).labels))


def _part(drawn: SpaceSample, planned: Collection[str]) -> SpaceSample:
    """The networks that the plan has too: of a growing population the plan is written last."""
    count = sum(label in planned for label in drawn.labels)
    axes, costs = ({name: column[:count] for name, column in of.items()} for of in (drawn.axes, drawn.costs))
    return msgspec.structs.replace(drawn, labels=drawn.labels[:count], axes=axes, costs=costs)


def read_trained(folder: Path) -> HowTrained:
    """How the population in this folder was trained. Raises ValueError when there is none."""
    return _expect(folder).trained


def _expect(folder: Path) -> SpacesFile:
    found = _read_spaces(folder)
    if found is None:
        raise ValueError(f"{str(folder)!r} holds no population: {absence(folder, SPACES_FILE)}; see `dorsal space run`")
    return found


def drawn_before(folder: Path) -> int:
    """How many networks of a space the folder holds."""
    before = _read_spaces(folder)
    return max((len(space.labels) for space in before.spaces), default=0) if before else 0


def refuse_others(
    folder: Path, name: str, drawn: tuple[SpaceSample, ...], recipes: Mapping[str, Recipe], data: DataSummary
) -> None:
    """Raises ValueError where the folder holds something else than a part, or more, of this population."""
    refuse_other_studies(folder, "population", name)
    before, saved = _read_spaces(folder), read_study_file(folder)
    where = f"out={str(folder)!r} holds"
    if before is None:
        if saved is not None:
            raise ValueError(f"{where} a population without its {SPACES_FILE}; put that back, or name another folder")
        return
    asked = {space.space.name: space for space in drawn}
    for known in before.spaces:
        space = known.space.name
        if space not in asked:
            raise ValueError(f"{where} a population of {space}, which is not asked for; name another folder, or it too")
        if what := _difference(known, asked[space]):
            raise ValueError(f"{where} a population of {space} with {what}; name another folder")
        count = min(len(known.labels), len(asked[space].labels))
        then, now = ({axis: column[:count] for axis, column in each.axes.items()} for each in (known, asked[space]))
        if then != now:
            model = "; the latency model has changed since" if set(known.sampling.bounds) - set(QUANTITIES) else ""
            raise ValueError(f"{where} other networks of {space} than are drawn now{model}; name another folder")
    changed = saved is not None and changed_since(saved.study, recipes, data)
    if changed:
        raise ValueError(f"{where} a population trained with another {changed}; name another folder")


def changed_since(study: Study, recipes: Mapping[str, Recipe], data: DataSummary) -> str:
    """What is not as it was in the study: "task", "recipe", "data" or ""."""
    if data.task != study.task:
        return "task"
    if recipes != study.recipes:
        return "recipe"
    return "" if data.fingerprint == study.data.fingerprint else "data"


def _difference(then: SpaceSample, now: SpaceSample) -> str:
    """What was asked for otherwise, or ""."""
    if then.space != now.space:
        return _other_space(then.space, now.space)
    for field in ("bounds", "seed"):
        before, asked = getattr(then.sampling, field), getattr(now.sampling, field)
        if before != asked:
            return f"{field} {before} instead of {asked}"
    return ""


def _other_space(then: Space, now: Space) -> str:
    field = next(field for field in Space.__struct_fields__ if getattr(then, field) != getattr(now, field))
    if field == "axes":
        axes = {**then.axes, **now.axes}
        return f"another axis {next(name for name in axes if then.axes.get(name) != now.axes.get(name))!r}"
    values = "" if field == "history" else f" ({getattr(then, field)} instead of {getattr(now, field)})"
    return f"another {field}{values}"


class SpacesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `spaces.json` holds."""

    trained: HowTrained
    spaces: tuple[SpaceSample, ...]
    schema: int = POPULATION_SCHEMA


def _read_spaces(folder: Path) -> SpacesFile | None:
    return read_record(folder / SPACES_FILE, SpacesFile, POPULATION_SCHEMA, "population")


def write_spaces(folder: Path, trained: HowTrained, drawn: tuple[SpaceSample, ...]) -> None:
    """Writes the file atomically. Raises OSError when it cannot be written; the old file is then still there."""
    write_record(folder / SPACES_FILE, SpacesFile(trained, drawn))
