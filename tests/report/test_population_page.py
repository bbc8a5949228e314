from __future__ import annotations

import re
from functools import cache

import pytest
from msgspec.structs import replace
from plotly.offline import get_plotlyjs

from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import PopulationFindings
from dorsal.report.parts import estimated
from dorsal.report.population.figures import MOST_BARS, importance_views
from dorsal.report.population.latency import FITTED
from dorsal.report.population.lineage import lineage
from dorsal.report.population.page import population_page
from dorsal.report.words.numerals import amount, chance, magnitude
from dorsal.report.words.populations import conclusions, notes, pair_sentence, rule_sentence
from dorsal.report.words.schedule import order_sentences, rank_sentences, schedule_sentence
from dorsal.space.space import Refinement
from dorsal.stats import Estimate
from tests.report.population_cases import COUNTS, EVIL, NAMES, NETWORKS, case
from tests.report.test_page import Reader
from tests.study.populations import Part, level, population

MOST_BYTES = 6_000_000


@cache
def page(name: str) -> str:
    return population_page(*case(name))


@cache
def read(name: str) -> Reader:
    return Reader(page(name).replace(get_plotlyjs(), ""))


@pytest.mark.parametrize("name", NAMES)
def test_every_case_is_a_well_formed_page_with_all_that_was_concluded(name: str) -> None:
    reader, analysis = read(name), case(name).analysis
    assert reader.open == []
    assert all(line in reader.text for line in (*conclusions(analysis), *notes(analysis)))
    assert all(rule_sentence(space.linear_rule, 0.95) in reader.text for space in analysis.spaces)
    assert len(reader.figures) == sum(attributes.get("class") == "chart" for _, attributes in reader.tags)
    assert len(reader.figures) >= 5


def test_what_a_reader_asks_first_comes_first() -> None:
    text = page("whole")
    analysis = case("whole").analysis
    headings = ["Spaces", "Errors", "Random search", "Error against each axis", "Which axes matter"]
    headings += ["Error against cost", "Distance from the linear rule", "Is the short schedule enough?", "Latency"]
    headings += ["Best, median and worst networks", "All networks", "How it was run"]
    places = [text.index(conclusions(analysis)[0].replace(" %", "&nbsp;%"))]
    places += [text.index(f"<h2>{heading}") for heading in headings]
    places += [text.index("<pre>dorsal space run")]
    assert places == sorted(places)


def verdicts(analysis: PopulationFindings) -> tuple[str, ...]:
    """The class of the list, and its first item."""
    text = population_page(case("whole").population, analysis)
    found = re.search(r'<ul class="(verdicts[ a-z]*)"><li>(.*?)</li>', text)
    return found.groups() if found else ()


def test_the_clearest_difference_is_the_headline() -> None:
    analysis = case("whole").analysis
    style, first = verdicts(analysis)
    assert style == "verdicts"
    assert first.startswith("regnetx has a lower mean error than anynetx_e, by ")
    clear = [pair for pair in analysis.pairs if {pair.a, pair.b} == {"anynetx_e", "regnetx"}]
    unclear = [pair for pair in analysis.pairs if pair_sentence(pair, analysis).startswith("No difference")]
    assert clear
    assert unclear
    assert verdicts(replace(analysis, pairs=tuple(unclear))) == ("verdicts", "No two spaces are shown to differ.")
    assert verdicts(replace(analysis, pairs=())) == (
        "verdicts alike",
        conclusions(analysis)[0].replace(" %", "&nbsp;%"),
    )


def test_intervals_and_adjusted_p_values_are_told_apart() -> None:
    assert "mean<small>95&nbsp;% interval<br>p, adjusted</small>" in page("whole")
    assert "an interval may leave out 0 where p is above 0.05" in read("whole").text
    assert "may leave out 0" not in read("three_networks").text


def test_nothing_is_fetched() -> None:
    text = page("whole")
    assert text.count(get_plotlyjs()) == 1
    rest = text.replace(get_plotlyjs(), "").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?:|//\w+\.|@import|url\(", rest) == []
    assert not any(name in attributes for _, attributes in read("whole").tags for name in ("src", "href", "action"))


def test_strings_of_the_user_stay_text() -> None:
    reader = read("markup")
    tags = [tag for tag, _ in reader.tags]
    assert "img" not in tags
    assert tags.count("script") == len(reader.figures) + 2  # one a figure, Plotly and the page's own
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert EVIL in reader.text


def test_of_many_shares_the_largest_are_shown() -> None:
    population, analysis, *_ = case("three_networks")
    space, shares = analysis.spaces[0], case("whole").analysis.spaces[0].importances
    many = replace(shares, axes=(*shares.axes, *shares.axes))
    analysis = replace(analysis, spaces=(replace(space, importances=many),))
    assert len(importance_views(analysis)[0].figure.data[0].y) == MOST_BARS < len(many.axes)
    assert f"The {MOST_BARS} largest of up to {len(many.axes)}" in population_page(population, analysis)


def test_latency_has_its_scatter_its_table_and_its_verdict() -> None:
    reader = read("whole")
    (views,) = [views for views in reader.figures if FITTED in str(views)]
    assert len(views) == 2
    *spaces, diagonal = views[0]["data"]
    assert diagonal["x"] == diagonal["y"]
    for axis, title in (("x", "MACs, millions"), ("x2", "activations, millions"), ("x3", FITTED)):
        ours = [trace for trace in spaces if trace["xaxis"] == axis]
        assert sum(len(trace["x"]) for trace in ours) == NETWORKS + 1
        assert views[0]["layout"][axis.replace("x", "xaxis")]["title"]["text"].startswith(title)
    for words in ("all together", "√MACs", "activations predict better than MACs", "elsewhere"):
        assert words in reader.text
    assert "Latency" not in read("three_networks").text


