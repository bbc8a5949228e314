"""A choice of weights from question to records: rounds of probing, then a comparison of the survivors, fine-tuned."""

from __future__ import annotations

import datetime
import functools
import hashlib
import math
import time
from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from dorsal.data.spec import parse_data
from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.device import with_device
from dorsal.jobs.events import EvaluationStart, Note, Remark
from dorsal.jobs.execution import OnEvent, do_jobs, engine_of, tell
from dorsal.jobs.forecast import START_UP_SECONDS, Forecast, forecast, makespan
from dorsal.jobs.json_file import write_record
from dorsal.jobs.kept import check_disk, predictions_needed
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine, versions
from dorsal.jobs.plan import Portion, ProbeRound, Run, run_of
from dorsal.jobs.records import Arm, Machine, ModelScore, Study
from dorsal.jobs.rounds import portions_of, probe_round, ratios_of
from dorsal.jobs.store import Categories, Domains, Store, Values
from dorsal.jobs.study_file import load_study, read_study_file, refuse_others, storage_url
from dorsal.jobs.timings import Timings, epoch_seconds, time_runs
from dorsal.language.amounts import read_duration, show_duration
from dorsal.recipes.probe import Probe
from dorsal.stats import Ratios, compare_arms, pooled_means
from dorsal.study.choice.candidates import Candidates, command_of, comparison_of, find_candidates
from dorsal.study.choice.question import Choice, command_line
from dorsal.study.choice.records import (
    CHOICE_FILE,
    COLORS,
    FINETUNE,
    RANDOM,
    ChoiceStudy,
    Round,
    Stop,
    learnt,
    ranked,
)
from dorsal.study.choice.saved import load_choice, read_choice
from dorsal.study.comparison.run import compare

Rate = Mapping[str, float]
"""Seconds that an image takes, by label."""
PROBING_SHARE = 0.5
"""Of the budget, at most: the rest is for fine-tuning."""
_CONFIDENCE = 0.95
_SEED = 0


def choose(choice: Choice, *, on_event: OnEvent = lambda _: None) -> ChoiceStudy:
    """Probes all candidates in rounds, drops those shown to be worse than the best, fine-tunes the others, and returns
    what came of it.

    Interrupted at any point, the same call goes on: ended rounds and runs are not made again, and features are kept.
    Scripts call this under `if __name__ == "__main__":`, because workers import the main module.

    Raises ValueError before any work for a bad question, weights that do not suit the data, and a budget that is too
    small for a first round; OSError when the disk is full, with all that was stored intact.
    """
    began = time.monotonic()
    refuse_others(choice.folder, CHOICE_FILE)
    data = data_summary(parse_data(choice.data))
    tell(data.notes, on_event)
    chooser = _Chooser(choice, find_candidates(choice, data), data, began, on_event)
    with hold(choice.folder):
        study = chooser.finalists(chooser.probed())
        if study.finalists:
            asked = [chooser.asked[label] for label in study.finalists]
            on_event(Note(f"fine-tuning {', '.join(study.finalists)}"))
            compare(comparison_of(choice, asked, str(choice.folder / FINETUNE)), on_event=on_event)
    return load_choice(choice.folder, choice.storage)


