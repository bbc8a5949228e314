"""An exact test of all pairs of arms that assumes no distribution: signs of the differences are flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import msgspec
import numpy as np

from dorsal.stats.bootstrap import blocks
from dorsal.stats.interval import Array, as_results

FEWEST_TO_FLIP = 6
"""With 5 seeds the smallest p value is 2 / 2**5, above 5 %."""
MOST_FLIPPED = 16
"""With more seeds a sample of flips is drawn."""


class FlippedPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two arms, the one with the larger mean first, the adjusted two-sided p value, and their common seeds `n`."""

    better: str
    worse: str
    difference: float
    p: float
    n: int


def sign_flip_test(values: Mapping[str, Sequence[float | None]], *, seed: int = 0) -> tuple[FlippedPair, ...]:
    """The p value of every two arms with FEWEST_TO_FLIP common seeds or more, corrected for all those pairs.

    `values` is as in `compare_arms`: one list for each arm, the same seeds in the same order, None or NaN without a
    result. If two arms do not differ, the difference at a seed is as probable with the other sign. So every flip of
    seeds is as probable as the data. A seed is flipped in all pairs at once. The p value is the share of flips whose
    largest |t| over the pairs reaches that of the pair (Westfall and Young 1993). All 2**n flips are tried up to
    MOST_FLIPPED seeds, which is exact; for more seeds 2**MOST_FLIPPED are drawn.

    It holds for noise of any symmetric distribution, also unequal between arms.

    Raises ValueError for lists of unequal length or infinite values.
    """
    table = {arm: as_results(results, f"values[{arm!r}]") for arm, results in values.items()}
    if len({results.size for results in table.values()}) > 1:
        raise ValueError("values needs one entry a seed in every arm, None where missing")
    found = {(a, b): table[a] - table[b] for a, b in combinations(table, 2)}
    found = {names: gaps for names, gaps in found.items() if (~np.isnan(gaps)).sum() >= FEWEST_TO_FLIP}
    if not found:
        return ()
    gaps = np.stack(list(found.values()))
    counts = (~np.isnan(gaps)).sum(axis=1)
    gaps = np.nan_to_num(gaps)
    means = gaps.sum(axis=1) / counts
    observed = _squared_shares(np.ones((1, gaps.shape[1])), gaps, counts)[0]
    reached, flips = np.zeros(len(gaps)), 0
    for signs in _signs(gaps.shape[1], seed):
        largest = _squared_shares(signs, gaps, counts).max(axis=1)
        # Flips whose statistic differs only by rounding count as equal.
        reached += (largest[:, None] >= observed - 1e-9).sum(axis=0)
        flips += len(signs)
    return tuple(
        FlippedPair(
            better=a if mean >= 0 else b, worse=b if mean >= 0 else a, difference=abs(mean), p=float(hits / flips), n=n
        )
        for (a, b), mean, hits, n in zip(found, means.tolist(), reached, counts.tolist(), strict=True)
    )


def _squared_shares(signs: Array, gaps: Array, counts: Array) -> Array:
    """t statistics of each flip and pair in a form without division by 0: t² / (t² + n - 1), made comparable by n.

    A flip leaves the sum of squares as it is, so the share that the squared mean has of it rises with |t|.
    """
    squares = (gaps**2).sum(axis=1)
    shares: Array = np.divide(
        (signs @ gaps.T) ** 2, counts * squares, out=np.zeros((len(signs), len(gaps))), where=squares > 0
    )
    if len(set(counts.tolist())) == 1:
        return shares
    # Pairs with different numbers of seeds are compared by t itself.
    found: Array = np.divide(shares * (counts - 1), np.maximum(1 - shares, 1e-12))
    return found


def _signs(seeds: int, seed: int) -> Iterator[Array]:
    """Rows of signs, the first seed's always positive as t² does not change with all of them. The data come first."""
    exact = seeds <= MOST_FLIPPED
    random = np.random.default_rng(seed)
    done, total = 0, 2 ** (min(seeds, MOST_FLIPPED) - 1)
    for rows in blocks(total, 64 * seeds):
        if exact:
            bits = (np.arange(done, done + rows)[:, None] >> np.arange(seeds - 1)) & 1
        else:
            bits = random.integers(0, 2, (rows, seeds - 1))
            bits[0] *= done > 0
        yield np.column_stack([np.ones(rows), 1 - 2.0 * bits])
        done += rows
