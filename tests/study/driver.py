"""A verb without its terminal: `driver.py compare|population|evaluate FILE.toml`, an event a line on stdout."""

import signal
import sys
from pathlib import Path

import msgspec

from dorsal.jobs.events import Event
from dorsal.study.comparison import question as comparison
from dorsal.study.comparison.run import compare
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.evaluation.run import evaluate_models
from dorsal.study.population import question as population_question
from dorsal.study.population.run import run_population
from dorsal.study.question import from_toml


def show(event: Event) -> None:
    print(type(event).__name__, msgspec.json.encode(event).decode(), flush=True)


if __name__ == "__main__":
    # Where the tests run as a background job of a shell, Ctrl-C is ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    text = Path(sys.argv[2]).read_text(encoding="utf-8")
    try:
        if sys.argv[1] == "compare":
            compare(comparison.from_toml(text), on_event=show)
        elif sys.argv[1] == "evaluate":
            evaluate_models(from_toml(text, Evaluation), on_event=show)
        else:
            run_population(population_question.from_toml(text), on_event=show)
    except ValueError as error:
        sys.exit(f"refused: {error}")
