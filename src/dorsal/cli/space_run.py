"""`dorsal space run`: a population, from its spaces to its analysis."""

from __future__ import annotations

import sys

from dorsal.cli.options import ResultsAsJson
from dorsal.study.population.question import Population


def run(asked: Population, as_json: ResultsAsJson = False) -> None:
    """Sample one or more spaces, train every network, and analyse what came of it.

    All networks are trained under one recipe. Interrupted, the same command goes on; with a larger --count it goes on
    from what is there.

    Examples:
        dorsal space run anynetx_a anynetx_e --macs 360M..400M --data imagenet
        dorsal space run regnetx --count 20 --macs 1M..2M --edit 'stem=simple(stride=1)' --recipe plain --budget 30m
        dorsal space run crossed --ray 10.0.0.1:6379 --threads 4 --gpus 1 --storage postgresql://host/studies
    """
    from dorsal.cli.progress import watching

    doing = f"training networks of {', '.join(asked.spaces)} on {asked.data}; of each: {asked.count}"
    with watching(asked.folder, doing) as on_event:
        from dorsal.study.population.run import run_population  # imports torch

        population = run_population(asked, on_event=on_event)
    from dorsal.cli.finish import show_study

    show_study(population, asked.folder, as_json, asked.storage)
    if any(trial.status == "failed" for trial in population.study.trials):
        sys.exit(1)
