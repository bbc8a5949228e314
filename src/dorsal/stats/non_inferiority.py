"""What narrowing a design space costs: the mean error of the narrower space minus that of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from dorsal.stats.bootstrap import DRAWS, drawn_means, permuted, start, studentised
from dorsal.stats.checks import Numbers, column, parallel, same_length
from dorsal.stats.interval import Array, Estimate, check_confidence

FEWEST_TO_NARROW = 20
"""With fewer networks in either population, the interval of the difference of their means does not cover."""
MEMBERS = 5
"""With fewer networks on either side, a regression cannot tell members from others."""
FREEDOM = 20
"""With fewer degrees of freedom, the regression uses membership alone."""

NarrowingVerdict = Literal["gains", "harmless", "costly", "open"]


class ErrorIncrease(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The change of the mean error in error points. Negative means that the narrower space is better.

    - `change`: None if the networks are too few for an interval, or all equal.
    - `inside`: the number of networks in the narrower space. `outside`: the number of other ones.
    - `missing`: the number of networks left out because they have no result.
    """

    change: Estimate | None
    inside: int
    outside: int
    missing: int

    def verdict(self, margin: float) -> NarrowingVerdict:
        """Whether narrowing costs at most `margin` error points, decided by where the interval lies (non-inferiority).

        "gains" if the interval is below 0, "harmless" if it is below the margin, "costly" if it is above the margin.
        "open" if it contains the margin, or if there is no interval.
        """
        if self.change is None or self.change.low is None or self.change.high is None:
            return "open"
        if self.change.high < margin:
            return "gains" if self.change.high < 0 else "harmless"
        return "costly" if self.change.low > margin else "open"


