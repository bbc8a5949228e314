"""`dorsal space latency`: what a network of a space takes on this machine, and which cost tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dorsal.cli.options import AsJson
from dorsal.study.timing.question import Timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dorsal.latency.records import LatencyFit, LatencyModel
    from dorsal.stats import Estimate


def latency(asked: Timing, as_json: AsJson = False) -> None:
    """Time networks of a space on this machine, and fit their latency by MACs, activations, parameters and layers.

    Says how well each predicts networks that the fit has not seen. `dorsal space sample --latency` samples by the
    model. Leave the machine alone meanwhile. Interrupted, the same command goes on; more --repeats add rounds.

    Examples:
        dorsal space latency regnetx --macs 50M..800M
        dorsal space latency runs/population --calls step --batch 128 --threads 2 --out runs/steps
    """
    from dorsal.cli.progress import watching

    with watching(asked.folder, f"timing networks of {', '.join(asked.spaces)}") as on_event:
        from dorsal.study.timing.run import measure_latency  # imports torch

        model = measure_latency(asked, on_event=on_event)
    if as_json:
        import msgspec

        print(msgspec.json.encode(model).decode())
    else:
        _print(model, asked.folder)


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
