"""Tukey's studentized range: quantiles and p values that hold for all pairs of arms at once."""

from __future__ import annotations

from functools import cache
from math import exp, inf, log, sqrt

from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import studentized_range

ARMS_POWER = 0.8
POWER_QUANTILE = float(ndtri(ARMS_POWER))
LEAST_P = 1e-7
"""No smaller p value is told of an interval over seeds and images."""


@cache
def critical_range(arms: int, degrees_of_freedom: float, confidence: float) -> float:
    """Quantile of the studentized range of `arms` means, in standard errors of a mean."""
    return float(studentized_range.ppf(confidence, arms, degrees_of_freedom))


def critical_t(arms: int, degrees_of_freedom: float, confidence: float) -> float:
    """The same, in standard errors of a difference."""
    return critical_range(arms, degrees_of_freedom, confidence) / sqrt(2)


def adjusted_p(t: float, arms: int, degrees_of_freedom: float) -> float:
    """The p value of a difference of `t` standard errors, for all pairs of arms at once."""
    # scipy computes sf as 1 - cdf by quadrature, which may be slightly below 0.
    return max(0.0, float(studentized_range.sf(abs(t) * sqrt(2), arms, degrees_of_freedom)))


def same_level(z: float, arms: int, degrees_of_freedom: int) -> float:
    """The t statistic on these degrees of freedom that is as rare as `z` where the noise is known.

    From a table, since one quantile takes scipy a quarter of a second. It is right to three digits.
    """
    return exp(float(_levels(arms, degrees_of_freedom)(log(z))))


@cache
def _levels(arms: int, degrees_of_freedom: int) -> PchipInterpolator:
    """The logarithm of the t statistic from that of `z`."""
    known, estimated = [], []
    t, level = 0.02, 1.0
    while level > LEAST_P:
        level = adjusted_p(t, arms, degrees_of_freedom)
        if LEAST_P / 10 < level < 1 - 1e-6:
            known.append(log(brentq(lambda z, level=level: adjusted_p(z, arms, inf) - level, 1e-3, 9)))
            estimated.append(log(t))
        t *= 1.5
    return PchipInterpolator(known, estimated)
