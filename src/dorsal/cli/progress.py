"""Progress of a study on stderr: a bar for every worker in a terminal, a line for every run elsewhere."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dorsal.cli.interrupts import say_when_stopped
from dorsal.jobs.events import EvaluationStart, Event, JobEnd, Note, Remark, Stage, StudyStart
from dorsal.jobs.events import Progress as RunProgress
from dorsal.jobs.forecast import Forecast
from dorsal.jobs.plan import Job, Run
from dorsal.jobs.records import ModelScore, Trial, Visit
from dorsal.language.amounts import show_bytes, show_duration

_GOES_ON = "the same command goes on"


class Watch:
    """Shows the events of a study while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), console=self._console
        )
        self._bars: dict[int, TaskID] = {}
        self._total: TaskID | None = None
        self._doing = ""

    def __enter__(self) -> Watch:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def on_event(self, event: Event) -> None:
        """Shows one event, and keeps up what Ctrl-C would say."""
        match event:
            case Note(text):
                self._say(f"note: {text}")
            case Remark(value, about):
                from dorsal.report.words.remarks import remark_sentence

                self._say(f"note: {about}{': ' * bool(about)}{remark_sentence(value)}")
            case StudyStart():
                self._planned(event)
                self._kept(event.forecast.done, event.forecast.runs, "run")
            case EvaluationStart(summary, ahead, device):
                self._say(f"each is scored on {summary}")
                self._say_forecast(ahead, device, "model")
                self._kept(ahead.done, ahead.runs, "score")
            case RunProgress():
                self._worker(event)
            case Stage():
                self._stage(event)
            case JobEnd(_, Visit(), done, total, seconds_left):
                self._visited(done, total, _left(seconds_left))
                say_when_stopped(f"stopped; {done} of {total} visits are kept, and {_GOES_ON}")
            case JobEnd(job, Trial() | ModelScore() as result, done, total, seconds_left):
                self._done(outcome(job, result), done, total, _left(seconds_left))
                self._kept(done, total, "run" if isinstance(job, Run) else "score")

    def _done(self, line: str, done: int, total: int, left: str) -> None:
        self._say(f"{done}/{total}  {line}" + (f"  {left}" if left and not self._live else ""))
        if self._total is not None:
            self._progress.update(self._total, completed=done, text=left)

    def _kept(self, done: int, total: int, what: str) -> None:
        shows = f" (`dorsal report {shlex.quote(str(self._folder))}`)" if what == "run" else ""
        say_when_stopped(f"stopped; {done} of {total} {what}s are kept{shows}, and {_GOES_ON}")

    def _visited(self, done: int, total: int, left: str) -> None:
        if self._live:
            self._total = self._progress.add_task("timing", total=total) if self._total is None else self._total
            self._progress.update(self._total, completed=done, text=f"{done}/{total}  {left}")
        elif done * 10 // total > (done - 1) * 10 // total:
            self._say(f"{done} of {total} visits to networks made  {left}".rstrip())

    def _stage(self, event: Stage) -> None:
        if self._live:
            self._total = self._progress.add_task("", total=1, text="") if self._total is None else self._total
            text = f"{event.done}/{event.total}"
            self._progress.update(
                self._total, description=event.doing, completed=event.done, total=event.total, text=text
            )
        elif event.doing != self._doing:
            self._doing = event.doing
            self._say(event.doing)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _planned(self, event: StudyStart) -> None:
        for arm in event.arms:
            speed = f", forward {arm.forward.median_ms:.1f} ms" if arm.forward else ""
            matched = f" ({arm.changes})" if arm.changes else ""
            self._say(f"{arm.label}: {arm.text}, {arm.cost.macs / 1e6:.2f} M MACs{speed}{matched}")
        self._say_forecast(event.forecast, event.device, "run")

    def _say_forecast(self, ahead: Forecast, device: str, what: str) -> None:
        takes = "no forecast" if ahead.seconds is None else f"about {show_duration(ahead.seconds)}"
        self._say(
            f"{ahead.runs} {what}{'s' * (ahead.runs != 1)}, {ahead.done} of them done; {takes} "
            f"on {ahead.workers} worker{'s' * (ahead.workers != 1)} ({device}), "
            f"and {show_bytes(ahead.disk_bytes)} of disk"
        )
        if self._live:
            self._total = self._progress.add_task(f"all {what}s", total=ahead.runs, completed=ahead.done, text="")

    def _worker(self, event: RunProgress) -> None:
        if not self._live:
            return
        if event.worker not in self._bars:
            self._bars[event.worker] = self._progress.add_task("", total=1, text="")
        step, share = event.step, event.step.step / max(event.step.steps, 1)
        text = f"batch {step.step}/{step.steps}"
        if isinstance(event.job, Run):
            epochs = event.job.recipe.epochs
            share, text = (step.epoch - 1 + share) / epochs, f"epoch {step.epoch}/{epochs}"
        self._progress.update(
            self._bars[event.worker],
            completed=share,
            description=event.job.name,
            text=text,
        )
        if self._total is not None:
            self._progress.update(self._total, text=_left(event.seconds_left))


@contextlib.contextmanager
def watching(folder: Path, doing: str) -> Iterator[Callable[[Event], None]]:
    """Says at once what is being done and in which folder, and gives what shows the events of the study."""
    say_when_stopped(f"stopped; {_GOES_ON}")
    sys.stderr.write(f"{doing}; folder: {folder}\n")
    with Watch(folder) as watch:
        yield watch.on_event


def _left(seconds: float) -> str:
    return f"about {show_duration(seconds)} left" if seconds else ""


def outcome(job: Job, ended: Trial | ModelScore) -> str:
    """One line on how a job ended."""
    status = ended.status if isinstance(ended, Trial) else "failed"
    what = f"{ended.score:.2f} %" if ended.score is not None else f"{status}: {ended.error}"
    return f"{job.name}: {what}  ({show_duration(ended.seconds)})"
