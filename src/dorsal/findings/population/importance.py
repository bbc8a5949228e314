"""How much of the variance of errors each axis explains: Optuna's fANOVA, with intervals and a noise level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dorsal.findings.population.records import AxisFinding, Importance, Importances, Value
from dorsal.stats.interval import Array, Estimate

if TYPE_CHECKING:
    import optuna

FEWEST_FOR_IMPORTANCE = 30
"""With fewer networks a forest of trees has nothing to learn from."""
FEWEST_DRAWN = 10
RESAMPLES = 40
TREES, DEPTH = 8, 4
NOISE = 0.95


def importances(
    columns: Sequence[AxisFinding],
    errors: Sequence[float | None],
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Importances:
    """The share of every drawn column that has several values, from the networks with an error.

    In each of `resamples` rounds a shuffled copy is added for every column, and two forests are fitted: one on all
    networks, one on a random half. The share is the mean over the fits on all networks, and the noise level is the 95 %
    quantile of the copies' shares in them. The interval is the spread over the halves, drawn without replacement,
    around the share: half samples vary about as much as whole ones do (delete-half jackknife, Shao and Wu 1989).

    Measured coverage, and what was tried instead: docs/populations.md.
    """
    finished = [row for row, error in enumerate(errors) if error is not None]
    results = np.array([errors[row] for row in finished], dtype=np.float64)
    values = {column.name: [column.values[row] for row in finished] for column in columns if not column.derived}
    drawn = {name: [value for value in column if value is not None] for name, column in values.items()}
    used = [name for name in values if len(drawn[name]) >= FEWEST_DRAWN and len(set(drawn[name])) > 1]
    n, constant = results.size, float(results[0]) if results.size and np.ptp(results) == 0 else None
    if n < FEWEST_FOR_IMPORTANCE or constant is not None or not used:
        return Importances(axes=(), resamples=0, permutations=0, n=n, constant=constant)
    random = np.random.default_rng(seed)
    wholes, halves = [], []
    for draw in range(resamples):
        coded = {name: _coded(values[name], drawn[name], random) for name in used}
        order = random.permutation(results.size)
        coded |= {_copy(name): [coded[name][row] for row in order] for name in used}
        study = _study(coded)
        wholes.append(_shares(study, list(coded), results, draw))
        halves.append(_shares(study, list(coded), _half(results, random), draw))
    found = [
        _importance(
            name,
            np.array([shares[name] for shares in wholes]),
            np.array([shares[name] for shares in halves]),
            np.array([shares[_copy(name)] for shares in wholes]),
            len(drawn[name]),
            confidence,
        )
        for name in used
    ]
    found.sort(key=lambda axis: -axis.share.value)
    return Importances(axes=tuple(found), resamples=resamples, permutations=resamples, n=n)


def _importance(name: str, wholes: Array, halves: Array, copies: Array, n: int, confidence: float) -> Importance:
    share = float(wholes.mean())
    low, high = share - halves.mean() + np.quantile(halves, [(1 - confidence) / 2, (1 + confidence) / 2])
    noise = float(np.quantile(copies, NOISE, method="weibull"))
    return Importance(
        name=name,
        share=Estimate(value=share, low=max(0.0, float(low)), high=min(1.0, float(high))),
        null=float(np.median(copies)),
        null_high=noise,
        above_null=share > noise,
        n=n,
    )


def _copy(name: str) -> str:
    return f"{name}, shuffled"


def _coded(values: Sequence[Value], drawn: Sequence[Value], random: np.random.Generator) -> list[float] | list[str]:
    """Numbers as the share of networks below, plus half of those with the same value. Text is unchanged."""
    filled = [drawn[int(random.integers(len(drawn)))] if value is None else value for value in values]
    if any(isinstance(value, str) for value in drawn):
        return [str(value) for value in filled]
    _, index, counts = np.unique(np.array(filled, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks: list[float] = ((counts.cumsum() - counts / 2) / len(filled))[index].tolist()
    return ranks


def _study(columns: dict[str, list[float] | list[str]]) -> optuna.Study:
    """One trial for each network, in order."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(sorted(set(column))) if isinstance(column[0], str) else FloatDistribution(0, 1)
        for name, column in columns.items()
    }
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce the study
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(level)
    for row in zip(*columns.values(), strict=True):
        params = dict(zip(columns, row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=0.0))
    return study


def _half(results: Array, random: np.random.Generator) -> Array:
    """Half of the results. The others are infinite, and Optuna leaves those out."""
    half = np.full(results.size, np.inf)
    chosen = random.permutation(results.size)[: results.size // 2]
    half[chosen] = results[chosen]
    return half


def _shares(study: optuna.Study, columns: list[str], results: Array, seed: int) -> dict[str, float]:
    """The share of each column in the variance of the predictions."""
    from optuna.importance import FanovaImportanceEvaluator

    evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed)
    try:
        return evaluator.evaluate(study, params=columns, target=lambda trial: float(results[trial.number]))
    except RuntimeError:  # all errors that the trees saw are equal
        return dict.fromkeys(columns, 0.0)
