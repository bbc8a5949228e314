"""What is said where the best penalty of a probe lies at the edge of its list."""

from __future__ import annotations

from msgspec.structs import replace

from dorsal.jobs.records import PlannedRun, Study, Trial
from dorsal.recipes.probe import PenaltyChoice, Probe
from dorsal.recipes.text import any_recipe
from dorsal.report.words.probing import probe_caveats
from tests.findings.studies import make_case, with_trials

CASE = make_case("whole").study
INNER = (50.0, 60.0, 55.0)


def probed(*penalties: float | None) -> Study:
    """The case with a probe in place of plain; resnet chose these penalties, one a seed, and the others 0.1."""
    chosen = dict(zip(CASE.seeds, penalties, strict=True))

    def choose(run: PlannedRun, trial: Trial) -> Trial:
        if run.recipe != "plain":
            return trial
        penalty = chosen[run.seed] if run.arm == "resnet" else 0.1
        return replace(trial, choice=PenaltyChoice(penalty=penalty, inner=INNER if penalty else ()))

    changed = with_trials(CASE, choose)
    return replace(changed, recipes=changed.recipes | {"plain": Probe(penalties=(0.01, 0.1, 1))})


def test_the_edge_is_told_with_a_list_around_it() -> None:
    (said,) = probe_caveats(probed(1.0, 0.1, 1.0))
    assert said == (
        "resnet under plain: in 2 of 3 runs the best penalty lies at the edge of the list (1 of 0.01 to 1). For a list "
        "around it, for all arms, give --recipe 'probe(penalties=[0.1, 1.0, 10.0])' in place of plain."
    )
    assert any_recipe("probe(penalties=[0.1, 1.0, 10.0])") == Probe(penalties=(0.1, 1, 10))


def test_a_choice_within_the_list_and_an_average_are_not_told_of() -> None:
    assert not list(probe_caveats(probed(0.1, None, 0.1)))
