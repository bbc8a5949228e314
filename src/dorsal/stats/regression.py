"""Latency from the costs of a network: the fit, its error on unseen networks, and which cost predicts best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.language.reader import suggest
from dorsal.stats.bootstrap import members, multiplicities, percentile, start
from dorsal.stats.checks import Index, Numbers, parallel
from dorsal.stats.interval import Array, Estimate, check_confidence
from dorsal.stats.rank import sign_products, tau_b

Feature = TypeVar("Feature")

FOLDS = 10
REPEATS = 10


class LinearModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """latency = intercept + sum of coefficient x predictor, in the unit of the latencies it was fitted to.

    `low` and `high` are the range of each predictor over the `n` networks of the fit. `missing` networks lacked a
    number.
    """

    predictors: tuple[str, ...]
    intercept: float
    coefficients: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int
    missing: int

    def predict(self, features: Mapping[str, npt.ArrayLike], *, extrapolate: bool = False) -> Array:
        """The latency of networks. `features` holds each predictor with one value for each network; others are ignored.

        A missing value gives NaN. Raises ValueError for an absent predictor, and for a value outside the range of the
        fit unless `extrapolate` is True.
        """
        latency = np.asarray(self.intercept)
        for name, coefficient, low, high in zip(self.predictors, self.coefficients, self.low, self.high, strict=True):
            values = np.asarray(_feature(features, name), dtype=np.float64)
            outside = values[(values < low) | (values > high)]
            if outside.size and not extrapolate:
                raise ValueError(
                    f"{name}={outside[0]:g} lies outside the {low:g} to {high:g} that the fit has seen, nearest is "
                    f"{min(max(outside[0], low), high):g}: give extrapolate=True to predict all the same"
                )
            latency = latency + coefficient * values
        return latency


class PredictorScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well `predictors` together predict the latency of networks that the fit has not seen.

    `error` is the median absolute error in percent of the latency. `tau` is Kendall's rank correlation of prediction
    and latency, 0 if either is constant.
    """

    predictors: tuple[str, ...]
    error: Estimate
    tau: Estimate


class Contest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two sets of predictors on the same networks and folds, first minus second.

    The first predicts better if `error_difference` (percentage points of the median absolute error) is negative or
    `tau_difference` is positive. An interval that excludes 0 shows the difference.
    """

    first: PredictorScore
    second: PredictorScore
    error_difference: Estimate
    tau_difference: Estimate

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """Whether the first predicts better than the second, by the interval of the difference of their errors."""
        low, high = self.error_difference.low, self.error_difference.high
        if low is None or high is None or low <= 0 <= high:
            return "not shown"
        return "better" if high < 0 else "worse"


class PredictorScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each predictor alone and, last, all together, on the same `n` networks and folds. `missing` networks lack a
    number.
    """

    scores: tuple[PredictorScore, ...]
    n: int
    missing: int
    confidence: float


def fit_latency(features: Mapping[str, Numbers], latency: Numbers) -> LinearModel:
    """Fit `latency` by the predictors in `features`, each with one value for each network.

    Time is the sum of the times of a network's parts, so the model is linear with an intercept. A root of a cost is a
    predictor of its own, given as a column. The fit is least squares of the *relative* error, (prediction - latency) /
    latency. A fit of absolute errors would only serve the slow networks.

    Raises ValueError without predictors, for columns of unequal length, latencies not above 0, infinite values, or
    fewer complete networks than twice the number of coefficients.
    """
    columns, times, missing = _complete(features, latency)
    coefficients = _least_squares(columns, times)
    return LinearModel(
        predictors=tuple(features),
        intercept=float(coefficients[0]),
        coefficients=tuple(coefficients[1:].tolist()),
        low=tuple(columns.min(axis=0).tolist()),
        high=tuple(columns.max(axis=0).tolist()),
        n=times.size,
        missing=missing,
    )


