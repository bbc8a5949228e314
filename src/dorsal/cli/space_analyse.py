"""`dorsal space analyse`: what a population shows."""

from __future__ import annotations

from typing import Annotated

from dorsal.cli.folders import Population
from dorsal.cli.options import AsJson, StudyStorage
from dorsal.language.options import option


def analyse(
    folder: Population,
    space: Annotated[str | None, option("Only this one of its spaces.")] = None,
    fits: Annotated[int, option("Networks of each space fitted to the linear rule, 0.1 s each.", least=1)] = 60,
    resamples: Annotated[int, option("Samples behind each share of variance and its interval.", least=1)] = 40,
    storage: StudyStorage = None,
    as_json: AsJson = False,
) -> None:
    """Compare the spaces of a population, and say which axes matter, what it costs, and what is not shown.

    Error distributions with bands, every two spaces compared, good ranges of every axis, shares of the variance, the
    networks on the Pareto fronts, and how many networks a difference takes. Trains nothing, writes nothing.

    Examples:
        dorsal space analyse runs/population
        dorsal space analyse runs/population --space anynetx_e --json
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
