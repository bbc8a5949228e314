"""Writes docs/networks.md: every network of the zoo, what it costs, and what it was compared with.

python benchmarks/network_page.py

From the zoo, the published figures that tests/spec/test_cost.py checks, and the record of `python -m tests.nn.matrix`.
"""

import json
from pathlib import Path

from dorsal.spec.cost import cost
from dorsal.zoo import ALIASES, NETWORKS, named, regnet, res2net, resnest, resnet, small

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "networks.md"
FAMILIES = {
    "ResNet and its line": resnet.NETWORKS,
    "ResNeSt": resnest.NETWORKS,
    "Res2Net, Res2NetPlus and DLA": res2net.NETWORKS,
    "RegNet": regnet.NETWORKS,
    "Small forms": small.NETWORKS,
}
HEAD = """# Networks

Every network that Dorsal knows by name, with its cost, and with the published code it was compared with. There are
{count} networks under {names} names; upper and lower case do not matter. The command line shows the same, and any two
networks side by side:

    dorsal list 'res2net50*'
    dorsal show resnet50 res2net50_26w_4s

The second command says, among other things, that the two differ in one choice only:

     choice   resnet50        res2net50_26w_4s
     mixer        conv   multi_scale(width=26)

`python benchmarks/network_page.py` writes this page. Its columns:

- **params**, **MACs**, **activations**: millions, thousand millions and millions, as in `dorsal show`, for one image of
  the size in the next column. MACs are multiply-adds of convolutions and linear layers, activations are output
  elements of convolutions.
- **published**: a source whose figures Dorsal's equal (`tests/spec/test_cost.py`). *exact* means every digit it states;
  other figures are as printed there (millions of parameters, GMACs; what counts as a MAC differs by up to 2 %, and the
  DLA figures include shortcuts that the authors' code computes and throws away). Parameters, MACs and activations were
  also counted on the modules of each implementation in the last column, except for `resnest200_dcn`, and are equal
  (`tests/zoo/test_counterparts.py`).
- **compared with**: other implementations, given the same weights and the same random norm statistics, in evaluation
  mode. The figure is the largest relative difference of logits and of gradients by the image and by every parameter. In
  brackets are the image sizes; *os* is a smaller output stride. Comparisons are in float64 unless they say otherwise;
  0 means equal in every bit. "By hand" is code in `tests/nn/by_hand.py`, written from papers and descriptions. The
  small forms are Dorsal's own, with nothing to compare them with.

The comparisons are the record of `{command}` with {versions}.
"""


def page() -> str:
    """The whole page."""
    record = json.loads((ROOT / "docs" / "parity.json").read_text())
    published = json.loads((ROOT / "tests" / "spec" / "published.json").read_text())
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    names = len(NETWORKS) + len(ALIASES)
    parts = [HEAD.format(count=len(NETWORKS), names=names, command=record["command"], versions=versions)]
    for title, networks in FAMILIES.items():
        parts.append(f"## {title}\n")
        parts.append("| network | other names | params | MACs | activations | at | published | compared with |")
        parts.append("|---|---|--:|--:|--:|--:|---|---|")
        parts += [row(name, record["results"], published) for name in networks]
        parts.append("")
    return "\n".join(parts)


def row(name: str, results: list, published: dict) -> str:
    """One line of a table."""
    net = named(name)
    size = 64 if name in small.NETWORKS else 32 if net.stem.stride == 1 else 224
    found = cost(net, size)
    aliases = ", ".join(f"`{alias}`" for alias, target in ALIASES.items() if target == name)
    figures = (f"{found.params / 1e6:,.2f}", f"{found.macs / 1e9:,.3f}", f"{found.activations / 1e6:,.2f}", str(size))
    cells = (f"`{name}`", aliases, *figures, figures_of(name, published), comparisons(name, results))
    return f"| {' | '.join(cells)} |"


def figures_of(name: str, published: dict) -> str:
    """Who published which figures of the network."""

    def rows(section: str) -> list:
        return [row for row in published[section] if ALIASES.get(row["name"], row["name"]) == name]

    given = ["pycls: params, flops, activations exact" for _ in rows("pycls")]
    given += ["torchvision: params, MACs exact" for _ in rows("torchvision")]
    for each in rows("measured"):
        kinds = ["params"] + ["MACs"] * bool(each["gmacs"]) + ["activations"] * ("conv_acts" in each)
        less = " less what it throws away" if "unused" in each else ""
        given.append(f"authors' code{less}: {', '.join(kinds)} exact")
    for each in rows("printed"):
        macs = f", {each['gmacs']} G" if "gmacs" in each else ""
        given.append(f"{each['source']}: {each['mparams']} M{macs}")
    return "; ".join(given)


def comparisons(name: str, results: list) -> str:
    """With what the network was compared, and how large the differences were."""
    cells = []
    mine = [result for result in results if result["case"]["network"] == name]
    for package in dict.fromkeys(result["case"]["package"] for result in mine):
        group = [result for result in mine if result["case"]["package"] == package]
        worst = max(value or 0.0 for result in group for value in result["difference"].values())
        sizes = dict.fromkeys(text for result in group for text in sizes_of(result["case"]))
        notes = ["float32"] * (group[0]["dtype"] != "float64")
        notes += ["no parameters' gradients"] * (group[0]["difference"]["parameter_gradients"] is None)
        note = f"; {', '.join(notes)}" if notes else ""
        cells.append(f"{package} `{group[0]['name']}`: {worst:.0e} ({', '.join(sizes)}{note})".replace("0e+00", "0"))
    return "; ".join(cells)


def sizes_of(case: dict) -> list[str]:
    """The image sizes of a case, or its output stride where that is not 32."""
    if case["output_stride"] < 32:
        return [f"os {case['output_stride']}"]
    return [str(height) if height == width else f"{height}x{width}" for height, width in case["sizes"]]


if __name__ == "__main__":
    PAGE.write_text(page())
