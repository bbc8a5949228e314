"""A comparison on several data sets: one for each, in a folder of its own, and all of them made seed by seed."""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dorsal.data.spec import DataSpec, Scenes, parse_data
from dorsal.jobs.budget import fit_parts
from dorsal.jobs.events import Event, JobEnd, Note, Progress, Remark, StudyStart
from dorsal.jobs.execution import Execution, OnEvent, Outlook, execute, look_ahead
from dorsal.jobs.forecast import Forecast, first_seeds, forecast, with_ended
from dorsal.jobs.kept import check_disk
from dorsal.jobs.lock import hold
from dorsal.jobs.remarks import BudgetCut
from dorsal.study.comparison.question import Comparison, command_line
from dorsal.study.comparison.records import DataSetsPlan, DataSetStudies, NamedData
from dorsal.study.comparison.run import prepare, refusal_of_others
from dorsal.study.comparison.saved import load_data_sets, refuse_single, write_data_sets
from dorsal.study.comparison.tune import check_tuning, tune

_LONGEST_NAME = 40
_FILES = {"lock", "lock.pid", "data_sets.json", "report.html", "results.json"}
"""Of the folder itself, in lower case, so that no data set may be called so."""


class Part(NamedTuple):
    """The comparison on one of the data sets, and what it takes to make it."""

    name: str
    asked: Comparison
    execution: Execution


Ahead = Mapping[str, Outlook]
"""What is known of each part before its first run, by the name of its data set."""


def compare_data_sets(comparison: Comparison, *, on_event: OnEvent = lambda _: None) -> DataSetStudies:
    """Makes every run of a comparison on several data sets that has not ended yet, and returns all that have.

    Each data set has a folder in that of the question, which holds what `compare` leaves for this data set alone: the
    same runs under the same keys. They are made seed by seed, the first seed on every data set before the second on
    any, because an answer over data sets needs all of them more than it needs seeds. Where workers would wait for work,
    several seeds are made in one turn.

    A budget is met by as many seeds as fit on all data sets alike, so that the noise in the mean of an arm is as large
    on each. All data sets are opened, checked, timed and planned before the first run: nothing is refused later.
    Interrupted, the same call goes on.

    Raises ValueError as `compare` does, for a data set that is there twice, and for a folder that holds a comparison on
    one data set.
    """
    folder = comparison.folder
    before = refuse_single(folder, comparison.name)
    parts = tuple(_parts(comparison, {each.data: each.name for each in before.data_sets} if before else {}, on_event))
    _refuse_twins(parts)
    with hold(folder):
        refuse_single(folder, comparison.name)
        ahead, cut = _look_ahead(parts, on_event, functools.partial(_decide, comparison, parts, before))
        _tell_left_out(before, parts, folder, on_event)
        ready = [_ready(part, ahead[part.name], cut, on_event) for part in parts]
        _make(ready, ahead, comparison.seed_list, on_event)
    return load_data_sets(folder, comparison.storage)


def _parts(comparison: Comparison, known: Mapping[str, str], on_event: OnEvent) -> Iterator[Part]:
    """The comparison on each data set; `known` are names that data sets have already, by their texts.

    Raises ValueError as `prepare` does for one data set, before anything is done on any.
    """
    specs = {text: parse_data(text, comparison.asked_task) for text in comparison.data_sets}
    if len(specs) < len(comparison.data_sets):
        text = next(text for text in specs if comparison.data_sets.count(text) > 1)
        raise ValueError(f"data: {text!r} is given twice; leave one of them out")
    names = dict(known)
    for text, told in _told_apart(specs).items():
        names.setdefault(text, _unused(told, names.values()))
    for text in specs:
        name = names[text]
        asked = replace(comparison, data=text, out=str(comparison.folder / name), budget=None)
        yield Part(name, asked, prepare(asked, asked.seeds, _named(name, on_event)))


def _told_apart(specs: Mapping[str, DataSpec]) -> dict[str, str]:
    """What each data set is called: the set or folder, and its fields that not all have which are called so."""
    fields = {text: _fields(spec) for text, spec in specs.items()}
    bases = {
        text: "scenes" if isinstance(spec, Scenes) else Path(spec.path).resolve().name for text, spec in specs.items()
    }
    told = {}
    for text, base in bases.items():
        alike = set.intersection(*(set(fields[other]) for other in specs if bases[other] == base))
        told[text] = " ".join([base, *(each for each in fields[text] if each not in alike)])
    return told


