"""The plot of a choice as a Plotly figure."""

from __future__ import annotations

from dorsal.report.plot import GREY, NOTHING, View, line, look, plane, remark, short, shown, whiskers
from dorsal.report.words.numerals import percent
from dorsal.spec.metric import ACCURACY
from dorsal.study.choice.records import ChoiceStudy

DASH = {"random weights": "dot", "color histogram": "dash"}


def round_view(study: ChoiceStudy) -> View:
    """The score by the number of images learnt from, a line for each candidate; the controls are grey."""
    figure = plane("training images learnt from", f"{ACCURACY.name} on held-out images, %", 440)
    if not study.rounds:
        remark(figure, NOTHING)
        return View("", figure)
    for index, label in enumerate([*(arm.label for arm in study.arms), *study.controls]):
        means = [(each.portion.of_draw, each.scores[label]) for each in study.rounds if label in each.scores]
        control = label in study.controls
        figure.add_scatter(
            x=[images for images, _ in means],
            y=short(mean.value for _, mean in means),
            mode="lines+markers",
            legendgroup=str(index),
            line={"color": GREY, "dash": DASH[label], "width": 2} if control else line(index),
            marker={"size": 8, "color": GREY if control else look(index).colour},
            customdata=[percent(mean) for _, mean in means],
            hovertemplate=f"{shown(label)}<br>%{{x}} images: %{{customdata}} %<extra></extra>",
        )
        places, ends = whiskers(means)
        figure.add_scatter(
            x=places,
            y=ends,
            mode="lines",
            legendgroup=str(index),
            hoverinfo="skip",
            line={"color": GREY if control else look(index).colour, "width": 1},
        )
    ticks = [each.portion.of_draw for each in study.rounds]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,}" for tick in ticks]}
    return View("", figure.update_layout(xaxis=axis))
