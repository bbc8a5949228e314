"""Which form to keep: the fastest of those that are right, from measurements and proofs as values. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from scipy.special import stdtrit

from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop, Outcome, OutputAgreement
from dorsal.deploy.quantize import Quantization
from dorsal.stats.interval import Array, Estimate

Fate = Literal["chosen", "slower", "wrong", "not shown", "impossible", "failed"]

CONFIDENCE = 0.95
SITTING = 5
"""So many rounds are made by the same processes."""


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long calls of a form take, in milliseconds: the median with its interval over sittings, and the 95th
    percentile of all `calls`."""

    median: Estimate
    high: float
    calls: int


class TriedForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A form, and what was found out about it.

    - `impossible`: why it cannot exist on this machine, "" where it can. `error`: what was raised on the way to a
      measurement, "" where nothing was.
    - `agreement`: how far it is from the model, of forms in float32; `drop`: what it loses, of others. Both None where
      nobody could ask.
    - `calls`: milliseconds of the calls in each round; much slower ones have the first rounds alone.
    - `memory`: by how many MiB its process grew at most. `size`: MiB of its files.
    - `done`: the share of the MACs that it really does in each precision, and `fallen` the layers that are not in the
      one that was asked for, most MACs first; None and empty where the runtime does not tell.
    - `quantization`: how it came to be in int8.
    """

    form: Form
    impossible: str = ""
    error: str = ""
    agreement: OutputAgreement | None = None
    drop: Drop | None = None
    calls: tuple[tuple[float, ...], ...] = ()
    memory: float | None = None
    size: float | None = None
    done: dict[str, float] | None = None
    fallen: tuple[str, ...] = ()
    quantization: Quantization | None = None

    @property
    def times(self) -> Array:
        """The median of each round."""
        return np.array([np.median(each) for each in self.calls])

    @property
    def median(self) -> float:
        """The mean over sittings of the median of their rounds, in milliseconds; not finite where it was not
        measured."""
        return median_of(self.times).value if self.calls else np.inf

    @property
    def outcome(self) -> Outcome:
        """Whether it says what the model says."""
        proof = self.drop if self.form.precision != "float32" else self.agreement
        return "not shown" if proof is None else proof.outcome


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of a candidate. `slower` is its time against that of the one that is kept, as a ratio, with its
    interval; None where one of them was not measured."""

    candidate: TriedForm
    fate: Fate
    times: Times | None
    slower: Estimate | None


def choose(candidates: Sequence[TriedForm], accept_unshown: bool = False) -> tuple[Judged, ...]:
    """What becomes of each candidate, in their order: the fastest of those that are right is kept; with
    `accept_unshown` also of those that are not shown to be wrong. None is where none is right.

    All are measured in the same rounds, some in the first of them alone.
    """
    allowed: tuple[Outcome, ...] = ("right", "not shown") if accept_unshown else ("right",)
    kept = next((each for each in fastest_first(candidates) if each.outcome in allowed), None)
    return tuple(_judged(each, kept, allowed) for each in candidates)


def fastest_first(candidates: Sequence[TriedForm]) -> list[TriedForm]:
    """Those that were measured, by their time as a ratio to that of one which was in all rounds: what was in the first
    rounds alone is compared in these."""
    measured = [each for each in candidates if each.calls]
    if not measured:
        return []
    always = max(measured, key=lambda each: (len(each.calls), -each.median))
    return sorted(measured, key=lambda each: ratio(each.times, always.times).value)


def _judged(each: TriedForm, kept: TriedForm | None, allowed: Sequence[Outcome]) -> Judged:
    slower = ratio(each.times, kept.times) if kept is not None and each.calls else None
    fate: Fate
    if each.impossible:
        fate = "impossible"
    elif not each.calls:
        fate = "failed"
    elif each is kept:
        fate = "chosen"
    elif each.outcome == "wrong":
        fate = "wrong"
    else:
        beaten = slower is not None and slower.value >= 1  # it was perhaps not worth a proof
        fate = "slower" if beaten or each.outcome in allowed else "not shown"
    times = _times(each) if each.calls else None
    return Judged(candidate=each, fate=fate, times=times, slower=slower)


def _times(each: TriedForm) -> Times:
    calls = np.concatenate(each.calls)
    return Times(median=median_of(each.times), high=float(np.quantile(calls, 0.95)), calls=len(calls))


def median_of(rounds: Array) -> Estimate:
    """The geometric mean over sittings of the median of their rounds, with the interval of `ratio`."""
    return ratio(rounds, np.ones(len(rounds)))


def ratio(first: Array, second: Array) -> Estimate:
    """How many times as long the first takes as the second: the geometric mean over sittings of the median over their
    rounds, which are paired, for both had the same phases of the machine. Rounds that only one of them has do not
    count.

    The interval is Student's over sittings, None with one of them. Rounds of one sitting are not independent: where a
    process happens to lie in memory, it is up to 3 % slower or faster for as long as it lives (docs/log.md).
    """
    rounds = min(len(first), len(second))
    logs = np.log(first[:rounds] / second[:rounds])
    sittings = np.array([np.median(logs[begin : begin + SITTING]) for begin in range(0, rounds, SITTING)])
    middle, freedom = float(sittings.mean()), len(sittings) - 1
    if not freedom:
        return Estimate(value=float(np.exp(middle)), low=None, high=None)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * sittings.std(ddof=1) / np.sqrt(len(sittings)))
    low, value, high = np.exp([middle - half, middle, middle + half]).tolist()
    return Estimate(value=value, low=low, high=high)
