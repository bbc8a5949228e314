"""Slow twins of the sampler: one candidate at a time, in plain Python, rejected until enough are left.

The functions that draw one number do what pycls's sweep code does (pycls/sweep/random.py, written anew from its
description; the package on PyPI has no sweep code): a real number is drawn and rounded. The widths of RegNets, their
fit to group widths and the complexity are those of the pycls package.
"""

import math
import random

from msgspec.structs import replace

from dorsal.space.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    PowerOfTwo,
    PowerOfTwoOrLogUniform,
    Uniform,
)
from dorsal.spec.cost import cost
from dorsal.spec.layers import plan
from dorsal.spec.text import PER_STAGE, choices_of, edit, read_choice
from dorsal.spec.widths import compatible_group_width
from dorsal.zoo import network


def draw_one(draw, random):  # noqa: PLR0911
    """One value as pycls draws it."""
    match draw:
        case Uniform():
            return math.floor(random.uniform(draw.low, draw.high + draw.quantum) / draw.quantum) * draw.quantum
        case LogUniform():
            return _log_uniform(draw.low, draw.high, draw.quantum, random)
        case PowerOfTwo():
            return 2 ** math.floor(random.uniform(math.log2(draw.low), math.log2(draw.high) + 1))
        case PowerOfTwoOrLogUniform():
            value = 2 ** math.floor(random.uniform(math.log2(draw.low), math.log2(draw.high) + 1))
            if value < draw.quantum:
                return value
            return _log_uniform(max(draw.low, draw.quantum), draw.high, min(draw.high, draw.quantum), random)
        case Normal() | LogNormal():
            scale, back = (math.log, math.exp) if isinstance(draw, LogNormal) else (float, float)
            low, high = scale(draw.low), scale(draw.high)
            while True:
                value = back(random.gauss((low + high) / 2, (high - low) / 6))
                if draw.low <= value <= draw.high:
                    return round(value / draw.quantum) * draw.quantum
        case Choice():
            return random.choices(draw.values, draw.weights)[0]


def _log_uniform(low, high, quantum, random):
    lowest = low - min(quantum, low / 2)
    value = math.exp(math.log(high) - random.random() * (math.log(high) - math.log(lowest)))
    return math.ceil(value / quantum) * quantum


def pycls_regnets(space, count, flops, seed):
    """RegNetX as pycls's sweep samples it by default: parameters, with flops in the range; and how many candidates."""
    from pycls.models import anynet, regnet

    random_ = random.Random(seed)
    found, seen, candidates = [], set(), 0
    while len(found) < count:
        candidates += 1
        point = {name: draw_one(axis.draw, random_) for name, axis in space.axes.items()}
        depth, w0, wa, wm, group_width = point.values()
        blocks, stages, steps, _ = regnet.generate_regnet(wa, w0, wm, depth)
        key = tuple(point.values())
        if stages != steps or stages != 4 or key in seen:
            continue
        widths, depths = regnet.get_stages_from_blocks(blocks, blocks)
        widths, groups = regnet.adjust_ws_gs_comp(widths, [1] * 4, [group_width] * 4)
        total = anynet.AnyNet._complexity(
            {"h": 224, "w": 224, "flops": 0, "params": 0, "acts": 0},
            stem_type="simple_stem_in", stem_w=32, block_type="res_bottleneck_block", ds=depths, ws=widths,
            ss=[2] * 4, bms=[1.0] * 4, gws=groups, se_r=None, nc=1000,
        )  # fmt: skip
        if flops[0] <= total["flops"] <= flops[1]:
            seen.add(key)
            found.append(point | {f"widths.{i}": width for i, width in enumerate(widths)} | total)
    return found, candidates


