"""The question of a comparison as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from dorsal.data.summary import Resampling
from dorsal.language.amounts import MARGIN, check_margin, read_amount, read_duration
from dorsal.language.fields import check_fields
from dorsal.language.options import described, option
from dorsal.language.reader import suggest
from dorsal.recipes.text import any_recipe
from dorsal.spec.cost import COSTS
from dorsal.spec.start import split_start
from dorsal.spec.task import Classify
from dorsal.spec.timm import AnyNetwork
from dorsal.study import question
from dorsal.zoo import any_network, network_text

DEFAULT_NETWORKS = (
    "resnet=small",
    "res2net=small(mixer=multi_scale(scales=4, width=26))",
    "resnest=small(mixer=split_attention(radix=2), shortcut=average_pool, downsample=pool_after)",
    "regnet_se=small(expansion=1, mixer=conv(group_width=8), "
    "attention=squeeze_excite(ratio=0.25, reference=input, position=after_mixer))",
)
"""One small network in four forms: ResNet, Res2Net, ResNeSt, and RegNet with squeeze-and-excitation."""

OF_CLASSES = ("plain", "tricks")
"""The recipes of a classification that names none."""
MOST_TRIES = 256
"""Settings to tune by: no more are ever worth their time."""
_SEED_LIMIT = 20
"""Seeds at most, where they are added until the arms are decided."""


class MatchedCost(msgspec.Struct, frozen=True):
    """A cost to bring every arm to: `target` of `measure`, or the first arm's where the target is None."""

    measure: str
    target: int | None


class AskedArm(msgspec.Struct, frozen=True):
    """An arm as it is `asked` for, and the parts of that. `label` and `recipe` are "" where none is given, `weights` is
    None."""

    asked: str
    label: str
    text: str
    network: AnyNetwork
    weights: str | None
    recipe: str


