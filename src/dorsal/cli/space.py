"""`dorsal space`: design spaces, and the populations drawn from them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dorsal.cli.options import (
    Budget,
    Device,
    Gpus,
    Processes,
    RayAddress,
    SeedList,
    Storage,
    Threads,
    Workers,
    read_seeds,
)

if TYPE_CHECKING:
    from dorsal.latency.predict import LatencyPredictor
    from dorsal.space.sample import Sample
    from dorsal.space.space import Space

VERBS = ("latency", "analyse", "recheck", "narrow", "search", "pick")
"""Verbs in files of their own: each one's function of that name in `dorsal.cli.space_<verb>`."""

_SPACE = "A name that `dorsal space list` prints, or a TOML or JSON file."
_EDIT = "Change the base network, e.g. 'stem=simple(stride=1), strides=[1, 2, 2, 2]'."
_RANGE = "A range with units, e.g. 360M..400M, ..5M."
_NO_MODEL = "--latency needs --latency-model, which `dorsal space latency` makes"
_BOUND = "Any other quantity as NAME=RANGE, e.g. layers=..60; may be repeated."

Macs = Annotated[str | None, typer.Option(help=f"Bound of MACs. {_RANGE}")]
Params = Annotated[str | None, typer.Option(help="Bound of parameters.")]
Activations = Annotated[str | None, typer.Option(help="Bound of activations: the outputs of all convolutions.")]
Bounds = Annotated[list[str] | None, typer.Option("--bound", help=_BOUND)]
Latency = Annotated[str | None, typer.Option(help="Bound of the predicted time in ms, e.g. ..8 or forward_b1_ms=..8.")]
LatencyModel = Annotated[str | None, typer.Option(help="File or folder of `dorsal space latency`.")]
Edit = Annotated[str | None, typer.Option(help=_EDIT)]


def make_group() -> typer.Typer:
    """The verbs under `dorsal space`; only the file of the one called is imported."""
    group = typer.Typer(
        help="Design spaces: sample them, train populations, compare and narrow them.", no_args_is_help=True
    )
    group.command("list")(list_spaces)
    group.command("show")(show)
    group.command("sample")(sample)
    group.command("run")(run)
    asked = next((word for word in sys.argv[2:3] if word in VERBS), None)
    for verb in [asked] if asked else VERBS:
        group.command(verb)(getattr(importlib.import_module(f"dorsal.cli.space_{verb}"), verb))
    return group


