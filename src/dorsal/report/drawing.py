"""A network drawn from its spec: its stages as a pyramid, and the block of each kind of stage.

All numbers come from the layer records. A block that is repeated in its stage is drawn in the repeated form; what its
stage's first block does otherwise is said below.
"""

from __future__ import annotations

from typing import assert_never

from dorsal.language.fields import show
from dorsal.report.sketch import LINE, WIDTH, Sketch, centres, ranges
from dorsal.spec.arrangement import Tree
from dorsal.spec.block import (
    AveragePool,
    Block,
    Bottleneck,
    Conv,
    IdentityOnly,
    MaxPool,
    Mixer,
    MultiScale,
    SelectiveKernel,
    SplitAttention,
    StridedConv,
    ZeroPad,
)
from dorsal.spec.layers import Layer, Part, block_name, plan
from dorsal.spec.network import Network
from dorsal.spec.timm import AnyNetwork

LEFT, RIGHT, TRUNK = 12.0, 300.0, 106.0
BOX = 2 * (TRUNK - LEFT)
GATE = LEFT + BOX + 12
SHORTCUT = 326.0
GAP = 12.0
MOST_COLUMNS = 8

Layers = dict[str, Layer]


def draw_arm(network: AnyNetwork, image_size: int) -> str:
    """The network at this image size, or the smallest that it takes; "" for one of timm."""
    return draw_network(network, max(image_size, network.total_stride)) if isinstance(network, Network) else ""


def draw_network(network: Network, image_size: int = 224) -> str:
    """One SVG element, without a size of its own: it scales with the element around it.

    `image_size` is one side of the image in pixels; it decides the resolutions written under the stages. Raises
    ValueError when it is smaller than the network's total stride.
    """
    parts = {name: part for part in plan(network, image_size) for name in part.names}
    sketch = Sketch()
    _pyramid(sketch, network, parts)
    blocks: dict[Block, list[int]] = {}
    for index, stage in enumerate(network.stages):
        blocks.setdefault(stage.block, []).append(index)
    for block, stages in blocks.items():
        drawn = next((index for index in stages if network.stages[index].depth > 1), stages[0])
        first = network.stages[drawn].depth == 1
        layers = {
            layer.name: layer for layer in parts[block_name(drawn, network.stages[drawn], 0 if first else 1)].layers
        }
        sketch.y += 26
        where = f"stage{'s' if len(stages) > 1 else ''} {ranges(index + 1 for index in stages)}"
        drawn_here = f", with the channels of stage {drawn + 1}" if len(stages) > 1 else ""
        sketch.text(8, sketch.y, f"Block of {where}{drawn_here}", "title", anchor="start")
        _block(sketch, block, layers, first, network.activation)
        opening = {i: parts[block_name(i, network.stages[i], 0)].layers for i in stages}
        pooled = [i + 1 for i in stages if any(layer.name == "pool" for layer in opening[i])]
        for note in _notes(block, first, pooled):
            sketch.paragraph(note)
        if any(isinstance(network.stages[i].arrangement, Tree) for i in stages):
            sketch.paragraph("The blocks are leaves of a tree: after each pair a 1×1 convolution joins both outputs.")
    mixers = ", ".join(dict.fromkeys(show(block.mixer) for block in blocks))
    depths = ", ".join(f"{stage.depth} × {stage.width}" for stage in network.stages)
    return sketch.svg(f"Architecture: stages of {depths} channels; mixer {mixers}")


