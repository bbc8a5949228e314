"""`dorsal list`: the named networks with their costs."""

from __future__ import annotations

from typing import Annotated

from dorsal.cli.options import AsJson
from dorsal.language.options import option


def list_networks(
    patterns: Annotated[
        tuple[str, ...],
        option(
            "Parts of names under any of their aliases, or patterns with * and ?, e.g. 'regnety_*'.",
            metavar="PATTERN",
            argument=True,
        ),
    ] = (),
    max_macs: Annotated[str, option("Highest number of MACs, e.g. 2G.", metavar="AMOUNT")] = "",
    max_params: Annotated[str, option("Highest number of parameters, e.g. 30M.", metavar="AMOUNT")] = "",
    image_size: Annotated[int, option("Side of the image in pixels that MACs are counted for.")] = 224,
    as_json: AsJson = False,
) -> None:
    """List the named networks with parameters, MACs and activations.

    Any edit of one is a network too: see `dorsal show "resnet50(mixer=split_attention(radix=2))"`.

    Examples:
        dorsal list 'res2*'
        dorsal list --max-macs 1G --max-params 10M --json
    """
    from dorsal.language.amounts import read_amount
    from dorsal.spec.cost import COSTS, cost
    from dorsal.zoo import NETWORKS

    most_macs = read_amount("--max-macs", max_macs) if max_macs else None
    most_params = read_amount("--max-params", max_params) if max_params else None
    names = _matching(patterns)
    rows = []
    for name in names:
        each = cost(NETWORKS[name], image_size)
        if (most_macs is None or each.macs <= most_macs) and (most_params is None or each.params <= most_params):
            rows.append((name, each))
    if as_json:
        import json

        shown = [{"name": n, **{f: getattr(c, f) for f in COSTS}, "image_size": image_size} for n, c in rows]
        print(json.dumps(shown, allow_nan=False))
        return
    width = max(map(len, names))
    print(f"{'network':{width}} {' '.join(f'{info.head:>9}' for info in COSTS.values())}   at {image_size} px")
    for name, each in rows:
        print(f"{name:{width}} {' '.join(f'{getattr(each, f) / info.scale:9.2f}' for f, info in COSTS.items())}")
    if not rows:
        print(f"none of {len(names)} networks is within --max-macs {max_macs or '-'}, --max-params {max_params or '-'}")


def _matching(patterns: tuple[str, ...]) -> list[str]:
    """The names that match any pattern, themselves or by an alias; all names without patterns.

    Raises ValueError for a pattern that matches none.
    """
    from fnmatch import fnmatchcase

    from dorsal.language.reader import suggest
    from dorsal.zoo import ALIASES, NETWORKS

    names = [name for name in NETWORKS if not patterns]
    for pattern in patterns:
        wanted = pattern.lower() if set(pattern) & set("*?[") else f"*{pattern.lower()}*"
        also = {target for alias, target in ALIASES.items() if fnmatchcase(alias, wanted)}
        found = [name for name in NETWORKS if fnmatchcase(name, wanted) or name in also]
        if not found:
            hint = suggest(pattern, NETWORKS, "dorsal list", ALIASES)
            raise ValueError(f"no network's name matches {pattern!r}{hint}")
        names += [name for name in found if name not in names]
    return names