def members_cost(
    errors: Numbers,
    features: npt.ArrayLike,
    narrower: npt.ArrayLike,
    whole: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> ErrorIncrease:
    """The cost estimated from members: networks of a population that happen to lie in the narrower space.

    `features` has one row for each network: first whether it is a member (1 or 0), then anything else that may explain
    its error. `narrower` and `whole` have the same columns for networks sampled from the two spaces; these need no
    errors. The errors are regressed on all columns. The cost is what the fit predicts at the mean features of
    `narrower` minus what it predicts at those of `whole`.

    Membership is a column of its own. So the cost is the mean error of the members, minus what their other features
    explain. The regression only removes noise: the cost does not depend on its being true, as long as members are to
    the whole as `narrower` is. Below FREEDOM degrees of freedom only the first column is used, which gives the
    difference of means.

    The interval is the wider one of two of Student's t. One uses the standard error HC3 (MacKinnon and White 1985),
    which allows noise to differ between networks; its degrees of freedom are the effective number of networks that
    decide the cost (about the members) minus 1. The other uses the plain standard error. Both include the spread of the
    mean features of the two samples.

    Networks whose error (percent) is None or NaN are left out and counted. `change` is None for fewer than MEMBERS
    networks on either side, and if all errors are equal.

    Raises ValueError for tables of unequal shape, infinite errors, or a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    results = column(errors, "errors")
    own, new, old = (np.asarray(table, dtype=np.float64) for table in (features, narrower, whole))
    same_length({"errors": results.size, "features": len(own)})
    if not own.shape[1:] == new.shape[1:] == old.shape[1:]:
        raise ValueError(
            f"features, narrower and whole must have the same columns, but are {own.shape}, {new.shape}, {old.shape}"
        )
    present = ~np.isnan(results)
    inside = int(own[present, 0].sum())
    outside = int(present.sum()) - inside
    told = min(inside, outside) >= MEMBERS and np.ptp(results[present]) > 0
    change = _contrast(results[present], own[present], new, old, confidence) if told else None
    return ErrorIncrease(change=change, inside=inside, outside=outside, missing=int((~present).sum()))


def populations_cost(
    narrower: Numbers, whole: Numbers, *, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> ErrorIncrease:
    """The cost estimated from one population of each space: the difference of mean errors, with a bootstrap-t interval.

    Errors (percent) that are None or NaN are left out and counted. `change` is None if either population has fewer than
    FEWEST_TO_NARROW networks, and if all errors are equal.

    Raises ValueError for infinite errors, a confidence not between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    both = column(narrower, "narrower"), column(whole, "whole")
    first, second = (errors[~np.isnan(errors)] for errors in both)
    change = None
    if min(first.size, second.size) >= FEWEST_TO_NARROW:
        (means, squares), (others, other_squares) = (drawn_means(each, draws, random) for each in (first, second))
        found = studentised(
            float(first.mean() - second.mean()),
            sqrt(first.var(ddof=1) / first.size + second.var(ddof=1) / second.size),
            means - others,
            np.sqrt(squares + other_squares),
            confidence,
        )
        change = None if found.low is None else found
    return ErrorIncrease(
        change=change,
        inside=first.size,
        outside=second.size,
        missing=sum(errors.size for errors in both) - first.size - second.size,
    )


def dependence_p(columns: Sequence[Numbers], errors: Numbers, *, draws: int = DRAWS, seed: int = 0) -> float:
    """The p value that `errors` do not depend on `columns`, by a permutation test of the variance a linear fit
    explains.

    It uses all networks, while the p value of `good_range` uses the few best. Networks that lack a number are left out.
    p is 1 if none is left.

    Raises ValueError for columns of unequal length, infinite values, or fewer than 100 draws.
    """
    random = start(draws, seed)
    named = {f"columns[{index}]": values for index, values in enumerate(columns)}
    (results, *others), _ = parallel({"errors": errors, **named}, fewest=0)
    if not results.size:
        return 1.0
    basis, centred = _basis(others, results.size), results - results.mean()
    # Results that differ only by rounding count as equal.
    explained = float(((centred @ basis) ** 2).sum()) - 1e-9 * float(centred @ centred)
    exceeded = sum(
        int((((shuffled @ basis) ** 2).sum(axis=1) >= explained).sum()) for shuffled in permuted(centred, draws, random)
    )
    return (1 + exceeded) / (1 + draws)


def _basis(columns: Sequence[Array], networks: int) -> Array:
    """An orthonormal basis [networks, rank] of a constant and the columns."""
    centred = [values - values.mean() for values in columns]
    scaled = [values / values.std() for values in centred if values.std() > 0]
    left, singular, _ = np.linalg.svd(np.column_stack([np.ones(networks), *scaled]), full_matrices=False)
    basis: Array = left[:, singular > 1e-8 * singular[0]]
    return basis


def _contrast(errors: Array, own: Array, new: Array, old: Array, confidence: float) -> Estimate:
    """A regression of the errors on `own` features: its prediction at the mean of `new` minus that at the mean of
    `old`.
    """
    spread = own.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    table = np.column_stack([np.ones(errors.size), (own - own.mean(axis=0)) / scale])
    left, singular, right = np.linalg.svd(table, full_matrices=False)
    kept = singular > 1e-8 * singular[0]
    left, back = left[:, kept], right[kept].T / singular[kept]
    freedom = errors.size - left.shape[1]
    if freedom < FREEDOM and own.shape[1] > 1:
        return _contrast(errors, own[:, :1], new[:, :1], old[:, :1], confidence)
    slopes = (back @ (left.T @ errors))[1:] / scale
    residual = errors - left @ (left.T @ errors)
    # The weight of each error in the result.
    weights = left @ (back[1:].T @ ((new.mean(axis=0) - old.mean(axis=0)) / scale))
    # A network that alone decides a coefficient has no residual. The bound only avoids 0 / 0.
    leverage = np.minimum((left**2).sum(axis=1), 1 - 1e-9)
    of_samples = sum(float((sample @ slopes).var()) / len(sample) for sample in (new, old))
    alike = float(weights @ weights * (residual @ residual)) / freedom
    of_each = float(weights**2 @ (residual / (1 - leverage)) ** 2)
    decisive = max(float((weights @ weights) ** 2 / (weights**4).sum()), 2.0)
    reach = max(
        float(stdtrit(degrees, (1 + confidence) / 2)) * sqrt(variance + of_samples)
        for variance, degrees in ((alike, freedom), (of_each, decisive - 1))
    )
    value = float(weights @ errors)
    return Estimate(value=value, low=value - reach, high=value + reach)