def test_networks_without_a_time_are_counted_beside_the_fronts() -> None:
    assert f"{NETWORKS} of {sum(COUNTS)} networks timed." in read("whole").text
    assert "networks timed" not in read("three_networks").text


def test_reliability_is_told_or_said_to_be_missing() -> None:
    whole, found = read("whole").text, case("whole").analysis.reliability
    assert all(line in whole for rank in found.ranks for line in rank_sentences(rank, found))
    assert all(line in whole for order in found.orders for line in order_sentences(order))
    assert "10 epochs, two seeds" in whole
    assert "10 epochs and 30 epochs" in whole
    assert "Left out: 1 of 8 of anynetx_a diverged at 30 epochs." in whole
    table = page("whole")[page("whole").index('aria-label="Trained again"') :]
    assert re.findall(r"<td>(.*?)</td>", table)[:12] == [
        *("10 epochs", "8", "8", "0", "0", "0"),
        *("30 epochs", "8", "7", "1", "0", "0"),
    ]
    missing = read("three_networks").text
    assert schedule_sentence(case("three_networks").analysis.reliability) in missing
    assert "two seeds" not in missing


def test_curves_that_count_complexities_alike_say_how_many_they_share() -> None:
    shared = case("whole").analysis.shared_bins
    assert f"({shared['macs']} of 10 for MACs, {shared['params']} of 10 for parameters)" in read("whole").text


def test_lost_networks_are_counted_and_their_runs_listed_with_reasons() -> None:
    text = read("whole").text
    assert "1 network diverged and 2 networks failed" in text
    assert text.count("it diverged") == 2  # two seeds
    assert text.count("it failed") == 4
    assert "0 of 2" in read("nothing_finished").text


def test_best_median_and_worst_are_drawn_once_each() -> None:
    assert page("whole").count('<svg class="dorsal-net"') == 12
    assert page("one_network").count('<svg class="dorsal-net"') == 1
    assert "best and nearest the median and worst" in read("one_network").text
    assert "No network has finished." in read("nothing_finished").text


def test_every_network_is_in_the_table_the_best_first() -> None:
    analysis = case("whole").analysis
    text = page("whole")
    table = text[text.index("<h2>All networks") : text.index("<h2>How it was run")]
    labels = re.findall(r"</svg>([\w/]+)</th>", table)
    errors = {label: e for s in analysis.spaces for label, e in zip(s.labels, s.errors, strict=True)}
    assert labels[:-4] == sorted((label for label in errors if errors[label] is not None), key=lambda n: errors[n])
    assert sorted(labels[-4:]) == ["anynetx_a/1", "anynetx_a/2", "mixed/5", "regnetx/7"]
    assert table.count("<code>") == sum(COUNTS) + 1
    assert table.count('<details class="clip"><summary><code>') == sum(COUNTS)


def rows(html: str) -> list[str]:
    return [re.sub(r"<[^>]+>", " ", row).strip() for row in re.findall(r'<tr><th scope="row">(.*?)</tr>', html)]


def test_the_lineage_names_each_space_below_the_one_it_was_made_from() -> None:
    found = rows(lineage(case("whole").analysis.spaces))
    start = next(place for place, row in enumerate(found) if row.startswith("anynetx_a"))
    chain = found[start : start + 5]
    for row, (name, change) in zip(
        chain,
        [
            ("anynetx_a", "–"),
            ("anynetx_b", "share expansion"),
            ("anynetx_c", "share mixer.group_width"),
            ("anynetx_d", "monotone widths"),
            ("anynetx_e", "monotone depths"),
        ],
        strict=True,
    ):
        assert name in row
        assert change in row
    assert "1.8 × 10¹⁸" in chain[0]
    assert len(found) == 7


def test_two_spaces_made_from_one_share_its_row() -> None:
    space = case("three_networks").analysis.spaces[0]
    step = Refinement("fix expansion=1", "anynetx_a", 1e30)
    half = replace(space.sampling, points=1e20)
    twins = tuple(replace(space, name=name, sampling=half, history=(step,)) for name in ("left", "right"))
    found = rows(lineage(twins))
    assert [row.split()[0 if place == 0 else 1] for place, row in enumerate(found)] == ["anynetx_a", "left", "right"]


@pytest.mark.slow
def test_four_spaces_of_a_hundred_networks_fit_in_a_page_that_can_be_sent() -> None:
    spaces = ("anynetx_a", "anynetx_e", "regnetx", "crossed")
    found = population(*(Part(space, 100, level(50)) for space in spaces))
    assert len(population_page(found, analyse_population(found, fits=0, resamples=20)).encode()) < MOST_BYTES


def test_figures_are_written_for_readers() -> None:
    assert [magnitude(n) for n in (7, 123456, 1.8e18, float("inf"))] == ["7", "123,456", "1.8 × 10¹⁸", "∞"]
    assert [amount(n) for n in (0.0, 8, 16.25, 1234.5, 0.0625, float("nan"))] == [
        "0",
        "8",
        "16.25",
        "1,234",
        "0.0625",
        "nan",
    ]
    assert [chance(p) for p in (None, 0.0004, 0.0251)] == ["–", "< 0.001", "0.025"]
    assert estimated(Estimate(value=1.234, low=None, high=None), sign="+") == "+1.23<small>no interval</small>"
    assert estimated(Estimate(value=1.2, low=0.5, high=2), 1) == "1.2<small>0.5 to 2.0</small>"
