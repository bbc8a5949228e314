"""The plot of receptive fields, and `dorsal show --receptive-field` that prints and draws them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dorsal.cli.app import APP
from dorsal.report.receptive import field_views, plot_page, write_plot
from dorsal.spec.receptive import LevelField, receptive_fields
from dorsal.zoo import network
from tests.report.browser import assert_legible, look_at, needs_browser

DEFORMABLE = "resnet50(mixer=[conv, conv, conv, conv(deformable=true)])"
LONG = "resnet50(mixer=multi_scale(scales=4, width=26), stem=deep, shortcut=average_pool)"


def fields_of(*texts: str) -> dict[str, tuple[LevelField, ...]]:
    return {text: receptive_fields(network(text)) for text in texts}


def test_the_overview_has_every_level_of_every_network() -> None:
    fields = fields_of("resnet50", "small")
    figure = field_views(fields, 224)[0].figure
    boxes = [trace for trace in figure.data if trace.type == "box"]
    assert [box.name for box in boxes] == ["resnet50", "small"]
    for box, levels in zip(boxes, fields.values(), strict=True):
        assert list(box.x) == [level.name for level in levels]
        assert list(box.lowerfence) == [level.smallest for level in levels]
        assert list(box.q1) == [level.quantile(0.05) for level in levels]
        assert list(box.median) == [level.quantile(0.5) for level in levels]
        assert list(box.q3) == [level.quantile(0.95) for level in levels]
        assert list(box.upperfence) == [level.largest for level in levels]


def test_a_level_alone_shows_all_its_paths_on_one_scale() -> None:
    views = {view.name: view.figure for view in field_views(fields_of("resnet50", "res2net50", "small"), 224)}
    # The stems have one path; `small` has no fourth stage.
    assert list(views) == ["all levels", "stage1", "stage2", "stage3", "stage4"]
    assert [len(figure.data) for figure in views.values()] == [6, 3, 3, 3, 2]
    for figure in list(views.values())[1:]:
        for trace in figure.data:
            assert sum(trace.customdata) == pytest.approx(100)
        heights = [
            (max(y + row for y in trace.y), max(trace.customdata)) for row, trace in enumerate(figure.data, start=1)
        ]
        scales = [height / share for height, share in heights]
        assert scales == pytest.approx([scales[0]] * len(scales))
        assert max(height for height, _ in heights) < 0.68  # below the name of the row


def test_a_network_keeps_its_colour_where_another_has_no_such_level() -> None:
    views = {view.name: view.figure for view in field_views(fields_of("small", "resnet50"), 224)}
    assert views["stage4"].data[0].line.color == views["stage3"].data[1].line.color


def test_the_image_is_marked_where_it_is_within_the_plot() -> None:
    views = {view.name: view.figure for view in field_views(fields_of("resnet50"), 224)}
    assert {name: len(figure.layout.shapes) for name, figure in views.items()} == {
        "all levels": 1,
        "stage1": 0,
        "stage2": 0,
        "stage3": 1,
        "stage4": 1,
    }


def test_names_cannot_become_markup() -> None:
    evil = "</script><b>x"
    text = plot_page({evil: receptive_fields(network("small"))}, 32)
    assert evil not in text
    assert "<b>" not in text.split("</style>")[1].split("<script>")[0]


def test_networks_that_reach_further_are_named() -> None:
    assert "of resnet50(mixer=" in plot_page(fields_of("small", DEFORMABLE), 224)
    assert "Deformable" not in plot_page(fields_of("small"), 224)


def test_only_html_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .html; nearest valid: '.*fields.html'"):
        write_plot(fields_of("small"), 224, tmp_path / "fields.png")
    assert list(tmp_path.iterdir()) == []


@needs_browser
@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_the_page_draws_itself_and_fits_the_window(width: int, tmp_path: Path) -> None:
    names = ("resnet50", LONG, DEFORMABLE, "resnest50", "regnety_032", "skresnet50", "dla60_res2net", "small")
    seen = look_at(plot_page(fields_of(*names), 224), width, tmp_path)
    assert_legible(seen)
    assert seen["switched"] == [True]
    assert (seen["lines"], seen["bands"]) == (7, 7)  # `small` has no fourth stage


def show(*words: str) -> Result:
    return CliRunner().invoke(APP, ["show", *words])


def test_show_prints_a_row_for_each_level_and_network() -> None:
    result = show("resnet50", "res2net101_26w_4s", "small", "--receptive-field")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:3] == ["1  resnet50", "2  res2net101_26w_4s", "3  small"]
    rows = [line.split() for line in lines if re.match(r"(stem|stage)", line)]
    assert len(rows) == 5 + 5 + 4
    plain = next(row for row in rows if row[:2] == ["stage4/32", "1"])
    assert plain[2:-1] == ["2^16", "11", "115", "219", "323", "427", "219", "48", "%"]
    assert next(row for row in rows if row[:2] == ["stage4/32", "2"])[2] == "9.7e28"
    assert max(map(len, lines)) <= 80
    assert "≥" not in result.stdout


def test_bars_are_on_one_scale_for_the_networks_of_a_level() -> None:
    def bars(*texts: str) -> list[str]:
        lines = show(*texts, "--receptive-field").stdout.splitlines()
        return [line.split(" % ")[1] for line in lines if line.startswith("stage1")]

    # 1, 3, 3 and 1 of 8 paths see 11, 19, 27 and 35 pixels
    assert bars("resnet50") == [" ▃██▃"]
    alone, beside_one_path = bars("resnet50", "resnet50(depths=[1, 4, 6, 3], shortcut=identity_only)")
    assert (alone, beside_one_path) == (" ▁▃▃▁", "  █")


def test_show_says_which_sizes_are_the_least_possible() -> None:
    lines = show(DEFORMABLE, "--receptive-field").stdout.splitlines()
    marked = [line.split()[0] for line in lines if line.endswith(" ≥")]
    assert marked == ["stage4/32"]
    assert lines[-1].startswith("≥: deformable")


def test_show_as_json_has_the_exact_counts() -> None:
    shown = json.loads(show("res2net101_26w_4s", "--receptive-field", "--json", "--image-size", "300").stdout)
    last = shown["receptive_fields"][-1]
    expected = receptive_fields(network("res2net101_26w_4s"))[-1]
    assert (tuple(last["sizes"]), tuple(last["paths"])) == (expected.sizes, expected.paths)
    assert last["total"] == sum(last["paths"]) > 2**64
    assert last["share_above_image"] == expected.share_above(300)
    assert last["quantiles"] == {str(share): expected.quantile(share) for share in (0.05, 0.5, 0.95)}
    both = json.loads(show("resnet50", "small", "--receptive-field", "--json").stdout)
    assert [each["text"] for each in both["networks"]] == ["resnet50", "small"]


def test_show_draws_the_plot_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "fields.html"
    result = show("resnet50", "small", "--receptive-field", "--plot", str(path))
    assert result.stdout.endswith(f"plot: {path}\n")
    assert path.read_text().startswith("<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["fields.html"]
    quiet = show("small", "--receptive-field", "--json", "--plot", str(path))
    assert json.loads(quiet.stdout)["text"] == "small"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small", "--plot", "x.html"], "--plot draws receptive fields; add --receptive-field"),
        (["small", "--receptive-field", "--layers"], "ask for one of them"),
        (["small", "--receptive-field", "--plot", "x.png"], "must end in .html"),
        (["small", "timm:resnet50", "--receptive-field"], "and not those of timm:resnet50"),
        (["resnett50", "--receptive-field"], "did you mean"),
        (["small", "--receptive-field", "--image-size", "0"], "nearest valid: 1"),
        (["small", "small", "small"], "one network or two"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(words: list[str], message: str) -> None:
    result = show(*words)
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
    assert result.stdout == ""