class _Chooser:
    """A choice while it goes on."""

    def __init__(self, choice: Choice, found: Candidates, data: DataSummary, began: float, on_event: OnEvent) -> None:
        self.choice, self.plan, self.data, self.began, self.on_event = choice, found.plan, data, began, on_event
        self.folder, self.place = choice.folder, with_device(choice.resources)
        self.asked = {arm.label: asked for arm, asked in zip(found.plan.arms, found.asked, strict=True)}
        self.left_out = found.left_out
        self.before = read_choice(self.folder)
        cheapest = min(found.plan.arms, key=lambda arm: arm.cost.macs)
        self.random = replace(cheapest, label=RANDOM, start=None)
        self.runs = {arm.label: self._run(arm, inner=_SEED) for arm in (*found.plan.arms, self.random)}
        self.portions = portions_of(self.runs[RANDOM])
        self.engine = engine_of(
            self.place, functools.partial(probe_round, folder=self.folder.resolve(), place=self.place)
        )

    def _run(self, arm: Arm, inner: int | None = None) -> Run:
        return run_of(arm, "probe", Probe(), _SEED, self.data, self.choice, inner)

    @property
    def seconds_left(self) -> float:
        """Of the budget."""
        if self.choice.budget is None:
            return math.inf
        return read_duration(self.choice.budget) - (time.monotonic() - self.began)

    def probed(self) -> ChoiceStudy:
        """The study with all rounds that it takes, or that there is time for."""
        here = machine(self.place.device, max(self.engine.capacity(), 1), self.place.threads)
        timings = time_runs(self.folder, [self._run(arm) for arm in self.plan.arms], self.place, here, self.on_event)
        study = self._study(here, timings)
        images = self.data.train_images + self.data.val_images
        rate = {arm: timing.epoch_seconds / images for (arm, _), timing in timings.items()}
        rate[RANDOM] = min(rate.values(), default=0.0)
        with Store(storage_url(self.folder, self.choice.storage), f"{self.choice.name}, probed") as store:
            for number in range(1, len(self.portions) + 1):
                jobs = [self._job(label, number) for label in (*study.left, RANDOM, COLORS)]
                if stop := self._stop(study, number, rate, jobs, store, here.workers):
                    return replace(study, stop=stop)
                outcomes = self._made(jobs, number, rate, store, here)
                study = replace(study, rounds=(*study.rounds, self._round(number, outcomes)))
                added = self._added(number)
                rate = {label: outcome.seconds / added for label, outcome in outcomes.items()}
                self._write(study)
                self._tell(study.rounds[-1])
        return replace(study, stop="one left" if len(study.left) < 2 else "all images")

    def finalists(self, study: ChoiceStudy) -> ChoiceStudy:
        """The study with the survivors to be fine-tuned: the best by probing, as many as there is time for. Written."""
        left, before = study.left, self.before
        chosen: Sequence[str] = left
        if before and before.budget == study.budget and set(before.finalists + before.waiting) == set(left):
            chosen = before.finalists
        elif self.choice.budget is not None:
            chosen = self._fitting(study)
        study = replace(study, finalists=tuple(chosen), waiting=tuple(label for label in left if label not in chosen))
        self._write(study)
        if study.waiting:
            self.on_event(Note(f"budget={study.budget!r} has no room to fine-tune {', '.join(study.waiting)}"))
        return study

    def _fitting(self, study: ChoiceStudy) -> tuple[str, ...]:
        """The best survivors whose fine-tuning with all seeds fits into what is left of the budget."""
        home, found = self.folder / FINETUNE, dict[tuple[str, str], float]()
        saved = read_study_file(home)
        done = _ended(load_study(home, self.choice.storage)) if saved else set()
        fitting: tuple[str, ...] = ()
        for label in study.left:
            tried = (*fitting, label)
            part = replace(
                self.plan,
                arms=tuple(arm for arm in self.plan.arms if arm.label in tried),
                runs=tuple(run for run in self.plan.runs if run.arm in tried),
            )
            first = next(run for run in part.runs if run.arm == label)
            timings = time_runs(home, [first], self.place, study.machine, self.on_event)
            found |= {(label, first.recipe_name): 0.0, **epoch_seconds(timings)}
            takes = forecast(part, found, done, study.machine.workers).seconds
            if takes is None or takes > self.seconds_left:
                break
            fitting = tried
        return fitting

    def _stop(
        self,
        study: ChoiceStudy,
        number: int,
        rate: Rate,
        jobs: Sequence[ProbeRound],
        store: Store,
        workers: int,
    ) -> Stop | None:
        """Why there is no such round; None where it is to be made. Raises ValueError where the budget is too small for
        the first one."""
        if number > 1 and len(study.left) < 2:
            return "one left"
        budget, before = self.choice.budget, self.before
        if budget is None or {job.key for job in jobs} <= store.outcomes().keys():
            return None
        if before and (before.stop, before.budget, len(before.rounds)) == ("budget", budget, number - 1):
            return "budget"
        takes = _seconds(rate, (*study.left, RANDOM), self._added(number), workers)
        if number == 1 and takes > self.seconds_left:
            whole = math.ceil(2 * (takes + time.monotonic() - self.began) / 60)
            raise ValueError(
                f"budget={budget!r} is too small: a first look at {len(self.plan.arms)} candidates takes about "
                f"{show_duration(takes)}; try a budget of {whole}m, or none"
            )
        room = self.seconds_left - (1 - PROBING_SHARE) * read_duration(budget)
        return "budget" if number > 1 and takes > room else None

    def _job(self, label: str, number: int) -> ProbeRound:
        colors, portions = label == COLORS, self.portions[:number]
        run = self.runs[RANDOM if colors else label]
        parts = [run.fingerprint if colors else run.key, portions]
        key = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
        return ProbeRound(key=key, name=f"{label}, round {number}", run=run, portions=portions, colors=colors)

    def _added(self, number: int) -> int:
        """The images that a round adds to those before."""
        before = self.portions[number - 2] if number > 1 else Portion(0, 0, 0)
        now = self.portions[number - 1]
        return now.learnt - before.learnt + now.held - before.held

    def _made(
        self, jobs: Sequence[ProbeRound], number: int, rate: Rate, store: Store, here: Machine
    ) -> dict[str, ModelScore]:
        """The outcomes of a round by label, where it has not been made before."""
        labels = {job.key: job.name.rpartition(", ")[0] for job in jobs}
        done = {key for key, found in store.outcomes().items() if isinstance(found, ModelScore) and not found.error}
        todo = [job for job in jobs if job.key not in done]
        portion, added = self.portions[number - 1], self._added(number)
        seconds = {job.key: rate.get(labels[job.key], 0.0) * added for job in todo}
        workers = min(here.workers, max(len(todo), 1))
        disk = len(todo) * predictions_needed(portion.draws * portion.held, self.data.task, len(self.data.classes))
        check_disk(self.folder, disk, models=False)
        clock = Clock({job.key: Amount(job.key) for job in todo}, seconds, workers, done=len(jobs) - len(todo))
        takes = clock.seconds_left() + START_UP_SECONDS if todo else 0.0
        summary = (
            f"{portion.held:,} held-out training images, after learning from {learnt(portion)} "
            f"(round {number} of {len(self.portions)})"
        )
        ahead = Forecast(clock.total, clock.done, takes, workers, {}, disk)
        self.on_event(EvaluationStart(summary, ahead, self.place.device))
        describe = functools.partial(_describe, names=tuple(job.name for job in jobs))
        do_jobs(self.engine, todo, clock, store, self.folder, describe, self.on_event)
        outcomes = store.outcomes()
        return {label: found for key, label in labels.items() if isinstance(found := outcomes[key], ModelScore)}

    def _round(self, number: int, outcomes: Mapping[str, ModelScore]) -> Round:
        """What came of a round."""
        portion = self.portions[number - 1]
        said = {
            label: ratios_of(each, portion.draws, self.folder) for label, each in outcomes.items() if not each.error
        }
        failed = {label: each.error for label, each in outcomes.items() if each.error}
        return judged(portion, said, failed, len(self.portions))

    def _tell(self, made: Round) -> None:
        """Says what a round has dropped."""
        for label, difference in made.dropped.items():
            self.on_event(Note(f"{label} is dropped: shown to be worse than the best by {difference.value:.1f} points"))

    def _study(self, here: Machine, timings: Timings) -> ChoiceStudy:
        """The study before its first round."""
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        for remark in self.plan.remarks:
            self.on_event(Remark(remark))
        return ChoiceStudy(
            name=self.choice.name,
            command=command_line(self.choice),
            created=self.before.created if self.before else created,
            data=self.data,
            machine=here,
            versions=versions(),
            remarks=self.plan.remarks,
            arms=tuple(
                replace(arm, forward=timing.forward) if (timing := timings.get((arm.label, "probe"))) else arm
                for arm in self.plan.arms
            ),
            commands={label: command_of(self.choice, asked) for label, asked in self.asked.items()},
            random_network=self.random.text,
            left_out=self.left_out,
            portions=self.portions,
            budget=self.choice.budget,
        )

    def _write(self, study: ChoiceStudy) -> None:
        write_record(self.folder / CHOICE_FILE, study)


