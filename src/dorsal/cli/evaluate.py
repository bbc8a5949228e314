"""`dorsal evaluate`: the scores of models on images of a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dorsal.cli.options import AsJson
from dorsal.spec.task import metric_of
from dorsal.study.evaluation.question import Evaluation

if TYPE_CHECKING:
    from dorsal.jobs.scores import Scores
    from dorsal.stats import Estimate


_COLUMNS = 3
"""Of further scores there are at most so many columns; all are in the file of scores."""


def evaluate(asked: Evaluation, as_json: AsJson = False) -> None:
    """Score a model, or several.

    Says the score of the model's task with its interval over other images like these, further scores, and of one model
    the score of each class. A classifier has accuracy, top-5 (where there are more than five classes) and loss; a
    segmenter mean IoU; a detector COCO's average precision. Images are prepared as the card of each model says: size,
    crop, interpolation, normalization, order of colours. The classes of the data must be among the model's. A folder
    without splits is scored whole. Of the folder of a study, all models that it has kept are scored.

    With several models, or --out, the scores and what was said of each image are kept in a folder. Interrupted, the
    same command goes on, and nothing is scored twice. The best model is compared with each of the others, on these
    images and on others like them.

    Examples:
        dorsal evaluate runs/train --data photos --split val
        dorsal evaluate runs/segmenter --data pairs:streets --scales 0.75,1,1.25 --flip
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

    from dorsal.jobs.device import choose_device
    from dorsal.jobs.evaluate import score_model
    from dorsal.stats import image_interval
    from dorsal.study.evaluation.plan import plan_evaluations
    from dorsal.tasks.contributions import contributions

    device = choose_device(asked.device)
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    (plan,) = plan_evaluations(asked)
    classes = plan.card.label_names
    sys.stderr.write(f"scoring on {device}: {plan.summary}\n")
    for note in plan.notes:
        sys.stderr.write(f"note: {note}\n")
    scorer = score_model(plan.job, device)
    found, metric = scorer.score(), metric_of(plan.card.task)
    interval = image_interval(contributions(plan.card.task, scorer.evidence()).values())
    if as_json:
        import json

        import msgspec

        shown = {"data": plan.summary, "preprocessing": plan.preprocessing, "classes": classes}
        more = {"metric": metric.name, "interval": [interval.low, interval.high]}
        whole = {"network": plan.card.text, **msgspec.to_builtins(found), **msgspec.to_builtins(shown), **more}
        print(json.dumps(whole, allow_nan=False))
        return
    others = [f"{name} {value:.2f} %" for name, value in found.scores.items()]
    others += [] if found.loss is None else [f"loss {found.loss:.4f}"]
    print(f"{metric.short} {found.score:.2f} %{_ends(interval)}, {', '.join(others)} on {found.images} images")
    for name, value in zip(plan.card.class_names or classes, found.per_class, strict=False):
        print(f"  {name:20} {'no images' if value is None else f'{value:6.2f} %'}")


def _ends(interval: Estimate) -> str:
    """The interval in brackets."""
    if interval.low is None:
        return ""
    return f" (95 % interval over images {interval.low:.1f} to {interval.high:.1f})"


def _metrics(scores: Scores) -> str:
    """What the scores are of: one metric, unless models of several tasks were scored."""
    return ", ".join(dict.fromkeys(metric_of(each.task).short for each in scores.models))


def _print(scores: Scores, folder: Path) -> None:
    """One line a model, then the best against each of the others."""
    from rich.console import Console
    from rich.table import Column, Table

    from dorsal.findings.contributions import compare_models
    from dorsal.report.words.pairs import leader_sentences

    others = list(dict.fromkeys(name for each in scores.models for name in each.result.scores))[:_COLUMNS]
    table = Table(
        Column("model", overflow="fold"), f"{_metrics(scores)}, %", *(f"{name}, %" for name in others), "loss", "images"
    )
    for each in scores.models:
        found = each.result
        if found.score is None:
            table.add_row(each.name, "failed", *[""] * len(others), "", "")
            continue
        more = (f"{found.scores[name]:.2f}" if name in found.scores else "" for name in others)
        loss = "" if found.loss is None else f"{found.loss:.4f}"
        table.add_row(each.name, f"{found.score:.2f}", *more, loss, f"{found.images:,}")
    console = Console()
    console.print(table)
    compared = compare_models(scores, folder)
    for sentence in leader_sentences(compared) if compared else ():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for each in scores.models:
        if each.result.error:
            console.print(f"{each.name}: {each.result.error}", highlight=False, markup=False, soft_wrap=True)