def pycls_anynets(space, count, flops, seed):
    """AnyNetX by pycls's own fitting of widths and its complexity: parameters, with flops in the range; and how many
    candidates keep the order of the space."""
    from pycls.models import anynet, regnet

    random_ = random.Random(seed)
    found, seen, candidates = [], set(), 0
    while len(found) < count:
        point = {}
        for name, axis in space.axes.items():
            draws, times = (4, 1) if axis.by_stage else (1, 4)
            point[name] = [draw_one(axis.draw, random_) for _ in range(draws)] * times
            while name in space.non_decreasing and point[name] != sorted(point[name]):
                point[name] = [draw_one(axis.draw, random_) for _ in range(4)]
        candidates += 1
        key = tuple(map(tuple, point.values()))
        depths, widths, expansions, groups = (
            point[name] for name in ("depths", "widths", "expansion", "mixer.group_width")
        )
        ratios = [1 / expansion for expansion in expansions]
        widths, groups = regnet.adjust_ws_gs_comp(widths, ratios, groups)
        total = anynet.AnyNet._complexity(
            {"h": 224, "w": 224, "flops": 0, "params": 0, "acts": 0},
            stem_type="simple_stem_in", stem_w=32, block_type="res_bottleneck_block", ds=depths, ws=widths,
            ss=[2] * 4, bms=ratios, gws=groups, se_r=None, nc=1000,
        )  # fmt: skip
        if flops[0] <= total["flops"] <= flops[1] and key not in seen:
            seen.add(key)
            stages = {f"{name}.{stage}": value for name, values in point.items() for stage, value in enumerate(values)}
            fitted = {f"fitted.{stage}": width for stage, width in enumerate(widths)}
            found.append(stages | fitted | {name: total[name] for name in ("flops", "params", "acts")})
    return found, candidates


def one_by_one(space, count, bounds, seed):
    """Networks of a space without a linear rule, each drawn, then built by edits of its base network, or rejected.

    Returns the drawn values and the costs of those accepted, and how many candidates keep the order of the space.
    """
    random_ = random.Random(seed)
    base = network(space.base)
    found, candidates = [], 0
    while len(found) < count:
        values = {}
        for name, axis in space.axes.items():
            values[name] = [_value(axis, values, stage, random_) for stage in range(len(base.stages))]
            if not axis.by_stage:
                values[name] = values[name][:1] * len(base.stages)
        if any(values[name] != sorted(values[name]) for name in space.non_decreasing):
            continue
        candidates += 1
        try:
            net = _build(base, _fitted(values) if space.groups == "fitted" else values)
            plan(net, space.image_size)
        except ValueError:
            continue
        total = cost(net, space.image_size)
        if all(low <= getattr(total, name) <= high for name, (low, high) in bounds.items()):
            found.append((values, total))
    return found, candidates


def _fitted(values):
    """The values with widths and group widths that fit each other where the mixer is a convolution."""
    fitted = {name: list(column) for name, column in values.items()}
    for stage, group in enumerate(values["mixer.group_width"]):
        if group is not None:
            pair = compatible_group_width(values["widths"][stage], group, values["expansion"][stage])
            fitted["widths"][stage], fitted["mixer.group_width"][stage] = pair
    return fitted


def _value(axis, values, stage, random_):
    drawn = all(values[parent][stage] in wanted for parent, wanted in axis.when.items())
    return draw_one(axis.draw, random_) if drawn else None


def _build(base, values):
    """The network that has these values, elements first and then their fields."""
    changes = {}
    for name, column in values.items():
        choice, _, field = name.partition(".")
        if not field:
            changes[name] = [read_choice(name, value) if isinstance(value, str) else value for value in column]
            continue
        before = changes.get(choice, [choices_of(base)[choice]] * len(base.stages))
        changes[choice] = [
            element if value is None else replace(element, **{field: _read(field, value)})
            for element, value in zip(before, column, strict=True)
        ]
    return edit(base, {name: column if name in PER_STAGE else column[0] for name, column in changes.items()})


def _read(field, value):
    return read_choice("mixer", value) if field == "inner" else value
