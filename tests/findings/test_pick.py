"""The winner of a population and of a search, with arithmetic in place of training."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dorsal.findings.pick import Pick
from dorsal.findings.pick import pick_networks as pick
from dorsal.report.words.search import flattery, pick_sentences
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice
from dorsal.space.space import Space, to_toml
from dorsal.spec.network import from_json, to_json
from dorsal.study.load import load
from dorsal.study.population.question import Population
from dorsal.study.population.run import run_population
from dorsal.study.search.question import Search
from dorsal.study.search.run import run_search
from dorsal.zoo import network
from tests.study.arithmetic import Arithmetic, put_in_place

DATA = "scenes(size=32, train=64, val=32)"
ASKED: dict[str, Any] = {"bounds": {"macs": "1M..4M"}, "recipe": "plain", "data": DATA, "epochs": 1, "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with populations of two spaces, one of whose networks diverged, and a search of two objectives."""
    root = tmp_path_factory.mktemp("pick")
    engine = Arithmetic(1)
    engine.ends = {"anynetx_e/0": "diverged"}
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(engine, patch)
        both = ("anynetx_d", "anynetx_e")
        run_population(Population(spaces=both, count=4, seeds=2, out=str(root / "population"), **ASKED))
        asked = Search(space="anynetx_d", trials=4, objectives=("error", "params"), out=str(root / "search"), **ASKED)
        run_search(asked)
    return root


def pick_networks(folder: Path, *given: Any, **words: Any) -> Pick:
    return pick(load(folder), *given, **words)


def depth_of(found: Pick) -> list[int]:
    return [sum(stage.depth for stage in each.network.stages) for each in found.networks]


def test_the_winner_is_the_network_of_least_error(folder: Path) -> None:
    found = pick_networks(folder / "population")
    (winner,) = found.networks
    assert found.finished == 7  # of 8, for one diverged
    assert winner.errors == pytest.approx((10 + depth_of(found)[0] - 0.1, 10 + depth_of(found)[0] - 0.2))
    assert winner.error == pytest.approx(sum(winner.errors) / 2)
    everyone = [
        each for space in ("anynetx_d", "anynetx_e") for each in pick_networks(folder / "population", space).networks
    ]
    assert winner.error == min(each.error for each in everyone)
    assert {each.label.partition("/")[0] for each in everyone} == {"anynetx_d", "anynetx_e"}
    assert network(winner.text) == winner.network == from_json(to_json(winner.network))
    assert winner.network.head.classes == 10


def test_the_sentences_say_what_the_error_is_worth(folder: Path) -> None:
    found = pick_networks(folder / "population")
    what, worth, left_out, schedule = pick_sentences(found)
    (winner,) = found.networks
    each = ", ".join(f"{error:.2f}" for error in winner.errors)
    assert what.startswith(f"{winner.label}: {winner.error:.2f} % error, the mean of 2 seeds ({each}), ")
    assert "7 noisy means over 2 seeds" in worth
    assert left_out.startswith(f"Picked by all seeds but one, the winner has {winner.error:.2f} % error under the one")
    assert schedule.startswith("Unverified: nothing shows that a schedule of 1 epoch ranks these networks")
    what, worth, schedule = pick_sentences(pick_networks(folder / "search"))
    assert "% error, " in what
    assert "4 noisy runs" in worth
    assert schedule.startswith("Unverified: nothing shows that 1 epoch")
    assert "nothing was picked" in flattery(1, 3)


def test_a_drawn_image_size_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    axes = {"image_size": Axis(Choice((32, 40))), "depths": Axis(Choice((1, 2, 3)), by_stage=True)}
    space = Space(name="sizes", base="small(depths=[1, 1], widths=[16, 32], strides=[1, 2])", axes=axes)
    (tmp_path / "sizes.toml").write_text(to_toml(space), encoding="utf-8")
    drawn = str(tmp_path / "sizes.toml")
    asked = {**ASKED, "bounds": {}}
    run_population(Population(spaces=(drawn,), count=6, out=str(tmp_path / "population"), **asked))
    run_search(Search(space=drawn, trials=6, out=str(tmp_path / "search"), **asked))
    for name, by in (("population", "error"), ("population", "pareto"), ("search", "error")):
        found = pick_networks(tmp_path / name, by=by)
        said = [
            sentence for sentence in pick_sentences(found) if " px: give its data that size, as in --data " in sentence
        ]
        assert [sentence.split()[-1] for sentence in said] == [
            f'"photos(size={each.costs["image_size"]:g})".' for each in found.networks
        ]


def test_a_front_is_of_the_objectives(folder: Path) -> None:
    for name, cost in (("population", "macs"), ("search", "params")):
        found = pick_networks(folder / name, by="pareto")
        errors, costs = ([each.error for each in found.networks], [each.costs[cost] for each in found.networks])
        assert errors == sorted(errors)
        assert costs == sorted(costs, reverse=True)
        assert errors[0] == pick_networks(folder / name).networks[0].error
        assert pick_sentences(found)[0] == f"No network beats these {len(errors)} in error and {cost}."


def test_bounds_are_kept(folder: Path) -> None:
    every = pick_networks(folder / "population", by="pareto").networks
    middle = (every[0].costs["macs"] + every[-1].costs["macs"]) / 2
    (found,) = pick_networks(folder / "population", bounds={"macs": f"..{middle / 1e6:.6f}M"}).networks
    assert found.costs["macs"] <= middle
    with pytest.raises(ValueError, match=r"no finished network has macs in 100M\.\.: the nearest has [\d.]+M$"):
        pick_networks(folder / "population", bounds={"macs": "100M.."})


def test_nonsense_is_refused(folder: Path) -> None:
    for words, says in (
        ({"by": "errors"}, "unknown way to pick 'errors'; did you mean error"),
        ({"space": "anynet_d"}, "has no space 'anynet_d'; did you mean anynetx_d"),
        ({"bounds": {"flops": "..5M"}}, "unknown bound 'flops'"),
        ({"bounds": {"macs": "400"}}, "is not a range"),
    ):
        with pytest.raises(ValueError, match=says):
            pick_networks(folder / "population", **words)


def test_of_networks_none_of_which_finished_there_is_none_to_pick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(1), monkeypatch).ends = {"anynetx_e/0": "diverged"}
    run_search(Search(space="anynetx_e", trials=1, out=str(tmp_path), **ASKED))
    with pytest.raises(ValueError, match=r"no network of .* has finished, so there is none to pick"):
        pick_networks(tmp_path)


def test_a_pick_is_plain_data(folder: Path) -> None:
    found = pick_networks(folder / "search")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Pick) == found