def _pyramid(sketch: Sketch, network: Network, parts: dict[str, Part]) -> None:
    """Stem, stages and head side by side; heights follow the resolution."""
    stem = parts["stem"].layers
    kernels = [layer.kernel for layer in stem if layer.kind == "conv"]
    kernel = f"{kernels[0]}×{kernels[0]}"
    columns = [
        (
            "stem",
            str(stem[-1].out_channels),
            stem[-1].height,
            [f"{len(kernels)} × ({kernel})" if len(kernels) > 1 else kernel, "max-pool" if network.stem.pool else ""],
        )
    ]
    for index, stage in enumerate(network.stages):
        height = next(
            layer for layer in parts[block_name(index, stage, 0)].layers if layer.name == "expand.conv"
        ).height
        dilation = f"dilation {stage.dilation}" if stage.dilation > 1 else ""
        columns.append((f"stage {index + 1}", f"{stage.depth} × {stage.width}", height, [dilation]))
    head = network.head
    columns.append(("head", str(head.classes or "—"), 1, ["classes", f"1×1 to {head.width}" if head.width else ""]))
    width, tallest, base = WIDTH / len(columns), columns[0][2], 74.0
    for centre, (title, inside, positions, below) in zip(centres(0, WIDTH, len(columns)), columns, strict=True):
        height = 18 + 40 * (positions / tallest) ** 0.5
        sketch.text(centre, 10, title, "faint")
        sketch.box(centre - width / 2 + 2, base - height, width - 4, height, "point", inside)
        size = f"{positions}²" if title != "head" else ""
        for row, line in enumerate(filter(None, [size, *below]), start=1):
            sketch.text(centre, base + row * LINE, line, "faint")
    sketch.y = base + 3 * LINE


def _block(sketch: Sketch, block: Block, layers: Layers, first: bool, activation: str) -> None:
    sketch.y += 8
    top = sketch.y
    _trunk(sketch, 8)
    sketch.line((TRUNK, top + 4), (SHORTCUT, top + 4))
    sketch.dot(TRUNK, top + 4)
    if isinstance(block, Bottleneck):
        _convolution(sketch, layers["reduce.conv"])
    downsample = block.downsample if isinstance(block, Bottleneck) and "pool" in layers else "mixer"
    gate_position = block.attention.position if block.attention else None
    if downsample == "pool_before":
        _pool(sketch, layers["pool"])
    _mixer(sketch, block.mixer, layers, first)
    if downsample == "pool_after":
        _pool(sketch, layers["pool"])
    if gate_position == "after_mixer":
        _squeeze_excite(sketch, layers)
    _convolution(sketch, layers["expand.conv"])
    if gate_position == "after_expand":
        _squeeze_excite(sketch, layers)
    _trunk(sketch, 6)
    sketch.line((SHORTCUT, top + 4), (SHORTCUT, sketch.y + 5), (TRUNK + 5, sketch.y + 5))
    label = _shortcut_name(block) if first and "shortcut.conv" in layers else "identity"
    sketch.text(SHORTCUT + 6, (top + sketch.y) / 2, label, "faint", turn=True)
    sketch.node(TRUNK, sketch.y + 5, "+")
    if not (isinstance(block, Bottleneck) and block.output == "linear"):
        sketch.text(TRUNK - 10, sketch.y + 9, f"then {activation}", "faint", anchor="end")
    sketch.y += 10
    _trunk(sketch, 8)


def _trunk(sketch: Sketch, length: float) -> None:
    sketch.line((TRUNK, sketch.y), (TRUNK, sketch.y + length))
    sketch.y += length


def _pool(sketch: Sketch, pool: Layer) -> None:
    sketch.box(LEFT, sketch.y, BOX, 18, "plain", f"average pool 3×3, stride {pool.stride}")
    sketch.y += 18
    _trunk(sketch, GAP)


def _squeeze_excite(sketch: Sketch, layers: Layers) -> None:
    _gate(sketch, [TRUNK], ("SE: pool", _widths(layers, "attention"), "sigmoid"))


def _convolution(sketch: Sketch, conv: Layer) -> None:
    """A 1x1 or 3x3 of the block around the mixer."""
    text = f"{conv.kernel}×{conv.kernel}, {conv.in_channels} → {conv.out_channels}"
    sketch.box(LEFT, sketch.y, BOX, 18, "point" if conv.kernel == 1 else "conv", text)
    sketch.y += 18
    _trunk(sketch, GAP)


