"""Samples of networks: drawn from a space until enough of them meet all bounds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import sqrt
from typing import Any, Literal

import msgspec
import numpy as np

from dorsal.language.amounts import show_amount
from dorsal.language.files import PathLike
from dorsal.language.reader import whole_number, wrong_type
from dorsal.space.bounds import Bound, read_bounds
from dorsal.space.candidates import Predictor, evaluate, realise
from dorsal.space.named import read_space
from dorsal.space.points import Points, draw_points, values_of
from dorsal.space.size import dimensions, size
from dorsal.space.space import Space
from dorsal.space.table import Column
from dorsal.spec.network import Network

CHUNK = 10_000
"""Candidates drawn at a time. Another number would draw another sample."""

PILOT = 20_000
"""The number of candidates after which `sample` first judges how hard the bounds are to meet."""


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How networks were drawn from a space, and how hard they were to find.

    - `points`, `dimensions`: the size of the space, and the number of its independent draws.
    - `bounds`, `seed`: as asked for.
    - `candidates`: the number of points drawn.
    - `rejected`: the number of points that are not networks, by reason.
    - `met`: the number of networks that met each bound alone. `accepted`: the number that met all of them.
    - `duplicates`: the number of accepted ones that had been found before.
    """

    points: float
    dimensions: int
    bounds: dict[str, str]
    seed: int
    candidates: int
    rejected: dict[str, int]
    met: dict[str, int]
    accepted: int
    duplicates: int

    @property
    def acceptance(self) -> float:
        """The share of candidates that are networks and meet all bounds."""
        return self.accepted / self.candidates


class Sample(msgspec.Struct, frozen=True):
    """Networks of a space, in the order drawn.

    - `points`: indices into the values of each axis, (count, 1) or (count, stages).
    - `costs`: one array of (count,) for each quantity: those of `space.costs`, `image_size`, and the predicted ones.
    """

    space: Space
    sampling: Sampling
    points: Points
    costs: dict[str, Column]

    def __len__(self) -> int:
        return len(self.costs["macs"])

    def networks(self) -> Iterator[Network]:
        """The networks, made one by one."""
        found = realise(self.space.compiled, self.points)
        return (found.network(row) for row in range(len(self)))

    def axes(self) -> dict[str, list[Any]]:
        """The drawn values of each axis, as `points.values_of` returns them."""
        return values_of(self.space.compiled, self.points)