def list_spaces(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the named spaces with their dimensions, their size in points, and the base network.

    Example: `dorsal space list`
    """
    from dorsal.space.named import SPACES
    from dorsal.space.size import dimensions, size

    if as_json:
        import json

        rows = [
            {"name": name, "dimensions": dimensions(space), "points": size(space), "base": space.base}
            for name, space in SPACES.items()
        ]
        print(json.dumps(rows, allow_nan=False))
        return
    width = max(map(len, SPACES))
    print(f"{'space':{width}} dimensions  points   base")
    for name, space in SPACES.items():
        print(f"{name:{width}} {dimensions(space):10} {float(size(space)):8.1e}  {space.base}")


def show(
    space: Annotated[str, typer.Argument(help=_SPACE)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the space as JSON.")] = False,
) -> None:
    """Print a space as TOML: its base, its axes, and how it was narrowed. The output is a space file.

    Example: `dorsal space show anynetx_e > mine.toml`
    """
    from dorsal.space.named import read_space
    from dorsal.space.size import dimensions, size
    from dorsal.space.space import to_json, to_toml

    read = read_space(space)
    if as_json:
        print(to_json(read))
        return
    print(f"# {dimensions(read)} dimensions, {size(read):.3g} points")
    for step in read.history:
        print(f"# from {step.of} ({step.points:.3g} points): {step.change}")
    print(to_toml(read), end="")


def sample(
    space: Annotated[str, typer.Argument(help=_SPACE)],
    count: Annotated[int, typer.Option(help="How many different networks.")] = 10,
    macs: Macs = None,
    params: Params = None,
    activations: Activations = None,
    latency: Latency = None,
    latency_model: LatencyModel = None,
    bound: Bounds = None,
    edit: Edit = None,
    image_size: Annotated[
        int | None, typer.Option(help="In pixels, where it is no axis.", show_default="the space's")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    max_candidates: Annotated[int, typer.Option(help="Give up after drawing this many candidates.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, a network each.")] = False,
) -> None:
    """Draw different networks that meet all bounds, and print them as text that every verb takes.

    Says how many of the candidates met the bounds, and early when they can hardly be met.

    Examples: `dorsal space sample regnetx --count 500 --macs 360M..400M`,
    `dorsal space sample crossed --params ..5M --activations ..3M --bound layers=..60 --json > networks.jsonl`
    """
    from msgspec.structs import replace

    from dorsal.latency.predict import cautions, latency_bounds, predictors, read_latency_model
    from dorsal.space.base import with_edit
    from dorsal.space.named import read_space
    from dorsal.space.sample import sample as draw

    asked = with_edit(read_space(space), edit or "")
    if image_size is not None:
        if "image_size" in asked.axes:
            raise ValueError(f"--image-size {image_size}: {asked.name} draws its image_size; leave it out")
        asked = replace(asked, image_size=image_size)
    bounds = read_bounds_given(macs, params, activations, bound)
    predicted: dict[str, LatencyPredictor] = {}
    if latency_model is not None:
        model = read_latency_model(Path(latency_model))
        bounds |= latency_bounds(model, [latency] if latency else [])
        predicted = {name: predict for name, predict in predictors(model).items() if name in bounds}
        for predictor in predicted.values():
            predictor.check(asked)
        for caution in cautions(model, [asked.name]):
            _note(caution)
    elif latency:
        raise ValueError(_NO_MODEL)
    found = draw(asked, count, bounds, seed, max_candidates=max_candidates, predicted=predicted, on_note=_note)
    for predictor in predicted.values():
        _note(predictor.sentence())
    print_sample(asked, found, as_json)
    drawn = found.sampling
    rejected = "".join(f"; {times:,} were no networks: {reason}" for reason, times in drawn.rejected.items())
    print(
        f"{len(found)} networks of {asked.name} from {drawn.candidates:,} candidates, of which "
        f"{100 * drawn.acceptance:.3g} % are networks within the bounds; {drawn.duplicates:,} of those were there "
        f"already{rejected}",
        file=sys.stderr,
    )


def print_sample(space: Space, found: Sample, as_json: bool) -> None:
    """A line a network: its costs and its text, or all of it as JSON."""
    from dorsal.space.base import based_on
    from dorsal.spec.cost import COSTS

    axes = found.axes()
    drawn_size = "image_size" in space.axes
    if not as_json:
        heads = (*(f"{info.head:>9}" for info in COSTS.values()), *["  px"] * drawn_size, "network")
        print(" ".join(heads), file=sys.stderr)
    for row, net in enumerate(found.networks()):
        costs = {name: column[row].item() for name, column in found.costs.items()}
        text = based_on(space.base, net)
        if as_json:
            import json

            drawn = {name: column[row] for name, column in axes.items()}
            print(json.dumps({"network": text, **costs, "axes": drawn}, allow_nan=False))
        else:
            side = [f"{costs['image_size']:4}"] * drawn_size
            print(" ".join([*(f"{costs[name] / info.scale:9.2f}" for name, info in COSTS.items()), *side, text]))


def run(
    spaces: Annotated[list[str] | None, typer.Argument(metavar="SPACE...", help=_SPACE)] = None,
    count: Annotated[int | None, typer.Option(help="Networks of each space.", show_default="100")] = None,
    macs: Macs = None,
    params: Params = None,
    activations: Activations = None,
    latency: Latency = None,
    latency_model: LatencyModel = None,
    bound: Bounds = None,
    edit: Edit = None,
    sample_seed: Annotated[int | None, typer.Option(help="Of the draw.", show_default="0")] = None,
    recipe: Annotated[str | None, typer.Option(show_default="regnet-10ep")] = None,
    data: Annotated[
        str | None, typer.Option(help="scenes, or a folder of class folders.", show_default="scenes")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's own.")] = None,
    seeds: SeedList = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    ray: RayAddress = None,
    gpus: Gpus = None,
    processes: Processes = None,
    out: Annotated[str | None, typer.Option(help="Folder of the population.", show_default="runs/population")] = None,
    storage: Storage = None,
    budget: Budget = None,
    name: Annotated[str | None, typer.Option(help="Title, and name in the storage.", show_default="population")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Read the question from a TOML file; options replace fields.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON.")] = False,
) -> None:
    """Sample one or more spaces and train every network under one recipe, then analyse what came of it.

    Interrupted, the same command goes on; with a larger --count it goes on from what is there.

    Examples: `dorsal space run anynetx_a anynetx_e --count 100 --macs 360M..400M --data imagenet --recipe regnet-10ep`,
    `dorsal space run regnetx --count 20 --macs 1M..2M --edit "stem=simple(stride=1)" --recipe plain --budget 30m`,
    `dorsal space run crossed --ray 10.0.0.1:6379 --threads 4 --gpus 1 --device cuda --storage postgresql://…`
    """
    import msgspec

    from dorsal.study.population.question import Population, from_toml

    bounds = read_bounds_given(macs, params, activations, bound) | read_latency_given(latency, latency_model)
    given: dict[str, Any] = {
        "spaces": tuple(spaces) if spaces else None,
        "count": count,
        "bounds": bounds or None,
        "edit": edit,
        "latency_model": latency_model,
        "sample_seed": sample_seed,
        "recipe": recipe,
        "data": data,
        "epochs": epochs,
        "seeds": read_seeds(seeds),
        "workers": workers,
        "threads": threads,
        "device": device,
        "ray": ray,
        "gpus": gpus,
        "processes": processes,
        "out": out,
        "storage": storage,
        "budget": budget,
        "name": name,
    }
    given = {field: value for field, value in given.items() if value is not None}
    if file is not None:
        if not file.is_file():
            raise ValueError(f"--file {str(file)!r} does not exist")
        asked = msgspec.structs.replace(from_toml(file.read_text(encoding="utf-8")), **given)
    elif spaces:
        asked = Population(**given)
    else:
        raise ValueError("name at least one space, e.g. dorsal space run regnetx; `dorsal space list` has them")

    from dorsal.cli.finish import show_population
    from dorsal.cli.progress import Watch
    from dorsal.study.population.run import run_population

    try:
        with Watch() as watch:
            population = run_population(asked, on_event=watch.on_event)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"stopped; the same command goes on, and `dorsal space analyse {asked.out}` shows what is done\n"
        )
        raise typer.Exit(130) from None
    show_population(population, Path(asked.out), asked.storage, as_json)
    if any(trial.status == "failed" for trial in population.study.trials):
        raise typer.Exit(1)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def read_bounds_given(
    macs: str | None, params: str | None, activations: str | None, others: list[str] | None
) -> dict[str, str]:
    """Bounds by quantity from the options that give them."""
    given = {"macs": macs, "params": params, "activations": activations}
    bounds = {name: text for name, text in given.items() if text is not None}
    for other in others or []:
        name, equals, text = other.partition("=")
        if not equals:
            raise ValueError(f"--bound {other!r} is not of the form NAME=RANGE, e.g. layers=..60")
        if name in bounds:
            raise ValueError(f"--bound {other!r}: {name} is bounded twice")
        bounds[name] = text
    return bounds


def read_latency_given(latency: str | None, latency_model: str | None) -> dict[str, str]:
    """The bound of a predicted time, by its quantity, from the options that give it."""
    if latency is None:
        return {}
    if latency_model is None:
        raise ValueError(_NO_MODEL)
    from dorsal.latency.predict import latency_bounds, read_latency_model

    return latency_bounds(read_latency_model(Path(latency_model)), [latency])
