"""The models of a question, and what each is to be scored on. Imports torch, but nothing that many models need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dorsal.data.spec import DataError
from dorsal.jobs.evaluate import ModelPlan, forget_images, plan_evaluation
from dorsal.jobs.kept import model_folder
from dorsal.jobs.study_file import DATA_SETS_FILE, STUDY_FILE, load_plan
from dorsal.study.evaluation.question import Evaluation


def plan_evaluations(question: Evaluation) -> list[ModelPlan]:
    """Every model of the question, and what it is to be scored on. Raises ValueError before any
    work, as `evaluate_models` does."""
    forget_images()
    named = list(_named(question.models))
    plans = []
    for model, name in named:
        try:
            plans.append(
                plan_evaluation(
                    model,
                    name,
                    question.data,
                    question.split,
                    question.image_size,
                    question.batch,
                    question.scales,
                    question.flip,
                )
            )
        except DataError:
            raise  # of no one model
        except ValueError as error:
            raise ValueError(f"{name}: {error}" if len(named) > 1 else str(error)) from error
    return plans


def notes_of(plans: Sequence[ModelPlan]) -> Iterator[str]:
    """What is to know before the models are scored, each once. A note that is not of all of them names its models."""
    names: dict[str, list[str]] = {}
    for plan in plans:
        for note in plan.notes:
            names.setdefault(note, []).append(plan.job.name)
    for note, of in names.items():
        yield note if len(of) == len(plans) else f"{', '.join(of)}: {note}"


def _named(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The folder and the name of every model: those of a study are called by its runs."""
    for folder in folders:
        if (Path(folder) / DATA_SETS_FILE).is_file():
            names = ", ".join(sorted(each.parent.name for each in Path(folder).glob(f"*/{STUDY_FILE}")))
            raise ValueError(
                f"{folder!r} is a comparison on several data sets, whose models know different classes; name one of "
                f"the folders in it: {names}"
            )
        if not (Path(folder) / STUDY_FILE).is_file():
            yield folder, folder
            continue
        runs = {run.key: run for run in load_plan(Path(folder)).study.runs}
        kept = [(run, model) for run in runs.values() if (model := model_folder(Path(folder), run.key)).is_dir()]
        if not kept:
            raise ValueError(f"the study in {folder!r} has kept no models: name folders of models")
        before = f"{folder}: " if len(folders) > 1 else ""
        for run, model in kept:
            yield str(model), f"{before}{run.arm}, {run.recipe}, seed {run.seed}"
