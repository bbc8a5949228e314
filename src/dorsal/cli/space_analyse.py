"""`dorsal space analyse`: what a population shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dorsal.cli.options import Storage


def analyse(
    folder: Annotated[Path, typer.Argument(help="The folder of a population, finished or not.")],
    space: Annotated[str | None, typer.Option(help="Only this one of its spaces.", show_default="all")] = None,
    fits: Annotated[int, typer.Option(help="Networks of each space fitted to the linear rule, 0.1 s each.")] = 60,
    resamples: Annotated[int, typer.Option(help="Samples behind each share of variance and its interval.")] = 40,
    storage: Storage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole analysis as JSON.")] = False,
) -> None:
    """Compare the spaces of a population, and say which axes matter, what it costs, and what is not shown.

    Error distributions with bands, every two spaces compared, good ranges of every axis, shares of the variance, the
    networks on the Pareto fronts, and how many networks a difference takes. Trains nothing, writes nothing.

    Examples: `dorsal space analyse runs/population`, `dorsal space analyse runs/population --space anynetx_e --json`
    """
    from dorsal.findings.population.analyse import analyse_population, of_space
    from dorsal.study.population.saved import load_population
    from dorsal.study.recheck.saved import load_recheck

    population, retrained = load_population(folder, storage), load_recheck(folder, storage)
    if space is not None:
        population, retrained = of_space(population, retrained, space)
    found = analyse_population(population, retrained=retrained, fits=fits, resamples=resamples)
    if as_json:
        import msgspec

        from dorsal.report.population.results import with_words

        print(msgspec.json.encode(with_words(found)).decode())
        return
    from rich.console import Console

    from dorsal.report.population.terminal import print_population

    print_population(found, Console())
