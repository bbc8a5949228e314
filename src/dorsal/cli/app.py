"""The `dorsal` command. Verbs import what they need when they run, so that `dorsal list` and help stay quick."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from dorsal.cli import compare, evaluate, listing, predict, report, show, train

app = typer.Typer(
    help="Convolutional backbones in one grammar, compared fairly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compare")(compare.compare)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("list")(listing.list_networks)
app.command("show")(show.show)
app.command("report")(report.report)


def _version(wanted: bool) -> None:
    if wanted:
        from dorsal import __version__

        typer.echo(f"dorsal {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line. Bad input and a full disk end in one sentence and exit code 2."""
    try:
        app()
    except (ValueError, ModuleNotFoundError) as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output has gone, as in `dorsal list | head`
            sys.stderr.close()
            sys.exit(0)
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error))


def _fail(message: str) -> None:
    sys.stderr.write(f"dorsal: {message}\n")
    sys.exit(2)
