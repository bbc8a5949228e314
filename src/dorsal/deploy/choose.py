"""Which form to keep: the fastest of those that are right, from measurements and proofs as values. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Agreement, Drop, Outcome
from dorsal.stats.bootstrap import percentile, resamples, start
from dorsal.stats.interval import Array, Estimate

Fate = Literal["chosen", "slower", "wrong", "not shown", "impossible", "failed"]

CONFIDENCE = 0.95
_DRAWS = 2_000


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long calls of a form take, in milliseconds: the median with its interval, and `high`, the 95th
    percentile."""

    median: Estimate
    high: float
    calls: int


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A form, and what was found out about it.

    - `impossible`: why it cannot exist on this machine, "" where it can. `error`: what was raised on the way to a
      measurement, "" where nothing was.
    - `agreement`: how far it is from the model, of forms in float32; `drop`: what it loses, of others. Both None where
      nobody could ask.
    - `times`: milliseconds of each round, in which all candidates had their turn. `memory`, `size`: MiB at the peak,
      and of its files.
    """

    form: Form
    impossible: str = ""
    error: str = ""
    agreement: Agreement | None = None
    drop: Drop | None = None
    times: tuple[float, ...] = ()
    memory: float | None = None
    size: float | None = None

    @property
    def outcome(self) -> Outcome:
        """Whether it says what the model says."""
        proof = self.drop if self.form.precision != "float32" else self.agreement
        return "not shown" if proof is None else proof.outcome


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of a candidate. `slower` is its time against that of the one that is kept, as a ratio, with its
    interval; None where one of them was not measured."""

    candidate: Candidate
    fate: Fate
    times: Times | None
    slower: Estimate | None


def choose(candidates: Sequence[Candidate], accept_unshown: bool = False) -> tuple[Judged, ...]:
    """What becomes of each candidate, in their order: the fastest by its median of those that are right is kept; with
    `accept_unshown` also of those that are not shown to be wrong. None is where none is right.

    Raises ValueError for candidates that were measured in different numbers of rounds.
    """
    measured = [each for each in candidates if each.times]
    if len(rounds := {len(each.times) for each in measured}) > 1:
        raise ValueError(f"candidates were measured in {sorted(rounds)} rounds; all must have been in each")
    allowed: tuple[Outcome, ...] = ("right", "not shown") if accept_unshown else ("right",)
    fit = [each for each in measured if each.outcome in allowed]
    kept = min(fit, key=lambda each: float(np.median(each.times)), default=None)
    return tuple(_judged(each, kept, allowed) for each in candidates)


def _judged(each: Candidate, kept: Candidate | None, allowed: Sequence[Outcome]) -> Judged:
    fate: Fate
    if each.impossible:
        fate = "impossible"
    elif not each.times:
        fate = "failed"
    elif each is kept:
        fate = "chosen"
    elif each.outcome in allowed:
        fate = "slower"
    else:
        fate = "wrong" if each.outcome == "wrong" else "not shown"
    times = _times(np.array(each.times)) if each.times else None
    slower = ratio(np.array(each.times), np.array(kept.times)) if kept is not None and each.times else None
    return Judged(candidate=each, fate=fate, times=times, slower=slower)


def _times(rounds: Array) -> Times:
    drawn = _medians(rounds[:, None])[:, 0]
    return Times(
        median=percentile(float(np.median(rounds)), drawn, CONFIDENCE),
        high=float(np.quantile(rounds, 0.95)),
        calls=len(rounds),
    )


def ratio(first: Array, second: Array) -> Estimate:
    """The median of the first over that of the second, whose rounds are paired: both had the same phases of the
    machine. The interval is a bootstrap over rounds."""
    drawn = _medians(np.stack([first, second], axis=1))
    return percentile(float(np.median(first) / np.median(second)), drawn[:, 0] / drawn[:, 1], CONFIDENCE)


def _medians(rounds: Array) -> Array:
    """Medians [draws, columns] of rounds [n, columns] drawn anew."""
    random = start(_DRAWS, 0)
    drawn = resamples(np.arange(len(rounds)), _DRAWS, random)
    return np.concatenate([np.median(rounds[places], axis=1) for places in drawn])
