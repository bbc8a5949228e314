"""Receptive fields of several networks side by side, as one HTML page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from dorsal.jobs.json_file import write_whole
from dorsal.report.files import check_html
from dorsal.report.plot import View, look, plane, shown
from dorsal.report.shell import chart, shell
from dorsal.spec.receptive import LevelField, binned

Fields = Mapping[str, tuple[LevelField, ...]]
"""The levels of each network, by its name."""

BINS = 60
# A level with many rows makes the page scroll; without room kept for its bar the plot would be too wide from then on.
STEADY = "html { overflow-y: scroll; }"
IMAGE_LINE = {"width": 1, "dash": "dot", "color": "#7F7F7F"}
OVERVIEW = (
    "Sizes of the receptive fields of all paths, by level. Box: the middle 90 % of the paths; mark in it: the median; "
    "lines: the shortest and the longest path."
)
DETAIL = "A level alone: the height is the share of the paths that see so many pixels, on one scale for all networks."
CAVEATS = (
    "A path is one way through the network: past a block or through it, and in a cascade of channel groups from one "
    "group to any later one. Every path counts once, whatever its weights.",
    "The longest path is what is usually called the receptive field. What a trained network makes use of, its "
    "effective receptive field, is smaller: shorter paths and the middle of every window weigh more.",
    "Attention and group norm look at the whole map to weigh it. That is not counted.",
)
LOOSE = "Deformable convolutions may reach anywhere: counted as plain ones, so the sizes of {} are the least."


def write_plot(fields: Fields, image_size: int, path: Path) -> None:
    """Writes the page to `path`, whole or not at all. `image_size`, one side in pixels, is drawn as a line.

    Raises ValueError when the path does not end in .html.
    """
    check_html(path)
    write_whole(path, plot_page(fields, image_size).encode())


def plot_page(fields: Fields, image_size: int) -> str:
    """The page as text. Names of networks are escaped."""
    figure = chart("level", field_views(fields, image_size), f"{OVERVIEW} {DETAIL}")
    loose = [name for name, levels in fields.items() if levels[-1].at_least]
    caveats = [*CAVEATS, LOOSE.format(", ".join(loose))] if loose else CAVEATS
    said = "".join(f"<li>{escape(line)}</li>" for line in caveats)
    body = f"""<header><h1>Receptive fields</h1><p class="soft">{escape(", ".join(fields))}</p></header>
<main>{figure}<h2>What this says and what it does not</h2><ul class="caveats">{said}</ul>
</main>"""
    return shell("Receptive fields", body, STEADY)


def field_views(fields: Fields, image_size: int) -> list[View]:
    """All levels in one figure, then each level alone on which some network has paths of several sizes."""
    views = [View("all levels", _overview(fields, image_size))]
    for name in dict.fromkeys(level.name for levels in fields.values() for level in levels):
        here = {text: level for text, levels in fields.items() for level in levels if level.name == name}
        if any(len(level.sizes) > 1 for level in here.values()):
            views.append(View(name, _distribution(here, list(fields), image_size)))
    return views


def _overview(fields: Fields, image_size: int) -> go.Figure:
    ticks = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
    figure = plane("", "receptive field, pixels (log scale)", 520)
    for index, (name, levels) in enumerate(fields.items()):
        colour = look(index).colour
        names = [level.name for level in levels]
        medians = [level.quantile(0.5) for level in levels]
        figure.add_box(
            name=shown(name),
            x=names,
            lowerfence=[level.smallest for level in levels],
            q1=[level.quantile(0.05) for level in levels],
            median=medians,
            q3=[level.quantile(0.95) for level in levels],
            upperfence=[level.largest for level in levels],
            marker={"color": colour},
            line={"width": 1.5},
            offsetgroup=str(index),
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=names,
            y=medians,
            mode="markers",
            marker={"color": colour, "size": 12, "opacity": 0},
            offsetgroup=str(index),
            showlegend=False,
            customdata=[_summary(level) for level in levels],
            hovertemplate=f"{shown(name)}<br>%{{x}}: %{{customdata}}<extra></extra>",
        )
    figure.add_hline(image_size, line=IMAGE_LINE)
    # Plotly takes the place of a line in pixels and that of a text in their logarithm.
    figure.add_annotation(
        text=f"image, {image_size} px", y=math.log10(image_size), x=0, xref="paper", yshift=9, showarrow=False
    )
    return figure.update_layout(
        boxmode="group",
        scattermode="group",
        scattergap=0.3,
        showlegend=True,
        legend={"orientation": "h", "y": -0.16},
        yaxis={"type": "log", "tickvals": ticks},
    )


def _summary(level: LevelField) -> str:
    sizes = (level.smallest, level.quantile(0.05), level.quantile(0.5), level.quantile(0.95), level.largest)
    return f"{' · '.join(map(str, sizes))} px<br>least, 5 %, median, 95 %, most"


def _distribution(levels: Mapping[str, LevelField], names: list[str], image_size: int) -> go.Figure:
    """One row a network under its name, all on one scale. `names` are all networks of the page, for their colours."""
    width, rows = binned(list(levels.values()), BINS)
    figure = plane(f"receptive field in pixels, bins of {width}", "", 110 + 90 * len(rows))
    highest = max(map(max, rows))
    for row, ((name, level), shares) in enumerate(zip(levels.items(), rows, strict=True), start=1):
        bins = range(level.smallest // width, level.largest // width + 1)
        figure.add_scatter(
            x=[width * index for index in (bins.start, *bins, bins.stop)],
            y=[-row, *(0.65 * shares[index] / highest - row for index in bins), -row],
            mode="lines",
            line={"shape": "hv", "width": 1.5, "color": look(names.index(name)).colour},
            fill="toself",
            hoveron="points",
            customdata=[0, *(100 * shares[index] for index in bins), 0],
            hovertemplate=f"{shown(name)}<br>from %{{x}} px: %{{customdata:.2g}} %<br>{_summary(level)}<extra></extra>",
        )
        figure.add_annotation(text=shown(name), x=0, xref="paper", y=0.68 - row, yanchor="bottom", showarrow=False)
    if image_size <= max(level.largest for level in levels.values()):
        figure.add_vline(image_size, line=IMAGE_LINE, annotation={"text": f"image, {image_size} px"})
    return figure.update_layout(
        margin={"l": 16}, xaxis={"rangemode": "tozero"}, yaxis={"visible": False, "range": [-len(rows), 0.05]}
    )
