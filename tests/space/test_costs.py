"""The fast path against its slow twins: costs against `spec.cost`, refusals against making the network."""

from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dorsal.space import candidates as candidates_module
from dorsal.space.axis import Axis
from dorsal.space.candidates import evaluate, realise
from dorsal.space.check import reasons
from dorsal.space.costs import QUANTITIES, costs
from dorsal.space.distributions import Choice
from dorsal.space.encoding import is_by_stage, words_at
from dorsal.space.named import SPACES
from dorsal.space.points import draw_points
from dorsal.space.space import Space
from dorsal.space.table import StageColumns
from dorsal.spec.cost import cost
from dorsal.spec.layers import layers, plan
from dorsal.zoo import NETWORKS, network, text_of
from tests.space.spaces import MIXERS, spaces


def drawn(space, rows, seed=0):
    compiled = space.compiled
    return compiled, draw_points(compiled, rows, np.random.default_rng(seed))


def slow_costs(net, size):
    found = cost(net, size)
    return {
        **msgspec.structs.asdict(found),
        "image_size": size,
        "pycls_flops": found.pycls_flops,
        "blocks": sum(stage.depth for stage in net.stages),
        "layers": sum(layer.kind in ("conv", "deform_conv", "linear") for layer in layers(net, size)),
    }


def assert_costs_are_exact(networks, rows):
    assert set(networks.costs) == {*QUANTITIES, "image_size"}
    for row in rows:
        found = {name: int(column[row]) for name, column in networks.costs.items()}
        assert found == slow_costs(networks.network(row), found["image_size"])


@pytest.mark.parametrize("name", SPACES)
def test_costs_of_every_space_are_those_of_the_built_networks(name):
    compiled, points = drawn(SPACES[name], 2000)
    networks = evaluate(compiled, points)
    assert len(networks) > 100
    assert_costs_are_exact(networks, range(100))


@pytest.mark.parametrize("read", [costs, reasons])
def test_no_mixer_is_forgotten_over_arrays(read, monkeypatch):
    """Words are compared here, so that mypy misses nothing: each mixer has to be asked for at the inner mixer too."""
    networks = realise(*drawn(Space(name="nested", base="res2net50_26w_4s", axes={"widths": Axis(Choice((256,)))}), 1))
    asked, says = set(), StageColumns.says
    monkeypatch.setattr(
        StageColumns, "says", lambda self, path, word: asked.add((path, word)) or says(self, path, word)
    )
    read(networks.table, len(networks), networks.compiled.stages)
    assert {word for path, word in asked if path == "mixer.inner"} == set(words_at("mixer"))


def test_random_spaces_have_every_mixer():
    assert {text.partition("(")[0] for text in MIXERS} == set(words_at("mixer"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces())
def test_whole_grammar_costs_and_refusals(space):
    compiled, points = drawn(space, 12)
    with patch.object(candidates_module, "reasons", return_value=(None, ())):
        everything = realise(compiled, points)
    fast = set(evaluate(compiled, points).rows.tolist())
    sizes = np.broadcast_to(everything.table["image_size"][:, 0], 12)
    slow = set()
    for row in range(12):
        try:
            plan(everything.network(row), int(sizes[row]))
        except ValueError:
            continue
        slow.add(row)
    assert fast == slow
    networks = evaluate(compiled, points)
    assert sum(networks.rejected.values()) == 12 - len(slow)
    if slow:
        assert_costs_are_exact(networks, range(len(slow)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces())
def test_every_axis_says_what_the_network_is(space):
    compiled, points = drawn(msgspec.structs.replace(space, groups="as_drawn"), 12)
    networks = evaluate(compiled, points)
    for row, origin in enumerate(networks.rows):
        net = networks.network(row)
        for name, axis in compiled.axes.items():
            for stage in range(len(net.stages)):
                index = points[name][origin, stage if axis.by_stage else 0]
                if index >= 0 and name not in ("image_size", "stages"):
                    found, wanted = _choice_of(net, name, stage), axis.values[index]
                    if is_by_stage(name) and any(other.startswith(f"{name}.") for other in compiled.axes):
                        found, wanted = type(found), type(wanted)  # its fields have axes of their own
                    assert found == wanted, name
        if "stages" in compiled.axes:
            assert len(net.stages) == compiled.axes["stages"].values[points["stages"][origin, 0]]


def _choice_of(net, name, stage):
    choice, *fields = name.split(".")
    here = net.stages[stage]
    if choice in ("head_width", "classes"):
        return getattr(net.head, choice.removeprefix("head_"))
    if choice == "block":
        return type(here.block).__name__.lower()
    for owner in (net, here, here.block):
        for field in (choice, choice.removesuffix("s")):
            if field in owner.__struct_fields__:
                found = getattr(owner, field)
                for step in fields:
                    found = getattr(found, step)
                return found
    raise AssertionError(name)


def test_networks_of_a_space_have_a_text():
    compiled, points = drawn(SPACES["crossed"], 20)
    networks = evaluate(compiled, points)
    for row in range(20):
        net = networks.network(row)
        assert network(text_of(net)) == net


@pytest.mark.parametrize("name", NETWORKS)
def test_every_published_network_survives_its_leaves(name):
    space = Space(name="one", base=name, axes={"norm": Axis(Choice(("batch",)))}, groups="as_drawn")
    compiled, points = drawn(space, 1)
    networks = evaluate(compiled, points)
    assert networks.network(0) == NETWORKS[name]
    assert_costs_are_exact(networks, [0])
