"""Statistics of trials and of populations: numbers in, numbers and verdicts out. No English, no plots."""

from __future__ import annotations

from dorsal.stats.arms import Comparisons, Pair, compare_arms, pooled_means
from dorsal.stats.axis import CategoricalProfile, NumericProfile, categorical_profile, numeric_profile
from dorsal.stats.best_of import SearchCurve, search_curve
from dorsal.stats.distribution import Band, Edf, edf, normalized_weights, pointwise_band, simultaneous_band
from dorsal.stats.fixed import FixedPair, compare_fixed
from dorsal.stats.good_ranges import GoodRange, GoodValues, good_range, good_values
from dorsal.stats.images import image_interval
from dorsal.stats.interval import Estimate, Need, share_at_least
from dorsal.stats.non_inferiority import ErrorIncrease, dependence_p, members_cost, populations_cost
from dorsal.stats.order_stability import PopulationReliability, population_reliability
from dorsal.stats.populations import PopulationComparison, compare_populations
from dorsal.stats.ranked import Contribution, Ranked
from dorsal.stats.ratios import Ratios
from dorsal.stats.regression import (
    Contest,
    LinearModel,
    PredictorScores,
    compare_predictors,
    fit_latency,
    score_predictors,
)
from dorsal.stats.reliability import Reliability, rank_reliability
from dorsal.stats.sample_size import SampleSize, sample_size
from dorsal.stats.variance import Shares, variance_shares

__all__ = [
    "Band",
    "CategoricalProfile",
    "Comparisons",
    "Contest",
    "Contribution",
    "Edf",
    "ErrorIncrease",
    "Estimate",
    "FixedPair",
    "GoodRange",
    "GoodValues",
    "LinearModel",
    "Need",
    "NumericProfile",
    "Pair",
    "PopulationComparison",
    "PopulationReliability",
    "PredictorScores",
    "Ranked",
    "Ratios",
    "Reliability",
    "SampleSize",
    "SearchCurve",
    "Shares",
    "categorical_profile",
    "compare_arms",
    "compare_fixed",
    "compare_populations",
    "compare_predictors",
    "dependence_p",
    "edf",
    "fit_latency",
    "good_range",
    "good_values",
    "image_interval",
    "members_cost",
    "normalized_weights",
    "numeric_profile",
    "pointwise_band",
    "pooled_means",
    "population_reliability",
    "populations_cost",
    "rank_reliability",
    "sample_size",
    "score_predictors",
    "search_curve",
    "share_at_least",
    "simultaneous_band",
    "variance_shares",
]
