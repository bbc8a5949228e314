"""From how many images on training from scratch catches up with a start: the answer of the study of starts.

    python experiments/starts/catch_up.py OUT

OUT is the folder of run.sh. A kind of images that has not begun there is left out; one that has begun must have ended.
Writes OUT/catch_up.json and OUT/catch_up.html, and prints what the page says.

The *gain* of a start is the accuracy of a network fine-tuned or probed from it, minus that of the same network from
scratch, in points. Its interval covers new seeds and new test images, and not another start: there is one a network.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from math import exp, log
from pathlib import Path

import msgspec
import numpy as np
import plotly.graph_objects as go
from scipy.special import ndtri, stdtrit

from dorsal.findings.comparison import Compared, compared_results
from dorsal.findings.contributions import read_contributions
from dorsal.jobs.records import Study
from dorsal.report.parts import estimated, legend, page_of, section, table, top
from dorsal.report.plot import GREY, View, look, plane, short
from dorsal.report.shell import chart
from dorsal.report.words.numerals import listed, plural
from dorsal.stats import Estimate
from dorsal.stats.arms import reach
from dorsal.stats.images import ImageNoise, difference_noise
from dorsal.stats.interval import Array
from dorsal.study.load import load

FORMS = ("resnet", "res2net", "resnest", "regnet_se")
WAYS = {"tuned": "fine-tuned", "probed": "probed"}
"""What is done with a start: by the end of an arm's name, in words."""
MOVES = {
    "Five other classes of CIFAR-10, from a start on five": (("other200", "other1000", "other5000"), FORMS),
    "Cells, from the CIFAR ResNet-20": (("cells60", "cells150", "cells600"), ("resnet20",)),
    "Scenes of digits, from the CIFAR ResNet-20": (("scenes200", "scenes1000", "scenes3000"), ("resnet20",)),
}
"""By title: the folders of its studies, from few images to many, and the networks in them."""
QUESTION = "From how many images on does training from scratch catch up?"
MEAN = "mean of the four"
CONFIDENCE = 0.95


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """What a start is worth with so many training images.

    - `network`: one of the networks, or MEAN. `way`: a key of WAYS.
    - `scratch`, `started`: mean accuracies in percent. `gain`: the second minus the first. The intervals of the gains
      of all networks by one way and with one number of images hold at once; that of their mean is of its own question.
    """

    network: str
    way: str
    images: int
    scratch: float
    started: float
    gain: Estimate