def _mixer(sketch: Sketch, mixer: Mixer, layers: Layers, first: bool) -> None:
    match mixer:
        case Conv():
            _conv(sketch, layers["mixer.conv"])
        case MultiScale():
            _cascade(sketch, mixer, first)
        case SplitAttention():
            conv = layers["mixer.conv"]
            each = conv.out_channels // mixer.radix
            groups = f", {mixer.cardinality} groups" if mixer.cardinality > 1 else ""
            title = f"split attention: {mixer.radix} splits, {conv.in_channels} → {each} each{groups}"
            over = f"softmax of {mixer.radix}" if mixer.radix > 1 else "sigmoid"
            _weighted(sketch, title, ["3×3"] * mixer.radix, ("sum, pool", _widths(layers, "mixer"), over))
        case SelectiveKernel():
            convs = [layers[f"mixer.paths.{index}.conv"] for index in range(mixer.paths)]
            groups = f", {mixer.groups} groups" if mixer.groups > 1 else ""
            title = (
                f"selective kernel: {mixer.paths} paths, {convs[0].in_channels} → {convs[0].out_channels} each{groups}"
            )
            boxes = [f"3×3 dil. {conv.dilation}" if conv.dilation > 1 else "3×3" for conv in convs]
            over = f"softmax of {mixer.paths}"
            _weighted(sketch, title, boxes, ("sum, pool", _widths(layers, "mixer"), over))
        case _:
            assert_never(mixer)


def _conv(sketch: Sketch, conv: Layer) -> None:
    """The 3x3; groups show as strips below its text."""
    name = "deformable 3×3" if conv.kind == "deform_conv" else "3×3"
    lines = [f"{name}, {conv.in_channels} → {conv.out_channels}"]
    if conv.groups > 1:
        lines.append(f"{conv.groups} groups of {conv.out_channels // conv.groups}")
    height = 26 + LINE * (len(lines) - 1)
    sketch.box(LEFT, sketch.y, BOX, height, "conv", *lines)
    if conv.groups > 1:
        strips = min(conv.groups, 32)
        sketch.y += height
        for centre in centres(LEFT, BOX, strips):
            sketch.box(centre - BOX / strips / 2 + 0.6, sketch.y + 1.5, BOX / strips - 1.2, 7, "conv")
        height = 10
    sketch.y += height
    _trunk(sketch, GAP)


def _cascade(sketch: Sketch, mixer: MultiScale, first: bool) -> None:
    """Channel groups side by side; each box starts below the one whose output it adds."""
    shown = min(mixer.scales, MOST_COLUMNS)
    step, box = 30.0, 16.0
    xs = centres(LEFT, RIGHT - LEFT, shown)
    width = min(64.0, (RIGHT - LEFT) / shown - 5)
    sketch.box(LEFT, sketch.y, RIGHT - LEFT, 14, "plain", f"multi-scale: split in {mixer.scales}")
    top = sketch.y + 14
    mixed = max(shown - 1, 1)
    bottom = top + 10 + (box + GAP if first else (mixed - 1) * step + box + 14)
    for index, x in enumerate(xs):
        start = top + 8 + (0 if first else index * step)
        if index >= mixed:
            sketch.line((x, top), (x, bottom))
            label = "pool" if first else "as is"
            sketch.text(x + 4, top + 16, label, "faint", anchor="start")
            continue
        sketch.line((x, top), (x, start))
        sketch.box(x - width / 2, start, width, box, "conv", _short_name(mixer.inner))
        sketch.line((x, start + box), (x, bottom))
        if not first and index < mixed - 1:
            join = start + box + 7
            sketch.dot(x, join)
            sketch.line((x, join), (xs[index + 1] - 5, join))
            sketch.node(xs[index + 1], join, "+")
    elided = f" ({shown} shown)" if shown < mixer.scales else ""
    sketch.box(LEFT, bottom, RIGHT - LEFT, 14, "plain", f"concatenate {mixer.scales} scales{elided}")
    sketch.y = bottom + 14
    _trunk(sketch, GAP)


