"""Ray clusters: the contract of engines on a cluster of several nodes in this machine, and what only a cluster does.

Whatever starts a cluster is slow, but for a lost node. All listens on the loopback address, with a token of this run.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from dorsal.jobs import ray_connection
from dorsal.jobs.engine import LIVES, Report, Work, WorkerDeath
from dorsal.jobs.kept import read_predictions
from dorsal.jobs.plan import Run
from dorsal.jobs.ray_engine import RayCluster
from dorsal.jobs.records import Trial
from dorsal.jobs.store import Store
from dorsal.recipes.epoch import Step
from dorsal.study.evaluation.run import evaluate_models
from dorsal.study.population.run import run_population
from dorsal.study.search.run import run_search
from tests.contracts.engine import ROOT, EngineContract
from tests.contracts.jobs import at_once, make_run, never_ends, says_pid_and_threads
from tests.processes import still_running
from tests.study.conftest import results
from tests.study.ray_driver import (
    adds_up_ranks,
    grows,
    says_rank,
    sleeps,
    sleeps_at_first,
    sleeps_when_so_many_have_begun,
)
from tests.study.test_evaluation import asked as evaluation
from tests.study.test_evaluation import model as scored_model
from tests.study.test_evaluation import without_times
from tests.study.test_population import asked as population_question
from tests.study.test_search import question as search_question

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's way to say: listen on the loopback address alone
os.environ |= ray_connection.QUIET | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
ray = pytest.importorskip("ray", reason="needs the extra dorsal[ray]", exc_type=ModuleNotFoundError)
NODES = 4


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of a head without CPUs, to which tests add nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture
def cluster(head: Any) -> Any:
    """The head and four nodes with one CPU each."""
    return with_nodes(head, NODES)


def with_nodes(head: Any, count: int) -> Any:
    """The cluster with at least so many nodes."""
    while len(head.worker_nodes) < count:
        head.add_node(num_cpus=1)
    return head


@pytest.fixture(autouse=True)
def _workers_find_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.slow
class TestRayCluster(EngineContract):
    @pytest.fixture(autouse=True)
    def _address(self, cluster: Any) -> None:
        self.address = cluster.address

    def engine(self, workers: int, work: Work[Run]) -> RayCluster:
        return RayCluster(self.address, work, cpus=1, most_at_once=workers)


def trials_of(reports: list[Report]) -> dict[int, Trial]:
    """The trials by seed, each of which there is one."""
    trials = [(report.job.seed, report.what) for report in reports if isinstance(report.what, Trial)]
    assert max(Counter(seed for seed, _ in trials).values()) == 1
    assert all(trial.key == f"key{seed}" for seed, trial in trials)
    return dict(trials)


def most_at_once(trials: list[Trial]) -> int:
    spans = [tuple(map(float, trial.error.split())) for trial in trials]
    return max(sum(begun <= began < ended for begun, ended in spans) for began, _ in spans)


@pytest.mark.slow
def test_threads_are_those_of_the_cpus_and_workers_are_kept(cluster: Any) -> None:
    reports = list(RayCluster(cluster.address, says_pid_and_threads, cpus=1, most_at_once=1).run_all(runs(3)))
    told = [trial.error.split() for trial in trials_of(reports).values()]
    assert {threads for _, threads in told} == {"1"}
    assert len({pid for pid, _ in told}) == 1


def runs(count: int) -> list[Any]:
    return [make_run(seed) for seed in range(count)]


@pytest.mark.slow
def test_as_many_runs_at_once_as_there_is_room_for_and_no_more(cluster: Any, tmp_path: Path) -> None:
    job = partial(sleeps, folder=tmp_path, seconds=0.5)
    reports = list(RayCluster(cluster.address, job, cpus=1).run_all(runs(12)))
    assert 2 <= most_at_once(list(trials_of(reports).values())) <= NODES
    assert {report.worker for report in reports} <= set(range(NODES))


@pytest.mark.slow
def test_most_at_once_bounds_the_runs_in_flight(cluster: Any, tmp_path: Path) -> None:
    job = partial(sleeps, folder=tmp_path, seconds=0.3)
    reports = list(RayCluster(cluster.address, job, cpus=1, most_at_once=2).run_all(runs(6)))
    assert most_at_once(list(trials_of(reports).values())) <= 2
    assert {report.worker for report in reports} == {0, 1}


def test_runs_of_a_lost_node_are_made_elsewhere_and_recorded_once(
    head: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster = with_nodes(head, 2)
    nodes = len(cluster.worker_nodes)
    job = partial(sleeps_when_so_many_have_begun, folder=tmp_path, count=nodes)
    reports: list[Report] = []
    lost_node = next(iter(cluster.worker_nodes))
    for report in RayCluster(cluster.address, job, cpus=1).run_all(runs(3 * nodes)):
        reports.append(report)
        if isinstance(report.what, Trial) and lost_node in cluster.worker_nodes:
            cluster.remove_node(lost_node, allow_graceful=False)
    trials = trials_of(reports)
    assert {seed: trial.status for seed, trial in trials.items()} == dict.fromkeys(range(3 * nodes), "finished")
    losses = [report.what.reason for report in reports if isinstance(report.what, WorkerDeath)]
    assert len(losses) == 1
    assert "node" in losses[0]
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_host_killed_loses_its_run_once_and_its_worker_ends(cluster: Any, tmp_path: Path) -> None:
    job = partial(sleeps_at_first, folder=tmp_path)
    reports = RayCluster(cluster.address, job, cpus=1, most_at_once=1).run_all(runs(1))
    assert isinstance(next(reports).what, Step)
    (first,) = tmp_path.iterdir()
    worker = psutil.Process(int(first.suffix[1:]))
    worker.parent().kill()
    rest = list(reports)
    assert [type(report.what) for report in rest] == [WorkerDeath, Step, Trial]
    assert "worker process has died" in rest[0].what.reason
    assert not still_running([worker], 60)


@pytest.mark.slow
def test_several_processes_have_ranks_and_the_first_one_counts(cluster: Any, tmp_path: Path) -> None:
    cluster_of_two = RayCluster(cluster.address, partial(says_rank, folder=tmp_path), cpus=1, processes=2)
    reports = list(cluster_of_two.run_all(runs(4)))
    assert {trial.error for trial in trials_of(reports).values()} == {"0 2 127.0.0.1"}
    assert {report.what.epoch for report in reports if isinstance(report.what, Step)} == {1}
    assert [r.what.reason for r in reports if isinstance(r.what, WorkerDeath)] == [
        "worker died (signal 9, most likely for want of memory)"
    ]
    assert {report.worker for report in reports} <= {0, 1}


@pytest.mark.slow
def test_several_processes_find_each_other(cluster: Any) -> None:
    reports = list(RayCluster(cluster.address, adds_up_ranks, cpus=1, processes=3).run_all(runs(1)))
    assert trials_of(reports)[0].error == "6"


class Driver:
    def __init__(self, address: str, folder: Path, count: int) -> None:
        self.url, self.tries = f"sqlite:///{folder / 'store.db'}", folder / "tries"
        self.tries.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/study/ray_driver.py", address, self.url, self.tries, str(count)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_stored(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            if not self.process.stdout.readline():
                raise AssertionError(f"the driver ended first: {self.process.communicate()[1]}")

    def workers(self) -> list[psutil.Process]:
        found = []
        for path in self.tries.iterdir():
            pid = int(path.suffix[1:])
            if psutil.pid_exists(pid):
                found.append(psutil.Process(pid))
        return found


@pytest.mark.parametrize("where", ["cluster", "here"])
@pytest.mark.slow
def test_a_killed_driver_leaves_nothing_and_the_next_one_makes_the_rest(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address = where if where == "here" else request.getfixturevalue("cluster").address
    killed = Driver(address, tmp_path, 12)
    killed.until_stored(5)
    workers = killed.workers()
    assert workers
    killed.process.send_signal(signal.SIGKILL)
    killed.process.communicate()
    assert not still_running(workers, 60)
    with Store(killed.url, "study") as store:
        stored = set(store.trials())
    assert 5 <= len(stored) < 12

    again = Driver(address, tmp_path, 12)
    _, errors = again.process.communicate(timeout=120)
    assert again.process.returncode == 0, errors
    (study,) = optuna.get_all_study_summaries(killed.url)
    assert study.n_trials == 12
    tries = Counter(path.stem for path in killed.tries.iterdir())
    assert set(tries) == {f"key{seed}" for seed in range(12)}
    assert {tries[key] for key in stored} == {1}


@pytest.mark.slow
def test_a_cluster_of_its_own_is_started_and_ended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before, handler = set(psutil.Process().children(recursive=True)), signal.getsignal(signal.SIGTERM)
    reports = RayCluster(None, at_once, cpus=1).run_all(runs(3))
    first = next(reports)
    started = set(psutil.Process().children(recursive=True)) - before
    assert any("raylet" in process.name() for process in started)
    assert set(trials_of([first, *reports])) == {0, 1, 2}
    assert not still_running(started, 60)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not ray.is_initialized()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_worker_out_of_memory_fails_with_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(memory.total - memory.available + 3e9) / memory.total:.4f}")
    reports = list(RayCluster(None, grows, cpus=1, most_at_once=1).run_all(runs(1)))
    assert [type(report.what) for report in reports] == [WorkerDeath] * (LIVES - 1) + [Trial]
    trial = trials_of(reports)[0]
    assert trial.status == "failed"
    assert "out of memory" in trial.error


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cpus": 64}, "a run takes cpus=64, gpus=0, processes=1, for which the Ray cluster has no room; its nodes"),
        ({"cpus": 1, "gpus": 1}, "gpus=1"),
        ({"cpus": 1, "processes": 9}, "processes=9"),
    ],
)
@pytest.mark.slow
def test_what_no_node_has_is_said_at_once(cluster: Any, asked: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(RayCluster(cluster.address, at_once, **asked).run_all(runs(1)))


@pytest.mark.slow
def test_a_cluster_that_loses_its_room_says_so(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2)
    reports = RayCluster(cluster.address, partial(never_ends, folder=tmp_path), cpus=2).run_all(runs(1))
    assert isinstance(next(reports).what, Step)
    cluster.remove_node(node, allow_graceful=False)
    with pytest.raises(ValueError, match="the Ray cluster has no room"):
        list(reports)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cpus": 0}, "cpus=0 must be at least 1"),
        ({"cpus": 1, "gpus": -1}, "gpus=-1 must be at least 0"),
        ({"cpus": 1, "processes": 0}, "processes=0 must be at least 1"),
        ({"cpus": 1, "most_at_once": 0}, "most_at_once=0 must be at least 1"),
    ],
)
def test_numbers_out_of_range(asked: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RayCluster(None, at_once, **asked)


@pytest.mark.parametrize("address", ["auto", "127.0.0.1", "ray://127.0.0.1:10001", "127.0.0.1:port", ":6379"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        RayCluster(address, at_once, cpus=1)


def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ValueError, match=f"Ray cluster {address} cannot be reached: .*refused"):
        list(RayCluster(address, at_once, cpus=1).run_all(runs(1)))


def test_an_address_where_another_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_connection, "_SECONDS_TO_JOIN", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ValueError, match="took no driver within 3 s"):
            list(RayCluster(address, at_once, cpus=1).run_all(runs(1)))


@pytest.mark.slow
def test_a_population_and_a_search_made_on_a_cluster_are_those_made_here(tmp_path: Path) -> None:
    places = (None, "local")
    populations = [run_population(population_question(tmp_path / f"p{place}", ray=place)) for place in places]
    searches = [run_search(search_question(tmp_path / f"s{place}", ray=place, trials=2)) for place in places]
    for here, there in (populations, searches):
        assert {trial.status for trial in there.study.trials} == {"finished"}
        assert results(there.study) == results(here.study)
    assert searches[0].log == searches[1].log


@pytest.mark.slow
def test_models_scored_on_a_cluster_score_as_here(tmp_path: Path) -> None:
    models = [scored_model(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    here, there = (evaluate_models(evaluation(models, tmp_path / f"x{place}", ray=place)) for place in (None, "local"))
    assert without_times(there) == without_times(here)
    found = [read_predictions(tmp_path / "xlocal", each.result) for each in there.models]
    assert [len(said["label"]) for said in found] == [32, 32, 32]


@pytest.mark.slow
def test_another_version_on_the_cluster(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.0.0")
    with pytest.raises(ValueError, match=r"Version mismatch.* Ray: 2\.0\.0"):
        list(RayCluster(cluster.address, at_once, cpus=1).run_all(runs(1)))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_process_connected_already(cluster: Any) -> None:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        with pytest.raises(ValueError, match="connected to a Ray cluster already"):
            list(RayCluster(cluster.address, at_once, cpus=1).run_all(runs(1)))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dorsal\[ray\]'"):
        RayCluster(None, at_once, cpus=1)
