"""The lineage of spaces: which was narrowed from which, and by how much."""

from __future__ import annotations

from html import escape
from math import isfinite, log10

from dorsal.findings.population.records import SpaceFinding
from dorsal.report.parts import swatch, table
from dorsal.report.words.numerals import magnitude

STYLE = """
.size { display: flex; align-items: center; gap: 8px; min-width: 260px; }
.size i { height: 10px; border-radius: 2px; background: var(--soft); flex: none; }
.branch { color: var(--soft); font-weight: 400; white-space: pre; }
"""
BAR = 150
"""Length in pixels of the bar of the largest space."""

Ancestry = tuple[tuple[str, float, str], ...]
"""From the widest space to this one: name, points, and the change that made it."""


def lineage(spaces: tuple[SpaceFinding, ...]) -> str:
    """A row for every space and each of its ancestors, below the one that it was made from."""
    sampled = {_ancestry(space): (index, space) for index, space in enumerate(spaces)}
    known = sorted({ancestry[:end] for ancestry in sampled for end in range(1, len(ancestry) + 1)}, key=_order)
    largest = max((_digits(ancestry[-1][1]) for ancestry in known), default=1.0)
    rows = []
    for ancestry in known:
        name, points, change = ancestry[-1]
        index, space = sampled.get(ancestry, (None, None))
        branch = f'<span class="branch">{"  " * (len(ancestry) - 2)}↳ </span>' if len(ancestry) > 1 else ""
        bar = f'<i style="width:{BAR * _digits(points) / largest:.0f}px"></i>'
        rows.append(
            [
                f"{branch}{'' if index is None else swatch(index)}{escape(name)}",
                escape(change) or "–",
                f'<span class="size">{bar}{magnitude(points)}</span>',
                "–" if space is None else str(space.sampling.dimensions),
            ]
        )
    head = ("space", "made by", "points (bar: number of digits)", "dimensions")
    return table("Lineage of the spaces", head, rows, "words")


def _ancestry(space: SpaceFinding) -> Ancestry:
    changes = ("", *(step.change for step in space.history))
    names = [*((step.of, step.points) for step in space.history), (space.name, space.sampling.points)]
    return tuple((name, points, change) for (name, points), change in zip(names, changes, strict=True))


def _order(ancestry: Ancestry) -> tuple[tuple[float, str, str], ...]:
    """Depth first, the larger space first."""
    return tuple((-points, name, change) for name, points, change in ancestry)


def _digits(points: float) -> float:
    return log10(points) if isfinite(points) and points > 1 else 0.5