def score_predictors(
    features: Mapping[str, Numbers], latency: Numbers, *, confidence: float = 0.95, draws: int = 2_000, seed: int = 0
) -> PredictorScores:
    """Cross-validated error and rank correlation of each predictor in `features` alone and of all together.

    Ten-fold cross-validation is repeated 10 times with other folds. Every prediction is for a network that its fit has
    not seen. The error of a network is its mean over the repeats. Tau counts only pairs of networks that are held out
    together: a fit without a slow network predicts less for it, so across fits a useless predictor would have a
    negative tau.

    Intervals are percentile bootstrap over networks of the predictions made. The variation of the fits themselves is
    not in them. Measured coverage: docs/statistics.md.

    Raises ValueError as `fit_latency` does, and for fewer than FOLDS networks, a confidence not between 0 and 1, or
    fewer than 100 draws.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    columns, times, missing = _complete(features, latency)
    folds, counts = _folds(times.size, random), _samples(times.size, draws, random)
    names = tuple(features)
    subsets = [[i] for i in range(len(names))]
    if len(names) > 1:
        subsets.append(list(range(len(names))))
    scores = []
    for subset in subsets:
        errors, taus = _validated(columns[:, subset], times, folds, counts)
        scores.append(_score([names[i] for i in subset], errors, taus, confidence))
    return PredictorScores(scores=tuple(scores), n=times.size, missing=missing, confidence=confidence)


def compare_predictors(
    features: Mapping[str, Numbers],
    latency: Numbers,
    first: Sequence[str],
    second: Sequence[str],
    *,
    confidence: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
) -> Contest:
    """Whether the predictors `first` together predict better than `second`. Both are names in `features`.

    Scores are as in `score_predictors`. Differences are paired by network, fold and bootstrap draw.

    Raises ValueError as `score_predictors` does, and for a name that is not in `features`.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    if not first or not second:
        raise ValueError(f"first={list(first)}, second={list(second)}: each needs at least one predictor")
    names = list(dict.fromkeys((*first, *second)))
    columns, times, _ = _complete({name: _feature(features, name) for name in names}, latency)
    folds, counts = _folds(times.size, random), _samples(times.size, draws, random)
    errors_1, taus_1 = _validated(columns[:, [names.index(name) for name in first]], times, folds, counts)
    errors_2, taus_2 = _validated(columns[:, [names.index(name) for name in second]], times, folds, counts)
    return Contest(
        first=_score(first, errors_1, taus_1, confidence),
        second=_score(second, errors_2, taus_2, confidence),
        error_difference=_estimate(errors_1 - errors_2, confidence),
        tau_difference=_estimate(taus_1 - taus_2, confidence),
    )


def _feature(features: Mapping[str, Feature], name: str) -> Feature:
    if name not in features:
        raise ValueError(f"features has no {name!r}{suggest(name, features)}")
    return features[name]


def _complete(features: Mapping[str, Numbers], latency: Numbers) -> tuple[Array, Array, int]:
    """Predictors [networks, predictors] and latencies of the complete networks, and the number of incomplete ones."""
    if not features:
        raise ValueError("features is empty: at least one predictor is needed")
    if "latency" in features:
        raise ValueError("features holds 'latency': it cannot predict itself")
    (*columns, times), missing = parallel({**features, "latency": latency}, fewest=2 * (len(features) + 1))
    if times.min() <= 0:
        raise ValueError(f"latency holds {times.min():g}: every latency must be above 0")
    return np.stack(columns, axis=1), times, missing


def _least_squares(columns: Array, times: Array) -> Array:
    """Intercept and coefficients of least squared relative error. If several are, the shortest vector."""
    design = np.hstack([np.ones((times.size, 1)), columns])
    # Columns are scaled, since costs differ by many powers of ten.
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1
    solution: Array = np.linalg.lstsq(design / scale / times[:, None], np.ones(times.size), rcond=None)[0] / scale
    return solution


def _folds(n: int, random: np.random.Generator) -> Index:
    """The fold of each of `n` networks, [REPEATS, n]. Fold sizes differ by at most one."""
    if n < FOLDS:
        raise ValueError(f"latency: {n} complete network(s), at least {FOLDS} are needed to cross-validate")
    return random.permuted(np.tile(np.arange(n) % FOLDS, (REPEATS, 1)), axis=1)


def _samples(n: int, draws: int, random: np.random.Generator) -> Array:
    """How often each network is in each sample, [draws + 1, n]: first the networks themselves, then bootstrap
    samples.
    """
    return np.vstack([np.ones(n), multiplicities(n, draws, random)])


def _validated(columns: Array, times: Array, folds: Index, counts: Array) -> tuple[Array, Array]:
    """Median error in percent and tau of the cross-validated predictions, for each sample of `counts`."""
    predictions = np.empty(folds.shape)
    products = np.zeros((3, times.size, times.size))
    for repeat, fold in enumerate(folds):
        for held_out in range(FOLDS):
            seen = fold != held_out
            coefficients = _least_squares(columns[seen], times[seen])
            predictions[repeat, ~seen] = coefficients[0] + columns[~seen] @ coefficients[1:]
        products += sign_products(predictions[repeat], times) * (fold[:, None] == fold)
    errors = 100 * np.abs(predictions / times - 1).mean(axis=0)
    return np.median(errors[members(counts)], axis=1), np.nan_to_num(tau_b(products, counts))


def _score(names: Sequence[str], errors: Array, taus: Array, confidence: float) -> PredictorScore:
    return PredictorScore(predictors=tuple(names), error=_estimate(errors, confidence), tau=_estimate(taus, confidence))


def _estimate(values: Array, confidence: float) -> Estimate:
    """The estimate from the value of the sample, first, and those of the bootstrap draws."""
    return percentile(float(values[0]), values[1:], confidence)
