"""`dorsal show --receptive-field`: how much of the image the paths of each level see, for any number of networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dorsal.cli.finish import replacing

if TYPE_CHECKING:
    from dorsal.spec.receptive import LevelField

Fields = Mapping[str, "tuple[LevelField, ...]"]

QUANTILES = (0.05, 0.5, 0.95)
BARS = " ▁▂▃▄▅▆▇█"
BINS = 14


def show_receptive_fields(texts: Sequence[str], image_size: int, as_json: bool, plot: Path | None) -> None:
    """Prints a table or JSON of the networks, and draws `plot` where it is given.

    Raises ValueError for a text that is no network of Dorsal's grammar, or an image without pixels.
    """
    from dorsal.spec.receptive import receptive_fields
    from dorsal.spec.timm import TimmNetwork
    from dorsal.zoo import any_network, text_of

    if image_size < 1:
        raise ValueError(f"image_size={image_size} is below 1; nearest valid: 1")
    fields: dict[str, tuple[LevelField, ...]] = {}
    described = []
    for text in texts:
        net = any_network(text)
        if isinstance(net, TimmNetwork):
            raise ValueError(
                f"--receptive-field counts the paths of dorsal's own networks, and not those of {net.full_name}"
            )
        fields[text] = receptive_fields(net)
        levels = [_describe(level, image_size) for level in fields[text]]
        described.append({"text": text_of(net), "image_size": image_size, "receptive_fields": levels})
    replaced = replacing(plot) if plot else ""
    if plot is not None:
        from dorsal.report.receptive import write_plot

        write_plot(fields, image_size, plot)
    if as_json:
        import json

        print(json.dumps(described[0] if len(described) == 1 else {"networks": described}, allow_nan=False))
        return
    _print(fields, image_size)
    if plot is not None:
        print(f"plot: {plot}{replaced}")


def _describe(level: LevelField, image_size: int) -> dict[str, Any]:
    import msgspec

    summaries = {name: getattr(level, name) for name in ("total", "smallest", "largest", "mean", "deviation")}
    return {
        **msgspec.to_builtins(level),
        **summaries,
        "quantiles": {str(share): level.quantile(share) for share in QUANTILES},
        "share_above_image": level.share_above(image_size),
    }


def _print(fields: Fields, image_size: int) -> None:
    """One row a level and network. Networks have numbers, as their texts may be long."""
    from dorsal.spec.receptive import binned

    for number, text in enumerate(fields, start=1):
        print(f"{number}  {text}")
    print("\nlevel       paths least  5 % median 95 % most mean" + f">{image_size} px".rjust(9))
    names = dict.fromkeys(level.name for levels in fields.values() for level in levels)
    for name in names:
        here = {
            number: level
            for number, levels in enumerate(fields.values(), start=1)
            for level in levels
            if level.name == name
        }
        if len(fields) > 1:
            print()
        _, rows = binned(list(here.values()), BINS)
        highest = max(map(max, rows))
        for (number, level), shares in zip(here.items(), rows, strict=True):
            bar = "".join(BARS[math.ceil(share / highest * (len(BARS) - 1))] for share in shares)
            print(_row(number, level, image_size), f"{bar:{BINS}}{' ≥' if level.at_least else ''}".rstrip())
    print(
        "\nPixels of the image that a path sees, along one side. Every path through the\n"
        "network counts once, whatever its weights. Bars: shares of the paths, from 0 px\n"
        "to the largest size at the level."
    )
    if any(levels[-1].at_least for levels in fields.values()):
        print("≥: deformable convolutions may reach further; the sizes are the least possible.")


def _row(number: int, level: LevelField, image_size: int) -> str:
    low, median, high = map(level.quantile, QUANTILES)
    return (
        f"{f'{level.name}/{level.stride}':9} {number:2} {_count(level.total):>7} {level.smallest:5} {low:4} {median:6} "
        f"{high:4} {level.largest:4} {level.mean:4.0f} {100 * level.share_above(image_size):6.0f} %"
    )


def _count(number: int) -> str:
    """A number of paths: whole while short, as a power of two where it is one, else with two digits."""
    if number < 1000:
        return str(number)
    if number & (number - 1) == 0:
        return f"2^{number.bit_length() - 1}"
    return f"{Decimal(number):.1e}".replace("+", "")
