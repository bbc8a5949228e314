"""A tiny comparison, and sessions of it in processes of their own that tests may kill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from dorsal.jobs.records import Study, Trial
from dorsal.study.comparison.question import Comparison
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.population.question import Population
from tests.processes import Copied
from tests.study.driver import ask

TINY = "small(depths=[1], widths=[16], strides=[2], stem=simple(width=8, stride=2))"
WIDER = TINY.replace("[16]", "[32]")
DATA = "scenes(train=320, val=32, size=32)"


def tiny(out: Path, **changes: Any) -> Comparison:
    """Two arms, one recipe, two seeds, 14 short epochs."""
    fields = {
        "networks": (f"a={TINY}", f"b={WIDER}"),
        "recipes": ("plain",),
        "data": DATA,
        "seeds": 2,
        "epochs": 14,
        "out": str(out),
    }
    return Comparison(**{**fields, **changes})


def results(study: Study) -> list[Trial]:
    """The trials without their times, which no two sessions share."""
    return [
        msgspec.structs.replace(
            trial,
            seconds=0.0,
            curve=tuple(msgspec.structs.replace(epoch, seconds=0.0) for epoch in trial.curve),
        )
        for trial in study.trials
    ]


class Session:
    """A question asked in a process group of its own. Events are dicts with their kind under "kind".

    The jobs of arms or models in `hold` wait midway, at the end of the second epoch or at the first batch of an
    evaluation, until they are released.
    """

    def __init__(self, asked: Comparison | Population | Evaluation, hold: Sequence[str] = ()) -> None:
        beside = Path(asked.out).with_suffix
        self._errors = beside(".errors")
        self._held = {name: beside(f".held{number}") for number, name in enumerate(hold)}
        for file in self._held.values():
            file.touch()
        self._copied = Copied(ask, asked, self._held, errors=self._errors)
        self.process = self._copied.process
        self.events: list[dict[str, Any]] = []

    def release(self, name: str) -> None:
        self._held[name].unlink()

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Reads events up to the first for which this is so."""
        for line in self._copied.lines:
            kind, _, content = line.partition(" ")
            self.events.append({"kind": kind, **msgspec.json.decode(content)})
            if happened(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"the session ended first: {self.end()}")

    def until_midway(self) -> dict[str, Any]:
        """Reads events until a run that is held has come to where it waits."""
        return self.until(
            lambda e: (
                e["kind"] == "Progress"
                and e["job"]["arm"] in self._held
                and e["step"]["epoch"] == 2
                and e["step"]["step"] == e["step"]["steps"]
            )
        )

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self) -> str:
        """Waits for the end, and returns what went to standard error."""
        for line in self._copied.rest().splitlines():
            kind, _, content = line.partition(" ")
            self.events.append({"kind": kind, **msgspec.json.decode(content)})
        return self._errors.read_text(encoding="utf-8")

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]