def sample(
    space: Space | PathLike,
    count: int,
    bounds: Mapping[str, str] | None = None,
    seed: int = 0,
    *,
    distinct: Literal["networks", "points"] = "networks",
    max_candidates: int = 1_000_000,
    predicted: Mapping[str, Predictor] | None = None,
    on_note: Callable[[str], None] = warnings.warn,
) -> Sample:
    """The first `count` different networks of the space that meet all `bounds`, in the order drawn.

    Candidates are independent draws, `CHUNK` at a time, and each chunk has its own random stream. So a sample depends
    on `seed` alone, and a smaller sample is the beginning of a larger one.

    - `space`: a value, its name, or the path of its file.
    - `bounds`: texts for `read_bounds`, for one image of the point's size.
    - `predicted`: further quantities to bound, as functions of the costs.
    - `distinct`: "networks" lets no two of the sample share network and image size, "points" no two share the point, as
      in pycls. Several points may stand for one network, which would then be trained twice (docs/spaces.md has
      figures).
    - `max_candidates`: the most candidates to draw.
    - `on_note`: called once with a sentence if `max_candidates` is probably too small. That is judged after `PILOT`
      candidates, and again whenever their number has doubled.

    Raises ValueError, with the nearest values found, if the space cannot hold `count` networks, if `max_candidates` is
    almost certainly too small, or if too few networks were found among that many candidates.
    """
    space = read_space(space)
    count, seed = whole_number("count", count), whole_number("seed", seed)
    predicted = predicted or {}
    if bounds is not None and not isinstance(bounds, Mapping):
        raise wrong_type("bounds", bounds, "a mapping such as {'macs': '360M..400M'}")
    bounds = dict(bounds or {})
    asked = read_bounds(bounds, predicted)
    _check_numbers(space, count, seed, max_candidates)
    search = _Search(space, asked, predicted, distinct)
    told, judged_at = False, PILOT
    for index in range(-(-max_candidates // CHUNK)):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        points = draw_points(search.compiled, CHUNK, random)  # whole chunks, so that `max_candidates` changes no draw
        search.add({name: column[: max_candidates - search.candidates] for name, column in points.items()})
        if len(search.seen) >= count:
            return search.result(count, bounds, seed)
        if search.candidates >= judged_at:
            judged_at = 2 * search.candidates
            told = search.judge(count, max_candidates, (lambda _: None) if told else on_note) or told
    raise ValueError(f"{search.found(count)}; {search.hindrance()}")


def _check_numbers(space: Space, count: int, seed: int, max_candidates: int) -> None:
    for name, value, least in (("count", count, 1), ("max_candidates", max_candidates, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name}={value} is below {least}; nearest valid: {least}")
    if count > (points := size(space)):
        raise ValueError(f"count={count:,} is more than the {points:,} points of {space.name}; nearest valid: {points}")
    if count > max_candidates:
        raise ValueError(
            f"count={count:,} networks cannot come from max_candidates={max_candidates:,}; raise max_candidates"
        )


class _Search:
    """The networks found so far, and what prevented finding more."""

    def __init__(
        self, space: Space, bounds: tuple[Bound, ...], predicted: Mapping[str, Predictor], distinct: str
    ) -> None:
        self.space, self.compiled = space, space.compiled
        self.bounds, self.predicted, self.distinct = bounds, predicted, distinct
        self.candidates = self.accepted = 0
        self.rejected: Counter[str] = Counter()
        self.met: Counter[str] = Counter({bound.quantity: 0 for bound in bounds})
        self.nearest: dict[str, float] = {}
        self.seen: set[bytes] = set()
        self.points: list[Points] = []
        self.costs: list[dict[str, Column]] = []
        self.course = [(0, 0)]

    def add(self, points: Points) -> None:
        """Evaluates one chunk of candidates."""
        self._add(points)
        self.course.append((self.candidates, len(self.seen)))

    def _add(self, points: Points) -> None:
        self.candidates += len(next(iter(points.values())))
        found = evaluate(self.compiled, points, self.predicted)
        self.rejected.update(found.rejected)
        fits = np.ones(len(found), bool)
        for bound in self.bounds:
            value = found.costs[bound.quantity]
            fits &= (alone := bound.met_by(value))
            self.met[bound.quantity] += int(alone.sum())
            if (known := value[~np.isnan(value)]).size:
                here = float(known[np.argmin(bound.away(known))])
                self.nearest[bound.quantity] = min(here, self.nearest.get(bound.quantity, here), key=bound.away)
        self.accepted += int(fits.sum())
        found = found.kept(fits)
        points = {name: column[found.rows] for name, column in points.items()}
        new = np.zeros(len(found), bool)
        whole = np.concatenate(list(points.values()), axis=1)
        for row, key in enumerate(found.keys() if self.distinct == "networks" else map(bytes, whole)):
            new[row] = key not in self.seen
            self.seen.add(key)
        self.points.append({name: column[new] for name, column in points.items()})
        self.costs.append({name: column[new] for name, column in found.costs.items()})

    def judge(self, count: int, max_candidates: int, on_note: Callable[[str], None]) -> bool:
        """Calls `on_note` if `max_candidates` will probably not be enough. True if it did.

        New networks come ever more rarely, so the pace is that of the later half of the candidates. Raises ValueError
        if they will almost certainly not be enough.
        """
        candidates, before = max(point for point in self.course if 2 * point[0] <= self.candidates)
        new, left = len(self.seen) - before, (max_candidates - self.candidates) / (self.candidates - candidates)
        if len(self.seen) + new * left >= count:
            return False
        at_best = new + 3 + 2 * sqrt(new)  # about the upper end of a 95 % interval of a count
        if len(self.seen) + at_best * left < count:
            enough = f"max_candidates={max_candidates:,} would not be enough"
            raise ValueError(f"{self.found(count)}, and {enough}; {self.hindrance()}")
        on_note(f"{self.found(count)}; {self.hindrance()}; going on to max_candidates={max_candidates:,}")
        return True

    def found(self, count: int) -> str:
        """A sentence part: how many networks have been found."""
        name = self.space.name
        return f"{len(self.seen):,} of {count:,} networks of {name} found in {self.candidates:,} candidates"

    def hindrance(self) -> str:
        """A sentence part: what most prevents finding networks."""
        networks = self.candidates - self.rejected.total()
        if self.rejected and networks * 20 < self.candidates:
            reason, times = self.rejected.most_common(1)[0]
            start = f"only {networks:,} of the candidates are networks; most frequent reason: {reason} ({times:,}); "
        else:
            start = ""
        if self.accepted > 2 * len(self.seen) > 0:
            start += f"{self.accepted:,} of the candidates meet all bounds, but most of these were found before; "
        never = [bound for bound in self.bounds if not self.met[bound.quantity]]
        if not networks or not self.bounds:
            return start + "widen the axes of the space, or ask for fewer"
        if never:
            return start + " and ".join(map(self._never_met, never))
        shares = ", ".join(
            f"{bound.quantity} in {bound.text} by {self.met[bound.quantity] / networks:.2%}" for bound in self.bounds
        )
        together = f", all together by {self.accepted / networks:.2%}" if len(self.bounds) > 1 else ""
        return f"{start}of the networks, bounds are met: {shares}{together}"

    def _never_met(self, bound: Bound) -> str:
        said = f"none has {bound.quantity} in {bound.text}: "
        if bound.quantity not in self.nearest:
            return said + "none could be predicted"
        return said + f"the nearest is {show_amount(self.nearest[bound.quantity])}"

    def result(self, count: int, bounds: dict[str, str], seed: int) -> Sample:
        """A sample of the first `count` networks."""
        return Sample(
            space=self.space,
            sampling=Sampling(
                points=float(size(self.space)),
                dimensions=dimensions(self.space),
                bounds=bounds,
                seed=seed,
                candidates=self.candidates,
                rejected=dict(self.rejected),
                met=dict(self.met),
                accepted=self.accepted,
                duplicates=self.accepted - len(self.seen),
            ),
            points={name: np.concatenate([part[name] for part in self.points])[:count] for name in self.points[0]},
            costs={name: np.concatenate([part[name] for part in self.costs])[:count] for name in self.costs[0]},
        )
