"""Runs made on a Ray cluster. The only file that knows Ray, which it imports when a cluster is used.

The driver, this process, alone decides and stores. On the cluster each run has a place: a placement group with an actor
for every process of the run. An actor trains nothing itself. It keeps a worker process as `LocalPool` does, and passes
on what that one tells; so a death has the same cause and the same words on both engines. All of it belongs to the
driver, and Ray ends it when the driver is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import pickle
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, cast

from dorsal.jobs.engine import (
    LIVES,
    AnyJob,
    Message,
    Report,
    Work,
    Worker,
    WorkerDeath,
    begin_again,
    thread_variables,
)
from dorsal.jobs.ray_connection import joined, load_ray
from dorsal.jobs.records import Outcome, Trial
from dorsal.jobs.resources import host_and_port

_SECONDS_TO_STOP = 10.0
_SECONDS_BETWEEN_COUNTS = 1.0
"""Seconds between counts of the cluster's nodes, which come and go."""


class RayCluster(Generic[AnyJob]):
    """Does every job by `work` on a Ray cluster, as many at once as its nodes have room for.

    address       HOST:PORT of the cluster's head, of which this machine is a node; None starts one here and ends it
    cpus, gpus    of each process of a run; a process has `cpus` threads and sees its own GPUs alone
    processes     of each run. With several they have torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, ...) and may
                  be on several nodes; what the first one tells and returns counts, and the death of one ends them all
    most_at_once  runs in flight, where that is fewer than there is room for

    Ray chooses the nodes. A run that loses its worker or its node begins again elsewhere; when it has lost `LIVES` it
    has failed. What an attempt given up may still have to tell is never read, though where a node is cut off rather
    than dead it may go on for a while. A run goes on from its checkpoint if the nodes share the file system of the
    checkpoint folder, and from its start if they do not.

    Raises ModuleNotFoundError without Ray; ValueError for a number out of range or an address that is not HOST:PORT.
    """

    def __init__(
        self,
        address: str | None,
        work: Work[AnyJob],
        *,
        cpus: int,
        gpus: float = 0,
        processes: int = 1,
        most_at_once: int | None = None,
    ) -> None:
        for name, number in (("cpus", cpus), ("processes", processes), ("most_at_once", most_at_once)):
            if number is not None and number < 1:
                raise ValueError(f"{name}={number} must be at least 1")
        if gpus < 0:
            raise ValueError(f"gpus={gpus} must be at least 0")
        if address is not None:
            host_and_port(address)
        ray = load_ray()
        self._address, self._most_at_once = address, most_at_once
        self._work: bytes = ray.cloudpickle.dumps(work)
        self._needs = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
        self._processes = processes

    def capacity(self) -> int:
        """See `Engine.capacity`; what the cluster's nodes have room for now. Raises ValueError as `run_all` does."""
        with joined(self._address):
            room = self._room()
            if not room:
                raise ValueError(self._no_room())
            return room

    def run_all(
        self, jobs: Sequence[AnyJob], more: Callable[[], Sequence[AnyJob]] | None = None
    ) -> Generator[Report[AnyJob]]:
        """See `Engine.run_all`.

        Raises ValueError when the cluster cannot be reached or joined, runs another version of Ray or Python, or has
        no room for a single run, be it from the start or after it lost nodes.
        """
        if not jobs:
            return
        with joined(self._address):
            yield from self._run_all(deque(jobs), more)

    def _run_all(
        self, waiting: deque[AnyJob], more: Callable[[], Sequence[AnyJob]] | None
    ) -> Generator[Report[AnyJob]]:
        deaths: Counter[str] = Counter()
        places: dict[int, _Place[AnyJob]] = {}
        failed_starts, room, counted = 0, 0, -math.inf
        try:
            while waiting or _busy(places):
                if time.monotonic() - counted > _SECONDS_BETWEEN_COUNTS:
                    room, counted = self._room(), time.monotonic()
                if not room and not _busy(places):
                    raise ValueError(self._no_room())
                self._occupy(places, waiting, room, keep=more is not None)
                for number, stream in _ready(places):
                    place = places.get(number)
                    if place is None:  # given up a moment ago, when another of its processes died
                        continue
                    job, what = place.job, place.hear(stream)
                    if isinstance(what, WorkerDeath) or (isinstance(what, Outcome) and place.streams):
                        places.pop(number).give_up()  # the rest of its processes would wait for the one that ended
                        counted = -math.inf
                    if job is None:
                        failed_starts = failed_starts + 1 if isinstance(what, WorkerDeath) else 0
                        if isinstance(what, WorkerDeath) and failed_starts == LIVES:
                            raise ValueError(f"no worker can start on the Ray cluster: {what.reason}")
                    elif what is not None:
                        if isinstance(what, WorkerDeath):
                            what = begin_again(job, what, deaths, waiting)
                        yield Report(number, job, what)
                        waiting.extend(more() if more else ())
        finally:
            _stop(list(places.values()))

    def _occupy(self, places: dict[int, _Place[AnyJob]], waiting: deque[AnyJob], room: int, keep: bool) -> None:
        """Gives waiting runs to idle places, ends those for whom there is none unless they are to be kept, and opens as
        many as may be of use."""
        for number, place in sorted(places.items()):
            if place.idle and waiting:
                place.begin(waiting.popleft())
            elif place.idle and not keep:
                _stop([places.pop(number)])
        while len(places) < min(room, _busy(places) + len(waiting)):
            number = next(number for number in itertools.count() if number not in places)
            places[number] = _Place(self._work, self._needs, self._processes)

    def _room(self) -> int:
        """How many runs the nodes there are now can make at once."""
        fitting = sum(min(int(node.get(name, 0) / need) for name, need in self._needs.items()) for node in _nodes())
        room = fitting // self._processes
        return room if self._most_at_once is None else min(room, self._most_at_once)

    def _no_room(self) -> str:
        nodes = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in _nodes())
        return (
            f"a run takes cpus={self._needs['CPU']}, gpus={self._needs.get('GPU', 0):g}, processes={self._processes}, "
            f"for which the Ray cluster has no room; its nodes have {nodes or 'gone'}"
        )


