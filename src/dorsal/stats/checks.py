"""Checks of population columns: one value for each network, with the missing ones counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dorsal.stats.interval import Array, as_results

Index = npt.NDArray[np.intp]
Numbers = npt.ArrayLike | Sequence[float | None]


def column(values: Numbers, field: str) -> Array:
    """`values` as floats, one for each network, None as NaN. ValueError names `field`."""
    results = as_results(values, field)
    if results.ndim != 1:
        raise ValueError(f"{field} has shape {results.shape}: it must hold one value a network")
    return results


def measured(errors: Numbers, field: str = "errors", fewest: int = 1) -> tuple[Array, int]:
    """The errors that are not missing, in order, and the number missing. ValueError for fewer than `fewest`."""
    results = column(errors, field)
    present = results[~np.isnan(results)]
    if present.size < fewest:
        raise ValueError(f"{field} holds {present.size} result(s): at least {fewest} are needed")
    return present, results.size - present.size


def parallel(columns: Mapping[str, Numbers], fewest: int = 1) -> tuple[list[Array], int]:
    """Columns of equal length, without networks that lack a value in any of them, and the number of those."""
    table = [column(values, field) for field, values in columns.items()]
    same_length(dict(zip(columns, (values.size for values in table), strict=True)))
    present = ~np.isnan(table).any(axis=0)
    if present.sum() < fewest:
        raise ValueError(f"{', '.join(columns)}: {present.sum()} complete network(s), at least {fewest} are needed")
    return [values[present] for values in table], int((~present).sum())


def categories(axis: Sequence[str | None], errors: Numbers) -> tuple[list[str], Index, Array, int]:
    """The distinct values in order; the index of each network's value; its error; the number of incomplete networks."""
    results = column(errors, "errors")
    same_length({"axis": len(axis), "errors": results.size})
    complete = ~np.isnan(results) & np.array([value is not None for value in axis], dtype=bool)
    if not complete.any():
        raise ValueError("axis, errors: 0 complete network(s), at least 1 is needed")
    present = [str(value) for value, keep in zip(axis, complete, strict=True) if keep and value is not None]
    values = sorted(set(present))
    places = {value: place for place, value in enumerate(values)}
    index = np.array([places[value] for value in present], dtype=np.intp)
    return values, index, results[complete], int((~complete).sum())


def same_length(lengths: Mapping[str, int]) -> None:
    """Raise ValueError naming the fields unless all have the same length."""
    if len(set(lengths.values())) > 1:
        raise ValueError(f"one value a network is needed in each, but the lengths are {dict(lengths)}")


def check_quantiles(quantiles: Sequence[float]) -> None:
    """Raise ValueError unless each quantile is above 0 and below 1."""
    for quantile in quantiles:
        if not 0 < quantile < 1:
            nearest = quantile / 100 if 1 < quantile < 100 else 0.1
            raise ValueError(f"quantiles holds {quantile}: each must lie between 0 and 1, for example {nearest:g}")


def last_of_ties(ordered: Array) -> Index:
    """Index of the last of each run of equal values in an ordered array."""
    return np.flatnonzero(np.append(np.diff(ordered) > 0, True))