def _fields(spec: DataSpec) -> list[str]:
    """The fields that are not at their defaults, without the path."""
    fields = (field for field in msgspec.structs.fields(spec) if field.name != "path")
    return [
        f"{field.name}={getattr(spec, field.name)}" for field in fields if getattr(spec, field.name) != field.default
    ]


def _unused(text: str, taken: Collection[str]) -> str:
    """What a folder may be called after a text, and no other is: `photos`, `photos-2`."""
    base = re.sub(r"[^\w.]+", "-", text)[:_LONGEST_NAME].strip("-.") or "data"
    others = {*_FILES, *(each.lower() for each in taken)}
    names = (base, *(f"{base}-{count}" for count in range(2, len(others) + 3)))
    return next(name for name in names if name.lower() not in others)


def _refuse_twins(parts: Sequence[Part]) -> None:
    """Raises ValueError for two data sets of the same images: they would count as two and be one."""
    seen: dict[str, str] = {}
    for part in parts:
        text, fingerprint = str(part.asked.data), part.execution.plan.data.fingerprint
        if fingerprint in seen:
            raise ValueError(f"data: {text!r} has the images of {seen[fingerprint]!r}; leave one of them out")
        seen[fingerprint] = text


def _look_ahead(
    parts: Sequence[Part],
    on_event: OnEvent,
    decide: Callable[[Ahead], BudgetCut | None],
    known: Ahead = MappingProxyType({}),
) -> tuple[Ahead, BudgetCut | None]:
    """What is known of all parts before the first run, and what `decide` makes of it while their folders are held. If
    it refuses, nothing is left in any."""
    if len(known) == len(parts):
        return known, decide(known)
    part = parts[len(known)]
    return look_ahead(
        part.execution,
        _named(part.name, on_event),
        refusal_of_others(part.asked),
        lambda ahead: _look_ahead(parts, on_event, decide, {**known, part.name: ahead}),
    )


def _decide(
    comparison: Comparison, parts: Sequence[Part], before: DataSetsPlan | None, ahead: Ahead
) -> BudgetCut | None:
    """How many seeds there are to be on every data set, where a budget has no room for all. Writes the plan.

    Raises ValueError for a budget without room for one seed, for a time to tune that is too short on one of the data
    sets, and for a disk that is too full.
    """
    if comparison.tune is not None:
        for part in parts:
            check_tuning(part.asked, part.execution, ahead[part.name])
    cut = None
    if comparison.budget is not None:
        name = "seeds for every arm and recipe on every data set"
        cut = fit_parts(
            comparison.budget,
            len(comparison.seed_list),
            name,
            lambda count: _sum([_forecast(part, ahead[part.name], count) for part in parts]).seconds,
        )
    seeds = cut.fitting if cut else len(comparison.seed_list)
    needed = sum(_forecast(part, ahead[part.name], seeds).disk_bytes for part in parts)
    check_disk(comparison.folder, needed, comparison.keep_models)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    plan = DataSetsPlan(
        name=comparison.name,
        command=command_line(comparison),
        created=before.created if before else now,
        margin=comparison.margin,
        data_sets=tuple(
            NamedData(name=part.name, data=str(part.asked.data), fingerprint=part.execution.plan.data.fingerprint)
            for part in parts
        ),
    )
    write_data_sets(comparison.folder, plan)
    return cut


def _forecast(part: Part, ahead: Outlook, seeds: int) -> Forecast:
    """What the first so many seeds of a part take."""
    execution = part.execution
    epochs = ahead.epochs(execution.plan, execution.variants)
    return forecast(first_seeds(execution.plan, seeds), epochs, ahead.ended, ahead.workers, execution.keep_models)


