"""The question of a comparison as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

import re

import msgspec

from dorsal.language.amounts import read_amount
from dorsal.language.reader import suggest
from dorsal.spec.cost import COSTS
from dorsal.spec.timm import AnyNetwork
from dorsal.study import question
from dorsal.zoo import any_network

DEFAULT_NETWORKS = (
    "plain=small",
    "res2net=small(mixer=multi_scale(scales=4, width=26))",
    "resnest=small(mixer=split_attention(radix=2), shortcut=average_pool, downsample=pool_after)",
    "regnet_se=small(expansion=1, mixer=conv(group_width=8), "
    "attention=squeeze_excite(ratio=0.25, reference=input, position=after_mixer))",
)
"""One small network in four forms: plain, of Res2Net, of ResNeSt, and of RegNet with squeeze-and-excitation."""


class MatchedCost(msgspec.Struct, frozen=True):
    """A cost to bring every arm to: `target` of `measure`, or the first arm's where the target is None."""

    measure: str
    target: int | None


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks and recipes to train under the same seeds, and how.

    - `networks`: texts that `dorsal.zoo.any_network` reads, each optionally as `label=text`; none stands for
      `DEFAULT_NETWORKS` matched in MACs.
    - `recipes`, `data`: texts that the rooms train and data read. `epochs` replaces the recipes' own.
    - `seeds`: the seeds, or how many of 1, 2, 3, …
    - `match`: a cost brought to the first arm's ("macs") or to a value ("macs=20M") by scaling widths.
    - `workers`, `threads`, `device`, `ray`, `gpus`, `processes`: where runs are made, see `Placement`.
    - `out`: the folder of store and checkpoints. `storage`: an Optuna storage URL in place of the folder's SQLite file.
    - `budget`: the time this call may take, e.g. "10m"; as many whole rounds of seeds are run as fit.
    - `name`: the study's title and its name in the storage.

    Raises ValueError naming the field whose value cannot be.
    """

    networks: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("plain", "tricks")
    data: str = "scenes"
    seeds: int | tuple[int, ...] = 3
    epochs: int | None = None
    match: str | None = None
    workers: int | None = None
    threads: int = 1
    device: str = "cpu"
    ray: str | None = None
    gpus: float = 0
    processes: int = 1
    out: str = "runs/compare"
    storage: str | None = None
    budget: str | None = None
    name: str = "compare"

    def __post_init__(self) -> None:
        question.check_asked(self, least={"epochs": 1}, given=("recipes", "data", "device", "out", "name"))
        for asked in self.networks:
            read_network(asked)
        if self.match is not None:
            read_match(self.match)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return question.seed_list(self.seeds)

    @property
    def asked_networks(self) -> tuple[str, ...]:
        """The networks to compare, the default arms where none is named."""
        return self.networks or DEFAULT_NETWORKS

    @property
    def asked_match(self) -> MatchedCost | None:
        """What to match: the default arms are matched in MACs unless `match` says otherwise."""
        text = self.match or (None if self.networks else "macs")
        return read_match(text) if text else None


def read_network(asked: str) -> tuple[str, str, AnyNetwork]:
    """Label ("" where there is none), text and network of `label=text` or `text`.

    Raises ValueError as `dorsal.zoo.any_network` does.
    """
    match = re.fullmatch(r"\s*([\w.+-]+)\s*=\s*(.+)", asked, re.DOTALL)
    label, text = (match[1], match[2]) if match else ("", asked)
    try:
        return label, text, any_network(text)
    except ValueError as error:
        raise ValueError(f"network {asked!r}: {error}") from None


def read_match(text: str) -> MatchedCost:
    """Reads `macs`, `params=1.5M` or `activations=300k`.

    Raises ValueError for an unknown measure, or an amount that is not a positive number with k, M or G.
    """
    measure, equals, amount = (part.strip() for part in text.partition("="))
    if measure not in COSTS:
        raise ValueError(f"match={text!r}: {measure!r} is not a cost{suggest(measure, COSTS)}")
    if not equals:
        return MatchedCost(measure, None)
    return MatchedCost(measure, read_amount(f"match: {measure}", amount))


def from_toml(text: str) -> Comparison:
    """A comparison from TOML with the fields of `Comparison` as keys. Raises ValueError as `question.from_toml`."""
    return question.from_toml(text, Comparison, "a comparison")


def command_line(comparison: Comparison) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    return question.command(("dorsal", "compare"), comparison, Comparison(), {"recipes": "recipe"})