@described
class Comparison(question.TaskTraining, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks and recipes to train under the same seeds, on one data set or on several, and how.

    Raises ValueError naming the field whose value cannot be.
    """

    networks: Annotated[
        tuple[str, ...],
        option(
            "Names, names with edits, JSON files, or timm:NAME. Each may begin from weights, NETWORK@WEIGHTS (an id or "
            "tag of published ones, a model's folder, a checkpoint file, or * for all that are published); may have a "
            "recipe of its own, NETWORK with RECIPE; and may have a label, LABEL=NETWORK. Default: ResNet, Res2Net, "
            "ResNeSt and RegNet forms of one small network, matched in MACs.",
            metavar="NETWORK",
            argument=True,
            path=True,
            text=network_text,
        ),
    ] = ()
    recipes: Annotated[tuple[str, ...], question.recipe_option(" and ".join(OF_CLASSES))] = ()
    match: Annotated[
        str | None,
        option("Scale widths until a cost is the first network's (macs) or a value (macs=20M).", metavar="COST"),
    ] = None
    tune: Annotated[
        int | str | None,
        option(
            "Tune every arm: so many settings of lr, weight_decay and level_decay for each, or as many as fit in a "
            "time, e.g. 8 or 30m.",
            metavar="N|TIME",
            free=True,
        ),
    ] = None
    margin: Annotated[
        float,
        option("Points of the score within which arms count as practically equal.", metavar="POINTS", free=True),
    ] = MARGIN
    resample: Annotated[
        int | str | None,
        option(
            "Draw training and validation images anew for each seed, from all of them: random, or a number of folds. "
            "Default: every seed has the same images.",
            metavar="random|FOLDS",
        ),
    ] = None
    gallery: Annotated[
        bool,
        option("Show validation images on the page, with what each arm finds in them; not to classify.", free=True),
    ] = True
    deployed: Annotated[
        bool,
        option(
            "Deploy a model of each network on this machine, and show accuracy against the latency of what will run.",
            free=True,
        ),
    ] = False
    accept: question.Accept = False
    seeds: question.Seeds = 3
    until_decided: Annotated[
        bool,
        option(
            "Add a seed at a time until every two arms are told apart, or shown to be practically equal.", free=True
        ),
    ] = False
    most_seeds: Annotated[
        int | None,
        option(
            f"How many seeds there are at most with --until-decided, {_SEED_LIMIT} unless given.",
            metavar="N",
            least=3,
            free=True,
        ),
    ] = None
    budget: question.Budget = None
    name: question.Name = "compare"
    data: question.DataSets = "scenes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipes == self._own_recipes:  # the same question as without them
            msgspec.structs.force_setattr(self, "recipes", ())
        question.check_budget(self.budget)
        self._check_data()
        self._check_tune()
        self._check_seeds()
        self._check_resample()
        self._check_deployed()
        check_margin(self.margin)
        for asked in self.networks:
            read_arm(asked)
        if self.match is not None:
            read_match(self.match)

    def _check_data(self) -> None:
        """Raises ValueError for seeds that are to decide over data sets. One data set in a list is one data set."""
        if len(self.data_sets) == 1:
            msgspec.structs.force_setattr(self, "data", self.data_sets[0])
        elif self.until_decided:
            raise ValueError(
                f"until_decided adds seeds, and over {len(self.data_sets)} data sets more seeds decide nothing: leave "
                "until_decided out and name more data sets, or ask it of one data set"
            )
        elif self.budget is not None and self.tune is not None:
            raise ValueError(
                f"budget={self.budget!r} does not go with tune={self.tune} over {len(self.data_sets)} data sets; leave "
                "one of them out"
            )

    def _check_tune(self) -> None:
        """Raises ValueError for a number of settings or a time that cannot be."""
        if isinstance(self.tune, str) and self.tune.isdecimal():
            msgspec.structs.force_setattr(self, "tune", int(self.tune))
        if isinstance(self.tune, int) and not 2 <= self.tune <= MOST_TRIES:
            nearest = 2 if self.tune < 2 else MOST_TRIES
            raise ValueError(
                f"tune={self.tune} is not a number of settings from 2, of which the first is the recipe's own, to "
                f"{MOST_TRIES}; nearest valid: {nearest}"
            )
        if not isinstance(self.tune, str):
            return
        try:
            time = read_duration(self.tune, "tune")
        except ValueError as error:
            raise ValueError(f"{error}, or a number of settings, e.g. 8") from None
        if self.budget is not None and time >= read_duration(self.budget):
            raise ValueError(
                f"tune={self.tune!r} leaves nothing of budget={self.budget!r} for the runs themselves; give tune less, "
                "or budget more"
            )

    def _check_seeds(self) -> None:
        """Raises ValueError for seeds that cannot be added to."""
        if not self.until_decided:
            if self.most_seeds is not None:
                raise ValueError(
                    f"most_seeds={self.most_seeds} goes with until_decided; give that too, or leave it out"
                )
            return
        if not isinstance(self.seeds, int):
            raise ValueError(
                f"seeds={list(self.seeds)} are listed, and until_decided adds 1, 2, 3, ...; say how many to begin "
                f"with: seeds={len(self.seeds)}"
            )
        if self.seeds > self.seed_limit:
            raise ValueError(
                f"seeds={self.seeds} to begin with are more than most_seeds={self.seed_limit}; nearest valid: "
                f"most_seeds={self.seeds}"
            )

    def _check_resample(self) -> None:
        """Raises ValueError for what is no way to draw images, and for what does not go with it."""
        if isinstance(self.resample, str) and self.resample.isdecimal():
            msgspec.structs.force_setattr(self, "resample", int(self.resample))
        how = self.resample
        if isinstance(how, str) and how != "random":
            raise ValueError(f"resample={how!r} is neither 'random' nor a number of folds, e.g. 5")
        if isinstance(how, int) and how < 2:
            raise ValueError(f"resample={how} is fewer than 2 folds; nearest valid: 2")
        if isinstance(how, int) and not _are_whole(self.seed_list, how):
            seeds = self.seeds if isinstance(self.seeds, int) else list(self.seeds)
            raise ValueError(
                f"resample={how}: seeds={seeds} leave some of the {how} folds out, as a seed makes one; nearest valid: "
                f"seeds={math.ceil(len(self.seed_list) / how) * how}"
            )
        if isinstance(how, int) and self.budget is not None:
            raise ValueError(
                f"budget={self.budget!r} does not go with resample={how}, for it might leave folds out; give "
                "resample=random, or no budget"
            )
        if how is not None and self.tune is not None:
            raise ValueError(
                f"tune={self.tune} does not go with resample={how}, for it would choose by images that other seeds are "
                "scored on; leave one of them out"
            )
        if how is not None and self.until_decided:
            raise ValueError(
                f"until_decided does not go with resample={how}, for seeds that share images cannot decide what more "
                "images would; leave one of them out"
            )

    def _check_deployed(self) -> None:
        """Raises ValueError for what does not go with deploying the arms."""
        if not self.deployed:
            return
        if not self.keep_models:
            raise ValueError("deployed=true deploys models that are kept; leave keep_models=false out")
        if self.ray is not None:
            raise ValueError(f"deployed=true deploys on this machine, and ray={self.ray!r} is others; leave one out")
        if self.resample is not None:
            raise ValueError(
                f"deployed=true does not go with resample={self.resample}, for models would be proven on images that "
                "they learnt from; leave one of them out"
            )
        if len(self.data_sets) > 1:
            raise ValueError(
                f"deployed=true is of one data set, and there are {len(self.data_sets)}; ask it of one of them"
            )

    @staticmethod
    def without_tables(fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a TOML file with arms that are tables, as in `from_toml`, as texts among the networks."""
        tables = fields.get("arms")
        if tables is None:
            return fields
        rest = {name: value for name, value in fields.items() if name != "arms"}
        return {**rest, "networks": [*fields.get("networks", ()), *_arm_texts(tables)]}

    @property
    def seed_limit(self) -> int:
        """How many seeds there are at most, where they are added until the arms are decided."""
        return self.most_seeds or _SEED_LIMIT

    @property
    def resampling(self) -> Resampling | None:
        """`resample` as the data take it."""
        return "random" if isinstance(self.resample, str) else self.resample

    @property
    def folder(self) -> Path:
        """Where the study is: `out`, or a folder of its own."""
        labels = (arm.label or Path(arm.text.partition("(")[0]).stem for arm in map(read_arm, self.networks))
        return Path(self.out) if self.out else question.own_folder("compare", labels, self)

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets, of which there may be one."""
        return (self.data,) if isinstance(self.data, str) else self.data

    @property
    def asked_recipes(self) -> tuple[str, ...]:
        """The recipes, those of the task where none is named."""
        return self.recipes or self._own_recipes

    @property
    def _own_recipes(self) -> tuple[str, ...]:
        """The recipes where none is named."""
        return OF_CLASSES if isinstance(self.asked_task, Classify) else (question.DENSE,)

    @property
    def asked_arms(self) -> tuple[AskedArm, ...]:
        """The arms to compare, the default ones where none is named."""
        return tuple(map(read_arm, self.networks or DEFAULT_NETWORKS))

    @property
    def asked_match(self) -> MatchedCost | None:
        """What to match: the default arms are matched in MACs unless `match` says otherwise."""
        text = self.match or (None if self.networks else "macs")
        return read_match(text) if text else None


def read_arm(asked: str) -> AskedArm:
    """Reads `label=network@weights with recipe`, of which only the network must be there.

    Raises ValueError as `dorsal.zoo.any_network` and `dorsal.recipe` do. Whether there are such weights is seen later.
    """
    match = re.fullmatch(r"\s*([\w.+-]+)\s*=\s*(.+)", asked, re.DOTALL)
    label, text = (match[1], match[2]) if match else ("", asked)
    try:
        if text.rstrip().endswith(" with"):
            raise ValueError("no recipe stands after 'with'; give one, as in 'resnet50@torchvision_v1 with head'")
        rest, own, made = text.rpartition(" with ")
        if own:
            any_recipe(made.strip())
        named, weights = split_start((rest if own else text).strip())
        return AskedArm(asked, label, named, any_network(named), weights, made.strip() if own else "")
    except ValueError as error:
        raise ValueError(f"network {asked!r}: {error}") from None


def _are_whole(seeds: Sequence[int], folds: int) -> bool:
    """Whether every partition of which these seeds make a fold has all its folds; see `data.sampling.resample`."""
    begun = {(seed - 1) // folds for seed in seeds}
    return len(seeds) == folds * len(begun)


def _arm_texts(tables: Any) -> Iterator[str]:
    """Arms that are written as tables, each as its text. Raises ValueError for what is no such table."""
    parts = {"label": "{}=", "network": "{}", "weights": "@{}", "recipe": " with {}"}
    for table in tables if isinstance(tables, list) else [tables]:
        if not isinstance(table, dict):
            raise ValueError(f"arms: {table!r} is no table with the keys {', '.join(parts)}")
        check_fields(table, tuple(parts), "an arm")
        if "network" not in table:
            raise ValueError(f"arms: {table} lacks its network")
        yield "".join(form.format(table[key]) for key, form in parts.items() if table.get(key))


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
    """A comparison from TOML with the fields of `Comparison` as keys. An arm may also be a table:

        [[arms]]
        network = "resnet50"
        weights = "torchvision_v1"
        recipe = "head"
        label = "frozen"

    Raises ValueError as `question.from_toml`.
    """
    return question.from_toml(text, Comparison)


def command_line(comparison: Comparison) -> str:
    """The command that asks the same question. Defaults are left out, and a storage's password is hidden."""
    return question.command(("dorsal", "compare"), comparison)
