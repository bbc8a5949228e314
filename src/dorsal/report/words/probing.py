"""Probes in words: where a longer list of penalties might find a better one."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.findings.probing import penalty_edges
from dorsal.jobs.records import Study
from dorsal.recipes.probe import centred
from dorsal.recipes.text import recipe_text
from dorsal.report.words.numerals import plural
from dorsal.report.words.tuning import in_place_of


def probe_caveats(study: Study) -> Iterator[str]:
    """Where the best penalty lies at the edge of its list, and a list around it."""
    for each in penalty_edges(study):
        first, *_, last = each.probe.penalties
        how = in_place_of(study, each.arm, each.recipe, recipe_text(centred(each.probe, each.penalty)))
        yield (
            f"{each.arm} under {each.recipe}: in {each.at_edge} of {plural(each.chosen, 'run')} the best penalty lies "
            f"at the edge of the list ({each.penalty:g} of {first:g} to {last:g}). For a list around it, {how}."
        )
