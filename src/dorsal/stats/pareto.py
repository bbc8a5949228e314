"""Networks that no other beats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def pareto_front(values: Mapping[str, tuple[float, ...]]) -> tuple[str, ...]:
    """The labels whose values, all to be as low as possible, no other's equal or beat in all and beat in one, by first
    value. Labels of equal values are on the front together."""
    if not values:
        return ()
    table = np.array(list(values.values()), dtype=np.float64)
    beaten = [((table <= row).all(axis=1) & (table < row).any(axis=1)).any() for row in table]
    front = [label for label, is_beaten in zip(values, beaten, strict=True) if not is_beaten]
    return tuple(sorted(front, key=lambda label: values[label]))
