"""The `dorsal` command. A verb's file is imported when the verb is called, and none of them for the list of verbs."""

from __future__ import annotations

import json
import os
import sys

import click

import dorsal
from dorsal.cli.group import Entry, Verbs
from dorsal.cli.interrupts import STOPPED

_WEIGHTS = {
    "list": Entry("weights", "list_weights", "List published weights."),
    "pull": Entry("weights", "pull", "Download published weights and make a model's folder of them."),
    "convert": Entry("weights", "convert", "Convert a checkpoint of another package to a model's folder."),
    "verify": Entry("weights", "verify", "Check a model."),
}
_DATA = {"check": Entry("data", "check", "Check a data set.")}
_SPACE = {
    "list": Entry("space", "list_spaces", "List the named spaces."),
    "show": Entry("space", "show", "Print a space as TOML."),
    "sample": Entry("space", "sample", "Draw different networks that meet all bounds."),
    "run": Entry("space_run", "run", "Sample one or more spaces, train every network, and analyse what came of it."),
    "latency": Entry("space_latency", "latency", "Time networks of a space on this machine, and fit their latency."),
    "analyse": Entry("space_analyse", "analyse", "Compare the spaces of a population, and say which axes matter."),
    "recheck": Entry("space_recheck", "recheck", "Train some networks of a population again, longer."),
    "narrow": Entry("space_narrow", "narrow", "Propose the next space."),
    "search": Entry("space_search", "search", "Search a space: train networks that a sampler proposes."),
    "pick": Entry("space_pick", "pick_networks", "Print the best network."),
}
APP = Verbs(
    "dorsal",
    "Convolutional backbones in one grammar, compared fairly.",
    {
        "compare": Entry(
            "compare", "compare", "Train networks under the same recipes and seeds, and say which is better."
        ),
        "choose": Entry("choose", "choose", "Say which weights are best for your images."),
        "train": Entry("train", "train", "Train one network."),
        "evaluate": Entry("evaluate", "evaluate", "Score a model, or several."),
        "predict": Entry("predict", "predict", "Say what is in image files."),
        "deploy": Entry("deploy", "deploy", "Keep the fastest form of a model that is right."),
        "embed": Entry("embed", "embed", "Write the features of images by a model."),
        "list": Entry("list_networks", "list_networks", "List the named networks."),
        "show": Entry("show", "show", "Show a network."),
        "recipes": Entry("recipes", "recipes", "List the named recipes."),
        "report": Entry("report", "report", "Print the tables of a comparison, a choice, a population or a search."),
        "stats": Entry("stats", "stats", "Say which arm of a table of results is better."),
        "data": Verbs("data", "Data sets: check them before training.", _DATA),
        "weights": Verbs("weights", "Published checkpoints: list, pull, convert, verify.", _WEIGHTS),
        "space": Verbs("space", "Design spaces: sample them, train populations, compare and narrow them.", _SPACE),
    },
)
click.version_option(dorsal.__version__, message="dorsal %(version)s")(APP)


def main() -> None:
    """Runs the command line. Bad input and a full disk end in one sentence and exit code 2."""
    words = _meant(sys.argv[1:])
    try:
        code = APP.main(words, prog_name="dorsal", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(0)
    except click.UsageError as error:
        from dorsal.cli.slips import answer

        _fail(answer(error, words, APP))
    except click.Abort:
        sys.exit(STOPPED)
    except (ValueError, ModuleNotFoundError) as error:
        if "--json" in sys.argv and hasattr(error, "problems"):  # of a data set: all of them, not the first only
            print(json.dumps({"problems": error.problems}, allow_nan=False))
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output has gone, as in `dorsal list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error))
    sys.exit(code)


def _meant(words: list[str]) -> list[str]:
    """`help VERB` as `VERB --help`, and `version` as `--version`."""
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    return ["--version"] if words == ["version"] else words


def _fail(message: str) -> None:
    sys.stderr.write(f"dorsal: {message}\n")
    sys.exit(2)
