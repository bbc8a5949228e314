"""`dorsal show`: one network's choices, stages and cost, or the difference between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from dorsal.spec.network import Network


def show(
    networks: Annotated[list[str], typer.Argument(help="One network, or two to compare.", metavar="NETWORK [OTHER]")],
    image_size: Annotated[int, typer.Option(help="Side of the image in pixels.")] = 224,
    layers: Annotated[bool, typer.Option("--layers", help="List every layer with its cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a network: its choices, stages, feature pyramid and cost. Of two networks, in which choices they differ.

    Examples: `dorsal show resnest50 --layers`, `dorsal show resnet50 "resnet50(stem=deep)"`
    """
    from dorsal.zoo import network

    if len(networks) > 2:
        raise ValueError(f"show takes one network or two, not {len(networks)}; quote a text that has spaces")
    parsed = [network(text) for text in networks]
    if as_json:
        import json

        described = [_describe(net, image_size, layers) for net in parsed]
        print(json.dumps(described[0] if len(parsed) == 1 else {"networks": described, "differs": _differs(parsed)}))
    elif len(parsed) == 1:
        _print_one(parsed[0], image_size, layers)
    else:
        _print_two(parsed, networks, image_size)


def _describe(net: Network, image_size: int, with_layers: bool) -> dict[str, Any]:
    import msgspec

    from dorsal.spec.cost import cost, layer_cost
    from dorsal.spec.layers import features, layers
    from dorsal.spec.network import network_hash
    from dorsal.zoo import text_of

    described: dict[str, Any] = {
        "text": text_of(net),
        "hash": network_hash(net),
        "image_size": image_size,
        "cost": cost(net, image_size),
        "features": features(net),
        "network": net,
    }
    if with_layers:
        described["layers"] = [
            {**msgspec.to_builtins(layer), **msgspec.to_builtins(layer_cost(layer))}
            for layer in layers(net, image_size)
        ]
    plain: dict[str, Any] = msgspec.to_builtins(described)
    return plain


def _differs(parsed: list[Network]) -> dict[str, tuple[str, str]]:
    from dorsal.spec.text import difference

    return difference(*parsed)


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


def _print_one(net: Network, image_size: int, with_layers: bool) -> None:
    from rich.console import Console

    from dorsal.spec.cost import cost, layer_cost
    from dorsal.spec.layers import features, layers
    from dorsal.spec.network import network_hash
    from dorsal.spec.text import choices_of
    from dorsal.spec.text import show as written
    from dorsal.zoo import text_of

    console = Console()
    total = cost(net, image_size)
    console.print(f"[bold]{text_of(net)}[/bold]   {network_hash(net)}", highlight=False, soft_wrap=True)
    console.print(
        f"{_millions(total.params)} M parameters, {_millions(total.macs)} M MACs, "
        f"{_millions(total.activations)} M activations at {image_size} px "
        f"(pycls: {_millions(total.pycls_flops)} M flops, {_millions(total.activations_pycls)} M activations)",
        highlight=False,
    )
    choices = _table("choices", "choice", "value")
    choices.columns[1].justify = "left"
    for key, value in choices_of(net).items():
        choices.add_row(key, written(value).replace("[", r"\["))
    console.print(choices)
    pyramid = _table("features", "level", "channels", "stride", "size")
    for level in features(net):
        side = -(-image_size // level.stride)
        pyramid.add_row(level.name, str(level.channels), str(level.stride), f"{side}x{side}")
    console.print(pyramid)
    if with_layers:
        print(f"{'layer':36} {'kind':11} {'output':>12} kernel stride groups {'params':>11} {'MACs':>13} {'acts':>9}")
        for layer in layers(net, image_size):
            found = layer_cost(layer)
            output = f"{layer.out_channels}x{layer.height}x{layer.width}"
            print(
                f"{layer.name:36} {layer.kind:11} {output:>12} {layer.kernel:6} {layer.stride:6} {layer.groups:6} "
                f"{found.params:11,} {found.macs:13,} {found.activations:9,}"
            )


def _print_two(parsed: list[Network], texts: list[str], image_size: int) -> None:
    from rich.console import Console

    from dorsal.spec.cost import cost

    console = Console()
    differs = _differs(parsed)
    if not differs:
        console.print("the two are the same network")
        return
    table = _table(f"at {image_size} px", "", *(text.replace("[", r"\[") for text in texts), "ratio")
    first, second = (cost(net, image_size) for net in parsed)
    for label, field in (("parameters M", "params"), ("MACs M", "macs"), ("activations M", "activations")):
        a, b = getattr(first, field), getattr(second, field)
        table.add_row(label, _millions(a), _millions(b), f"{b / a:.3f}")
    console.print(table)
    choices = _table("differs in", "choice", *(text.replace("[", r"\[") for text in texts))
    for key, (a, b) in differs.items():
        choices.add_row(key, a.replace("[", r"\["), b.replace("[", r"\["))
    console.print(choices)
