"""`dorsal compare`: the main job."""

from __future__ import annotations

import sys

from dorsal.cli.options import ResultsAsJson
from dorsal.study.comparison.question import Comparison


def compare(asked: Comparison, as_json: ResultsAsJson = False) -> None:
    """Train networks under the same recipes and seeds, and say which is better, by how much, and how sure that is.

    Without a network: ResNet, Res2Net, ResNeSt and RegNet forms of one small network at equal MACs, in a few minutes.
    Interrupted, the same command goes on; runs that have ended are not made again.

    Examples:
        dorsal compare
        dorsal compare resnet50 resnest50 --data photos --recipe tricks --seeds 5
        dorsal compare small 'small(mixer=split_attention)' --match macs=20M --budget 10m
        dorsal compare resnet18 resnest50 --data photos --tune 8
        dorsal compare resnet18 resnest50 --data birds --data cars --data food
        dorsal compare resnet18 resnest50 --data photos --deployed
    """
    from dorsal.cli.progress import watching
    from dorsal.report.words.numerals import plural

    many = isinstance(asked.seeds, int) and asked.seeds > 10
    seeds = f"1 to {asked.seeds}" if many else ", ".join(map(str, asked.seed_list))
    doing = f"comparing {plural(len(asked.asked_arms), 'network')} on {', '.join(asked.data_sets)}"
    doing += f"; recipes: {', '.join(asked.asked_recipes)}; seeds: {seeds}"
    with watching(asked.folder, doing) as on_event:
        from dorsal.study.run import run  # imports torch

        made = run(asked, on_event=on_event)
    from dorsal.cli.finish import show_study
    from dorsal.study.comparison.records import DataSetStudies

    show_study(made, asked.folder, as_json)
    studies = made.studies.values() if isinstance(made, DataSetStudies) else (made,)
    if any(trial.status == "failed" for study in studies for trial in study.trials):
        sys.exit(1)
