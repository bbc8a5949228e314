"""A verb without its terminal: `driver.py compare|population|evaluate FILE.toml`, an event a line on stdout.

Workers import this module too, and need none of what it imports.
"""

import sys

if __name__ == "__main__":
    import signal
    from pathlib import Path

    import msgspec

    from dorsal.jobs.events import Event
    from dorsal.study.question import from_toml

    def show(event: Event) -> None:
        print(type(event).__name__, msgspec.json.encode(event).decode(), flush=True)

    # Where the tests run as a background job of a shell, Ctrl-C is ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    text = Path(sys.argv[2]).read_text(encoding="utf-8")
    try:
        if sys.argv[1] == "compare":
            from dorsal.study.comparison.question import from_toml as comparison_from_toml
            from dorsal.study.comparison.run import compare

            compare(comparison_from_toml(text), on_event=show)
        elif sys.argv[1] == "evaluate":
            from dorsal.study.evaluation.question import Evaluation
            from dorsal.study.evaluation.run import evaluate_models

            evaluate_models(from_toml(text, Evaluation), on_event=show)
        else:
            from dorsal.study.population.question import from_toml as population_from_toml
            from dorsal.study.population.run import run_population

            run_population(population_from_toml(text), on_event=show)
    except ValueError as error:
        sys.exit(f"refused: {error}")
