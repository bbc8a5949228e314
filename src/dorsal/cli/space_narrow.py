"""`dorsal space narrow`: the next space, from the evidence of a population."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dorsal.cli.finish import replacing
from dorsal.cli.folders import Population
from dorsal.cli.options import AsJson, StudyStorage
from dorsal.language.options import option

if TYPE_CHECKING:
    from rich.table import Column, Table

    from dorsal.findings.narrowing.records import ProposedSpace, StepVerdict


def narrow(
    folder: Population,
    space: Annotated[str | None, option("Which space, where the folder has several.")] = None,
    margin: Annotated[float, option("What a step may cost, in points of the mean error.")] = 0.5,
    out: Annotated[Path | None, option("Write the new space to this TOML file, and call it so.")] = None,
    plot: Annotated[Path | None, option("Write an HTML page, with the EDFs before and after.")] = None,
    storage: StudyStorage = None,
    as_json: AsJson = False,
) -> None:
    """Propose the next space: axes shared by all stages, widths and depths in order, ranges of the best networks.

    Only steps that are shown to cost less than the margin are taken; all others are listed with what is known of them.

    Examples:
        dorsal space narrow runs/anynetx_a --out next.toml
        dorsal space narrow runs/both --space anynetx_a --margin 1 --plot before-and-after.html
    """
    from dorsal.findings.narrowing.propose import propose_space
    from dorsal.study.population.saved import load_population
    from dorsal.study.recheck.saved import load_recheck

    if out is not None and out.suffix != ".toml":
        raise ValueError(f"--out {str(out)!r} must end in .toml, so that `dorsal space run` can read it")
    if plot is not None:
        from dorsal.report.files import check_html

        check_html(plot)
    population, retrained = load_population(folder, storage), load_recheck(folder, storage)
    proposal = propose_space(population, space, margin, retrained=retrained, name=out.stem if out else "")
    out_replaced, plot_replaced = (replacing(path) if path else "" for path in (out, plot))
    if out is not None and proposal.space is not None:
        from dorsal.jobs.json_file import write_whole
        from dorsal.space.space import to_toml

        write_whole(out, to_toml(proposal.space).encode())
    if plot is not None:
        from dorsal.report.narrowing import write_narrowing

        write_narrowing(proposal, plot)
    if as_json:
        import msgspec

        from dorsal.report.narrowing import with_words

        print(msgspec.json.encode(with_words(proposal)).decode())
        return
    _show(proposal)
    if out is not None:
        print(f"{proposal.space.name} in {out}{out_replaced}" if proposal.space else f"{out} is not written")
    if plot is not None:
        print(f"page: {plot}{plot_replaced}")


def _show(proposal: ProposedSpace) -> None:
    from rich.console import Console
    from rich.text import Text

    from dorsal.report.words.narrowing import conclusions, step_sentence

    console = Console()
    if proposal.considered:
        console.print(_steps(proposal.considered))
        console.print(
            "cost: change of the mean error in points, with its simultaneous interval; in, out: networks that have the "
            "step already, and others; p: of the axis having nothing to do with the errors, by Holm\n"
        )
    for step in proposal.considered:
        if step.cost is not None:
            console.print(Text(step_sentence(step, proposal)))
    if proposal.before:
        console.print(_errors(proposal))
    for sentence in conclusions(proposal):
        console.print(Text(sentence))


def _steps(considered: tuple[StepVerdict, ...]) -> Table:
    """A row for each step, those taken first."""
    from rich.table import Table
    from rich.text import Text

    from dorsal.report.words.narrowing import step_change

    table = Table("", "step", *(_number(name) for name in ("cost", "interval", "in", "out", "p")))
    for step in sorted(considered, key=lambda step: not step.taken):
        cost, change = step.cost, step.cost.change if step.cost else None
        interval = "" if change is None else f"{change.low:+.2f} {change.high:+.2f}"
        table.add_row(
            "✓" if step.taken else "",
            Text(step_change(step)),
            f"{change.value:+.2f}" if change else "",
            interval,
            f"{cost.inside:,}" if cost else "",
            f"{cost.outside:,}" if cost else "",
            "" if step.adjusted_p is None else f"{step.adjusted_p:.3f}",
        )
    return table


def _errors(proposal: ProposedSpace) -> Table:
    """The distributions of errors before and after."""
    from rich.table import Table
    from rich.text import Text

    table = Table("errors in %", *(_number(name) for name in ("networks", "least", "25 %", "50 %", "75 %", "mean")))
    curves = [(proposal.of.name, proposal.before), (proposal.space.name if proposal.space else "", proposal.after)]
    for name, curve in curves:
        if curve is not None:
            edf = curve.edf
            quartiles = (edf.values[bisect_left(edf.share, share - 1e-12)] for share in (0.25, 0.5, 0.75))
            table.add_row(Text(name), f"{edf.n:,}", *(f"{value:.2f}" for value in (edf.minimum, *quartiles, edf.mean)))
    return table


def _number(name: str) -> Column:
    from rich.table import Column

    return Column(name, justify="right")
