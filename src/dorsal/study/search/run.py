"""Searches: networks of a design space that a sampler asks for one after the other, knowing how the others did."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import fmean

from msgspec.structs import replace

from dorsal.data.spec import parse_data
from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import data_summary, summaries_at_sizes
from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.device import with_device
from dorsal.jobs.events import Event, JobEnd, Note, StudyStart
from dorsal.jobs.execution import Execution, OnEvent, engine_of, keep, make_runs, tell, tell_remarks, training
from dorsal.jobs.forecast import START_UP_SECONDS, Forecast
from dorsal.jobs.kept import check_disk, disk_needed
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine
from dorsal.jobs.plan import Plan, Run, run_of
from dorsal.jobs.records import Arm, Machine, Study, Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.results import network_result, run_result
from dorsal.jobs.store import Domains, Store, Values
from dorsal.jobs.study_file import STUDY_FILE, storage_url
from dorsal.jobs.timings import epoch_seconds, time_runs
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.suits import check_all_suit
from dorsal.recipes.text import read_recipes
from dorsal.space.base import based_on
from dorsal.space.bounds import read_bounds
from dorsal.space.costs import cost_of
from dorsal.space.sample import Sample
from dorsal.spec.timm import hash_of
from dorsal.study.population.question import Population
from dorsal.study.population.run import RUN, check_drawn, domains_of, first_networks, sample_spaces, values_of
from dorsal.study.search.proposals import Asker, Feedback, Judgement
from dorsal.study.search.question import Search, command_line
from dorsal.study.search.records import ERROR, SearchedNetwork, SearchLog, SearchStudy, random_draws
from dorsal.study.search.saved import load_search, log_so_far, write_log

TIMED = 3
"""Networks timed for the forecast before any has been trained."""


def run_search(asked: Search, *, on_event: OnEvent = lambda _: None) -> SearchStudy:
    """Asks for networks and trains them until there are `trials`; returns the search with all runs that have ended.

    With one worker each network is asked for knowing all before it. With w workers it is asked for knowing all but the
    last w + w // 2 - 1, whichever of those have ended already: so workers seldom wait, and the order in which runs
    happen to end does not matter. What was asked for is written down before it is trained. Interrupted at any point,
    the same call with as many workers goes on and ends as it would have, unless a run failed that now does not; with
    more `trials` or seeds it goes on from what is there.

    Raises ValueError as `compare` does, for bounds that fewer than `trials` networks meet, for a folder
    with something else or a search of another question; and before anything is trained, where the search could not be
    compared with the population `against`.
    """
    drawn = asked.population  # refused before anything else is looked at
    place = with_device(asked.resources)
    recipes = read_recipes([asked.asked_recipe], asked.epochs)
    check_all_suit(recipes, asked.asked_task)
    data = data_summary(parse_data(asked.data, asked.asked_task), task=asked.asked_task)
    tell(data.notes, on_event)
    objectives, predicted = asked.asked_objectives, asked.predicted
    bounds = {**{name: "0.." for name in objectives if name in predicted}, **asked.bounds}  # where it is predicted
    population = Population(
        spaces=(asked.space,),
        count=asked.trials,
        bounds=bounds,
        edit=asked.edit,
        latency_model=asked.latency_model,
        sample_seed=asked.sample_seed,
    )
    (draws,) = sample_spaces(population, data, on_event)
    check_drawn({f"{draws.space.name}/{row}": network for row, network in enumerate(draws.networks())}, data)
    log = SearchLog(
        space=draws.space,
        bounds=asked.bounds,
        sampler=asked.sampler,
        objectives=objectives,
        seed=asked.sample_seed,
        latency_model=asked.latency_model,
    )
    seeds = len(asked.seed_list)
    if drawn:
        log = replace(log, against=random_draws(drawn, asked.against, log, recipes, data, seeds))
    asker = Asker(draws.space, read_bounds(bounds, predicted), predicted, objectives, asked.sampler, asked.sample_seed)
    folder = asked.folder
    with hold(folder), Store(storage_url(folder, asked.storage), asked.name) as store:
        log = log_so_far(folder, asked.name, log, recipes, data)
        if log.against and log.against.seeds != seeds:
            on_event(
                Note(
                    f"random draws of {log.against.folder} were trained with seeds={log.against.seeds} and this search "
                    f"with {seeds}, so they are no longer compared; --against names others"
                )
            )
            log = replace(log, against=None)
        write_log(folder, log)  # wherever it is broken off, the folder is that of a search
        _Searcher(asked, place, log, asker, draws, recipes, data, store, on_event).go_on()
    return load_search(folder, asked.storage)


class _Searcher:
    """A search while it goes on: what has been asked for, the runs that takes, and what came of those that ended."""

    def __init__(
        self,
        asked: Search,
        place: Resources,
        log: SearchLog,
        asker: Asker,
        draws: Sample,
        recipes: dict[str, Recipe],
        data: DataSummary,
        store: Store,
        on_event: OnEvent,
    ) -> None:
        self.asked, self.log, self.asker, self.recipes, self.data = asked, log, asker, recipes, data
        self.store, self.on_event = store, on_event
        self.folder, self.place, self.seeds = asked.folder, place, asked.seed_list
        self.trials = max(asked.trials, len(log.networks))
        self.draws = ({axis: index[[row]] for axis, index in draws.points.items()} for row in range(len(draws)))
        self.seen_at = summaries_at_sizes(data)
        ((self.recipe_name, self.recipe),) = recipes.items()
        self.params: list[float] = draws.costs["params"].tolist()
        self.arms: list[Arm] = []
        self.keys: set[bytes] = set()
        self.runs: dict[tuple[str, int], Run] = {}
        self.ended = {key: trial for key, trial in store.trials().items() if trial.status != "failed"}
        for network in log.networks:
            genome = asker.genome
            judged = asker.judge(genome.points(genome.params(network.point, undrawn=True)))
            if judged.costs != network.costs:
                model = f"; latency_model {asked.latency_model!r} has changed since" if asked.latency_model else ""
                raise ValueError(
                    f"out={str(self.folder)!r} holds a search that counted other costs of {network.label}{model}; "
                    "name another folder"
                )
            self._take(network.label, judged)

    def go_on(self) -> None:
        """Makes all runs that are left, and asks for networks as it goes."""
        total = self.trials * len(self.seeds)
        left = total - sum(run.key in self.ended for run in self.runs.values())
        engine = engine_of(self.place, training(self._execution()))
        workers = engine.capacity() if left else 1
        ahead = 1 + ceil((workers + workers // 2 - 1) / len(self.seeds))
        workers = min(workers, left) or 1
        here = machine(self.place.device, workers, self.place.threads)
        self._ask_ahead(ahead)
        execution = self._execution()
        study = self._keep(execution, here)
        tell_remarks(study, self.on_event)
        epoch = self._epoch_seconds(here) if left else 0.0
        known = list(self.runs.values())
        waiting = {run.key: self._amount for run in known if run.key not in self.ended}
        unknown = [self._amount] * (left - len(waiting))
        clock = Clock(waiting, {self._amount.kind: epoch}, workers, unknown, done=total - left)
        takes = clock.seconds_left() + START_UP_SECONDS if epoch else None
        usual = round(fmean(self.params))
        disk = disk_needed([usual] * left, self.data, workers, execution.keep_models)
        check_disk(self.folder, disk, execution.keep_models)
        coming = Forecast(total, total - left, takes if left else 0.0, workers, {}, disk)
        self.on_event(StudyStart((), coming, self.place.device))

        def more() -> list[Run]:
            if new := self._ask_ahead(ahead):
                self._keep(execution, here)
            return new

        make_runs(execution, known, set(self.ended), engine, clock, self.store, self._hear, more)

    @property
    def _amount(self) -> Amount:
        """What a run is to the clock: all are taken to be alike."""
        return Amount(self.recipe_name, self.recipe.epochs)

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobEnd) and isinstance(event.outcome, Trial):
            self.ended[event.job.key] = event.outcome
        self.on_event(event)

    def _ask_ahead(self, ahead: int) -> list[Run]:
        """Asks for networks as long as all but the last `ahead` - 1 have ended, and returns the runs that they take."""
        new: list[Run] = []
        while (count := len(self.log.networks)) < self.trials:
            known = max(count + 1 - ahead, 0)
            results = [self._result(network) for network in self.log.networks[:known]]
            if None in results:
                break
            results += [None] * (count - known)
            told = [
                Feedback(network.point, network.costs, network.memory, result)
                for network, result in zip(self.log.networks, results, strict=True)
            ]
            new += self._ask(told)
        return new

    def _ask(self, told: Sequence[Feedback]) -> list[Run]:
        found = self.asker.propose(told, self.keys, self.draws)
        network = SearchedNetwork(
            label=f"{self.log.space.name}/{len(told)}",
            point=found.point,
            costs=found.judged.costs,
            drawn=found.drawn,
            passed_over=found.passed_over,
            memory=found.memory,
        )
        self.log = replace(self.log, networks=(*self.log.networks, network))
        runs = self._take(network.label, found.judged)
        arm, how = self.arms[-1], "drawn" if found.drawn else f"proposed by {self.log.sampler}"
        self.on_event(Note(f"{arm.label}, {how}: {arm.text}, {arm.cost.macs / 1e6:.2f} M MACs"))
        return [run for run in runs if run.key not in self.ended]

    def _take(self, label: str, judged: Judgement) -> list[Run]:
        """Takes in a network that was asked for, and returns its runs."""
        assert judged.network is not None  # it was asked for
        side = int(judged.costs["image_size"])
        arm = Arm(
            label=label,
            text=based_on(self.log.space.base, judged.network),
            network=judged.network,
            network_hash=hash_of(judged.network),
            cost=cost_of(judged.costs),
            space=self.log.space.name,
            row=len(self.arms),
        )
        self.arms.append(arm)
        self.keys.add(judged.key)
        data, place = self.seen_at(side), self.place
        runs = {(label, seed): run_of(arm, self.recipe_name, self.recipe, seed, data, place) for seed in self.seeds}
        self.runs |= runs
        return list(runs.values())

    def _result(self, network: SearchedNetwork) -> tuple[float, ...] | str | None:
        """The objectives of a network, None before all of its runs have ended, "diverged" or "failed" where one did."""
        runs = [run_result(self.ended.get(self.runs[network.label, seed].key)) for seed in self.seeds]
        status, error = network_result(runs)
        if "waiting" in runs:
            return None
        if error is None:
            return status
        return tuple(error if name == ERROR else network.costs[name] for name in self.log.objectives)

    def _execution(self) -> Execution:
        domains: Domains = {**domains_of(self.log.space), **RUN}

        def describe(run: Run) -> tuple[Domains, Values]:
            network = next(each for each in self.log.networks if each.label == run.arm)
            return domains, {**values_of(network.point), "seed": run.seed, "epochs": run.recipe.epochs}

        return Execution(
            plan=self._plan(),
            timed=(),
            part=first_networks,
            parts=self.trials,
            part_name="networks",
            describe=describe,
            place=self.place,
            folder=self.folder,
            file=STUDY_FILE,
            kind="search",
            name=self.asked.name,
            command=command_line(self.asked),
            storage=self.asked.storage,
            budget=None,
            keep_models=self.asked.keep_models,
        )

    def _plan(self) -> Plan:
        runs = tuple(self.runs.values())
        return Plan(arms=tuple(self.arms), recipes=self.recipes, seeds=self.seeds, data=self.data, runs=runs)

    def _keep(self, execution: Execution, here: Machine) -> Study:
        """Writes down what has been asked for: first the plan, which may then know a network more than the log."""
        study = keep(execution, self._plan(), set(self.ended), here)
        write_log(self.folder, self.log)
        return study

    def _epoch_seconds(self, here: Machine) -> float:
        """What an epoch takes, as measured so far; at first, of the first networks."""
        keys = {run.key for run in self.runs.values()}
        seconds = [epoch.seconds for key, trial in self.ended.items() if key in keys for epoch in trial.curve]
        if not seconds:
            first = [run for run in self.runs.values() if run.seed == self.seeds[0]][:TIMED]
            seconds = list(epoch_seconds(time_runs(self.folder, first, self.place, here, self.on_event)).values())
        return fmean(seconds or [0.0])
