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
    model. Leave the machine alone meanwhile. Interrupted, the same command goes on; more --repeats add rounds. With
    --runtimes, forward passes are of exported networks in ONNX Runtime or OpenVINO.

    Examples:
        dorsal space latency regnetx --macs 50M..800M
        dorsal space latency runs/population --calls step --batch 128 --threads 2 --out runs/steps
        dorsal space latency regnetx --runtimes eager,onnxruntime,openvino --calls forward --batch 1
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
    from dorsal.report.words.latency import contest_sentence, fit_title, in_runtimes, side_by_side

    console = Console()
    setting = model.setting
    low, high = min(fit.image_sizes[0] for fit in model.fits), max(fit.image_sizes[1] for fit in model.fits)
    layout = f", {setting.layout}" if "eager" in setting.runtimes else ""
    console.print(
        f"{model.networks} networks of {', '.join(model.spaces)} at {low if low == high else f'{low} to {high}'} px, "
        f"rounds: {model.rounds}, threads: {setting.threads}, {setting.device}, {setting.precision}{layout}"
        f"{in_runtimes(setting)}, on {fingerprint(model.machine)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print("Errors are medians in percent, tau is Kendall's, both on networks that the fit has not seen.")
    for fit in model.fits:
        title = fit_title(fit, setting)
        if model.rounds > 1:
            title += f"; rounds of one network differ by {fit.spread:.1f} %"
        if fit.fitted.missing:
            title += f"; {fit.fitted.missing} network(s) could not be timed"
        table = Table("predictors", "error", "95 %", "tau", "95 %", title=title, title_justify="left")
        for row in _rows(fit):
            table.add_row(*row)
        console.print(table)
    if rows := side_by_side(model):
        title = "activations against MACs: median errors in percent, and their difference in points"
        table = Table("", "activations", "MACs", "difference", "95 %", "better", title=title, title_justify="left")
        for name, fit, better in rows:
            first, second, difference = fit.contest.first.error, fit.contest.second.error, fit.contest.error_difference
            errors = f"{first.value:.1f}", f"{second.value:.1f}", f"{difference.value:+.1f}"
            table.add_row(name, *errors, _interval(difference, 1), better)
        console.print(table)
    for fit in model.fits:
        console.print(contest_sentence(fit, setting), highlight=False, soft_wrap=True)
    console.print(f"model: {out / 'latency.json'}", highlight=False, soft_wrap=True)


def _rows(fit: LatencyFit) -> Iterator[tuple[str, ...]]:
    for score in fit.scores.scores:
        name = "all together" if len(score.predictors) > 1 else score.predictors[0]
        error, tau = score.error, score.tau
        yield name, f"{error.value:.1f}", _interval(error, 1), f"{tau.value:.2f}", _interval(tau, 2)


def _interval(estimate: Estimate, digits: int) -> str:
    return f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"
