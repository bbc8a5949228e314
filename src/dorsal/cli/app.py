"""The `dorsal` command. A verb's file is imported when the verb is called, so that `dorsal list` stays quick."""

from __future__ import annotations

import errno
import importlib
import json
import sys
from typing import Annotated

import typer

VERBS = {
    "compare": "compare",
    "train": "train",
    "evaluate": "evaluate",
    "predict": "predict",
    "list": "list_networks",
    "show": "show",
    "report": "report",
}
"""Each verb's function, in `dorsal.cli.<verb>` (`list`: `list_networks`, as `list` is a builtin)."""

GROUPS = ("weights", "space")
"""Verbs that have verbs of their own, made by `make_group` in `dorsal.cli.<verb>`."""


def make_app(asked: str) -> typer.Typer:
    """The application with the verb `asked` for, or with all verbs where it is none of them (help, a misspelling).

    Typer builds a validator for every option of every verb it knows, a third of the time of `dorsal list`.
    """
    app = typer.Typer(
        help="Convolutional backbones in one grammar, compared fairly.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_root,
    )
    for verb in [asked] if asked in (*VERBS, *GROUPS) else (*VERBS, *GROUPS):
        module = importlib.import_module(f"dorsal.cli.{'list_networks' if verb == 'list' else verb}")
        if verb in GROUPS:
            app.add_typer(module.make_group(), name=verb)
        else:
            app.command(verb)(getattr(module, VERBS[verb]))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from dorsal import __version__

        typer.echo(f"dorsal {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line. Bad input and a full disk end in one sentence and exit code 2."""
    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else "")()
    except (ValueError, ModuleNotFoundError) as error:
        if "--json" in sys.argv and hasattr(error, "problems"):  # of a data set: all of them, not the first only
            print(json.dumps({"problems": error.problems}))
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output has gone, as in `dorsal list | head`
            sys.stderr.close()
            sys.exit(0)
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error))


def _fail(message: str) -> None:
    sys.stderr.write(f"dorsal: {message}\n")
    sys.exit(2)
