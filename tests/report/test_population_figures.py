from __future__ import annotations

import re
from functools import cache
from typing import Any

import plotly.graph_objects as go
import pytest
from msgspec.structs import replace

from dorsal.findings.fronts import Front
from dorsal.findings.latency import analyse_latency
from dorsal.findings.population.records import SpaceFinding
from dorsal.report.fronts import cost_title
from dorsal.report.plot import View, look, powers, short
from dorsal.report.population.axes import axis_views, drawn_axes
from dorsal.report.population.figures import (
    MOST_BARS,
    distribution_views,
    front_views,
    importance_views,
    rule_view,
    schedule_views,
    search_views,
)
from dorsal.stats import Estimate
from tests.report.population_cases import COUNTS, NAMES, NETWORKS, case, measurements


@cache
def axes_of(name: str) -> list[View]:
    return axis_views(case(name).analysis)


@cache
def all_views(name: str) -> list[View]:
    _, analysis, latency, retrained = case(name)
    return [
        *(schedule_views(analysis, retrained) if retrained else ()),
        *distribution_views(analysis),
        *search_views(analysis),
        *axes_of(name),
        *importance_views(analysis),
        *front_views(analysis, latency),
        rule_view(analysis),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_plot_with_data_says_what_its_axes_are(name: str) -> None:
    for view in all_views(name):
        layout = view.figure.to_plotly_json()["layout"]
        if not view.figure.data:
            assert layout["annotations"]
            continue
        titles = {key: axis["title"]["text"] for key, axis in layout.items() if re.fullmatch(r"xaxis\d*", key)}
        assert all(titles.values())
        assert layout["yaxis"]["title"]["text"] or titles["xaxis"] == "share of variance, %"


def test_strings_of_the_user_are_no_markup_in_plots() -> None:
    for view in all_views("markup"):
        assert "<img" not in view.figure.to_json()
        assert "\\u003cimg" not in view.figure.to_json()


def test_a_space_has_one_colour_in_all_plots() -> None:
    analysis = case("whole").analysis
    colours = [look(index).colour for index in range(4)]
    for view in (*distribution_views(analysis), *search_views(analysis)):
        assert [trace.line.color for trace in view.figure.data if trace.hovertemplate] == colours
    for view in front_views(analysis, None):
        assert [trace.marker.color for trace in view.figure.data[:-1]] == colours
    for index, view in enumerate(axes_of("whole")):
        clouds = [trace for trace in view.figure.data if trace.mode == "markers" and trace.customdata is not None]
        assert {trace.marker.color for trace in clouds} == {colours[index]}


def test_curves_and_bands_are_those_of_the_analysis() -> None:
    analysis = case("whole").analysis
    views = distribution_views(analysis)
    assert [view.name for view in views][2:] == ["MACs counting alike", "parameters counting alike"]
    found = analysis.spaces[0].summary.distribution
    for view, band in zip(views, (found.simultaneous, found.pointwise), strict=False):
        low, high = view.figure.data[:2]
        curve = next(trace for trace in view.figure.data if trace.hovertemplate)
        assert curve.x[1:-1] == tuple(short(found.edf.values))
        assert curve.y[1:-1] == tuple(short(found.edf.share))
        assert (low.y[0], high.y[0]) == (0, short([band.high_below])[0])
        assert low.y[1:-1] == tuple(short(band.low))
        assert high.y[1:-1] == tuple(short(band.high))
        assert {low.line.shape, high.line.shape, curve.line.shape} == {"hv"}
    weighted = analysis.spaces[0].summary.by_complexity["params"].edf
    assert next(t for t in views[3].figure.data if t.hovertemplate).y[1:-1] == tuple(short(weighted.share))


def test_best_of_k_ends_at_a_quarter_of_the_networks_and_begins_with_the_mean() -> None:
    analysis = case("whole").analysis
    found = analysis.spaces[0].summary
    points = [point for point in found.search.points if point.k <= found.search.n / 4]
    expected, luck = (view.figure.data[:3] for view in search_views(analysis))
    assert {trace.x for trace in (*expected, *luck)} == {(1, 2, 3, 4)} == {tuple(point.k for point in points)}
    assert [trace.y[0] for trace in expected] == short([found.mean.low, found.mean.high, found.mean.value])
    assert luck[1].y == tuple(short(point.unlucky for point in points))


def test_of_three_networks_nothing_is_said_of_searches() -> None:
    figure = search_views(case("three_networks").analysis)[0].figure
    assert (len(figure.data), figure.layout.annotations[0].text) == (0, "no space has four networks that finished")


def panels(figure: go.Figure) -> dict[str, dict[str, Any]]:
    layout = figure.to_plotly_json()["layout"]
    axes = [axis for key, axis in layout.items() if key.startswith("xaxis")]
    return {axis["title"]["text"].partition("<br>")[0]: axis for axis in axes}


def test_every_axis_that_varies_has_a_plot_of_its_own() -> None:
    analysis = case("whole").analysis
    for space, view in zip(analysis.spaces, axes_of("whole"), strict=True):
        assert len(panels(view.figure)) == len(drawn_axes(space))
    shown = panels(axes_of("whole")[0].figure)
    assert list(shown)[:5] == [
        *(f"depths, stage {stage}, blocks" for stage in range(1, 5)),
        "widths, stage 1, channels",
    ]
    assert shown["widths, stage 1, channels"]["type"] == "log"
    assert shown["depths, stage 1, blocks"]["tickvals"] == [1, 2, 5, 10, 20]
    assert "tickvals" not in panels(axes_of("whole")[2].figure)["linear.wm"]  # from 1.5 to 3
    mixed = panels(axes_of("whole")[3].figure)
    assert mixed["mixer.radix, stage 1"]["tickvals"] == [1, 2, 4]
    assert [name.partition("<br>")[0] for name in mixed["stem"]["ticktext"]] == ["conv7x7(…)", "deep(…)", "simple"]


def test_networks_that_do_not_draw_an_axis_or_have_no_error_are_no_points() -> None:
    space = case("whole").analysis.spaces[3]
    view = axes_of("whole")[3]
    axis = next(axis for axis in space.axes if axis.name == "mixer.radix, stage 2")
    place = drawn_axes(space).index(axis)
    (cloud,) = [
        trace
        for trace in view.figure.data
        if trace.xaxis == f"x{place + 1}" and trace.mode == "markers" and trace.customdata is not None
    ]
    drawn = [v for v, e in zip(axis.values, space.errors, strict=True) if v is not None and e is not None]
    assert cloud.x == tuple(short(drawn))
    assert 0 < len(drawn) < NETWORKS


def test_good_ranges_are_shaded_where_the_axis_matters_and_marked_elsewhere() -> None:
    space = case("whole").analysis.spaces[0]
    shapes = {shape.xref: shape for shape in axes_of("whole")[0].figure.layout.shapes}
    matters = 0
    for place, axis in enumerate(drawn_axes(space)):
        shape = shapes.get("x" if place == 0 else f"x{place + 1}")
        if axis.good_range.inside == 1:  # all networks are in it
            assert shape is None
            continue
        assert (shape.x0, shape.x1) == (axis.good_range.low, axis.good_range.high)
        assert (shape.line.dash == "solid") == (axis.adjusted_p < 0.05) == (shape.fillcolor != "rgba(0,0,0,0)")
        matters += axis.adjusted_p < 0.05
    assert matters >= 1  # the depth of the first stage does


def of_panel(figure: go.Figure, place: int) -> list[Any]:
    return [trace for trace in figure.data if trace.xaxis == ("x" if place == 0 else f"x{place + 1}")]


def test_the_good_values_of_a_choice_are_marked_unless_all_are_good() -> None:
    analysis = case("whole").analysis
    space = analysis.spaces[3]
    place = next(place for place, axis in enumerate(drawn_axes(space)) if axis.name == "activation")
    axis = drawn_axes(space)[place]
    assert all(value.good for value in axis.good_values.values)
    wins = {value.value: f"{100 * value.wins:.0f} %" for value in axis.good_values.values}
    title = panels(axes_of("whole")[3].figure)["activation"]
    assert title["ticktext"] == [f"{word}<br>{wins[word]}" for word in ("mish", "relu", "silu")]

    def marked(found: SpaceFinding) -> list[int]:
        (view,) = axis_views(replace(analysis, spaces=(found,)))
        return [round(s.x0 + 0.45) for s in view.figure.layout.shapes if s.xref == f"x{place + 1}"]

    assert marked(space) == []
    values = tuple(replace(value, good=value.value == "mish") for value in axis.good_values.values)
    one = replace(axis, good_values=replace(axis.good_values, values=values))
    assert marked(replace(space, axes=tuple(one if each is axis else each for each in space.axes))) == [0]


def test_lines_and_bands_join_only_bins_with_an_interval() -> None:
    analysis = case("whole").analysis
    space = analysis.spaces[0]
    axis = drawn_axes(space)[0]
    like = axis.numeric.bins[0]
    known, few = Estimate(value=40.0, low=39.0, high=41.0), Estimate(value=40.0, low=None, high=None)
    bins = tuple(
        replace(like, centre=float(centre), errors=replace(like.errors, n=n, mean=known if n > 5 else few))
        for centre, n in enumerate((8, 8, 1, 3, 8, 8, 8), 1)
    )
    axis = replace(axis, numeric=replace(axis.numeric, bins=bins))
    (view,) = axis_views(replace(analysis, spaces=(replace(space, axes=(axis,)),)))
    _, *traces = of_panel(view.figure, 0)
    bands = [trace.x for trace in traces if trace.fill == "tonexty"]
    assert bands == [(1, 2), (5, 6, 7)]
    lines = [trace.x for trace in traces if trace.mode == "lines+markers"]
    assert lines == bands
    (lone,) = [trace for trace in traces if trace.mode == "markers"]
    assert (lone.x, lone.marker.symbol) == ((4,), ("diamond-open",))  # that of one network is no mean
    assert not any(3 in trace.x for trace in traces)


def test_an_axis_of_too_few_networks_says_so() -> None:
    space = case("three_networks").analysis.spaces[0]
    found = panels(axes_of("three_networks")[0].figure).values()
    for panel, axis in zip(found, drawn_axes(space), strict=True):
        assert axis.reason in re.sub(r"<[^>]+>", " ", panel["title"]["text"].replace("<br>", " "))


def test_shares_up_to_noise_are_grey() -> None:
    views = importance_views(case("whole").analysis)
    bars, whiskers, marks = views[0].figure.data
    axes = case("whole").analysis.spaces[0].importances.axes
    assert bars.text == tuple(axis.name for axis in axes)
    assert bars.y[0] == max(bars.y)
    assert (bars.x[0], *whiskers.x[:3]) == (50, 25, 75, None)
    assert [colour == look(0).colour for colour in bars.marker.color] == [axis.above_null for axis in axes]
    assert set(marks.x) == {10}
    assert len(axes) <= MOST_BARS


def test_a_share_without_an_interval_has_no_bar() -> None:
    analysis = case("whole").analysis
    space = analysis.spaces[0]
    first, *others = space.importances.axes
    bare = replace(first, share=replace(first.share, low=None, high=None))
    space = replace(space, importances=replace(space.importances, axes=(bare, *others)))
    bars, whiskers, _ = importance_views(replace(analysis, spaces=(space,)))[0].figure.data
    assert bars.y[0] not in whiskers.y
    assert set(bars.y[1:]) == set(whiskers.y) - {None}


def test_why_there_are_no_shares_is_said_in_the_plot() -> None:
    view = importance_views(case("three_networks").analysis)[0]
    assert view.figure.layout.annotations[0].text == case("three_networks").analysis.spaces[0].importances.reason


def test_fronts_are_those_of_the_analysis_and_one_of_measured_times() -> None:
    _, analysis, latency, _ = case("whole")
    views = front_views(analysis, latency)
    names = [cost_title(front.cost)[0] for front in analysis.fronts]
    assert [view.name for view in views] == [*names, "measured forward, batch 16", "measured training step, batch 16"]
    for view, front in zip(views, analysis.fronts, strict=False):
        assert view.figure.data[-1].y == tuple(short(front.errors))
        assert sum(len(trace.x) for trace in view.figure.data[:-1]) == sum(COUNTS) - 4
    timed, *others, front = views[-1].figure.data
    assert (len(timed.x), sum(len(trace.x) for trace in others)) == (NETWORKS - 2, 0)
    assert list(front.y) == sorted(front.y, reverse=True)
    assert list(front.x) == sorted(front.x)
    assert front.y[-1] == min(timed.y)
    assert front.x[0] == min(timed.x)


def test_predicted_times_are_told_from_measured_ones() -> None:
    _, analysis, latency, _ = case("whole")
    front = Front(cost="forward_b16_ms", labels=(), costs=(), errors=())
    spaces = tuple(replace(s, costs={**s.costs, front.cost: s.costs["macs"]}) for s in analysis.spaces)
    views = front_views(replace(analysis, spaces=spaces, fronts=(front,)), latency)
    assert [view.name.partition(",")[0] for view in views] == [
        "predicted forward",
        "measured forward",
        "measured training step",
    ]
    titles = [view.figure.layout.xaxis.title.text for view in views]
    assert all(title.startswith(view.name.partition(",")[0]) for title, view in zip(titles, views, strict=True))


def test_networks_trained_again_are_points_where_all_their_runs_finished() -> None:
    analysis, retrained = case("whole").analysis, case("whole").retrained
    (view,) = schedule_views(analysis, retrained)
    assert view.name == "10 epochs and 30 epochs"
    first, second, *others = view.figure.data
    assert [first.marker.color, second.marker.color] == [look(0).colour, look(1).colour]
    assert [len(trace.x) for trace in (first, second, *others)] == [7, 8, 0, 0]  # a run of one network diverged
    assert (first.customdata[0], first.x[0], first.y[0]) == (
        retrained.labels[1],
        *short(sum(runs) / 2 for runs in retrained.runs[1]),
    )
    waiting = tuple(((1.0, 2.0), ("waiting", "waiting")) for _ in retrained.labels)
    (view,) = schedule_views(analysis, replace(retrained, runs=waiting))
    assert view.figure.layout.annotations[0].text == "no network has finished at both schedules"


def test_times_are_known_for_the_networks_that_were_measured_at_their_size() -> None:
    population, analysis, latency, _ = case("whole")
    assert set(latency.times["step_b16_ms"]) == set(population.spaces[0].labels)
    measured = measurements(population)
    other = tuple(replace(each, image_size=each.image_size + 32) for each in measured.networks)
    larger = analyse_latency(population, analysis, latency.model, replace(measured, networks=other))
    assert (larger.times, larger.fronts) == ({}, ())


def test_ticks_of_logarithmic_axes_are_few_and_round() -> None:
    assert powers((8, 1024), 5) == [10, 30, 100, 300, 1000]
    assert powers((1, 16), 5) == [1, 2, 5, 10, 20]
    assert powers((1, 1e18), 5) == [1, 1e4, 1e8, 1e12, 1e16]
    assert short([1.23456789, float("nan"), 1.8e18]) == [1.2346, None, 1.8e18]
