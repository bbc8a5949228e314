from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plotly.offline import get_plotlyjs

from dorsal.report.comparison.figures import cost_views, curve_views, pair_views, share_view
from dorsal.report.comparison.page import comparison_page as page
from dorsal.report.comparison.page import write_comparison_report
from dorsal.report.plot import LONGEST_LABEL, look, shown
from dorsal.report.words.comparison import caveats, conclusions
from dorsal.report.words.numerals import percent
from dorsal.report.words.remarks import study_notes
from dorsal.stats import variance_shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.findings.studies import Case

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Reader(HTMLParser):
    """Collects the tags, the text and the figures of a page, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.figures: list[list[dict[str, Any]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            if self.tags[-1][1].get("type") == "application/json":
                self.figures.append(json.loads(data))
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words).replace("\u00a0", " ")


def read(case: Case) -> Reader:
    return Reader(page(case.study, case.analysis).replace(get_plotlyjs(), ""))


def test_every_edge_case_is_a_well_formed_page(edge: Case) -> None:
    reader = read(edge)
    assert reader.open == []
    assert all(sentence in reader.text for sentence in conclusions(*edge))
    assert len(reader.figures) == sum(attributes.get("class") == "chart" for _, attributes in reader.tags)


def test_the_page_holds_what_is_needed_to_trust_it_and_run_it_again(broken: Case) -> None:
    reader, study = read(broken), broken.study
    assert all(line in reader.text for line in (*conclusions(*broken), *caveats(*broken), *study_notes(study)))
    for fact in (study.command, study.data.fingerprint, study.created, study.machine.processor, "torch 2.9.0"):
        assert fact in reader.text
    assert percent(broken.analysis.cell("resnest", "plain").score) in reader.text
    for fact in ("loss is nan at epoch 4, step 12", "RuntimeError: <b>no memory</b>", "21 of 24 runs done"):
        assert fact in reader.text
    assert "squeeze_excite(ratio=0.25, reference=input, position=after_mixer)" in reader.text


def test_conclusions_come_before_caveats_before_results(whole: Case) -> None:
    text = page(whole.study, whole.analysis)
    headings = ["What this does not show", "<h2>Results", "<h2>Score against cost", "<h2>Learning curves"]
    headings += ["<h2>Where the variance", "<h2>Differences", "<h2>Architectures", "<h2>How it was run"]
    places = [text.index(conclusions(*whole)[0]), *map(text.index, headings)]
    assert places == sorted(places)


def test_nothing_is_fetched(whole: Case) -> None:
    text = page(whole.study, whole.analysis)
    assert text.count(get_plotlyjs()) == 1
    assert "default-src 'none'" in text
    rest = text.replace(get_plotlyjs(), "").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?:|//\w+\.|@import|url\(", rest) == []
    reader = read(whole)
    assert {tag for tag, _ in reader.tags} & {"link", "img", "iframe", "object", "embed", "base", "a"} == set()
    assert not any(name in attributes for _, attributes in reader.tags for name in ("src", "href", "srcset", "action"))


def test_strings_of_the_user_stay_text(case: Callable[[str], Case]) -> None:
    evil, plain = read(case("markup")), read(case("no_latency"))
    tags = [tag for tag, _ in evil.tags]
    assert "img" not in tags
    # one script a figure, Plotly and the page's own
    assert tags.count("script") == len(evil.figures) + 2 == len(plain.figures) + 2
    assert not any(name.startswith("on") for _, attributes in evil.tags for name in attributes)
    assert case("markup").study.name in evil.text
    assert "<" not in "".join(
        trace["hovertemplate"].replace("<br>", "").replace("<extra></extra>", "")
        for views in evil.figures
        for figure in views
        for trace in figure["data"]
        if "hovertemplate" in trace
    )


def test_an_arm_looks_the_same_everywhere(whole: Case) -> None:
    reader = read(whole)
    costs, curves = reader.figures[0], reader.figures[1]
    colours = [look(index).colour for index in range(4)]
    assert [trace["marker"]["color"] for trace in costs[0]["data"][::2]] == colours
    assert [trace["line"]["color"] for trace in curves[0]["data"] if "hovertemplate" in trace] == colours
    assert len({look(index) for index in range(21)}) == 21


def test_points_and_bars_are_those_of_the_analysis(whole: Case) -> None:
    views = cost_views(whole.study, whole.analysis)
    assert [view.name for view in views] == ["MACs", "Parameters", "Activations", "Forward", "Train step"]
    interval = whole.analysis.cell("resnest", "tricks").score
    assert interval is not None
    assert interval.high is not None
    trace = views[0].figure.data[5]
    assert trace.x[0] == whole.study.arms[2].cost.macs / 1e6
    assert trace.y[0] == interval.value
    assert trace.error_y.array[0] == interval.high - interval.value
    times = views[3].figure.data[0].error_x
    assert (times.array[0], times.arrayminus[0]) == pytest.approx((0.3, 0.15))


def test_costs_that_were_not_measured_have_no_view(case: Callable[[str], Case]) -> None:
    def names(name: str) -> list[str]:
        return [view.name for view in cost_views(case(name).study, case(name).analysis)]

    assert names("no_latency") == ["MACs", "Parameters", "Activations"]
    assert names("some_latency")[3:] == ["Forward", "Train step"]


def test_curves_are_means_with_bands(whole: Case, case: Callable[[str], Case]) -> None:
    band, line = curve_views(whole.study)[0].figure.data[:2]
    runs = [t.curve for (arm, recipe, _), t in whole.study.ended().items() if (arm, recipe) == ("resnet", "plain")]
    assert line.y[3] == pytest.approx(sum(curve[3].score for curve in runs) / 3)
    assert band.y[3] > line.y[3]
    assert len(band.x) == 2 * len(line.x)
    assert all(trace.fill is None for trace in curve_views(case("one_seed").study)[0].figure.data)


def test_the_forest_separates_shown_from_not_shown(broken: Case) -> None:
    for view, comparisons in zip(pair_views(*broken), broken.analysis.comparisons.values(), strict=True):
        better, equal, undecided = (len(trace.x) for trace in view.figure.data)
        assert better == sum(pair.significant for pair in comparisons.pairs)
        assert better + equal + undecided == len(comparisons.pairs)


def test_one_seed_draws_and_promises_no_interval(case: Callable[[str], Case]) -> None:
    one = case("one_seed")
    views = [*cost_views(one.study, one.analysis)[:3], *pair_views(*one)]
    assert all(trace.error_x.array is None for view in views for trace in view.figure.data)
    assert all(trace.error_y.array is None for view in views for trace in view.figure.data)
    assert "one seed, hence no interval" in read(one).text


def test_the_page_has_both_halves_of_every_interval(case: Callable[[str], Case], whole: Case) -> None:
    images = case("images")
    pair = next(iter(images.analysis.comparisons.values())).pairs[0]
    for half in (pair.seed_half, pair.image_half):
        assert f"± {half:.2f}" in read(images).text
    assert "over seeds and test images" in read(images).text
    assert "new test images like these" in read(images).text
    assert "3 seeds only" in read(whole).text


def test_shares_without_intervals_are_drawn_without() -> None:
    exact = share_view(variance_shares([[[93.1, 93.2]], [[95.1, 95.2]]])).figure.data[0]
    noisy = share_view(variance_shares([[[93.1, 93.2]], [[95.1, 95.4]]])).figure.data[0]
    assert exact.error_x.array is None
    assert len(noisy.error_x.array) == 3


def test_labels_in_plots_are_short_and_safe() -> None:
    assert shown(f"network(variant={'1' * 50}, depth=2)") == "network(varia…11, depth=2)"
    assert len(shown("a" * 100)) == len(shown("a" * LONGEST_LABEL)) == LONGEST_LABEL
    assert shown("<b>&") == "&lt;b&gt;&amp;"


def test_the_page_is_written_whole(whole: Case, tmp_path: Path) -> None:
    write_comparison_report(whole.study, whole.analysis, tmp_path)
    assert (tmp_path / "report.html").read_text() == page(whole.study, whole.analysis)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "results.json", "trials.csv", "curves.csv"}


def test_the_page_has_verdicts_ranks_and_effects_under_each_recipe(whole: Case) -> None:
    text = read(whole).text
    for words in ("verdict", "one run wins", "2 to 3", "the margin of 1 point", "corrected for all recipes"):
        assert words in text
    for verdict in ("better", "undecided"):
        assert verdict in text
