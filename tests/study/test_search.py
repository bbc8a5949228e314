"""A search from question to outcome, with arithmetic in place of training: what is asked when, resuming, refusing."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dorsal.findings.search import analyse_search
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.events import Event, JobEnd, Note, StudyStart
from dorsal.jobs.json_file import write_record
from dorsal.latency.records import MODEL
from dorsal.report.words.search import conclusions
from dorsal.space.sample import Sampling
from dorsal.study.comparison.run import compare
from dorsal.study.population.records import PopulationStudy, SpaceSample
from dorsal.study.population.saved import load_population
from dorsal.study.search.question import SAMPLERS, Effort, Search, command_line
from dorsal.study.search.records import SearchLog, SearchStudy
from dorsal.study.search.run import run_search
from dorsal.study.search.saved import load_search, write_log
from dorsal.study.timing.fit import fit_model
from tests.study.arithmetic import Arithmetic, time_by
from tests.study.conftest import tiny
from tests.study.populations import compared, timed_by_macs
from tests.study.test_timing import measurements

DATA = "scenes(size=32, train=64, val=32)"
OPENED = functools.cache(data_summary)  # what never changes is opened once


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SearchStudy]:
    """Searches with an engine in place of training; three draws come before the first proposal."""
    for sampler in ("tpe", "nsga2"):
        monkeypatch.setitem(SAMPLERS, sampler, Effort(3, 100))

    def run(asked: Search, engine: Arithmetic, events: list[Event] | None = None) -> SearchStudy:
        monkeypatch.setattr("dorsal.study.search.run.data_summary", OPENED)
        monkeypatch.setattr("dorsal.study.search.run.engine_of", lambda *_: engine)
        time_by(lambda _: "no time", monkeypatch)
        return run_search(asked, on_event=(events if events is not None else []).append)

    return run


def question(out: Path, **changes: Any) -> Search:
    fields = {"space": "anynetx_e", "trials": 5, "bounds": {"macs": "1M..4M"}, "recipe": "plain", "data": DATA}
    return Search(**{**fields, "out": str(out), "epochs": 1, "workers": 1, **changes})


def asked_for(search: SearchStudy) -> list[tuple[Any, ...]]:
    return [(each.label, each.point, each.drawn, each.passed_over, each.memory) for each in search.log.networks]


def errors(search: SearchStudy) -> list[float]:
    return [100 - (trial.score or 0) for trial in search.study.trials]


def test_networks_are_asked_for_trained_and_told_of(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    events: list[Event] = []
    search = train(question(tmp_path), Arithmetic(1), events)
    assert [network.label for network in search.log.networks] == [f"anynetx_e/{n}" for n in range(5)]
    assert [network.drawn for network in search.log.networks[:3]] == [True] * 3
    assert not any(network.drawn for network in search.log.networks[3:])
    assert all(1e6 <= network.costs["macs"] <= 4e6 for network in search.log.networks)
    assert [arm for arm, _, _ in search.study.ended()] == [arm.label for arm in search.study.arms]
    assert len({arm.network_hash for arm in search.study.arms}) == 5
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[2].startswith("anynetx_e/0, drawn: regnetx_002(")
    assert "anynetx_e/0, plain, seed 1 could not be timed: no time" in notes
    assert notes[-1].startswith("anynetx_e/4, proposed by tpe: ")
    (planned,) = (event for event in events if isinstance(event, StudyStart))
    assert (planned.forecast.runs, planned.forecast.done, planned.forecast.seconds) == (5, 0, None)  # none is timed
    assert [(e.done, e.total) for e in events if isinstance(e, JobEnd)] == [(n, 5) for n in range(1, 6)]
    assert search.study.command.startswith("dorsal space search anynetx_e --trials 5 --macs 1M..4M")


@pytest.mark.parametrize(("sampler", "workers"), [("tpe", 1), ("tpe", 3), ("nsga2", 2)])
def test_however_it_is_broken_off_it_ends_as_if_it_had_not_been(
    train: Callable[..., SearchStudy], tmp_path: Path, sampler: str, workers: int
) -> None:
    whole = train(question(tmp_path / "whole", trials=6, sampler=sampler), Arithmetic(workers))
    asked, made = question(tmp_path / "broken", trials=6, sampler=sampler), 0
    for seed, reports in enumerate((0, 1, 3)):
        engine = Arithmetic(workers, seed, reports)
        with pytest.raises(KeyboardInterrupt):
            train(asked, engine)
        made += len(engine.made)
    last = Arithmetic(workers, 9)
    broken = train(asked, last)
    assert asked_for(broken) == asked_for(whole)
    assert broken.study.trials == whole.study.trials
    assert made + len(last.made) == 6


def test_stopped_before_its_first_network_is_written_down_it_goes_on(
    train: Callable[..., SearchStudy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: Path, log: SearchLog) -> None:
        if log.networks:
            raise KeyboardInterrupt
        write_log(folder, log)

    with monkeypatch.context() as patch:
        patch.setattr("dorsal.study.search.run.write_log", stop)
        with pytest.raises(KeyboardInterrupt):
            train(question(tmp_path), Arithmetic(1))
    assert not load_search(tmp_path).log.networks
    assert len(train(question(tmp_path, sampler="nsga2"), Arithmetic(1)).study.trials) == 5


def test_when_less_is_left_than_there_are_workers_it_still_goes_on_as_before(
    train: Callable[..., SearchStudy], tmp_path: Path
) -> None:
    whole = train(question(tmp_path / "whole"), Arithmetic(3, None))
    broken = Arithmetic(3, None, 3)
    with pytest.raises(KeyboardInterrupt):
        train(question(tmp_path / "broken"), broken)
    assert [run.arm[-1] for run in broken.made] == ["2", "3", "1"]  # 0 and 4 are left, and 4 not asked for yet
    assert asked_for(train(question(tmp_path / "broken"), Arithmetic(3))) == asked_for(whole)


def test_workers_never_wait_for_long_and_know_all_but_the_last_results(
    train: Callable[..., SearchStudy], tmp_path: Path
) -> None:
    one_order, another = Arithmetic(2, 1), Arithmetic(2, 2)
    first = train(question(tmp_path / "a", trials=8), one_order)
    second = train(question(tmp_path / "b", trials=8), another)
    assert [run.arm for run in one_order.made] != [run.arm for run in another.made]
    assert asked_for(first) == asked_for(second)
    assert one_order.in_flight.count(2) >= 5  # of 8; this order of ending is as bad as it gets
    alone = train(question(tmp_path / "c", trials=5), Arithmetic(1))
    assert asked_for(alone)[:3] == asked_for(first)[:3]
    assert asked_for(alone) != asked_for(first)[:5]


def test_more_trials_and_more_seeds_go_on_from_what_is_there(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    first = train(question(tmp_path, trials=3), Arithmetic(1))
    engine = Arithmetic(1)
    longer = train(question(tmp_path, trials=5), engine)
    assert asked_for(longer)[:3] == asked_for(first)
    assert [run.arm for run in engine.made] == ["anynetx_e/3", "anynetx_e/4"]
    engine = Arithmetic(1)
    fewer = train(question(tmp_path, trials=2, seeds=2), engine)
    assert asked_for(fewer) == asked_for(longer)
    assert {(run.arm, run.seed) for run in engine.made} == {(f"anynetx_e/{n}", 2) for n in range(5)}
    least = analyse_search(fewer).best
    assert least is not None
    assert least.error == pytest.approx(min(errors(longer)) - 0.05)


def test_the_storage_of_a_folder_is_kept_and_another_is_refused(
    train: Callable[..., SearchStudy], tmp_path: Path
) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'other.db'}"
    search = train(question(tmp_path / "out", storage=elsewhere), Arithmetic(1))
    engine = Arithmetic(1)
    assert train(question(tmp_path / "out"), engine).study.trials == search.study.trials
    assert not engine.made
    with pytest.raises(ValueError, match=r"is stored at sqlite:.*other\.db, not at sqlite:.*third\.db"):
        train(question(tmp_path / "out", storage=f"sqlite:///{tmp_path / 'third.db'}"), engine)


def test_diverged_networks_count_and_failed_ones_are_made_again(
    train: Callable[..., SearchStudy], tmp_path: Path
) -> None:
    engine = Arithmetic(1)
    engine.ends = {"anynetx_e/1": "diverged", "anynetx_e/4": "failed"}
    search = train(question(tmp_path), engine)
    counts = analyse_search(search).counts
    assert (counts.finished, counts.diverged, counts.failed, counts.waiting) == (3, 1, 1, 0)
    assert conclusions(analyse_search(search))[0].startswith(
        "3 of 5 networks of anynetx_e finished (1 diverged, 1 failed"
    )
    engine = Arithmetic(1)
    again = train(question(tmp_path), engine)
    assert [run.arm for run in engine.made] == ["anynetx_e/4"]
    assert asked_for(again) == asked_for(search)
    assert analyse_search(again).counts.failed == 0


def test_several_objectives_have_a_front(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    asked = question(tmp_path, sampler="nsga2", objectives=("error", "macs"))
    outcome = analyse_search(train(asked, Arithmetic(1)))
    values = [point.values for point in outcome.front]
    assert values == sorted(values)
    assert [macs for _, macs in values] == sorted((macs for _, macs in values), reverse=True)
    assert outcome.best is not None
    assert values[0][0] == outcome.best.error
    assert any(sentence.startswith("No network beats these in error and macs: ") for sentence in conclusions(outcome))


def test_a_predicted_time_is_bounded_and_an_objective(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    networks = timed_by_macs()
    write_record(tmp_path / MODEL, fit_model(measurements(networks=networks, spaces=("anynetx_e",))))
    asked = question(
        tmp_path / "out",
        objectives=("error", "latency"),
        latency_model=str(tmp_path),
        bounds={"forward_b1_ms": "2..5"},
        trials=4,
    )
    search = train(asked, Arithmetic(1))
    assert search.log.objectives == ("error", "forward_b1_ms")
    times = [network.costs["forward_b1_ms"] for network in search.log.networks]
    assert times == pytest.approx([1 + 1e-6 * network.costs["macs"] for network in search.log.networks], rel=0.01)
    assert 2 <= min(times) <= max(times) <= 5
    front = analyse_search(search).front
    assert {point.values[1] for point in front} <= set(times)
    slower = tuple(msgspec.structs.replace(timed, rounds=({"forward_b1_ms": 4.0},) * 2) for timed in networks[:1])
    write_record(tmp_path / MODEL, fit_model(measurements(networks=slower + networks[1:], spaces=("anynetx_e",))))
    with pytest.raises(ValueError, match=r"counted other costs of anynetx_e/0; latency_model '.*' has changed since"):
        train(msgspec.structs.replace(asked, trials=5), Arithmetic(1))
    assert load_search(tmp_path / "out") == search
    unbounded = question(tmp_path / "free", objectives=asked.objectives, latency_model=str(tmp_path), trials=4)
    search = train(unbounded, Arithmetic(1))
    assert all(network.costs["forward_b1_ms"] > 0 for network in search.log.networks)


def random_population(search: SearchStudy) -> PopulationStudy:
    """The networks of a random search as a population."""
    log = search.log
    drawn = SpaceSample(
        space=log.space,
        sampling=Sampling(
            points=1.0,
            dimensions=1,
            bounds=log.bounds,
            seed=0,
            candidates=1,
            rejected={},
            met={},
            accepted=1,
            duplicates=0,
        ),
        labels=tuple(network.label for network in log.networks),
        axes={},
        costs={"macs": [network.costs["macs"] for network in log.networks]},
    )
    return PopulationStudy(study=search.study, spaces=(drawn,))


def test_a_search_is_compared_with_random_draws(
    train: Callable[..., SearchStudy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = train(question(tmp_path / "search"), Arithmetic(1))
    random = train(question(tmp_path / "random", sampler="random", trials=12, sample_seed=1), Arithmetic(1))
    population = random_population(random)
    monkeypatch.setattr("dorsal.study.search.question.load_population", lambda *_: population)
    again = train(question(tmp_path / "search", against="population"), Arithmetic(1))
    assert again.log == compared(search, population).log
    assert again.study.trials == search.study.trials
    assert train(question(tmp_path / "search"), Arithmetic(1)).log == again.log  # it stays, as the report shows it
    outcome = analyse_search(again)
    assert outcome.against is not None
    assert (outcome.against.k, outcome.against.n) == (5, 12)
    assert outcome.against.best == min(errors(search))
    assert outcome.against.verdict == "not shown"
    assert any("With fewer than 195 random networks no search of 5" in sentence for sentence in conclusions(outcome))
    assert not any("not known" in sentence for sentence in conclusions(outcome))
    events: list[Event] = []
    more = train(question(tmp_path / "search", seeds=2), Arithmetic(1), events)
    assert more.log.against is None
    assert any(
        "trained with seeds=1 and this search with 2" in event.text for event in events if isinstance(event, Note)
    )
    assert "not known: no population" in " ".join(conclusions(analyse_search(search)))

    def refused(**changes: Any) -> str:
        (drawn,) = population.spaces
        other = msgspec.structs.replace(population, spaces=(msgspec.structs.replace(drawn, **changes),))
        with pytest.raises(ValueError, match="against='population' ") as error:
            compared(search, other)
        return str(error.value)

    assert "differs from the search in bounds: macs 1M..5M, not macs 1M..4M; errors do not compare" in refused(
        sampling=msgspec.structs.replace(population.spaces[0].sampling, bounds={"macs": "1M..5M"})
    )
    space = msgspec.structs.replace(search.log.space, image_size=64)
    assert "differs from the search in the space anynetx_e" in refused(space=space)
    assert "is a population of other, and the search is of anynetx_e" in refused(
        space=msgspec.structs.replace(space, name="other")
    )
    wider = question(tmp_path / "wider", bounds={"macs": "1M..5M"}, against="population")
    with pytest.raises(ValueError, match=r"in bounds: macs 1M\.\.4M, not macs 1M\.\.5M"):
        run_search(wider)
    assert not (tmp_path / "wider").exists()
    twice = msgspec.structs.replace(search, study=msgspec.structs.replace(search.study, seeds=(1, 2)))
    with pytest.raises(ValueError, match="in number of seeds: 1, not 2"):
        compared(twice, population)


def test_networks_of_both_are_no_random_others(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    search = train(question(tmp_path / "search"), Arithmetic(1))  # whose first three are draws
    random = train(question(tmp_path / "random", sampler="random", trials=12), Arithmetic(1))
    against = analyse_search(compared(search, random_population(random))).against
    assert against is not None
    own = {arm.network_hash for arm in search.study.arms}
    others = [arm.network_hash for arm in random.study.arms if arm.network_hash not in own]
    assert (against.k, against.n) == (5, len(others))
    assert len(others) <= 9
    outcome = analyse_search(compared(search, random_population(search)))
    assert outcome.against is None
    assert "is not known: no population with two other networks was given" in " ".join(conclusions(outcome))


def test_a_search_of_nothing_finished_says_so(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    engine = Arithmetic(1)
    engine.ends = {f"anynetx_e/{n}": "diverged" for n in range(4)}
    outcome = analyse_search(train(question(tmp_path, trials=4), engine))
    assert outcome.best is None
    assert outcome.front == ()
    assert outcome.best_so_far == (None,) * 4
    assert conclusions(outcome)[-1] == "No network has finished, so there is nothing to compare."


def test_another_question_is_refused_with_nothing_lost(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    search = train(question(tmp_path, trials=1), Arithmetic(1))
    for changes, says in (
        ({"bounds": {"macs": "1M..3M"}}, r"bounds .* instead of"),
        ({"objectives": ("error", "macs"), "sampler": "nsga2"}, "sampler tpe instead of nsga2"),
        ({"space": "anynetx_d"}, "another space"),
        ({"recipe": "tricks"}, "another recipe"),
        ({"data": "scenes(size=32, train=96, val=32)"}, "another data"),
    ):
        with pytest.raises(ValueError, match=f"holds a search with {says}.*; name another folder"):
            train(question(tmp_path, **changes), Arithmetic(1))
    with pytest.raises(ValueError, match="holds a study with the name 'search', not 'b'"):
        train(question(tmp_path, name="b"), Arithmetic(1))
    assert load_search(tmp_path) == search
    with pytest.raises(ValueError, match="holds a search of `dorsal space search`; name another folder"):
        compare(tiny(tmp_path, epochs=1, seeds=1))
    with pytest.raises(ValueError, match="holds no population"):
        load_population(tmp_path)


def test_other_folders_are_refused(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no search: .* see `dorsal space search`"):
        load_search(tmp_path)
    search = train(question(tmp_path / "search", trials=1), Arithmetic(1))
    (tmp_path / "search" / "search.json").rename(tmp_path / "kept.json")
    with pytest.raises(ValueError, match=r"holds a search without its search\.json; put that back, or name another"):
        train(question(tmp_path / "search", trials=1), Arithmetic(1))
    for content, says in (
        (b'{"schema": 1}', r"search\.json has schema 1 and this version of dorsal reads 2; use the version that"),
        (b"{", "is no search: Input"),
        (b'{"schema": 2}', "is no search"),
    ):
        (tmp_path / "search" / "search.json").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            load_search(tmp_path / "search")
    (tmp_path / "kept.json").rename(tmp_path / "search" / "search.json")
    assert load_search(tmp_path / "search") == search


def test_bounds_that_nobody_meets_end_it_early(train: Callable[..., SearchStudy], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0 of 300 networks of anynetx_e found .* none has macs in 100G\.\."):
        train(question(tmp_path / "out", trials=300, bounds={"macs": "100G.."}), Arithmetic(1))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sampler": "tpa"}, "unknown sampler 'tpa'; did you mean tpe"),
        ({"sampler": "cmaes"}, "unknown sampler 'cmaes'; valid: tpe, gp, nsga2, random"),
        ({"objectives": ("error", "mac")}, "unknown objective 'mac'; did you mean macs"),
        ({"objectives": ("error", "macs", "error")}, "objective 'error' is given twice"),
        ({"objectives": ("macs",)}, "objectives=macs: nothing of this needs training; give error as well"),
        ({"objectives": ("error", "latency")}, "objective 'latency' of what[?] give a latency model"),
        ({"bounds": {"macs": "400"}}, "macs='400' is not a range"),
        ({"bounds": {"forward_b1_ms": "..5"}}, "unknown bound 'forward_b1_ms'"),
        ({"latency_model": "nowhere"}, "nowhere"),
        ({"space": "anynetx_f"}, "unknown space 'anynetx_f'"),
        ({"trials": 0}, "trials=0 is below 1; nearest valid: 1"),
        ({"seeds": 0}, "seeds=0 leaves nothing to run"),
        ({"workers": 0}, "workers=0 is below 1"),
    ],
)
def test_bad_questions_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Search(**{"space": "anynetx_e", **changes})


def test_the_command_asks_the_same() -> None:
    asked = Search(space="crossed", objectives=("error", "macs"), bounds={"params": "..5M"}, sample_seed=3, seeds=(7,))
    assert command_line(asked) == (
        "dorsal space search crossed --objective error --objective macs --params ..5M --sample-seed 3 --seeds 7,"
    )
