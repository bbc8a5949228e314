"""What is asked of Optuna's samplers: the space's own points, within bounds, new, and the better the more is known."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from dorsal.space.axis import Axis
from dorsal.space.bounds import read_bounds
from dorsal.space.distributions import Choice, LogUniform
from dorsal.space.named import SPACES
from dorsal.space.points import Points, draw_points
from dorsal.space.sample import Sample, sample
from dorsal.space.space import Space
from dorsal.study.search.proposals import Asker, Encoding, Feedback, Proposal
from dorsal.study.search.question import SAMPLERS, Effort

MACS = {"macs": "300M..400M"}
STAGES = Space(
    name="stages",
    base="regnetx_002",
    axes={
        "stages": Axis(Choice((1, 2, 3))),
        "depths": Axis(LogUniform(1, 4), by_stage=True),
        "widths": Axis(LogUniform(8, 64, 8), by_stage=True),
        "strides": Axis(Choice((2,))),
    },
    non_decreasing=("widths",),
)


def rows(drawn: Sample) -> Iterator[Points]:
    return ({axis: index[[row]] for axis, index in drawn.points.items()} for row in range(len(drawn)))


def asker(name: str, sampler: str, objectives: tuple[str, ...] = ("error",), seed: int = 0) -> Asker:
    return Asker(SPACES[name], read_bounds(MACS), {}, objectives, sampler, seed)


def depth(proposal: Proposal) -> float:
    """An error that a search can learn: deep networks are bad."""
    return 20.0 + sum(value or 0 for value in proposal.point["depths"])


def play(asked: Asker, networks: int, drawn: Sample) -> list[tuple[Proposal, Feedback]]:
    """So many networks, each asked for with the results of all before it."""
    draws, known, found = rows(drawn), set(), []
    for _ in range(networks):
        proposal = asked.propose([told for _, told in found], known, draws)
        known.add(proposal.judged.key)
        result = (depth(proposal), proposal.judged.costs["macs"])[: len(asked._objectives)]
        found.append((proposal, Feedback(proposal.point, proposal.judged.costs, proposal.memory, result)))
    return found


@pytest.mark.parametrize("name", SPACES)
def test_points_come_back_from_their_parameters(name: str) -> None:
    genome = Encoding(SPACES[name])
    points = draw_points(genome.compiled, 50, np.random.default_rng(0))
    for row in range(50):
        point = {axis: index[[row]] for axis, index in points.items()}
        values = genome.values(point)
        back = genome.points(genome.params(values, undrawn=True))
        assert all((back[axis] == point[axis]).all() for axis in point)
        drawn = genome.params(values, undrawn=False)
        assert drawn.keys() <= genome.distributions.keys()
        assert all(genome.distributions[param]._contains(genome.distributions[param].to_internal_repr(value))
                   for param, value in drawn.items())  # fmt: skip


def test_blind_parameters_give_the_spaces_own_distribution() -> None:
    space = Space(name="one", base="regnetx_002", axes={"widths": Axis(LogUniform(8, 1024, 8))})
    genome = Encoding(space)
    random = np.random.default_rng(1)
    index = [int(genome.points({"widths.0": random.random()})["widths"][0, 0]) for _ in range(4000)]
    expected = genome.compiled.axes["widths"].probabilities * 4000
    coarse = np.add.reduceat(np.bincount(index, minlength=len(expected)), range(0, 128, 8))
    assert chisquare(coarse, np.add.reduceat(expected, range(0, 128, 8))).pvalue > 1e-3


def test_asked_points_keep_order_conditions_and_stages() -> None:
    random = np.random.default_rng(2)
    ordered, crossed = Encoding(SPACES["anynetx_e"]), Encoding(SPACES["crossed"])
    for _ in range(50):
        point = ordered.values(ordered.points({name: random.random() for name in ordered.distributions}))
        assert point["widths"] == sorted(point["widths"])
        assert point["depths"] == sorted(point["depths"])
        asked: dict[str, Any] = {
            name: random.choice(each.choices).item() if hasattr(each, "choices") else random.random()
            for name, each in crossed.distributions.items()
        }
        point = crossed.values(crossed.points(asked))
        for mixer, scales in zip(point["mixer"], point["mixer.scales"], strict=True):
            assert (scales is None) == (mixer != "multi_scale")
    shallow = Encoding(STAGES)
    asked = {**dict.fromkeys(shallow.distributions, 0.0), "stages.0": 0.5, "widths.0": 0.99}
    point = shallow.values(shallow.points(asked))
    assert point == {"stages": 2, "depths": [1, 1, None], "widths": [8, 64, None], "strides": 2}
    assert "strides.0" not in shallow.distributions  # there is nothing to choose


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
@pytest.mark.parametrize("name", ["anynetx_e", "crossed"])
def test_proposals_are_new_networks_within_bounds(name: str, sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, sampler, Effort(3, 300))
    drawn = sample(SPACES[name], 8, MACS, 0)
    found = [proposal for proposal, _ in play(asker(name, sampler), 8, drawn)]
    assert [proposal.drawn for proposal in found[:3]] == [True] * 3
    assert not all(proposal.drawn for proposal in found[3:])
    assert len({proposal.judged.key for proposal in found}) == 8
    assert all(3e8 <= proposal.judged.costs["macs"] <= 4e8 for proposal in found)
    assert sum(found[3].passed_over.values()) < 300
    assert any(reason.startswith("macs outside") for proposal in found for reason in proposal.passed_over)


def test_gp_proposes_too_for_two_objectives_and_with_a_network_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "gp", Effort(3, 1))
    asked = asker("anynetx_e", "gp", ("error", "macs"))
    drawn = sample(SPACES["anynetx_e"], 5, MACS, 0)
    told = [told for _, told in play(asked, 3, drawn)]
    told[1] = told[1]._replace(result=None)
    proposal = asked.propose(told, set(), rows(drawn))
    assert 3e8 <= proposal.judged.costs["macs"] <= 4e8
    assert proposal.drawn == (sum(proposal.passed_over.values()) == 1)


def test_a_proposal_follows_from_seed_and_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "nsga2", Effort(20, 300))
    drawn = sample(SPACES["anynetx_e"], 30, MACS, 0)
    asked = asker("anynetx_e", "nsga2")
    found = play(asked, 23, drawn)
    assert {tuple(told.memory.values()) for _, told in found} == {(0,), (1,)}  # generations of 20
    told, known = [told for _, told in found], {proposal.judged.key for proposal, _ in found}

    def next_point(asked: Asker, told: list[Feedback]) -> Any:
        return asked.propose(told, known, rows(drawn)).point

    again = next_point(asker("anynetx_e", "nsga2"), told)
    assert next_point(asked, told) == again
    assert next_point(asker("anynetx_e", "nsga2", seed=1), told) != again
    failed = [told[0]._replace(result="failed"), told[1]._replace(result="diverged"), *told[2:]]
    assert next_point(asked, failed)["widths"]


def test_when_the_sampler_finds_none_a_random_draw_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "tpe", Effort(0, 5))
    narrow = {"macs": "380M..381M"}
    asked = Asker(SPACES["anynetx_a"], read_bounds(narrow), {}, ("error",), "tpe", 0)
    proposal = asked.propose([], set(), rows(sample(SPACES["anynetx_a"], 1, narrow, 0)))
    assert proposal.drawn
    assert sum(proposal.passed_over.values()) == 5


def test_a_sampler_learns() -> None:
    drawn = sample(SPACES["anynetx_e"], 30, MACS, 0)
    found = [depth(proposal) for proposal, _ in play(asker("anynetx_e", "tpe"), 30, drawn)]
    random = [20.0 + sum(row) for row in drawn.axes()["depths"]]
    assert found[:10] == random[:10]
    assert np.mean(found[20:]) < np.mean(random) - np.std(random)
    assert min(found) <= min(random)
