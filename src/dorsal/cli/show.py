"""`dorsal show`: one network's choices, stages and cost, or the difference between two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dorsal.cli.options import AsJson
from dorsal.language.options import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from dorsal.spec.cost import Cost
    from dorsal.spec.layers import Feature
    from dorsal.spec.network import Network
    from dorsal.spec.timm import AnyNetwork


def show(
    networks: Annotated[
        tuple[str, ...],
        option(
            "Names, names with edits, or JSON files; two are compared.", metavar="NETWORK", argument=True, path=True
        ),
    ],
    image_size: Annotated[int, option("Side of the image in pixels.", least=1)] = 224,
    layers: Annotated[bool, option("List every layer with its cost.")] = False,
    receptive_field: Annotated[
        bool,
        option("Show what the paths of each level see, of any number of networks."),
    ] = False,
    plot: Annotated[Path | None, option("Draw the receptive fields side by side into this HTML file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a network: its choices, stages, feature pyramid and cost. Of two networks, in which choices they differ.

    A network of timm is shown with its feature pyramid and cost.

    Examples:
        dorsal show resnest50 --layers
        dorsal show resnet50 "resnet50(stem=deep)"
        dorsal show timm:efficientnet_b0
        dorsal show resnet50 res2net50 --receptive-field --plot fields.html
    """
    from dorsal.spec.timm import TimmNetwork
    from dorsal.zoo import any_network

    if receptive_field:
        from dorsal.cli.receptive import show_receptive_fields

        if layers:
            raise ValueError("--layers and --receptive-field are two views of a network; ask for one of them")
        show_receptive_fields(networks, image_size, as_json, plot)
        return
    if plot is not None:
        raise ValueError("--plot draws receptive fields; add --receptive-field")
    if len(networks) > 2:
        raise ValueError(f"show takes one network or two, not {len(networks)}; quote a text that has spaces")
    parsed = [any_network(text) for text in networks]
    for net in parsed:
        if layers and isinstance(net, TimmNetwork):
            raise ValueError(f"--layers lists the layers of dorsal's own networks, and not those of {net.full_name}")
    if as_json:
        import json

        described = [_describe(net, image_size, layers) for net in parsed]
        both = {"networks": described, "differs": _differs(parsed, networks)} if len(parsed) == 2 else None
        print(json.dumps(both or described[0], allow_nan=False))
    elif len(parsed) == 1:
        _print_one(parsed[0], image_size, layers)
    else:
        _print_two(parsed, networks, image_size)


def _facts(net: AnyNetwork, image_size: int) -> tuple[str, Cost, tuple[Feature, ...]]:
    """Text, cost and pyramid of either kind of network."""
    from dorsal.spec.timm import TimmNetwork, timm_text

    if isinstance(net, TimmNetwork):
        from dorsal.nn.timm import timm_cost, timm_features

        return timm_text(net), timm_cost(net, image_size), timm_features(net)
    from dorsal.spec.cost import cost
    from dorsal.spec.layers import features
    from dorsal.zoo import text_of

    return text_of(net), cost(net, image_size), features(net)


def _describe(net: AnyNetwork, image_size: int, with_layers: bool) -> dict[str, Any]:
    import msgspec

    from dorsal.spec.cost import layer_cost
    from dorsal.spec.layers import layers
    from dorsal.spec.network import Network
    from dorsal.spec.timm import hash_of

    text, total, pyramid = _facts(net, image_size)
    described: dict[str, Any] = {
        "text": text,
        "hash": hash_of(net),
        "image_size": image_size,
        "cost": total,
        "features": pyramid,
        "network": net,
    }
    if with_layers and isinstance(net, Network):
        described["layers"] = [
            {**msgspec.to_builtins(layer), **msgspec.to_builtins(layer_cost(layer))}
            for layer in layers(net, image_size)
        ]
    plain: dict[str, Any] = msgspec.to_builtins(described)
    return plain


def _differs(parsed: list[AnyNetwork], texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    from dorsal.spec.network import Network
    from dorsal.spec.text import difference

    a, b = parsed
    if isinstance(a, Network) and isinstance(b, Network):
        return difference(a, b)
    return {} if a == b else {"another architecture": (texts[0], texts[1])}


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _millions(number: int) -> str:
    return f"{number / 1e6:,.3f}" if number < 10_000_000 else f"{number / 1e6:,.1f}"


def _print_one(net: AnyNetwork, image_size: int, with_layers: bool) -> None:
    from rich.console import Console

    from dorsal.spec.network import Network
    from dorsal.spec.timm import hash_of

    console = Console()
    text, total, pyramid = _facts(net, image_size)
    console.print(f"[bold]{text}[/bold]   {hash_of(net)}", highlight=False, soft_wrap=True)
    console.print(
        f"{_millions(total.params)} M parameters, {_millions(total.macs)} M MACs, "
        f"{_millions(total.activations)} M activations at {image_size} px "
        f"(pycls: {_millions(total.pycls_flops)} M flops, {_millions(total.activations_pycls)} M activations)",
        highlight=False,
    )
    if isinstance(net, Network):
        _print_choices(net, console)
    levels = _table("features", "level", "channels", "stride", "size")
    for level in pyramid:
        side = -(-image_size // level.stride)
        levels.add_row(level.name, str(level.channels), str(level.stride), f"{side}x{side}")
    console.print(levels)
    if with_layers and isinstance(net, Network):
        _print_layers(net, image_size)


def _print_choices(net: Network, console: Console) -> None:
    from dorsal.language.fields import show as written
    from dorsal.spec.text import BOTTLENECK_ONLY, choices_of

    choices = _table("choices", "choice", "value")
    choices.columns[1].justify = "left"
    for key, value in choices_of(net).items():
        if value is not None or key not in BOTTLENECK_ONLY:  # what no block of the network has is not listed
            choices.add_row(key, written(value).replace("[", r"\["))
    console.print(choices)


def _print_layers(net: Network, image_size: int) -> None:
    from dorsal.spec.cost import layer_cost
    from dorsal.spec.layers import layers

    print(f"{'layer':36} {'kind':11} {'output':>12} kernel stride groups {'params':>11} {'MACs':>13} {'acts':>9}")
    for layer in layers(net, image_size):
        found = layer_cost(layer)
        output = f"{layer.out_channels}x{layer.height}x{layer.width}"
        print(
            f"{layer.name:36} {layer.kind:11} {output:>12} {layer.kernel:6} {layer.stride:6} {layer.groups:6} "
            f"{found.params:11,} {found.macs:13,} {found.activations:9,}"
        )


def _print_two(parsed: list[AnyNetwork], texts: Sequence[str], image_size: int) -> None:
    from rich.console import Console

    from dorsal.spec.cost import COSTS

    console = Console()
    differs = _differs(parsed, texts)
    if not differs:
        console.print("the two are the same network")
        return
    table = _table(f"at {image_size} px", "", *(text.replace("[", r"\[") for text in texts), "ratio")
    first, second = (_facts(net, image_size)[1] for net in parsed)
    for field, info in COSTS.items():
        a, b = getattr(first, field), getattr(second, field)
        table.add_row(info.head, _millions(a), _millions(b), f"{b / a:.3f}")
    console.print(table)
    choices = _table("differs in", "choice", *(text.replace("[", r"\[") for text in texts))
    for key, (a, b) in differs.items():
        choices.add_row(key, a.replace("[", r"\["), b.replace("[", r"\["))
    console.print(choices)
