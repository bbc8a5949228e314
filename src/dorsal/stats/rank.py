"""Orders of networks: how well two of them agree, and which networks no other beats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dorsal.stats.interval import Array


def sign_products(first: Array, second: Array) -> Array:
    """For each two networks, the signs of their differences in both columns: product, first squared, second squared.

    The shape is [3, n, n]. Entries are 0 for a network that is missing (NaN) in either column.
    """
    a, b = (np.nan_to_num(np.sign(values[:, None] - values[None, :])) for values in (first, second))
    present = ~np.isnan(first) & ~np.isnan(second)
    products: Array = np.stack([a * b, a * a, b * b]) * (present[:, None] & present[None, :])
    return products


def tau_b(products: Array, counts: Array) -> Array:
    """Kendall's tau-b (1945) of each sample.

    `products` are from `sign_products`; `counts` [samples, n] say how often each network is in a sample. 1 is the same
    order, -1 the reverse. Ties are left out, also those between copies of one network. NaN for samples that are
    constant in either column.
    """
    agreement, first, second = (np.einsum("sn,sn->s", counts @ each, counts) for each in products)
    pairs = first * second
    taus: Array = np.divide(agreement, np.sqrt(pairs), out=np.full(agreement.shape, np.nan), where=pairs > 0)
    return taus


def pareto_front(values: Mapping[str, tuple[float, ...]]) -> tuple[str, ...]:
    """Labels on the Pareto front (all values minimised), sorted by the first value.

    A label is on the front unless another one equals or beats it in all values and beats it in one. So labels of equal
    values are on the front together.
    """
    if not values:
        return ()
    table = np.array(list(values.values()), dtype=np.float64)
    beaten = [((table <= row).all(axis=1) & (table < row).any(axis=1)).any() for row in table]
    front = [label for label, is_beaten in zip(values, beaten, strict=True) if not is_beaten]
    return tuple(sorted(front, key=lambda label: values[label]))
