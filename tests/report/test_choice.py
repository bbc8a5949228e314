"""What is written of a choice of weights: conclusions, tables, the page alone and in a browser, results.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from dorsal.findings.choice import analyse_choice
from dorsal.report.choice.figures import round_view
from dorsal.report.choice.page import choice_page, write_choice_report
from dorsal.report.choice.terminal import print_choice
from dorsal.report.words.choice import caveats, command, conclusions
from dorsal.stats import Estimate
from dorsal.study.choice.records import COLORS, RANDOM, ChoiceStudy
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.report.choice_cases import made, made_round

EVIL = "<script>document.title='owned'</script>"


def said(study: ChoiceStudy) -> str:
    return "\n".join(conclusions(study, analyse_choice(study)))


def test_the_fine_tuned_stand_first_then_by_how_long_they_stayed() -> None:
    found = analyse_choice(made())
    assert [each.label for each in found.candidates][2] == "c"
    assert {each.label: each.fate for each in found.candidates} == {
        "a": "fine-tuned",
        "b": "fine-tuned",
        "c": "dropped",
    }
    assert {each.label: each.unbeaten for each in found.candidates} == {"a": (), "b": (), "c": (RANDOM, COLORS)}
    assert found.by == "fine-tuning"
    assert set(found.top) <= {"a", "b"}
    assert found.cheapest in found.top


def test_conclusions_name_the_best_the_dropped_the_useless_and_what_was_left_out() -> None:
    text = said(made())
    first = analyse_choice(made()).top[0]
    assert text.startswith(f"Take {first}: fine-tuned it scores ")
    assert "News: c (25.00 ± 4.25 %) is not shown to beat random weights (20.0 %) or color histogram (30.0 %)" in text
    assert "Each of the other candidates is shown to beat random weights and color histograms." in text
    assert "c was dropped in round 1, after 100 images: it is worse than the best by 45.0 ± " in text
    assert "Left out: d: license CC-BY-NC-4.0." in text
    assert "Left out: e: it is damaged." in text


def test_where_the_best_beats_no_control_that_stands_first() -> None:
    none = made_round(100, {"a": 0.3, "b": 0.28, "c": 0.25, RANDOM: 0.2, COLORS: 0.3})
    text = said(made(rounds=(none,)))
    assert text.startswith("News: ")
    assert "to beat random weights and color histograms" not in text


def test_by_probing_alone_the_top_is_what_no_round_has_dropped() -> None:
    study = made(finetuning=None, finalists=(), waiting=("a", "b"), budget="10m", stop="budget")
    found = analyse_choice(study)
    assert (found.by, found.top) == ("probing", ("a", "b"))
    text = said(study)
    assert text.startswith("Take a: by probing alone it scores 80.00 ± 3.92 % on 400 images held out from the training")
    assert "Not shown to be worse by the last round: b." in text
    assert "had no room to fine-tune a candidate with all seeds, so that the answer rests on probing" in text
    assert command(study, found) == "dorsal train small@models/a --recipe finetune --data photos"


def test_survivors_without_room_and_rounds_without_time_are_named() -> None:
    text = said(made(finalists=("a",), waiting=("b",), budget="10m", stop="budget", portions=made().portions * 2))
    assert "The budget of 10m had room for 2 of 4 rounds of probing, since half of it is kept for fine-tuning." in text
    assert "The budget of 10m had no room to fine-tune b: behind by probing, but not shown to be worse." in text


def test_fine_tuning_that_falls_short_of_the_probe_is_told() -> None:
    study, found = made(), analyse_choice(made())
    first, *others = found.candidates
    worse = replace(first, score=Estimate(value=30.0, low=28.0, high=32.0), probed=Estimate(value=80, low=76, high=84))
    found = replace(found, candidates=(worse, *others), top=(first.label,))
    assert "Fine-tuning falls short of the probe of" in "\n".join(conclusions(study, found))


@pytest.mark.parametrize("rounds", [(), made().rounds[:1]])
def test_a_choice_that_was_broken_off_is_shown_as_far_as_it_came(rounds: tuple, tmp_path: Path) -> None:
    study = made(rounds=rounds, finalists=(), finetuning=None, stop="interrupted")
    found = analyse_choice(study)
    assert bool(found.top) == bool(rounds)
    made_of = f"Unfinished: {len(rounds)} of 2 rounds of probing were made. The same command goes on.\n"
    assert said(study).startswith(made_of)
    assert "The best so far is a: " in said(study) if rounds else "Nothing has been probed yet." in said(study)
    assert "Take" not in said(study)
    write_choice_report(study, found, tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 1_000_000


def test_fine_tuning_that_was_broken_off_says_how_far_it_came() -> None:
    whole = made().finetuning
    assert whole is not None
    text = said(made(finetuning=replace(whole, trials=whole.trials[:1])))
    assert text.startswith(f"Unfinished: 1 of {len(whole.runs)} runs of fine-tuning have ended.")
    assert ", with one seed (" in text
    assert "the only one that was fine-tuned" not in text
    text = said(made(finetuning=None))
    assert text.startswith("Unfinished: a and b are still to be fine-tuned.")


def test_where_nothing_was_learnt_nothing_is_chosen() -> None:
    whole = made().finetuning
    assert whole is not None
    lost = tuple(replace(trial, score=whole.data.constant - 1) for trial in whole.trials)
    study = made(finetuning=replace(whole, trials=lost))
    found = analyse_choice(study)
    assert set(found.top) == {"a", "b"}
    assert command(study, found) == ""
    text = said(study)
    assert text.startswith("Nothing was learnt: ")
    assert "Take" not in text
    assert "shown to be worse than" not in text


def test_what_failed_is_not_spoken_of_as_beaten() -> None:
    last = made_round(1000, {"a": 0.8, RANDOM: 0.2})
    failed = replace(last, failed={"b": "it broke", COLORS: "no colors"})
    study = made(rounds=(replace(failed, dropped={}),), finetuning=None, finalists=(), arms=made().arms[:2])
    text = said(study)
    assert "shown to be worse" not in text
    assert "b could not be probed: it broke" in text
    assert "News" not in text


def test_a_license_that_nobody_states_is_told() -> None:
    line = "Of some weights nobody says under which license they are."
    for license, told in (("not stated", True), ("", True), ("MIT", False)):
        arms = tuple(replace(arm, start=replace(arm.start, license=license)) for arm in made().arms if arm.start)
        study = made(arms=arms)
        assert (line in caveats(study, analyse_choice(study))) == told


def test_the_plot_has_a_line_for_each_candidate_and_each_control() -> None:
    lines = [trace for trace in round_view(made()).figure.data if trace.mode == "lines+markers"]
    assert [list(trace.x) for trace in lines] == [[100, 1000], [100, 1000], [100], [100, 1000], [100, 1000]]
    assert list(lines[0].y) == [70.0, 80.0]


def test_results_have_the_findings_and_the_words(tmp_path: Path) -> None:
    study = made()
    found = analyse_choice(study)
    write_choice_report(study, found, tmp_path)
    whole = json.loads((tmp_path / "results.json").read_text())
    assert whole["analysis"]["top"] == list(found.top)
    assert whole["analysis"]["caveats"] == list(caveats(study, found))
    assert whole["analysis"]["command"] == command(study, found)
    assert whole["study"]["finetuning"] is None


def test_the_terminal_fits_80_columns_and_ends_in_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    study = made()
    print_choice(study, analyse_choice(study), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("dorsal train small@models/")


def test_markup_stays_text() -> None:
    study = made(name=EVIL, command=EVIL, commands=dict.fromkeys("abc", EVIL), random_network=EVIL)
    page = choice_page(study, analyse_choice(study))
    assert EVIL not in page
    assert "&lt;script&gt;document.title" in page


@needs_browser
@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_the_plot_is_drawn_and_legible(width: int, tmp_path: Path) -> None:
    study = made()
    assert_legible(look_at(choice_page(study, analyse_choice(study)), width, tmp_path))
