"""A population as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from dorsal.findings.latency import LatencyFindings
from dorsal.findings.population.records import PopulationFindings
from dorsal.report.fronts import POINTS
from dorsal.report.numerals import cost_title, plural
from dorsal.report.parts import data_line, items, legend, run_facts
from dorsal.report.population.axes import axis_views
from dorsal.report.population.figures import (
    MOST_BARS,
    distribution_views,
    front_views,
    importance_views,
    rule_view,
    schedule_views,
    search_views,
)
from dorsal.report.population.latency import latency_section
from dorsal.report.population.lineage import STYLE, lineage
from dorsal.report.population.networks import all_networks, drawings
from dorsal.report.population.tables import (
    candidates,
    errors,
    good_values,
    lost,
    order_table,
    pairs,
    plans,
    ranks,
    retrained,
    sample_table,
)
from dorsal.report.shell import chart, prose, shell
from dorsal.study.population.records import PopulationStudy, RecheckRuns

# Small plots side by side need a width of their own: on a phone they scroll sideways. A view with more rows of them
# makes the page scroll; without room kept for its bar the plot would be too wide from then on.
_STYLE = f"""{STYLE}
html {{ overflow-y: scroll; }}
.panels {{ overflow-x: auto; }}
.panels .canvas {{ min-width: 980px; }}
.tall {{ max-height: 520px; overflow-y: auto; }}
.tall thead th {{ position: sticky; top: 0; background: var(--paper); z-index: 1; }}
section > :is(.scroll, figure, .panels) + .scroll, .scroll + ul {{ margin-top: 16px; }}
"""
_TAU = (
    "tau: Kendall's rank correlation; (1 + tau) / 2 is about the share of pairs of networks in the same order. A "
    "schedule that is run with two seeds shows the noise: no other is expected to agree with it better than "
    "about the square root of that. Within spaces: over pairs of networks of the same space, since those of two spaces "
    "differ by the distance between the spaces, too. An order of spaces is kept or reversed where it is so both with "
    "lost runs left out and with lost runs counted as errors of 100 %."
)


def population_page(
    population: PopulationStudy,
    analysis: PopulationFindings,
    latency: LatencyFindings | None = None,
    evidence: RecheckRuns | None = None,
) -> str:
    """The page as text; `analysis` was given the same `evidence`. Every string of the population is escaped."""
    sections = (
        _top(population, analysis),
        _spaces(analysis),
        _distributions(analysis),
        _search(analysis),
        _axes(analysis),
        _importances(analysis),
        _fronts(analysis, latency),
        _linear_rule(analysis),
        _reliability(analysis, evidence),
        latency_section(analysis, latency),
        _networks(population, analysis),
        f"<section><h2>How it was run</h2>{run_facts(population.study)}</section></main>",
    )
    return shell(analysis.name, "".join(sections), _STYLE)


def _top(population: PopulationStudy, analysis: PopulationFindings) -> str:
    study = population.study
    machine = study.machine
    networks = sum(len(space.labels) for space in analysis.spaces)
    finished = sum(space.counts.finished for space in analysis.spaces)
    about = (
        f"{plural(len(analysis.spaces), 'space')}, {finished:,} of {plural(networks, 'network')} finished: "
        f"recipe {analysis.recipe}, {plural(analysis.epochs, 'epoch')}, {plural(analysis.seeds, 'seed')}. "
        f"{data_line(study.data)} "
        f"{machine.processor}, {plural(machine.cores, 'core')}, {machine.device}. {study.created}"
    )
    return f"""<header><h1>{escape(analysis.name)}</h1><p class="soft">{prose(about)}</p>
<pre>{escape(study.command)}</pre></header>
<main>{_verdicts(analysis)}
<h3>What this does not show</h3><ul class="caveats">{items(analysis.notes)}</ul>
"""


def _verdicts(analysis: PopulationFindings) -> str:
    """The conclusions. First and large stands which spaces differ most clearly, where any were compared."""
    compared = [(pair.sentence, pair.comparison) for pair in analysis.pairs if pair.comparison]
    if not compared:
        return f'<ul class="verdicts alike">{items(analysis.sentences)}</ul>'
    p, _, clearest = min(
        (
            min(test.adjusted_p for test in (found.distance_test, *(e.test for e in (found.mean, *found.quantiles)))),
            -abs(found.mean.difference.value),
            sentence,
        )
        for sentence, found in compared
    )
    first = "No two spaces are shown to differ."
    if p <= 1 - analysis.confidence:
        first = next(sentence for sentence in analysis.sentences if sentence.startswith(clearest))
    return f'<ul class="verdicts">{items(dict.fromkeys((first, *analysis.sentences)))}</ul>'


def _spaces(analysis: PopulationFindings) -> str:
    return f"""<section><h2>Spaces</h2>{lineage(analysis.spaces)}{sample_table(analysis.spaces)}
