"""Populations of known truth, with their analyses and measured latencies, for the tests of their page."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from dorsal.data.spec import Folder
from dorsal.findings.latency import LatencyFindings, analyse_latency
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import Importance, Importances, PopulationFindings, SpaceFinding
from dorsal.latency.records import Measurements, Setting, TimedNetwork
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, LogUniform, PowerOfTwo
from dorsal.space.named import SPACES
from dorsal.space.space import Space
from dorsal.stats import Estimate
from dorsal.study.population.records import PopulationStudy, RecheckRuns
from dorsal.study.timing.fit import fit_model
from tests.study.populations import Part, level, population

EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;\"'"
NETWORKS = 24
"""Enough for good ranges, too few for shares of variance, which take long."""
FEW = 8
COUNTS = (NETWORKS, 16, 12, NETWORKS)
"""Networks of the four spaces of the whole case, four of which have no result."""


MIXED = Space(
    name="mixed",
    base="regnetx_002",
    axes={
        "depths": Axis(LogUniform(1, 16), by_stage=True),
        "mixer": Axis(Choice(("conv", "split_attention", "selective_kernel")), by_stage=True),
        "mixer.radix": Axis(PowerOfTwo(1, 4), by_stage=True, when={"mixer": ("split_attention",)}),
        "stem": Axis(Choice(("simple", "deep(widths=[16, 16, 32], pool=false)", "conv7x7(width=32, pool=false)"))),
        "activation": Axis(Choice(("relu", "silu", "mish"))),
    },
)


class Case(NamedTuple):
    """What the page is made from."""

    population: PopulationStudy
    analysis: PopulationFindings
    latency: LatencyFindings | None = None
    retrained: RecheckRuns | None = None


def _whole() -> Case:
    """Four spaces, one of them narrowed from another, evidence on the schedule, latency, and four networks lost."""
    found = population(
        Part("anynetx_a", NETWORKS, lambda row: 60 - 6 * row["depths"][0] ** 0.5),
        Part("anynetx_e", COUNTS[1], level(50)),
        Part("regnetx", COUNTS[2], level(45), seed=1),
        Part(MIXED, NETWORKS, lambda row: 50 - 8 * (row["activation"] == "mish")),
        noise=1.0,
        seeds=2,
        diverged={"anynetx_a/1"},
        failed={"anynetx_a/2", "regnetx/7"},
        waiting={"mixed/5"},
    )
    retrained = _retrained(found)
    analysis = analyse_population(found, retrained=retrained, fits=2)
    spaces = tuple(replace(space, importances=_importances(space)) for space in analysis.spaces)
    analysis = replace(analysis, spaces=spaces)
    measured = measurements(found)
    return Case(found, analysis, analyse_latency(found, analysis, fit_model(measured), measured), retrained)


def _retrained(found: PopulationStudy) -> RecheckRuns:
    """Eight networks of each of the first two spaces, whose ranks 30 epochs keep; one run of one of them diverged."""
    random = np.random.default_rng(0)
    labels = tuple(label for space in found.spaces[:2] for label in space.labels[8:16])
    runs = tuple(
        tuple(tuple(float(50 - 5 * budget + row + random.normal(0, 0.3)) for _ in range(2)) for budget in range(2))
        for row, _ in enumerate(labels)
    )
    lost = (runs[0][0], (runs[0][1][0], "diverged"))
    return RecheckRuns(labels=labels, budgets=("10 epochs", "30 epochs"), runs=(lost, *runs[1:]))


def _importances(space: SpaceFinding) -> Importances:
    """Shares that fall from 50 %; those above 10 % are no noise."""
    names = [axis.name for axis in space.axes if not axis.derived]
    shares = [0.5 / (1 + place) for place in range(len(names))]
    axes = tuple(
        Importance(
            name=name,
            share=Estimate(value=share, low=share / 2, high=share * 1.5),
            null=0.05,
            null_high=0.1,
            above_null=share > 0.1,
            n=NETWORKS,
        )
        for name, share in zip(names, shares, strict=True)
    )
    return Importances(axes=axes, resamples=100, permutations=100, n=NETWORKS)


def measurements(found: PopulationStudy) -> Measurements:
    """Times that follow from activations, of the networks of the first space and of one that was not trained."""
    random = np.random.default_rng(0)
    drawn, arms = found.spaces[0], found.study.arms
    setting = Setting(calls=("forward", "step"), batches=(16,), threads=1, device="cpu", precision="float32")
    timed = []
    for row, label in enumerate(drawn.labels):
        costs = {name: drawn.costs[name][row] for name in ("macs", "activations", "params", "layers")}
        time = 1 + 2e-6 * costs["activations"]
        rounds = tuple(
            {name: time * (1 + 2 * turn) * random.uniform(0.95, 1.05) for turn, name in enumerate(setting.quantities())}
            for _ in range(3)
        )
        side = int(drawn.costs["image_size"][row])
        timed.append(
            TimedNetwork(label=label, network_hash=arms[row].network_hash, image_size=side, costs=costs, rounds=rounds)
        )
    timed.append(replace(timed[0], label="elsewhere/0", network_hash="of no network"))
    return Measurements(
        setting=setting,
        spaces=("anynetx_a", "elsewhere"),
        machine=found.study.machine,
        versions={},
        created="2026-01-02",
        networks=tuple(timed),
    )


def _bare(found: PopulationStudy) -> Case:
    return Case(found, analyse_population(found, fits=0))


def _markup() -> Case:
    """Every string of the user tries to be HTML."""
    spaces = [replace(SPACES[name], name=f"{EVIL}{name}") for name in ("regnetx", "regnety_pycls")]
    found = population(*(Part(space, FEW, level(50)) for space in spaces), failed={f"{EVIL}regnety_pycls/0"})
    study = found.study
    found = replace(
        found,
        study=replace(
            study,
            name=EVIL,
            command=EVIL,
            created=EVIL,
            notes=(EVIL,),
            versions={EVIL: EVIL},
            data=replace(study.data, spec=Folder(EVIL, size=32), fingerprint=EVIL),
            arms=tuple(replace(arm, text=EVIL) for arm in study.arms),
            trials=tuple(replace(trial, error=trial.error and EVIL) for trial in study.trials),
            machine=replace(study.machine, processor=EVIL, system=EVIL, device=EVIL),
        ),
        spaces=tuple(
            replace(each, sampling=replace(each.sampling, bounds={EVIL: EVIL}, rejected={EVIL: 1}, met={EVIL: 1}))
            for each in found.spaces
        ),
    )
    return Case(found, analyse_population(found, fits=0))


def _not_finite() -> Case:
    """A cost that is no number, an error that is none, and a space of endless size."""
    case = _bare(population(Part("regnetx", FEW, level(50))))
    space = case.analysis.spaces[0]
    nan = float("nan")
    space = replace(
        space,
        sampling=replace(space.sampling, points=float("inf")),
        costs={**space.costs, "macs": (nan, *space.costs["macs"][1:])},
        errors=(*space.errors[:-1], nan),
    )
    return Case(case.population, replace(case.analysis, spaces=(space,)))


def _nothing_finished() -> Case:
    fates = {"waiting": {"regnetx/0", "regnetx/1"}, "diverged": {"anynetx_a/0"}, "failed": {"anynetx_a/1"}}
    return _bare(population(Part("regnetx", 2, level(50)), Part("anynetx_a", 2, level(50)), **fates))


_CASES: dict[str, Callable[[], Case]] = {
    "whole": _whole,
    "one_network": lambda: _bare(population(Part("regnetx", 1, level(50)))),
    "three_networks": lambda: _bare(population(Part("anynetx_a", 3, level(50)))),
    "all_equal": lambda: _bare(population(Part("regnetx", NETWORKS, level(50)), noise=0)),
    "nothing_finished": _nothing_finished,
    "markup": _markup,
    "not_finite": _not_finite,
}
NAMES = tuple(_CASES)


@cache
def case(name: str) -> Case:
    """The case of this name, made once."""
    return _CASES[name]()
