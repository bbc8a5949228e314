"""What every engine does, whatever it runs on. A suite inherits this and says how to make its engine."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.engine import LIVES, Engine, Work, WorkerDeath
from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.execution import do_jobs
from dorsal.jobs.kept import predictions_file
from dorsal.jobs.plan import Run
from dorsal.jobs.records import ModelScore, Trial, Visit
from dorsal.jobs.store import Categories, Store
from dorsal.recipes.epoch import Epoch, Step
from tests.contracts.jobs import (
    at_once,
    dies_of_seed_2,
    make_evaluation,
    make_measurement,
    make_run,
    never_ends,
    of_every_kind,
    one_epoch,
    raises,
    seed_1_waits_for_seed_3,
)

ROOT = Path(__file__).resolve().parents[2]


class EngineContract:
    def engine(self, workers: int, work: Work[Any]) -> Engine[Any]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _workers_find_the_jobs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(ROOT)

    def test_every_run_ends_in_one_trial_of_its_own(self) -> None:
        runs = [make_run(seed) for seed in range(7)]
        reports = list(self.engine(2, at_once).run_all(runs))
        assert sorted(report.job.seed for report in reports) == list(range(7))
        assert all(isinstance(r.what, Trial) and r.what.score == r.job.seed for r in reports)

    def test_one_worker_makes_runs_in_order(self) -> None:
        runs = [make_run(seed) for seed in (3, 1, 2)]
        assert [report.job.seed for report in self.engine(1, at_once).run_all(runs)] == [3, 1, 2]

    def test_without_runs_there_is_nothing_to_tell(self) -> None:
        assert list(self.engine(2, at_once).run_all([])) == []

    def test_epochs_are_all_told_and_steps_now_and_then(self) -> None:
        whats = [report.what for report in self.engine(1, one_epoch).run_all([make_run(1), make_run(2)])]
        assert sum(isinstance(what, Epoch) for what in whats) == 2
        assert 1 <= sum(isinstance(what, Step) for what in whats) < 20

    def test_runs_that_become_known_later_are_made_too(self) -> None:
        given = iter([[], [make_run(3)], [make_run(4), make_run(5)]])
        reports = list(self.engine(2, at_once).run_all([make_run(1), make_run(2)], lambda: next(given, [])))
        assert sorted(report.job.seed for report in reports) == [1, 2, 3, 4, 5]

    def test_what_follows_from_a_trial_is_asked_for_when_it_has_been_dealt_with(self) -> None:
        dealt_with: list[int] = []

        def more() -> list[Run]:
            return [make_run(dealt_with[-1] + 1)] if dealt_with[-1] < 4 else []

        for report in self.engine(1, at_once).run_all([make_run(1)], more):
            dealt_with.append(report.job.seed)
            assert isinstance(report.what, Trial)
        assert dealt_with == [1, 2, 3, 4]

    def test_an_idle_worker_is_kept_for_runs_to_come(self, tmp_path: Path) -> None:
        pids: dict[int, str] = {}
        to_come = [[], [make_run(3)]]  # what is known after the trial of seed 2, and one report later

        def more() -> list[Run]:
            return to_come.pop(0) if 2 in pids and to_come else []

        job = partial(seed_1_waits_for_seed_3, folder=tmp_path)
        for report in self.engine(2, job).run_all([make_run(1), make_run(2)], more):
            if isinstance(report.what, Trial):
                pids[report.job.seed] = report.what.error
        assert list(pids) == [2, 3, 1]
        assert pids[3] == pids[2] != pids[1]

    def test_a_run_whose_worker_died_is_made_again_before_others(self, tmp_path: Path) -> None:
        job = partial(dies_of_seed_2, times=LIVES - 1, folder=tmp_path)
        reports = list(self.engine(1, job).run_all([make_run(seed) for seed in (1, 2, 3)]))
        assert [report.job.seed for report in reports] == [1, *[2] * LIVES, 3]
        assert [type(report.what) for report in reports] == [Trial, *[WorkerDeath] * (LIVES - 1), Trial, Trial]
        assert all(isinstance(r.what, WorkerDeath) or r.what.status == "finished" for r in reports)

    def test_a_run_that_kills_its_workers_fails_and_others_go_on(self, tmp_path: Path) -> None:
        job = partial(dies_of_seed_2, times=99, folder=tmp_path)
        reports = self.engine(2, job).run_all([make_run(seed) for seed in (1, 2, 3, 4)])
        trials = {report.job.seed: report.what for report in reports if isinstance(report.what, Trial)}
        assert {seed: trial.status for seed, trial in trials.items()} == {
            1: "finished", 2: "failed", 3: "finished", 4: "finished",
        }  # fmt: skip
        assert trials[2].error == f"worker died (signal 9, most likely for want of memory), {LIVES} times"
        tries = Counter(path.stem for path in tmp_path.iterdir())
        assert tries == {"key1": 1, "key2": LIVES, "key3": 1, "key4": 1}

    def test_a_worker_that_ends_by_itself_is_a_death_too(self) -> None:
        *_, last = self.engine(1, raises).run_all([make_run(1)])
        assert isinstance(last.what, Trial)
        assert "worker died (exit code 7)" in last.what.error

    def test_jobs_of_every_kind_are_done_and_stored_beside_each_other(self, tmp_path: Path) -> None:
        jobs: list[Any] = [make(n) for make in (make_run, make_evaluation, make_measurement) for n in (1, 2)]
        domains = {"job": Categories(tuple(job.key for job in jobs))}
        stored_when_told = []
        with Store(f"sqlite:///{tmp_path / 'study.db'}", "any") as store:

            def hear(event: Event) -> None:
                if isinstance(event, JobEnd):
                    stored_when_told.append(store.outcomes()[event.job.key] == event.outcome)

            clock = Clock({job.key: Amount(job.key) for job in jobs}, dict.fromkeys((job.key for job in jobs), 1.0), 2)
            engine = self.engine(2, of_every_kind)
            do_jobs(engine, jobs, clock, store, tmp_path, lambda job: (domains, {"job": job.key}), hear)
            found = store.outcomes()
        assert (clock.done, clock.total, clock.seconds_left()) == (6, 6, 0)
        assert stored_when_told == [True] * 6
        assert {key: type(found[key]) for key in found} == {
            "key1": Trial, "key2": Trial, "model1": ModelScore, "model2": ModelScore, "visit1": Visit, "visit2": Visit,
        }  # fmt: skip
        for key, outcome in found.items():
            died = f"worker died (signal 9, most likely for want of memory), {LIVES} times"
            assert outcome.error == (died if key.endswith("1") else "")
            assert predictions_file(tmp_path, key).read_bytes() == f"{key} says".encode()
        assert found["model2"] == ModelScore(key="model2", score=2.0, seconds=0.0)
        assert found["visit2"] == Visit("visit2", 2.0)

    def test_closing_ends_all_workers(self, tmp_path: Path) -> None:
        reports = self.engine(2, partial(never_ends, folder=tmp_path)).run_all([make_run(1), make_run(2)])
        seen = set()
        while len(seen) < 2:
            seen.add(next(reports).worker)
        reports.close()
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert len(pids) == 2
        assert not any(psutil.pid_exists(pid) for pid in pids)