<p class="soft">{lost(analysis)}</p>{candidates(analysis.spaces)}</section>
"""


def _legend(analysis: PopulationFindings) -> str:
    return legend({index: space.name for index, space in enumerate(analysis.spaces)})


def _distributions(analysis: PopulationFindings) -> str:
    shared = ", ".join(f"{number} of 10 for {cost_title(name)[0]}" for name, number in analysis.shared_bins.items())
    caption = (
        "Share of a space's networks that have at most so much error; the higher curve is the better space. Bands, "
        f"{100 * analysis.confidence:g} %: of the whole curve (it lies inside everywhere), or at each error alone. "
        "Counting alike: networks are weighted so that tenths of the range of a cost count as much as each other, "
        f"but only those in which every space has networks ({shared}); the other networks are left out."
    )
    figure = chart("Distribution of errors", distribution_views(analysis), caption, _legend(analysis))
    compared = pairs(analysis)
    method = next((pair.comparison.method for pair in analysis.pairs if pair.comparison is not None), "")
    return f"""<section><h2>Errors</h2>{figure}{errors(analysis)}{compared}{plans(analysis)}
{f"<details><summary>Method</summary><p>{prose(method)}</p></details>" if method else ""}</section>
"""


def _search(analysis: PopulationFindings) -> str:
    drawn = ", ".join(f"{space.counts.finished:,} of {space.name}" for space in analysis.spaces)
    caption = (
        f"Error of the best of k networks drawn at random from these ({drawn}), up to a quarter of them: with more, it "
        "would be their own best again. Expected: with its pointwise "
        f"{100 * analysis.confidence:g} % interval. Luck: the median over searches, and from the luckiest to the "
        "unluckiest tenth."
    )
    figure = chart("Random search", search_views(analysis), caption, _legend(analysis))
    return f"<section><h2>Random search</h2>{figure}</section>"


def _axes(analysis: PopulationFindings) -> str:
    caption = (
        "One point a network. Diamonds: means of bins of about as many networks each, or of each value, with intervals "
        "that hold in all of them at once; hollow ones are of too few networks for an interval. A line and a band join "
        "neighbouring bins that both have one. Between the grey lines: where the best networks lie, shaded where the "
        "axis is shown to matter to them (p below 0.05, adjusted for all axes of the space). Below a value in percent: "
        "how often the best of a quarter of the networks has it."
    )
    figure = chart("Error against each axis", axis_views(analysis), caption)
    tables = "".join(
        f"<details><summary>Good ranges of {escape(space.name)}</summary>{good_values(space.axes)}</details>"
        for space in analysis.spaces
    )
    return f'<section><h2>Error against each axis</h2><div class="panels">{figure}</div>{tables}</section>'


def _importances(analysis: PopulationFindings) -> str:
    first = analysis.spaces[0].importances
    most = max(len(space.importances.axes) for space in analysis.spaces)
    of = f" The {MOST_BARS} largest of up to {most}." if most > MOST_BARS else ""
    caption = (
        "Share of the variance of predicted errors that an axis explains alone, with "
        f"{100 * analysis.confidence:g} % intervals. Mark: how far noise reaches; a share up to there, in grey, is "
        f"noise.{of}"
    )
    figure = chart("Importance of axes", importance_views(analysis), caption)
    method = f"<details><summary>Method</summary><p>{prose(first.method)}</p></details>"
    return f"<section><h2>Which axes matter</h2>{figure}{method}</section>"


def _fronts(analysis: PopulationFindings, latency: LatencyFindings | None) -> str:
    caption = (
        f"{POINTS} Rings: the front, networks that no other beats in both error and cost; they are chosen and judged "
        "on the same images."
    )
    if latency is not None and latency.times:
        networks = sum(len(space.labels) for space in analysis.spaces)
        caption += f" {len(set().union(*latency.times.values()))} of {plural(networks, 'network')} timed."
    views = front_views(analysis, latency)
    return f"""<section><h2>Error against cost</h2>{chart("Error against cost", views, caption, _legend(analysis))}
</section>
"""


def _linear_rule(analysis: PopulationFindings) -> str:
    said = "".join(f"<li>{escape(space.name)}: {prose(space.linear_rule.sentence)}</li>" for space in analysis.spaces)
    figure = ""
    fitted = {index: space.name for index, space in enumerate(analysis.spaces) if space.linear_rule.computed}
    if fitted:
        caption = (
            "One point a network whose widths were fitted to RegNet's quantised linear rule. e_fit: mean over blocks "
            "of |log(width by the rule / width)|; 0 follows the rule."
        )
        figure = chart("Linear rule", [rule_view(analysis)], caption, legend(fitted))
    return f"<section><h2>Distance from the linear rule</h2><ul>{said}</ul>{figure}</section>"


def _reliability(analysis: PopulationFindings, evidence: RecheckRuns | None) -> str:
    found = analysis.reliability
    figure = ""
    if evidence is not None:
        caption = (
            "One point a network trained again, its errors being means over seeds; networks with a lost or waiting run "
            "at either schedule are left out. Where one schedule ranks as the other, the points rise without a fall."
        )
        figure = chart("Short and long schedule", schedule_views(analysis, evidence), caption, _legend(analysis))
    lines = [f"{rank.space}: {line}" for rank in found.ranks for line in rank.sentences]
    lines += [line for order in found.orders for line in order.sentences]
    tables = f"{retrained(found.retrained)}{ranks(found.ranks)}{order_table(found.orders)}"
    note = f'<p class="soft">{_TAU}</p>' if tables else ""
    return f"""<section><h2>Is the short schedule enough?</h2><p><strong>{prose(found.sentence)}</strong></p>
{figure}{f"<ul>{items(lines)}</ul>" if lines else ""}{tables}{note}</section>
"""


def _networks(population: PopulationStudy, analysis: PopulationFindings) -> str:
    return f"""<section><h2>Best, median and worst networks</h2>{drawings(population, analysis)}</section>
<section><h2>All networks</h2>{all_networks(population, analysis)}</section>
"""