class _Host:
    """An actor: a worker process on its node. Two calls may be in it at once, the second of which is `stop`."""

    def __init__(self, work: bytes) -> None:
        self._work = cast("Work[Any]", _PickledWork(work))
        self._worker: Worker[Any, Message | Outcome] | None = None
        self._idle = threading.Event()
        self._idle.set()

    def where(self) -> tuple[str, int]:
        """The node's address and a free port of it."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def do(self, job: Any, variables: dict[str, str]) -> Generator[Message | Outcome | WorkerDeath]:
        """What the worker tells of the job, up to its outcome or the worker's death."""
        self._idle.clear()
        try:
            if self._worker is None:
                self._worker = Worker(self._work, variables, alone=True)
            self._worker.begin(job)
            ended = False
            while not ended:
                _, what = self._worker.receive()
                ended = isinstance(what, Outcome | WorkerDeath)
                yield what
        finally:
            self._idle.set()

    def stop(self) -> None:
        """Returns when the worker has ended, and `do` with it."""
        if self._worker is not None:
            self._worker.terminate()
            self._idle.wait()
            self._worker.stop()


class _PickledWork:
    """Work unpickled only in the worker, so that the host process need not import torch or the user's script."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._data,)


class _Place(Generic[AnyJob]):
    """Room on the cluster for one run: a host for each process, and streams of what the hosts have to tell.

    It opens when Ray has found room, is idle then, and busy with `job` until that has its outcome. A host's first
    answer says where it is.
    """

    def __init__(self, work: bytes, needs: Mapping[str, float], processes: int) -> None:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self.job: AnyJob | None = None
        self._outcome: Outcome | None = None
        self._group = placement_group([dict(needs)] * processes)
        actor = load_ray().remote(_Host)
        self.hosts = [
            actor.options(
                num_cpus=needs["CPU"],
                num_gpus=needs.get("GPU", 0),
                max_concurrency=2,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, rank),
            ).remote(work)
            for rank in range(processes)
        ]
        self.streams: dict[Any, int] = {host.where.remote(): rank for rank, host in enumerate(self.hosts)}
        self._addresses: dict[int, tuple[str, int]] = {}
        self._threads = int(needs["CPU"])

    @property
    def idle(self) -> bool:
        return self.job is None and not self.streams

    def begin(self, job: AnyJob) -> None:
        """Hands a job to the hosts, which must be idle."""
        self.job, self._outcome = job, None
        self.streams = {
            host.do.options(num_returns="streaming").remote(job, self._variables(rank)): rank
            for rank, host in enumerate(self.hosts)
        }

    def _variables(self, rank: int) -> dict[str, str]:
        variables = thread_variables(self._threads)
        if len(self.hosts) == 1:
            return variables
        address, port = self._addresses[0]
        return variables | {
            "RANK": str(rank),
            "LOCAL_RANK": "0",  # each sees its own GPUs alone
            "WORLD_SIZE": str(len(self.hosts)),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }

    def hear(self, stream: Any) -> Message | Outcome | WorkerDeath | None:
        """The next of a stream that is ready, if it is of interest: what the first process tells, the end of all."""
        import ray

        rank = self.streams[stream]
        try:
            what = ray.get(stream if self.job is None else next(stream))
        except ray.exceptions.RayError as error:
            return WorkerDeath(f"worker died ({_cause(error, self._addresses.get(rank))})")
        if self.job is None:
            self._addresses[rank] = what
            del self.streams[stream]
            return None
        if isinstance(what, Outcome):
            return self._ended(stream, rank, what)
        return what if rank == 0 or isinstance(what, WorkerDeath) else None

    def _ended(self, stream: Any, rank: int, outcome: Outcome) -> Outcome | None:
        """The job's outcome, if this one is the last of its processes to end or has failed."""
        del self.streams[stream]
        if rank == 0:
            self._outcome = outcome
        failed = isinstance(outcome, Trial) and outcome.status == "failed"
        if self.streams and not failed:
            return None
        self.job = None
        return outcome if failed else self._outcome

    def give_up(self) -> None:
        """Ends the hosts, wherever they are; nothing they tell is read any more."""
        import ray

        for host in self.hosts:
            with contextlib.suppress(ray.exceptions.RayError):  # it never came to be
                ray.kill(host)
        ray.util.remove_placement_group(self._group)


