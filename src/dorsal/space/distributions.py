"""How one axis is drawn: frozen data, and the finite distribution behind each kind.

Every kind has finitely many values. So a distribution is a list of values with probabilities, and a draw inverts its
cumulative sum. The probabilities are the closed form of pycls's sampling functions (pycls/sweep/random.py), which draw
a real number and round it. `low`, `high` and `quantum` have the same meaning as there.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import erf, floor, isfinite, log, log2, sqrt
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

Number = int | float
Value = int | float | bool | str


class Uniform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="uniform"):
    """Multiples of `quantum` from `low` to `high`, all equally likely.

    pycls: a real number in [low, high + quantum), rounded down.
    """

    low: int | float
    high: int | float
    quantum: int | float = 1

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high, self.quantum)


class LogUniform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="log_uniform"):
    """Multiples of `quantum` from `low` to `high`, uniform on a logarithmic scale.

    `rounding` "up" is pycls's. It rounds a real number up, and extends the lower end of the range by min(quantum, low /
    2), so that `low` itself can occur. "nearest" rounds to the nearest multiple and extends both ends by half a
    quantum, as Optuna and ConfigSpace do for integers.
    """

    low: int | float
    high: int | float
    quantum: int | float = 1
    rounding: Literal["up", "nearest"] = "up"

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high, self.quantum)
        _check_positive(self, self.low)
        if self.rounding == "nearest" and self.low <= self.quantum / 2:
            raise ValueError(
                f"rounding=nearest with low={self.low} reaches down to 0, where a logarithm has no end; "
                f"nearest valid: low={self.quantum}, or rounding=up"
            )


class PowerOfTwo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="power_of_two"):
    """Powers of two from `low` to `high`, all equally likely (pycls `power2_uniform`)."""

    low: int | float
    high: int | float

    def __post_init__(self) -> None:
        _check_powers(self, self.low, self.high)


class PowerOfTwoOrLogUniform(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="power_of_two_or_log_uniform"
):
    """Powers of two below `quantum`, then multiples of `quantum`. Nearly log-uniform over the whole range.

    This is pycls's draw of group widths, `power2_or_log_uniform`: a power of two from `low` to `high`, replaced by a
    log-uniform multiple (rounded up) if it is not below `quantum`.
    """

    low: int | float
    high: int | float
    quantum: int | float

    def __post_init__(self) -> None:
        _check_powers(self, self.low, self.high, self.quantum)


class Normal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="normal"):
    """Multiples of `quantum` from a normal distribution clipped to `low` … `high`, which are six standard deviations
    apart.

    pycls: drawn again until it is in the range, then rounded to the nearest multiple.
    """

    low: int | float
    high: int | float
    quantum: int | float = 1

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high, self.quantum)


class LogNormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="log_normal"):
    """The same as `Normal` on a logarithmic scale (pycls `log_normal`)."""

    low: int | float
    high: int | float
    quantum: int | float = 1

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high, self.quantum)
        _check_positive(self, self.low)


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="choice"):
    """One of `values`, equally likely or by `weights`: numbers, words, or elements as text
    (`split_attention(radix=2)`).
    """

    values: tuple[Value, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values is empty; a choice has at least one value")
        for index, value in enumerate(self.values):
            if value in self.values[:index]:
                raise ValueError(f"values: {value} is given twice; give it once, with a weight")
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(
                f"weights has {len(self.weights)} numbers for {len(self.values)} values; give one for each"
            )
        if self.weights is not None and not all(weight > 0 and isfinite(weight) for weight in self.weights):
            raise ValueError(f"weights={list(self.weights)} must be positive; leave out a value that is never drawn")


class EqualTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="same"):
    """The value of another axis: an equality constraint such as w0 = wa."""

    axis: str


Ranged = Uniform | LogUniform | PowerOfTwo | PowerOfTwoOrLogUniform | Normal | LogNormal
Distribution = Ranged | Choice | EqualTo

DISTRIBUTIONS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Distribution)
}
"""The kinds of draw, by their `type`."""


class Support(NamedTuple):
    """The values of a draw in order, and their probabilities, which sum to 1."""

    values: tuple[Any, ...]
    probabilities: NDArray[np.float64]


@lru_cache(maxsize=256)
def support(draw: Ranged | Choice) -> Support:
    """All values of a draw with their probabilities."""
    match draw:
        case Choice():
            values: tuple[Any, ...] = draw.values
            mass = np.ones(len(values)) if draw.weights is None else np.array(draw.weights)
        case Uniform():
            values = _multiples(draw.low, draw.high, draw.quantum)
            mass = np.ones(len(values))
        case LogUniform():
            values = _multiples(draw.low, draw.high, draw.quantum)
            mass = _log_mass(values, draw.quantum, draw.rounding)
        case PowerOfTwo():
            values = _powers(draw.low, draw.high)
            mass = np.ones(len(values))
        case PowerOfTwoOrLogUniform():
            powers = _powers(draw.low, draw.high)
            below = tuple(value for value in powers if value < draw.quantum)
            quantum = min(draw.high, draw.quantum)
            above = _multiples(max(draw.low, draw.quantum), draw.high, quantum) if len(below) < len(powers) else ()
            share = _log_mass(above, quantum, "up") * (len(powers) - len(below)) if above else np.empty(0)
            values, mass = below + above, np.concatenate([np.ones(len(below)), share])
        case Normal():
            values = _multiples(draw.low, draw.high, draw.quantum)
            mass = _normal_mass(values, draw.low, draw.high, logarithmic=False)
        case LogNormal():
            values = _multiples(draw.low, draw.high, draw.quantum)
            mass = _normal_mass(values, draw.low, draw.high, logarithmic=True)
    return Support(values, mass / mass.sum())


def _log_mass(values: tuple[Number, ...], quantum: Number, rounding: str) -> NDArray[np.float64]:
    """The share of the logarithmic range that is rounded to each value. The shares sum to 1."""
    if rounding == "up":
        edges = [values[0] - min(quantum, values[0] / 2), *values]
    else:
        edges = [*(value - quantum / 2 for value in values), values[-1] + quantum / 2]
    shares: NDArray[np.float64] = np.diff(np.log(edges)) / log(edges[-1] / edges[0])
    return shares


def _normal_mass(values: tuple[Number, ...], low: Number, high: Number, logarithmic: bool) -> NDArray[np.float64]:
    """The mass of the clipped normal between the midpoints around each value."""
    scale = log if logarithmic else float
    middle, deviation = (scale(low) + scale(high)) / 2, (scale(high) - scale(low)) / 6 or 1.0
    edges = [low, *((a + b) / 2 for a, b in pairwise(values)), high]
    below = [0.5 * (1 + erf((scale(edge) - middle) / (deviation * sqrt(2)))) for edge in edges]
    return np.diff(below) if len(values) > 1 else np.ones(1)


def _multiples(low: Number, high: Number, quantum: Number) -> tuple[Number, ...]:
    """Multiples of the quantum in a closed range. Each is the float nearest to its decimal: 0.3, and not 3 * 0.1."""
    step = Fraction(str(quantum))
    first, last = Fraction(str(low)) / step, Fraction(str(high)) / step
    if all(isinstance(number, int) for number in (low, high, quantum)):
        return tuple(range(int(low), int(high) + 1, int(quantum)))
    return tuple(float(index * step) for index in range(int(first), int(last) + 1))


def _powers(low: Number, high: Number) -> tuple[Number, ...]:
    whole = isinstance(low, int) and isinstance(high, int)
    powers = (2.0**index for index in range(round(log2(low)), round(log2(high)) + 1))
    return tuple(int(power) if whole else power for power in powers)


def _check_range(draw: msgspec.Struct, low: Number, high: Number, quantum: Number) -> None:
    name = draw.__struct_config__.tag
    if not (quantum > 0 and isfinite(quantum)):
        raise ValueError(f"{name}: quantum={quantum} must be above 0, e.g. 1 or 8")
    for field, value in (("low", low), ("high", high)):
        if not isfinite(value):
            raise ValueError(f"{name}: {field}={value} must be a number")
        steps = Fraction(str(value)) / Fraction(str(quantum))
        if steps.denominator != 1:
            nearest = Fraction(str(quantum)) * max(floor(steps + Fraction(1, 2)), 1 if value > 0 else 0)
            raise ValueError(
                f"{name}: {field}={value} is no multiple of quantum={quantum}; nearest valid: {float(nearest):g}"
            )
    _check_order(name, low, high)
    if (high - low) / quantum > 1e6:
        raise ValueError(f"{name}: {low} to {high} in steps of {quantum} are over a million values; take larger steps")


def _check_order(name: Any, low: Number, high: Number) -> None:
    if low > high:
        raise ValueError(
            f"{name}: low={low} is above high={high}, which leaves no value; did you mean {high} to {low}?"
        )


def _check_positive(draw: msgspec.Struct, low: Number) -> None:
    if low <= 0:
        raise ValueError(f"{draw.__struct_config__.tag}: low={low} must be above 0; a logarithmic scale has no 0")


def _check_powers(draw: msgspec.Struct, low: Number, high: Number, quantum: Number = 1) -> None:
    name = draw.__struct_config__.tag
    for field, value in (("low", low), ("high", high), ("quantum", quantum)):
        if not (value > 0 and isfinite(value) and log2(value).is_integer()):
            nearest = 2 ** round(log2(value)) if value > 0 and isfinite(value) else 1
            raise ValueError(f"{name}: {field}={value} is no power of two; nearest valid: {nearest}")
    _check_order(name, low, high)
