"""A population as one HTML page that needs nothing else, and its whole report."""

from __future__ import annotations

from html import escape
from pathlib import Path

from dorsal.findings.latency import LatencyFindings
from dorsal.findings.population.records import PopulationFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.fronts import POINTS
from dorsal.report.parts import data_line, details, how_it_was_run, items, legend, page_of, section, top
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
from dorsal.report.population.results import write_results
from dorsal.report.population.tables import (
    candidates,
    errors,
    good_values,
    lost,
    order_table,
    pairs,
    plans,
    ranks,
    retrained_counts,
    sample_table,
)
from dorsal.report.shell import chart, prose
from dorsal.report.words.learning import learning_sentences
from dorsal.report.words.numerals import cost_title, plural
from dorsal.report.words.populations import (
    IMPORTANCE_METHOD,
    clearest,
    conclusions,
    notes,
    populations_method,
    rule_sentence,
)
from dorsal.report.words.schedule import schedule_sentence, schedule_sentences
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
    "schedule that is run with two seeds shows the noise: no other schedule is expected to agree with it better than "
    "about the square root of that. Within spaces: over pairs of networks of the same space, since those of two spaces "
    "differ by the distance between the spaces, too. An order of spaces is kept or reversed where it is so both with "
    "lost runs left out and with lost runs counted as errors of 100 %."
)


def write_population_report(
    population: PopulationStudy,
    found: PopulationFindings,
    folder: Path,
    latency: LatencyFindings | None = None,
    retrained: RecheckRuns | None = None,
) -> None:
    """Writes results.json, networks.csv and report.html into `folder`, each whole or not at all.

    `found` is of this population and of what was `retrained`, which the page shows.
    """
    write_results(population, found, folder, latency)
    write_whole(folder / "report.html", population_page(population, found, latency, retrained).encode())


def population_page(
    population: PopulationStudy,
    found: PopulationFindings,
    latency: LatencyFindings | None = None,
    retrained: RecheckRuns | None = None,
) -> str:
    """The page as text; `found` was given the same `retrained`. Every string of the population is escaped.

    Where nothing was learnt, what errors would show is left out.
    """
    sections = (
        _top(population, found),
        section("Spaces", _spaces(found)),
        section("Errors", _errors(found)),
        "" if found.learning.nothing else _by_error(found, latency),
        section("Is the short schedule enough?", _reliability(found, retrained)),
        "" if latency is None else section("Latency", latency_section(found, latency)),
        section("Best, median and worst networks", drawings(population, found)),
        section("All networks", all_networks(population, found)),
        how_it_was_run(population.study),
    )
    return page_of(found.name, sections, _STYLE)


def _by_error(found: PopulationFindings, latency: LatencyFindings | None) -> str:
    """What the errors show."""
    sections = (
        section("Random search", _search(found)),
        section("Error against each axis", _axes(found)),
        section("Which axes matter", _importances(found)),
        section("Error against cost", _fronts(found, latency)),
        section("Distance from the linear rule", _linear_rule(found)),
    )
    return "".join(sections)


def _top(population: PopulationStudy, found: PopulationFindings) -> str:
    study = population.study
    networks = sum(len(space.labels) for space in found.spaces)
    finished = sum(space.counts.finished for space in found.spaces)
    about = (
        f"{plural(len(found.spaces), 'space')}, {finished:,} of {plural(networks, 'network')} finished: recipe "
        f"{found.recipe}, {plural(found.epochs, 'epoch')}, {plural(found.seeds, 'seed')}. {data_line(study.data)} "
        f"{study.machine.processor}, {plural(study.machine.cores, 'core')}, {study.machine.device}. {study.created}"
    )
    first = clearest(found)
    learnt = learning_sentences(found.learning)
    said = dict.fromkeys((*learnt, first, *conclusions(found))) if first else conclusions(found)
    return top(found.name, about, said, notes(found), alike=not first)


def _spaces(found: PopulationFindings) -> str:
    return (
        f'{lineage(found.spaces)}{sample_table(found.spaces)}<p class="soft">{lost(found)}</p>'
        f"{candidates(found.spaces)}"
    )


def _legend(found: PopulationFindings) -> str:
    return legend({index: space.name for index, space in enumerate(found.spaces)})


