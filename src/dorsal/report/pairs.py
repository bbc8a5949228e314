"""All pairs of a comparison as one plot, each with its interval and by its verdict."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dorsal.findings.verdicts import Verdicts
from dorsal.report.plot import plane, remark, shown
from dorsal.stats import Pair

LOOKS = {
    "better": ("#0072B2", "circle"),
    "practically equal": ("#009E73", "diamond"),
    "undecided": ("#7F7F7F", "circle-open"),
}


def caption(margin: str) -> str:
    """What stands below `forest`; `margin` with its unit."""
    return (
        f"Each pair of arms with its simultaneous interval; the band is the margin of {margin}. Blue: better. "
        "Green diamond: practically equal. Grey and hollow: undecided."
    )


def forest(pairs: Sequence[Pair], verdicts: Verdicts, margin: float, unit: str) -> go.Figure:
    """One row a pair over a band as wide as the margin. Names stand above the rows: they leave the plot its width."""
    figure = plane(f"better minus worse{unit and ','}{unit}", "")
    for verdict, (colour, symbol) in LOOKS.items():
        judged = zip(pairs, verdicts.pairs, strict=True)
        rows = [(-row, pair) for row, (pair, each) in enumerate(judged) if each.judgement.verdict == verdict]
        found = [pair.difference for _, pair in rows]
        above = [None if each.high is None else each.high - each.value for each in found]
        below = [None if each.low is None else each.value - each.low for each in found]
        bars = {"array": above, "arrayminus": below, "thickness": 2, "width": 4}
        figure.add_scatter(
            x=[each.value for each in found],
            y=[row for row, _ in rows],
            text=[f"{shown(pair.better)} − {shown(pair.worse)}" for _, pair in rows],
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": symbol},
            error_x=bars if any(above) else None,
            hovertemplate="%{text}: %{x:.4g}<extra></extra>",
        )
    for row, pair in enumerate(pairs):
        names = f"{shown(pair.better)} − {shown(pair.worse)}"
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0.38 - row}
        figure.add_annotation(**place, text=names, showarrow=False, font={"size": 11})
    if pairs:
        figure.add_vrect(x0=-margin, x1=margin, fillcolor="rgba(0,158,115,0.12)", line={"width": 0})
    else:
        remark(figure, "no two arms share a seed")
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": "#7F7F7F"})
    return figure.update_layout(
        margin={"l": 16},
        height=100 + 42 * max(len(pairs), 1),
        yaxis={"visible": False, "range": [0.3 - len(pairs), 0.8]},
    )
