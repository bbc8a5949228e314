"""`dorsal choose`: which of the weights that one has are best for one's images."""

from __future__ import annotations

import sys

from dorsal.cli.options import ResultsAsJson
from dorsal.study.choice.question import Choice


def choose(asked: Choice, as_json: ResultsAsJson = False) -> None:
    """Say which weights are best for your images.

    These are weights that you name, or else all that this machine has. A probe looks at few images first, then at more,
    and drops weights that are shown to be worse than the best. Those that are left are fine-tuned and compared. Random
    weights and color histograms are probed too, as controls. Interrupted, the same command goes on; what has ended is
    not made again.

    Examples:
        dorsal choose --data photos --budget 10m
        dorsal choose --data photos --license permissive
        dorsal choose 'resnet50@*' models/mine timm:convnext_tiny@in12k_ft_in1k --data photos --budget 2h
    """
    from dorsal.cli.progress import watching

    doing = f"choosing weights for {asked.data}"
    with watching(asked.folder, doing) as on_event:
        from dorsal.study.choice.run import choose as run  # imports torch

        study = run(asked, on_event=on_event)
    from dorsal.cli.finish import show_study

    show_study(study, asked.folder, as_json)
    lost = any(each.failed for each in study.rounds)
    if lost or (study.finetuning and any(trial.status == "failed" for trial in study.finetuning.trials)):
        sys.exit(1)