def _errors(found: PopulationFindings) -> str:
    shared = ", ".join(f"{number} of 10 for {cost_title(name)[0]}" for name, number in found.shared_bins.items())
    caption = (
        "Share of a space's networks that have at most so much error; the higher curve is the better space. Bands, "
        f"{100 * found.confidence:g} %: of the whole curve (it lies inside everywhere), or at each error alone. "
        "Counting alike: networks are weighted so that tenths of the range of a cost count as much as each other. Only "
        f"tenths in which every space has networks count ({shared}); the other networks are left out."
    )
    figure = chart("Distribution of errors", distribution_views(found), caption, _legend(found))
    compared = pairs(found)
    method = details("Method", f"<p>{prose(populations_method(found))}</p>") if compared else ""
    return f"{figure}{errors(found)}{compared}{plans(found)}{method}"


def _search(found: PopulationFindings) -> str:
    drawn = ", ".join(f"{space.counts.finished:,} of {space.name}" for space in found.spaces)
    caption = (
        f"Error of the best of k networks drawn at random from these ({drawn}), up to a quarter of them; a larger k "
        f"would find the same few networks again. Expected: with its pointwise {100 * found.confidence:g} % interval. "
        "Luck: the median over searches, and from the luckiest to the unluckiest tenth."
    )
    return chart("Random search", search_views(found), caption, _legend(found))


def _axes(found: PopulationFindings) -> str:
    caption = (
        "One point a network. Diamonds: means of bins of about as many networks each, or of each value, with intervals "
        "that hold in all of them at once; a hollow diamond has too few networks for an interval. A line and a band "
        "join neighbouring bins that both have one. Between the grey lines: where the best networks lie, shaded where "
        "the axis is shown to matter to them (p below 0.05, adjusted for all axes of the space). Below a value in "
        "percent: how often the best of a quarter of the networks has it."
    )
    figure = chart("Error against each axis", axis_views(found), caption)
    tables = "".join(details(f"Good ranges of {space.name}", good_values(space.axes)) for space in found.spaces)
    return f'<div class="panels">{figure}</div>{tables}'


def _importances(found: PopulationFindings) -> str:
    most = max(len(space.importances.axes) for space in found.spaces)
    of = f" The {MOST_BARS} largest of up to {most}." if most > MOST_BARS else ""
    caption = (
        "Share of the variance of predicted errors that an axis explains alone, with "
        f"{100 * found.confidence:g} % intervals. Mark: how far noise reaches; a share up to there, in grey, is "
        f"noise.{of}"
    )
    figure = chart("Importance of axes", importance_views(found), caption)
    return figure + details("Method", f"<p>{prose(IMPORTANCE_METHOD)}</p>")


def _fronts(found: PopulationFindings, latency: LatencyFindings | None) -> str:
    caption = (
        f"{POINTS} Rings: the front, networks that no other beats in both error and cost; they are chosen and judged "
        "on the same images."
    )
    if latency is not None and latency.times:
        networks = sum(len(space.labels) for space in found.spaces)
        caption += f" {len(set().union(*latency.times.values()))} of {plural(networks, 'network')} timed."
    return chart("Error against cost", front_views(found, latency), caption, _legend(found))


def _linear_rule(found: PopulationFindings) -> str:
    said = "".join(
        f"<li>{escape(space.name)}: {prose(rule_sentence(space.linear_rule, found.confidence))}</li>"
        for space in found.spaces
    )
    figure = ""
    fitted = {index: space.name for index, space in enumerate(found.spaces) if space.linear_rule.computed}
    if fitted:
        caption = (
            "One point a network whose widths were fitted to RegNet's quantised linear rule. e_fit: mean over blocks "
            "of |log(width by the rule / width)|; 0 follows the rule."
        )
        figure = chart("Linear rule", [rule_view(found)], caption, legend(fitted))
    return f"<ul>{said}</ul>{figure}"


def _reliability(found: PopulationFindings, retrained: RecheckRuns | None) -> str:
    reliability = found.reliability
    said = f"<p><strong>{prose(schedule_sentence(reliability))}</strong></p>"
    if retrained is None:
        return said
    caption = (
        "One point a network trained again, its errors being means over seeds; networks with a lost or waiting run at "
        "either schedule are left out. Where one schedule ranks as the other, the points rise without a fall."
    )
    figure = chart("Short and long schedule", schedule_views(found, retrained), caption, _legend(found))
    tables = f"{retrained_counts(reliability.retrained)}{ranks(reliability.ranks)}{order_table(reliability.orders)}"
    return f'{said}{figure}<ul>{items(schedule_sentences(reliability))}</ul>{tables}<p class="soft">{_TAU}</p>'
