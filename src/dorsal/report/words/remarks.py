"""What is worth knowing about a study, in words."""

from __future__ import annotations

from typing import assert_never

import msgspec

from dorsal.jobs.records import Study
from dorsal.jobs.remarks import (
    BatchExceedsData,
    BudgetCut,
    EmulatedBfloat16,
    FewSteps,
    InputFinding,
    SeveralSettings,
    StudyRemark,
    TuningTime,
)
from dorsal.language.amounts import show_duration
from dorsal.latency.records import OtherMachine, OtherSpaces, OtherVersion, PredictorUse
from dorsal.report.words.latency import caution_sentence, use_sentence
from dorsal.report.words.numerals import plural


def study_notes(study: Study) -> tuple[str, ...]:
    """What a reader of the study should know: on its data, and on how it was made."""
    return (*study.notes, *map(_on_study, study.remarks))


def remark_sentence(value: msgspec.Struct) -> str:
    """A remark in words. Raises TypeError for a value that there are no words for."""
    match value:
        case PredictorUse():
            return use_sentence(value)
        case OtherMachine() | OtherVersion() | OtherSpaces():
            return caution_sentence(value)
        case value if isinstance(value, StudyRemark):
            return _on_study(value)
        case _:
            raise TypeError(f"there are no words for a {type(value).__name__}")


def _on_study(remark: StudyRemark) -> str:
    match remark:
        case BatchExceedsData(recipe, batch, train_images, epochs):
            return (
                f"{recipe}: its batch of {batch:,} exceeds the {train_images:,} training images, so it makes "
                f"{plural(epochs, 'step')} in all, one an epoch; a smaller batch makes more"
            )
        case FewSteps(recipe, steps):
            return f"{recipe}: only {plural(steps, 'step')} in all; a smaller batch or more epochs make more"
        case EmulatedBfloat16(device):
            return (
                f"this {device} has no bfloat16 instructions and emulates them: precision=bf16 can take ten times as "
                "long as precision=float32"
            )
        case BudgetCut() | TuningTime():
            return _on_time(remark)
        case SeveralSettings(settings):
            return f"runs were made in different settings, which round differently: {'; '.join(settings)}"
        case InputFinding(arm, finding):
            return f"{arm}, {finding.check}: {finding.verdict}. {finding.found} {finding.advice}".strip()
        case _:
            assert_never(remark)


def _on_time(remark: BudgetCut | TuningTime) -> str:
    match remark:
        case BudgetCut(budget, fitting, parts, part_name, seconds):
            return (
                f"the budget of {budget} fits {fitting} of {parts} {part_name} (about {show_duration(seconds)}); the "
                "same command with more runs the rest"
            )
        case TuningTime(time, tries, seconds):
            return (
                f"tuning for {time} is {plural(tries, 'setting')} for each arm under each recipe, as many for all "
                f"(about {show_duration(seconds)})"
            )