def _sum(forecasts: Sequence[Forecast]) -> Forecast:
    """What all of them take one after the other; None of seconds where one is not known."""
    seconds = [each.seconds for each in forecasts]
    arms = dict.fromkeys(arm for each in forecasts for arm in each.arm_seconds)
    return Forecast(
        runs=sum(each.runs for each in forecasts),
        done=sum(each.done for each in forecasts),
        seconds=None if None in seconds else sum(filter(None, seconds)),
        workers=forecasts[0].workers,
        arm_seconds={arm: sum(each.arm_seconds.get(arm, 0.0) for each in forecasts) for arm in arms},
        disk_bytes=sum(each.disk_bytes for each in forecasts),
    )


def _tell_left_out(before: DataSetsPlan | None, parts: Sequence[Part], folder: Path, on_event: OnEvent) -> None:
    """Says which data sets the folder holds that are not asked for now."""
    now = [part.name for part in parts]
    if other := [each.name for each in before.data_sets if each.name not in now] if before else []:
        on_event(Note(f"{folder} holds {', '.join(other)} too, left out of the report for now; nothing there is lost"))


def _ready(part: Part, ahead: Outlook, cut: BudgetCut | None, on_event: OnEvent) -> Part:
    """The part with what was tuned, or with as many seeds as a budget has room for."""
    execution = part.execution
    if part.asked.tune is not None:
        execution = tune(part.asked, execution, _named(part.name, on_event), refusal_of_others(part.asked))
    if cut is not None:
        fitting = with_ended(first_seeds(execution.plan, cut.fitting), execution.plan, ahead.ended)
        fitting = replace(fitting, remarks=(*fitting.remarks, cut))
        execution = replace(execution, plan=fitting, parts=len(fitting.seeds))
    return part._replace(execution=execution)


def _make(parts: Sequence[Part], ahead: Ahead, seeds: Sequence[int], on_event: OnEvent) -> None:
    """Makes all runs in turns of a few seeds: as few as give every worker something to do."""
    first, workers = parts[0].execution, max(known.workers for known in ahead.values())
    together = _Together(on_event, {part.name: _forecast(part, ahead[part.name], len(seeds)) for part in parts})
    on_event(StudyStart(first.plan.arms, together.forecast, first.place.device))
    each = math.ceil(workers / sum(run.seed == seeds[0] for run in first.plan.runs))
    for place in range(0, len(seeds), each):
        turn = seeds[place : place + each]
        for part in parts:
            keys = {run.key for run in part.execution.plan.runs if run.seed in turn}
            left = keys - set(ahead[part.name].ended)
            if left:
                on_event(
                    Note(f"now on {part.name}, {'seed' if len(turn) == 1 else 'seeds'} {', '.join(map(str, turn))}")
                )
            if left or place == 0:  # the plan is written also where nothing is left to do
                hear = functools.partial(together.hear, part.name)
                execute(part.execution, hear, check=refusal_of_others(part.asked), only=keys)


class _Together:
    """Events of the comparisons on single data sets, told as those of one comparison."""

    def __init__(self, on_event: OnEvent, forecasts: Mapping[str, Forecast]) -> None:
        self.forecast = _sum(list(forecasts.values()))
        self._on_event = on_event
        self._done = {name: each.done for name, each in forecasts.items()}
        self._left = {name: each.seconds or 0.0 for name, each in forecasts.items()}
        self._told: list[Event] = []

    def hear(self, name: str, event: Event) -> None:
        """Tells an event of one data set, of which each note is told once."""
        match event:
            case StudyStart():
                return
            case Progress():
                self._left[name] = event.seconds_left
                event = replace(event, seconds_left=sum(self._left.values()))
            case JobEnd():
                self._done[name], self._left[name] = event.done, event.seconds_left
                done, left = sum(self._done.values()), sum(self._left.values())
                event = replace(event, done=done, total=self.forecast.runs, seconds_left=left)
            case Note() | Remark():
                event = _of(name, event)
                if event in self._told:
                    return
                self._told.append(event)
        self._on_event(event)


def _named(name: str, on_event: OnEvent) -> OnEvent:
    """Tells the notes of a data set under its name, and everything else as it is."""
    return lambda event: on_event(_of(name, event) if isinstance(event, Note | Remark) else event)


def _of(name: str, event: Note | Remark) -> Note | Remark:
    if isinstance(event, Note):
        return Note(f"{name}: {event.text}")
    return Remark(event.value, f"{name}, {event.about}" if event.about else name)