def judged(portion: Portion, said: Mapping[str, Sequence[Ratios]], failed: Mapping[str, str], rounds: int) -> Round:
    """What a round shows, one of so many, by what each held-out image contributes to the score of each draw."""
    scores = {label: [ratios.score() for ratios in draws] for label, draws in said.items()}
    images = {label: [ratios.values() for ratios in draws] for label, draws in said.items()}
    alone = pooled_means(scores, images=images)
    found = compare_arms(scores, 1 - (1 - _CONFIDENCE) / rounds, images)
    best, *others = [label for label in ranked(alone) if label not in (RANDOM, COLORS)] or [""]
    dropped = {
        pair.worse: pair.difference
        for pair in found.pairs
        if pair.significant and pair.better == best and pair.worse in others
    }
    return Round(portion=portion, scores=alone, comparisons=found, dropped=dropped, failed=dict(failed))


def _seconds(rate: Rate, labels: Collection[str], images: int, workers: int) -> float:
    """What so many images take for all of these candidates."""
    return makespan((rate.get(label, 0.0) * images for label in labels), workers) + START_UP_SECONDS


def _describe(job: ProbeRound, names: tuple[str, ...]) -> tuple[Domains, Values]:
    """A job in terms of the store's parameters."""
    return {"candidate": Categories(names)}, {"candidate": job.name}


def _ended(study: Study) -> set[str]:
    return {trial.key for trial in study.trials if trial.status != "failed"}
