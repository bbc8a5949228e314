"""`dorsal space`: design spaces, and the populations drawn from them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dorsal.cli.options import AsJson
from dorsal.language.options import option
from dorsal.study.question import Bounds, Edit, LatencyFile, SampleSeed

if TYPE_CHECKING:
    from dorsal.latency.predict import LatencyPredictor
    from dorsal.space.sample import Sample
    from dorsal.space.space import Space

_Space = Annotated[
    str,
    option(
        "A name that `dorsal space list` prints, or a TOML or JSON file.", metavar="SPACE", argument=True, path=True
    ),
]


def list_spaces(as_json: AsJson = False) -> None:
    """List the named spaces with their dimensions, their size in points, and the base network.

    Examples:
        dorsal space list
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
    space: _Space,
    as_json: Annotated[bool, option("Print the space as JSON.", name="json")] = False,
) -> None:
    """Print a space as TOML: its base, its axes, and how it was narrowed. The output is a space file.

    Examples:
        dorsal space show anynetx_e > mine.toml
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
    space: _Space,
    bounds: Bounds,
    count: Annotated[int, option("How many different networks.", least=1)] = 10,
    latency_model: LatencyFile = "",
    edit: Edit = "",
    image_size: Annotated[int | None, option("Side of the images in pixels (default: the space's).", least=1)] = None,
    seed: SampleSeed = 0,
    max_candidates: Annotated[int, option("Give up after drawing this many candidates.", least=1)] = 1_000_000,
    as_json: Annotated[bool, option("Print a JSON object a line, a network each.", name="json")] = False,
) -> None:
    """Draw different networks that meet all bounds, and print them as text that every verb takes.

    Says how many of the candidates met the bounds, and early when they can hardly be met.

    Examples:
        dorsal space sample regnetx --count 500 --macs 360M..400M
        dorsal space sample crossed --params ..5M --activations ..3M --bound layers=..60 --json > networks.jsonl
    """
    from msgspec.structs import replace

    from dorsal.latency.predict import cautions, named_bounds, predictors, read_latency_model
    from dorsal.report.words.latency import caution_sentence, use_sentence
    from dorsal.space.base import with_edit
    from dorsal.space.named import read_space
    from dorsal.space.sample import sample as draw

    asked = with_edit(read_space(space), edit)
    if image_size is not None:
        if "image_size" in asked.axes:
            raise ValueError(f"--image-size {image_size}: {asked.name} draws its image_size; leave it out")
        asked = replace(asked, image_size=image_size)
    bounds = named_bounds(bounds, latency_model)
    predicted: dict[str, LatencyPredictor] = {}
    if latency_model:
        model = read_latency_model(Path(latency_model))
        predicted = {name: predict for name, predict in predictors(model).items() if name in bounds}
        for predictor in predicted.values():
            predictor.check(asked)
        for caution in cautions(model, [asked.name]):
            _note(caution_sentence(caution))
    found = draw(asked, count, bounds, seed, max_candidates=max_candidates, predicted=predicted, on_note=_note)
    for predictor in predicted.values():
        _note(use_sentence(predictor.use()))
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


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