class CatchUp(msgspec.Struct, frozen=True, kw_only=True):
    """The number of training images from which on a start gains nothing, on a logarithmic scale between those tried.

    - `low`: where the gain's interval first reaches 0. `value`, `high`: from where on the gain, and the upper end of
      its interval, stay at or below 0. None is beyond the most images tried; the fewest tried may mean still fewer.
    """

    value: float | None
    low: float | None
    high: float | None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One start or several, moved to one kind of images. `catch_up` is by way and network."""

    title: str
    seeds: int
    tested: int
    gains: tuple[Gain, ...]
    catch_up: dict[str, dict[str, CatchUp]]


def gains(found: Compared, networks: Sequence[str], images: int) -> list[Gain]:
    """What each start is worth by each way, and all of them together where there are several.

    Runs of one seed are paired. The noise of seeds in a gain is taken to be equal for all networks, and is measured on
    all together; of the mean it is that of the mean.
    """
    ((name, results),) = found.results.items()
    seen, every = found.images[name], list[Gain]()
    scratch, scratch_images = (np.array([table[network] for network in networks]) for table in (results, seen))
    for way in WAYS:
        arms = [f"{network}-{way}" for network in networks]
        started, started_images = (np.array([table[arm] for arm in arms]) for table in (results, seen))
        differences = started - scratch
        noise = float(differences.var(axis=1, ddof=1).mean())
        level = 1 - (1 - CONFIDENCE) / len(networks)
        for i, network in enumerate(networks):
            pictures = difference_noise(started_images[i], scratch_images[i])
            gain = interval(differences[i], noise, differences.size - len(networks), pictures, level)
            every.append(_gain(network, way, images, scratch[i], started[i], gain))
        if len(networks) > 1:
            ends = [end.mean(axis=0) for end in (started_images, scratch_images)]
            together = differences.mean(axis=0)
            freedom = len(together) - 1
            gain = interval(together, float(together.var(ddof=1)), freedom, difference_noise(*ends), CONFIDENCE)
            every.append(_gain(MEAN, way, images, scratch.mean(axis=0), started.mean(axis=0), gain))
    return every


def interval(differences: Array, variance: float, freedom: int, pictures: ImageNoise, confidence: float) -> Estimate:
    """The mean of a difference over seeds, for new seeds and new test images, as `dorsal.stats.compare_arms` has it.

    `variance` is that of one seed, on so many degrees of freedom.
    """
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * (variance / len(differences)) ** 0.5
    below, above = reach(half, pictures, float(ndtri((1 + confidence) / 2)))
    assert below is not None
    assert above is not None
    mean = float(differences.mean())
    return Estimate(value=mean, low=mean - below, high=mean + above)


def _gain(network: str, way: str, images: int, scratch: Array, started: Array, gain: Estimate) -> Gain:
    scores = float(scratch.mean()), float(started.mean())
    return Gain(network=network, way=way, images=images, scratch=scores[0], started=scores[1], gain=gain)


def catch_up(found: Sequence[Gain]) -> CatchUp:
    """Where the gains of one network by one way, from few images to many, come down to 0.

    The interval inverts those of the gains (Fieller 1954): at the true number of images the gain is 0, and an interval
    that covers it there has that number among those for which it covers 0. Between two numbers of images gains, and the
    ends of their intervals, are taken to lie on lines over the logarithm. If the gain is such a line, it is covered as
    often as is said. If it falls fast first and then slowly, it lies below the lines: then it is covered where standard
    errors are a point or more, and in 75 to 85 % where they are half a point.
    """
    places = [log(each.images) for each in found]
    values, lows, highs = ([getattr(each.gain, end) for each in found] for end in ("value", "low", "high"))
    return CatchUp(value=_stays(places, values), low=_first(places, lows), high=_stays(places, highs))


def _first(places: Sequence[float], heights: Sequence[float]) -> float | None:
    """Where a line through these points first comes down to 0."""
    if heights[0] <= 0:
        return exp(places[0])
    for i in range(1, len(places)):
        if heights[i] <= 0:
            return exp(_zero(places[i - 1 : i + 1], heights[i - 1 : i + 1]))
    return None


def _stays(places: Sequence[float], heights: Sequence[float]) -> float | None:
    """From where on a line through these points stays at or below 0."""
    if heights[-1] > 0:
        return None
    for i in range(len(places) - 1, 0, -1):
        if heights[i - 1] > 0:
            return exp(_zero(places[i - 1 : i + 1], heights[i - 1 : i + 1]))
    return exp(places[0])


def _zero(places: Sequence[float], heights: Sequence[float]) -> float:
    """Where the line from a point above 0 to one at or below it meets 0."""
    return places[0] + heights[0] / (heights[0] - heights[1]) * (places[1] - places[0])


def move(title: str, studies: Sequence[tuple[Study, Compared]], networks: Sequence[str]) -> Move:
    """The gains of the starts in these studies, from few images to many, and where they end."""
    every = [each for study, found in studies for each in gains(found, networks, study.data.train_images)]
    by_way = {
        way: {
            network: catch_up([each for each in every if (each.way, each.network) == (way, network)])
            for network in dict.fromkeys(each.network for each in every)
        }
        for way in WAYS
    }
    first = studies[0][0]
    return Move(title=title, seeds=len(first.seeds), tested=first.data.val_images, gains=tuple(every), catch_up=by_way)


def read(folder: Path) -> tuple[Study, Compared]:
    """A comparison and what goes into it.

    ValueError unless it has two seeds or more, and all its runs have finished and kept their predictions.
    """
    study = load(folder)
    if not isinstance(study, Study):
        raise ValueError(f"{folder} holds no comparison")
    if len(study.seeds) < 2:
        raise ValueError(f"{folder}: one seed says nothing of the noise of seeds; give run.sh two or more")
    if lost := [trial for trial in study.trials if trial.status != "finished"]:
        arms = sorted({run.arm for run in study.runs for trial in lost if run.key == trial.key})
        raise ValueError(f"{folder}: a run of {', '.join(arms)} is {lost[0].status}, and is not made again")
    if left := len(study.runs) - len(study.trials):
        raise ValueError(f"{folder}: {plural(left, 'run')} of {len(study.runs)} are still to come; run.sh goes on")
    contributions = read_contributions(study, folder)
    if contributions.lost:
        raise ValueError(f"{folder}: {contributions.lost}")
    return study, compared_results(study, contributions)


def gain_sentences(found: Move) -> list[str]:
    """What starts gain, one sentence a way, on the mean of the networks where there are several."""
    networks = {each.network for each in found.gains}
    whole = MEAN if MEAN in networks else networks.pop()
    sentences = []
    for way, words in WAYS.items():
        parts = [_gained(each) for each in found.gains if (each.way, each.network) == (way, whole)]
        of = ", on the mean of the four networks" if whole == MEAN else ""
        sentences.append(f"Against training from scratch{of}, a {words} start {listed(parts)}.")
    return sentences


def _gained(each: Gain) -> str:
    value, low, high = each.gain.value, each.gain.low, each.gain.high
    if low > 0:
        return f"gains {value:.1f} points ({low:.1f} to {high:.1f}) with {each.images:,} images"
    if high < 0:
        return f"loses {-value:.1f} points ({-high:.1f} to {-low:.1f}) with {each.images:,} images"
    return f"is not shown to gain or lose with {each.images:,} images ({value:+.1f} points, {low:+.1f} to {high:+.1f})"


def catch_up_rows(found: Move) -> list[list[str]]:
    """For each network the number of images at which scratch catches up, with its interval, by each way."""
    tried = sorted({each.images for each in found.gains})
    networks = found.catch_up["tuned"]
    return [[network, *(ended(found.catch_up[way][network], tried) for way in WAYS)] for network in networks]


def ended(end: CatchUp, tried: Sequence[int]) -> str:
    """A number of images with its interval, in words."""
    fewest, most = tried[0], tried[-1]

    def word(value: float | None) -> str:
        if value is None:
            return f"more than {most:,}"
        return f"{fewest:,} or fewer" if value <= fewest * (1 + 1e-9) else f"{float(f'{value:.2g}'):,.0f}"

    said = f"not with up to {most:,} images" if end.value is None else f"with {word(end.value)} images"
    if end.low is None or word(end.value) == word(end.low) == word(end.high):
        return said
    return f"{said} ({word(end.low)} to {word(end.high)})"


def figure(found: Move, way: str) -> go.Figure:
    """The gains by the number of images, a line a network; the mean is grey and wide."""
    drawn = plane("training images", f"gain of a start that is {WAYS[way]}, points")
    networks = list(found.catch_up[way])
    ticks = sorted({each.images for each in found.gains})
    for index, network in enumerate(networks):
        own = [each for each in found.gains if (each.network, each.way) == (network, way)]
        # Moved apart by up to 4 %, so that the intervals do not cover each other.
        apart = 1.025 ** (index - (len(networks) - 1) / 2)
        drawn.add_scatter(
            x=short(apart * each.images for each in own),
            y=short(each.gain.value for each in own),
            mode="lines+markers",
            legendgroup=str(index),
            line={"color": _colour(network, index), "width": 4 if network == MEAN else 2},
            marker={"size": 8, "color": _colour(network, index)},
            error_y={
                "array": short((each.gain.high or 0.0) - each.gain.value for each in own),
                "arrayminus": short(each.gain.value - (each.gain.low or 0.0) for each in own),
                "thickness": 1.6,
                "width": 4,
            },
            hovertemplate=f"{escape(network)}, %{{x:.0f}} images: %{{y:+.2f}} points<extra></extra>",
        )
    drawn.add_hline(y=0, line={"width": 1, "dash": "dot", "color": GREY})
    return drawn.update_layout(xaxis={"type": "log", "tickvals": ticks, "ticktext": [f"{each:,}" for each in ticks]})


def _colour(network: str, index: int) -> str:
    return GREY if network == MEAN else look(index).colour


def page(moves: Sequence[Move]) -> str:
    """The whole page, which needs nothing else."""
    about = (
        "Networks of equal cost, from scratch and from a start, with few images and many. A gain is the accuracy from "
        "the start minus that from scratch, with its 95 % interval over seeds and test images."
    )
    limits = (
        "There is one start a network: an interval covers new seeds and new test images, and not another start.",
        "Intervals of one number of images and one way hold for all networks at once; those of different numbers of "
        "images, and of the mean, are each of their own question.",
        "The noise of seeds is taken to be equal for all networks.",
        "Between the numbers of images that were tried, gains are taken to lie on lines over the logarithm.",
        "Rates are the middle of a pilot that could not tell them apart; epochs were chosen by hand, fewer for more "
        "images, and are equal from scratch and from a start. Longer training may move where scratch catches up.",
        "Cells of several kinds are from the same photographs, and count as independent.",
    )
    said = [f"{found.title}: {line}" for found in moves for line in gain_sentences(found)]
    sections = [top(QUESTION, about, said, limits, alike=True)]
    for found in moves:
        views = [View(words, figure(found, way)) for way, words in WAYS.items()]
        names = list(found.catch_up["tuned"])
        caption = (
            f"{found.title}. {plural(found.seeds, 'seed')} and {plural(found.tested, 'test image')}; bars are 95 % "
            "intervals. Above 0 the start is better."
        )
        looks = legend({i: name for i, name in enumerate(names) if name != MEAN}, f"<li>grey: {MEAN}</li>")
        boxes = looks if len(names) > 1 else ""
        rows = [
            [
                escape(each.network),
                WAYS[each.way],
                f"{each.images:,}",
                f"{each.scratch:.1f}",
                f"{each.started:.1f}",
                estimated(each.gain, 1, "+"),
            ]
            for each in found.gains
        ]
        head = ("network", "the start is", "images", "from scratch, %", "from the start, %", "gain, points")
        name = found.title.split(",")[0]
        ends = [list(map(escape, row)) for row in catch_up_rows(found)]
        columns = ("network", *(f"scratch catches up with the {words}" for words in WAYS.values()))
        figures = chart(name, views, caption, boxes)
        tables = table(f"{name}: catching up", columns, ends) + table(f"{name}: gains", head, rows)
        sections.append(section(escape(found.title), figures + tables))
    return page_of(QUESTION, sections)


def read_moves(out: Path) -> list[Move]:
    """The answer for each kind of images that has begun, from the folders of its studies."""
    return [
        move(title, [read(out / name) for name in folders], networks)
        for title, (folders, networks) in MOVES.items()
        if any((out / name).exists() for name in folders)
    ]


def said(moves: Sequence[Move]) -> str:
    """The answer in sentences, a line each."""
    lines = []
    for found in moves:
        lines += [found.title, *(f"- {line}" for line in gain_sentences(found))]
        for network, tuned, probed in catch_up_rows(found):
            lines.append(
                f"- {network}. Caught up from scratch: the fine-tuned start {tuned}; the probed start {probed}."
            )
    return "\n".join(lines)


def main(out: Path) -> None:
    """Writes page and numbers, and prints the sentences."""
    moves = read_moves(out)
    (out / "catch_up.json").write_bytes(msgspec.json.format(msgspec.json.encode(moves), indent=1))
    (out / "catch_up.html").write_text(page(moves), "utf-8")
    print(said(moves))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