def _weighted(sketch: Sketch, title: str, boxes: list[str], gate: tuple[str, str, str]) -> None:
    """Branches side by side, weighted against each other by attention over their sum, then added."""
    sketch.box(LEFT, sketch.y, RIGHT - LEFT, 14, "plain", title)
    sketch.y += 14
    shown = boxes[:MOST_COLUMNS]
    xs = centres(LEFT, BOX, len(shown))
    width = min(84.0, BOX / len(shown) - 6)
    for x, text in zip(xs, shown, strict=True):
        sketch.line((x, sketch.y), (x, sketch.y + 8))
        sketch.box(x - width / 2, sketch.y + 8, width, 20, "conv", text if len(shown) <= 3 else text[:3])
    sketch.y += 28
    _gate(sketch, xs, gate)
    if len(xs) > 1:
        sketch.line((xs[0], sketch.y), (xs[-1], sketch.y))
    sketch.y += 5
    sketch.node(TRUNK, sketch.y, "+")
    sketch.y += 5
    _trunk(sketch, GAP - 2)


def _gate(sketch: Sketch, xs: list[float], lines: tuple[str, str, str]) -> None:
    """Attention beside the branches at `xs`: reads them at the fork, scales each at its ×."""
    fork, height = sketch.y + 7, 3 * LINE + 8
    scale = fork + 7 + height + 7
    gate_x = (GATE + RIGHT) / 2
    sketch.line((xs[0], fork), (gate_x, fork), (gate_x, fork + 7))
    sketch.box(GATE, fork + 7, RIGHT - GATE, height, "gate", *lines)
    sketch.line((gate_x, scale - 7), (gate_x, scale), (xs[0] + 5, scale))
    for x in xs:
        sketch.line((x, sketch.y), (x, scale - 5))
        sketch.dot(x, fork)
        sketch.node(x, scale, "×")
        sketch.line((x, scale + 5), (x, scale + GAP))
    sketch.y = scale + GAP


def _widths(layers: Layers, name: str) -> str:
    """The widths of the two layers of an attention, e.g. "64 → 16 → 64"."""
    fc1, fc2 = layers[f"{name}.fc1"], layers[f"{name}.fc2"]
    return f"{fc1.in_channels}→{fc1.out_channels}→{fc2.out_channels}"


def _short_name(mixer: Mixer) -> str:
    match mixer:
        case Conv(deformable=True):
            return "def."
        case Conv():
            return "3×3"
        case SplitAttention():
            return "SA"
        case SelectiveKernel():
            return "SK"
        case MultiScale():
            return "MS"


def _shortcut_name(block: Block) -> str:
    match block.shortcut:
        case StridedConv():
            return "1×1 convolution"
        case AveragePool():
            return "average pool and 1×1"
        case MaxPool():
            return "max-pool and 1×1"
        case IdentityOnly():
            return "none"
        case ZeroPad():
            return "subsample, pad with zeros"


def _notes(block: Block, first: bool, pooled: list[int]) -> list[str]:
    """What the drawing does not show; `pooled` are the stages whose first block has a 3x3 average pool."""
    notes = []
    if isinstance(block.mixer, MultiScale) and block.mixer.inner != Conv():
        notes.append(f"{_short_name(block.mixer.inner)} in a scale: {show(block.mixer.inner)}")
    if isinstance(block, Bottleneck) and block.order == "act_norm":
        notes.append("After the reducing 1×1 the activation comes before the norm.")
    if first:
        return notes
    opening = [f"shortcut by {_shortcut_name(block)} where the shape changes"]
    if isinstance(block, Bottleneck) and pooled:
        where = block.downsample.removeprefix("pool_")
        opening.append(f"3×3 average pool {where} the mixer (stage{'s' if len(pooled) > 1 else ''} {ranges(pooled)})")
    if isinstance(block.mixer, MultiScale):
        opening.append("no sums between scales, the last one is average-pooled")
    return [*notes, f"First block of a stage: {'; '.join(opening)}."]
