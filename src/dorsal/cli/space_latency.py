"""`dorsal space latency`: what a network of a space takes on this machine, and which cost tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dorsal.cli.space import Activations, Bounds, Edit, Macs, Params, read_bounds_given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dorsal.latency.records import LatencyFit, LatencyModel
    from dorsal.stats import Estimate

_SPACES = "Names of spaces, TOML or JSON files of one, or folders of populations."


def latency(
    spaces: Annotated[list[str], typer.Argument(metavar="SPACE...", help=_SPACES)],
    count: Annotated[int, typer.Option(help="Networks of each space.")] = 60,
    macs: Macs = None,
    params: Params = None,
    activations: Activations = None,
    bound: Bounds = None,
    edit: Edit = None,
    image_size: Annotated[
        int | None, typer.Option(help="In pixels, where it is no axis.", show_default="the space's")
    ] = None,
    calls: Annotated[str, typer.Option(help="forward, step (a training step), or forward,step.")] = "forward,step",
    batch: Annotated[str, typer.Option(help="Images a call, one number or several.")] = "1,16",
    threads: Annotated[int, typer.Option(help="Threads of a call.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 (autocast).")] = "float32",
    repeats: Annotated[int, typer.Option(help="Rounds over all networks.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the measurements and the model.")] = Path("runs/latency"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the model as JSON.")] = False,
) -> None:
    """Time networks of a space on this machine, and fit their latency by MACs, activations, parameters and layers.

    Says how well each predicts networks that the fit has not seen. `dorsal space sample --latency` samples by the
    model. Leave the machine alone meanwhile. Interrupted, the same command goes on; more --repeats add rounds.

    Examples: `dorsal space latency regnetx --macs 50M..800M`,
    `dorsal space latency runs/population --calls step --batch 128 --threads 2 --out runs/steps`
    """
    from dorsal.study.timing.fit import Timing

    question = Timing(
        spaces=tuple(spaces),
        count=count,
        bounds=read_bounds_given(macs, params, activations, bound),
        edit=edit or "",
        seed=seed,
        image_size=image_size,
        calls=_words(calls),
        batches=_numbers(batch),
        threads=threads,
        device=device,
        precision=precision,  # type: ignore[arg-type]  # the question checks it
        repeats=repeats,
        out=str(out),
    )

    from dorsal.cli.progress import Watch
    from dorsal.study.timing.run import measure_latency

    try:
        with Watch() as watch:
            model = measure_latency(question, on_event=watch.on_event)
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on from what is in {out}\n")
        raise typer.Exit(130) from None
    if as_json:
        import msgspec

        print(msgspec.json.encode(model).decode())
    else:
        _print(model, out)


def _words(text: str) -> tuple[Any, ...]:
    return tuple(word.strip() for word in text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--batch {text!r} is neither a number nor a list like 1,16") from None


def _print(model: LatencyModel, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from dorsal.latency.records import fingerprint
    from dorsal.report.words.latency import contest_sentence

    console = Console()
    setting = model.setting
    low, high = min(fit.image_sizes[0] for fit in model.fits), max(fit.image_sizes[1] for fit in model.fits)
    console.print(
        f"{model.networks} networks of {', '.join(model.spaces)} at {low if low == high else f'{low} to {high}'} px, "
        f"rounds: {model.rounds}, threads: {setting.threads}, {setting.device}, {setting.precision}, {setting.layout}, "
        f"on {fingerprint(model.machine)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print("Errors are medians in percent, tau is Kendall's, both on networks that the fit has not seen.")
    for fit in model.fits:
        title = f"{fit.call}, batch {fit.batch}"
        if model.rounds > 1:
            title += f"; rounds of one network differ by {fit.spread:.1f} %"
        if fit.fitted.missing:
            title += f"; {fit.fitted.missing} network(s) could not be timed"
        table = Table("predictors", "error", "95 %", "tau", "95 %", title=title, title_justify="left")
        for row in _rows(fit):
            table.add_row(*row)
        console.print(table)
    for fit in model.fits:
        console.print(contest_sentence(fit), highlight=False, soft_wrap=True)
    console.print(f"model: {out / 'latency.json'}", highlight=False, soft_wrap=True)


def _rows(fit: LatencyFit) -> Iterator[tuple[str, ...]]:
    for score in fit.scores.scores:
        name = "all together" if len(score.predictors) > 1 else score.predictors[0]
        error, tau = score.error, score.tau
        yield name, f"{error.value:.1f}", _interval(error, 1), f"{tau.value:.2f}", _interval(tau, 2)


def _interval(estimate: Estimate, digits: int) -> str:
    return f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"
