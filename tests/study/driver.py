"""A question asked without a terminal, an event a line on stdout, whose jobs may be made to wait midway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from dorsal.jobs import engine
from dorsal.jobs.events import Event
from dorsal.jobs.plan import Run
from dorsal.recipes.epoch import Step
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.evaluation.run import evaluate_models
from dorsal.study.population.question import Population
from dorsal.study.population.run import run_population


def ask(question: Comparison | Population | Evaluation, held: Mapping[str, Path]) -> None:
    """Asks, and prints each event: its kind, a space, and the rest as JSON.

    A job of an arm or a model that `held` names waits at the end of its second epoch, an evaluation at its first
    batch, while the file is there. So a test finds it midway however busy the machine is.
    """
    work = engine._work
    engine._SECONDS_BETWEEN_STEPS = 0.0
    engine._work = lambda pipe, environment: work(_Holding(pipe, held), environment)  # type: ignore[arg-type]
    match question:
        case Comparison():
            compare(question, on_event=_show)
        case Evaluation():
            evaluate_models(question, on_event=_show)
        case Population():
            run_population(question, on_event=_show)


def _show(event: Event) -> None:
    print(type(event).__name__, msgspec.json.encode(event).decode(), flush=True)


class _Holding:
    """A worker's end of its pipe, which returns from telling of a step when the job may go on."""

    def __init__(self, pipe: Connection, held: Mapping[str, Path]) -> None:
        self._pipe, self._held = pipe, held
        self._gate: Path | None = None
        self._epoch = 1

    def recv(self) -> Any:
        got = self._pipe.recv()
        if not callable(got):  # the first is how jobs are done
            self._gate = self._held.get(got.arm if isinstance(got, Run) else got.name)
            self._epoch = 2 if isinstance(got, Run) else 1
        return got

    def send(self, what: object) -> None:
        self._pipe.send(what)
        if isinstance(what, Step) and self._gate is not None and self._midway(what):
            while self._gate.exists():
                time.sleep(0.01)

    def _midway(self, step: Step) -> bool:
        return step.epoch >= self._epoch and (self._epoch == 1 or step.step == step.steps)
