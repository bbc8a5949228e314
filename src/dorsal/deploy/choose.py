"""Which form to keep: the fastest of those that are right, from measurements and proofs as values. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop, Outcome, OutputAgreement
from dorsal.deploy.quantize import Quantization
from dorsal.stats.bootstrap import percentile, resamples, start
from dorsal.stats.interval import Array, Estimate

Fate = Literal["chosen", "slower", "wrong", "not shown", "impossible", "failed"]

CONFIDENCE = 0.95
_DRAWS = 2_000


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long calls of a form take, in milliseconds: the median over rounds with its interval, and the 95th percentile
    of all `calls`."""

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
        """The median of its rounds, in milliseconds; not finite where it was not measured."""
        return float(np.median(self.times)) if self.calls else np.inf

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
    """What becomes of each candidate, in their order: the fastest by its median of those that are right is kept; with
    `accept_unshown` also of those that are not shown to be wrong. None is where none is right.

    All are measured in the same rounds, some in the first of them alone.
    """
    measured = [each for each in candidates if each.calls]
    allowed: tuple[Outcome, ...] = ("right", "not shown") if accept_unshown else ("right",)
    fit = [each for each in measured if each.outcome in allowed]
    kept = min(fit, key=lambda each: each.median, default=None)
    return tuple(_judged(each, kept, allowed) for each in candidates)


def _judged(each: TriedForm, kept: TriedForm | None, allowed: Sequence[Outcome]) -> Judged:
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
        beaten = kept is not None and each.median >= kept.median  # it was perhaps not worth a proof
        fate = "slower" if beaten or each.outcome in allowed else "not shown"
    times = _times(each) if each.calls else None
    slower = ratio(each.times, kept.times) if kept is not None and each.calls else None
    return Judged(candidate=each, fate=fate, times=times, slower=slower)


def _times(each: TriedForm) -> Times:
    drawn = _medians(each.times[:, None])[:, 0]
    calls = np.concatenate(each.calls)
    return Times(
        median=percentile(each.median, drawn, CONFIDENCE), high=float(np.quantile(calls, 0.95)), calls=len(calls)
    )


def ratio(first: Array, second: Array) -> Estimate:
    """The median of the first over that of the second, whose rounds are paired: both had the same phases of the
    machine. Rounds that only one of them has do not count. The interval is a bootstrap over rounds."""
    rounds = min(len(first), len(second))
    first, second = first[:rounds], second[:rounds]
    drawn = _medians(np.stack([first, second], axis=1))
    return percentile(float(np.median(first) / np.median(second)), drawn[:, 0] / drawn[:, 1], CONFIDENCE)


def _medians(rounds: Array) -> Array:
    """Medians [draws, columns] of rounds [n, columns] drawn anew."""
    random = start(_DRAWS, 0)
    drawn = resamples(np.arange(len(rounds)), _DRAWS, random)
    return np.concatenate([np.median(rounds[places], axis=1) for places in drawn])
