"""`dorsal space search`: a sampler proposes networks of a space, knowing how the others did."""

from __future__ import annotations

import sys

from dorsal.cli.options import ResultsAsJson
from dorsal.study.search.question import Search


def search(asked: Search, as_json: ResultsAsJson = False) -> None:
    """Search a space: train networks that a sampler proposes, each knowing how those before it did.

    Says which is best, or which none beats where there are several objectives, and with --against whether random draws
    would have done as well. Interrupted, the same command goes on; with more --trials it goes on from what is there.

    Examples:
        dorsal space search regnetx --macs 360M..400M --trials 60 --data photos
        dorsal space search crossed --sampler nsga2 --objective error,activations --params ..5M
        dorsal space search regnetx --macs 360M..400M --against runs/population
    """
    from dorsal.cli.progress import watching

    _ = asked.population  # what cannot be compared with is refused first
    doing = f"searching {asked.space} by {asked.sampler} on {asked.data}; trials: {asked.trials}"
    with watching(asked.folder, doing) as on_event:
        from dorsal.study.search.run import run_search  # imports torch

        found = run_search(asked, on_event=on_event)
    from dorsal.cli.finish import show_study

    show_study(found, asked.folder, as_json)
    if any(trial.status == "failed" for trial in found.study.trials):
        sys.exit(1)
