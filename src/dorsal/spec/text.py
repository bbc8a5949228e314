"""Networks as text: a name with edits, `resnet50(mixer=multi_scale(scales=4, width=26), stem=deep)`.

A network is a flat list of named *choices*. Choices of blocks (mixer, attention, shortcut, …) and of stages (depths,
widths, strides, dilations) take one value for all stages, or a list with one value for each stage. A name alone stands
for its defaults: `deep` is `deep(widths=[32, 32, 64])`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from dorsal.language.fields import check_fields, convert, show
from dorsal.language.reader import Call, Reader, suggest
from dorsal.spec.block import Basic, Block, Bottleneck, name_of
from dorsal.spec.network import Network
from dorsal.spec.stage import Head, Stage

Choices = dict[str, Any]

_BLOCKS: dict[str, type[Block]] = {name_of(kind): kind for kind in get_args(Block)}
_STAGE_FIELDS = {
    "depths": "depth",
    "widths": "width",
    "strides": "stride",
    "dilations": "dilation",
    "arrangement": "arrangement",
}
_BLOCK_FIELDS = Bottleneck.__struct_fields__
PER_STAGE = (*_STAGE_FIELDS, "block", *_BLOCK_FIELDS)
BOTTLENECK_ONLY = tuple(field for field in _BLOCK_FIELDS if field not in Basic.__struct_fields__)
"""Choices of bottleneck blocks. Their text is `none` in a stage of basic blocks."""
_NETWORK_FIELDS = ("stem", "activation", "norm", "in_channels")
_OPTIONAL = ("attention", "head_width")  # choices that may be none
CHOICES = (*PER_STAGE, *_NETWORK_FIELDS, "head_width", "classes")


def _types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


TYPES: dict[str, Any] = {
    **{choice: _types(Stage)[field] for choice, field in _STAGE_FIELDS.items()},
    **_types(Bottleneck),
    **{choice: _types(Network)[choice] for choice in _NETWORK_FIELDS},
    "head_width": _types(Head)["width"],
    "classes": _types(Head)["classes"],
}
"""The annotated type of every choice but `block`."""


def words_of(kind: Any) -> tuple[str, ...]:
    """The words for values of a type: its literals, or the tags of its structs and none. Empty for numbers."""
    members = get_args(kind)
    if get_origin(kind) is Literal:
        return members
    structs = [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
    return tuple(name_of(member) if member in structs else "none" for member in members) if structs else ()


WORDS = {"block": tuple(_BLOCKS), **{key: words for key, kind in TYPES.items() if (words := words_of(kind))}}
"""The words that each choice takes; a choice of numbers is not among the keys."""
ELEMENTS: dict[str, type[msgspec.Struct]] = {
    name_of(member): member
    for kind in TYPES.values()
    for member in get_args(kind)
    if isinstance(member, type) and issubclass(member, msgspec.Struct)
}
"""The words that take fields, and what they stand for."""


def choices_of(network: Network) -> Choices:
    """The network as named choices. A per-stage choice is a list unless all stages agree. Depths and widths are always
    lists.
    """
    stages = network.stages
    values: Choices = {key: [getattr(s, field) for s in stages] for key, field in _STAGE_FIELDS.items()}
    values["block"] = [name_of(stage.block) for stage in stages]
    for key in _BLOCK_FIELDS:
        values[key] = [getattr(stage.block, key, None) for stage in stages]
    for key in PER_STAGE[2:]:
        if all(value == values[key][0] for value in values[key]):
            values[key] = values[key][0]
    values.update({key: getattr(network, key) for key in _NETWORK_FIELDS})
    values["head_width"], values["classes"] = network.head.width, network.head.classes
    return values


def edit(network: Network, changes: Mapping[str, Any]) -> Network:
    """The network with some of its choices replaced. Values are as in `choices_of`.

    Raises ValueError for an unknown choice, a list of the wrong length, or a combination that cannot exist.
    """
    for key in changes:
        if key not in CHOICES:
            raise ValueError(f"unknown choice {key!r} of a network{suggest(key, CHOICES)}")
    old = choices_of(network)
    lengths = {len(changes[key]) for key in ("depths", "widths") if isinstance(changes.get(key), list)}
    count = lengths.pop() if len(lengths) == 1 else len(network.stages)
    values = {key: _by_stage(key, changes.get(key, old[key]), count) for key in PER_STAGE}
    stages = []
    for index in range(count):
        block_type = _BLOCKS[values["block"][index]]
        given = {key: values[key][index] for key in _BLOCK_FIELDS if key in block_type.__struct_fields__}
        # A basic block has no expansion, order or downsample. In a bottleneck made of it they keep their defaults.
        fields = {k: v for k, v in given.items() if v is not None or k == "attention"}
        sizes = {field: values[key][index] for key, field in _STAGE_FIELDS.items()}
        stages.append(Stage(**sizes, block=block_type(**fields)))
    for key in BOTTLENECK_ONLY:
        if changes.get(key) is not None and all(isinstance(stage.block, Basic) for stage in stages):
            raise ValueError(
                f"{key} is a choice of bottleneck blocks and this network has basic ones; add block=bottleneck"
            )
    rest = {key: changes.get(key, old[key]) for key in _NETWORK_FIELDS}
    head = Head(changes.get("classes", old["classes"]), changes.get("head_width", old["head_width"]))
    return Network(stages=tuple(stages), head=head, **rest)


def _by_stage(key: str, value: Any, count: int) -> list[Any]:
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{key} has {len(value)} values for {count} stages; give {count}, or one for all")
    return value


def difference(a: Network, b: Network) -> dict[str, tuple[str, str]]:
    """The named choices in which two networks differ, each as the text of `a` and of `b`.

    A bottleneck's own choices are not listed beside a basic block, which has none, where they are at their defaults.
    """
    left, right = choices_of(a), choices_of(b)
    for values, others in ((left, right), (right, left)):
        lacking = [key for key in BOTTLENECK_ONLY if others[key] is None and values[key] == getattr(Bottleneck(), key)]
        values.update(dict.fromkeys(lacking))
    return {key: (show(left[key]), show(right[key])) for key in CHOICES if left[key] != right[key]}


def format_network(network: Network, bases: Mapping[str, Network]) -> str:
    """The shortest text `name(edits)` that parses back to this network, over all `bases` (name → network)."""
    values = choices_of(network)
    best: tuple[int, int, str] | None = None
    for name, base in bases.items():
        known = choices_of(base)
        edited = {
            key: values[key]
            for key in CHOICES
            if values[key] != known[key] and (values[key] is not None or key in _OPTIONAL)
        }
        edits = [f"{key}={show(value)}" for key, value in edited.items()]
        text = f"{name}({', '.join(edits)})" if edits else name
        rank = (len(edits), len(text), text)
        if (best is None or rank < best) and edit(base, edited) == network:
            best = rank
    if best is None:
        raise ValueError("no base network to write this network as an edit of")
    return best[2]


def parse_network(text: str, lookup: Callable[[str], Network]) -> Network:
    """The network of a text `name` or `name(choice=value, …)`. `lookup` turns the name into a network or raises
    ValueError.

    Raises ValueError with the place of a syntax error, or for an unknown choice, element or field with suggestions.
    """
    call = Reader(text).whole()
    if not isinstance(call, Call):
        raise ValueError(f"{text!r} is not a network: expected a name, e.g. resnet50 or resnet50(stem=deep)")
    return edit(lookup(call.name), _values(call.arguments))


def edit_by_text(network: Network, changes: str) -> Network:
    """The network with some of its choices replaced, as in `stem=deep, widths=[32, 64]`.

    Raises ValueError as `parse_network` does.
    """
    return edit(network, _values(Reader(changes).fields()))


def read_choice(key: str, text: str) -> Any:
    """The value of one choice from text, for example of "mixer" from `split_attention(radix=2)`.

    Raises ValueError as `parse_network` does.
    """
    return _value(key, Reader(text).whole())


def _values(arguments: Mapping[str, Any]) -> Choices:
    return {key: _value(key, node) for key, node in arguments.items()}


def _value(key: str, node: Any) -> Any:
    """The value of one choice from its parsed text."""
    if key not in CHOICES:
        raise ValueError(f"unknown choice {key!r} of a network{suggest(key, CHOICES)}")
    if isinstance(node, list):
        if key not in PER_STAGE:
            raise ValueError(f"{key} takes one value, not a list: {key} is not chosen by stage")
        if any(isinstance(item, list) for item in node):
            raise ValueError(f"{key} takes one value for each stage, not lists in a list")
        return [_value(key, item) for item in node]
    if key in BOTTLENECK_ONLY and isinstance(node, Call) and node.name == "none":
        return None
    if key in WORDS:
        if not isinstance(node, Call) or node.name not in WORDS[key]:
            written = node.name if isinstance(node, Call) else show(node)
            raise ValueError(f"{key}={written} is not known{suggest(written, WORDS[key])}")
        if key == "block" and not node.arguments:
            return node.name
    return convert(key, _plain(key, node), TYPES[key])


def _plain(where: str, node: Any) -> Any:
    """Parsed text as the builtins that msgspec converts to structs."""
    if isinstance(node, list):
        return [_plain(where, item) for item in node]
    if not isinstance(node, Call):
        return node
    if node.name not in ELEMENTS:
        if node.arguments:
            raise ValueError(f"{where}={node.name}(…) is not known{suggest(node.name, ELEMENTS)}")
        return {"none": None, "true": True, "false": False}.get(node.name, node.name)
    check_fields(node.arguments, ELEMENTS[node.name].__struct_fields__, node.name)
    return {
        "type": node.name,
        **{key: _plain(f"{node.name}.{key}", value) for key, value in node.arguments.items()},
    }
