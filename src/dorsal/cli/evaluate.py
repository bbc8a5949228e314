"""`dorsal evaluate`: the scores of models on images of a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dorsal.cli.options import AsJson
from dorsal.spec.metric import ACCURACY
from dorsal.study.evaluation.question import Evaluation

if TYPE_CHECKING:
    from dorsal.jobs.scores import Scores


def evaluate(asked: Evaluation, as_json: AsJson = False) -> None:
    """Score a model, or several.

    Says accuracy, top-5 (where there are more than five classes) and loss, and of one model accuracy by class. Images
    are prepared as the card of each model says: size, crop, interpolation, normalization, order of colours. The classes
    of the data must be among the model's. A folder without splits is scored whole. Of the folder of a study, all models
    that it has kept are scored.

    With several models, or --out, the scores and what was said of each image are kept in a folder. Interrupted, the
    same command goes on, and nothing is scored twice. The best model is compared with each of the others, on these
    images and on others like them.

    Examples:
        dorsal evaluate runs/train --data photos --split val
        dorsal evaluate runs/compare models/resnet50 --data more_photos --out runs/scores
    """
    if asked.is_one_call:
        _evaluate_one(asked, as_json)
        return
    from dorsal.cli.progress import watching

    with watching(asked.folder, _doing(asked)) as on_event:
        from dorsal.study.evaluation.run import evaluate_models  # imports torch

        scores = evaluate_models(asked, on_event=on_event)
    if as_json:
        import msgspec

        print(msgspec.json.encode(scores).decode())
    else:
        _print(scores, asked.folder)
        print(f"scores: {asked.folder / 'scores.json'}")
    if any(each.result.error for each in scores.models):
        sys.exit(1)


def _doing(asked: Evaluation) -> str:
    return f"scoring {', '.join(asked.models)} on {asked.data}"


def _evaluate_one(asked: Evaluation, as_json: bool) -> None:
    """Scores one model in this process. Nothing is kept."""
    sys.stderr.write(f"{_doing(asked)}\n")
    import torch

    from dorsal.jobs.evaluate import score_model
    from dorsal.jobs.train import choose_device
    from dorsal.study.evaluation.plan import plan_evaluations

    device = choose_device(asked.device)
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    (plan,) = plan_evaluations(asked)
    sys.stderr.write(f"scoring on {device}: {plan.summary}\n")
    for note in plan.notes:
        sys.stderr.write(f"note: {note}\n")
    found = score_model(plan.job, device).score()
    if as_json:
        import json

        import msgspec

        shown = {"data": plan.summary, "preprocessing": plan.preprocessing, "classes": plan.card.classes}
        whole = {"network": plan.card.text, **msgspec.to_builtins(found), **msgspec.to_builtins(shown)}
        print(json.dumps(whole, allow_nan=False))
        return
    others = ", ".join(f"{name} {value:.2f} %" for name, value in found.scores.items())
    print(f"{ACCURACY.short} {found.score:.2f} %, {others}, loss {found.loss:.4f} on {found.images} images")
    for name, value in zip(plan.card.class_names or plan.card.classes, found.per_class, strict=True):
        print(f"  {name:20} {'no images' if value is None else f'{value:6.2f} %'}")


def _print(scores: Scores, folder: Path) -> None:
    """One line a model, then the best against each of the others."""
    from rich.console import Console
    from rich.table import Column, Table

    from dorsal.findings.contributions import compare_models
    from dorsal.report.words.pairs import leader_sentences

    others = list(dict.fromkeys(name for each in scores.models for name in each.result.scores))
    table = Table(
        Column("model", overflow="fold"), f"{ACCURACY.short}, %", *(f"{name}, %" for name in others), "loss", "images"
    )
    for each in scores.models:
        found = each.result
        if found.score is None:
            table.add_row(each.name, "failed", *[""] * len(others), "", "")
            continue
        more = (f"{found.scores[name]:.2f}" if name in found.scores else "" for name in others)
        table.add_row(each.name, f"{found.score:.2f}", *more, f"{found.loss:.4f}", f"{found.images:,}")
    console = Console()
    console.print(table)
    compared = compare_models(scores, folder)
    for sentence in leader_sentences(compared) if compared else ():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for each in scores.models:
        if each.result.error:
            console.print(f"{each.name}: {each.result.error}", highlight=False, markup=False, soft_wrap=True)