def _stop(places: Sequence[_Place[Any]]) -> None:
    """Ends places, and returns when their workers have ended, of whom those not heard from in time are given up."""
    import ray

    ends = [host.stop.remote() for place in places if place.idle or place.job for host in place.hosts]
    if ends:
        ray.wait(ends, num_returns=len(ends), timeout=_SECONDS_TO_STOP)
    for place in places:
        place.give_up()


def _busy(places: Mapping[int, _Place[Any]]) -> int:
    return sum(place.job is not None for place in places.values())


def _ready(places: Mapping[int, _Place[Any]]) -> list[tuple[int, Any]]:
    """Numbers of places and their streams that have something to tell; waits for one, but not for long: nodes come."""
    import ray

    numbers = {stream: number for number, place in places.items() for stream in place.streams}
    streams = list(numbers)
    if not ray.wait(streams, timeout=_SECONDS_BETWEEN_COUNTS)[0]:
        return []
    ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
    return [(numbers[stream], stream) for stream in ready]


def _nodes() -> list[dict[str, float]]:
    """What each living node has in all, in use or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _cause(error: Exception, address: tuple[str, int] | None) -> str:
    """Why a host is gone, in a few words."""
    import ray

    node = f"node {address[0]}" if address else "its node"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"out of memory: {node} ran low and Ray ended it"
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return f"{node} cannot be reached"
    return str(error).strip().splitlines()[-1].split(". ")[0].rstrip(".")
