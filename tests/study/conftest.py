"""A tiny comparison, and sessions of it in processes of their own that tests may kill."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from dorsal.jobs.records import Study, Trial
from dorsal.study.comparison.question import Comparison
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.population.question import Population
from dorsal.study.question import to_toml

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
    """A question asked in a process group of its own. Events are dicts with their kind under "kind"."""

    def __init__(self, asked: Comparison | Population | Evaluation) -> None:
        file = Path(asked.out).with_suffix(".toml")
        file.write_text(to_toml(asked), encoding="utf-8")
        driver = Path(__file__).with_name("driver.py")
        verb = {Comparison: "compare", Population: "population", Evaluation: "evaluate"}[type(asked)]
        self.process = subprocess.Popen(
            [sys.executable, driver, verb, file],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.events: list[dict[str, Any]] = []

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Reads events up to the first for which this is so."""
        for line in self.process.stdout or ():
            kind, _, content = line.partition(" ")
            self.events.append({"kind": kind, **msgspec.json.decode(content)})
            if happened(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"the session ended first: {self.end()}")

    def until_midway(self) -> dict[str, Any]:
        """Reads events until a run has a checkpoint and is far from its end."""
        return self.until(
            lambda e: e["kind"] == "Progress" and 2 <= e["step"]["epoch"] <= e["job"]["recipe"]["epochs"] // 2
        )

    def workers(self) -> list[psutil.Process]:
        started = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in started if not each.children() and "resource_tracker" not in " ".join(each.cmdline())]

    def end(self) -> str:
        """Waits for the end, and returns what went to standard error."""
        out, err = self.process.communicate(timeout=120)
        for line in out.splitlines():
            kind, _, content = line.partition(" ")
            self.events.append({"kind": kind, **msgspec.json.decode(content)})
        return err

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]
