"""A deployment as data: all forms with what was found out about each. Written as JSON. No torch."""

from __future__ import annotations

import msgspec

from dorsal.deploy.choose import Judged
from dorsal.deploy.runtime import Aim
from dorsal.jobs.forms import BUSY, Calibration
from dorsal.jobs.plan import ScoredSplit
from dorsal.jobs.records import Machine
from dorsal.spec.task import AnyTask
from dorsal.stats import Estimate

DEPLOYMENT_FILE = "deployment.json"
DEPLOYMENT_SCHEMA = 1


class PixelGraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The form that is kept with images normalized in its graph: `slower`, its time over that of normalizing them
    before the call; `median`, its time in milliseconds; and whether it is `taken`, which it is where it is shown to be
    faster and is right too."""

    slower: Estimate
    median: Estimate
    taken: bool


class DeploymentStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every form of a model, and which of them is kept.

    - `key`: of all that the answer depends on: weights, images, what is asked, and versions of the runtimes.
    - `command`, `created`, `machine`, `versions`: as in `Study`. `instructions`: of the processor, as far as networks
      gain by them.
    - `model`: what it is called; `network`: reads back as its network; `license`: of its weights.
    - `split`, `images`: what the forms are proven on, the latter in words; `score`: the model's on them, in percent.
    - `calibration`: where ranges come from. `batch`, `threads`, `aim`, `max_drop`, `accept_unshown`: as asked.
    - `shape`: of what was timed, [N, C, H, W]. `rounds`: how many there were. `others`: the largest share of the
      processor that other work took in one of them.
    - `pixels`: the kept form with images normalized in its graph; None where that was not tried.
    """

    key: str
    command: str
    created: str
    model: str
    network: str
    license: str
    task: AnyTask
    split: ScoredSplit | None
    images: str
    score: float
    calibration: Calibration
    batch: int
    threads: int
    aim: Aim
    max_drop: float
    accept_unshown: bool
    shape: tuple[int, ...]
    rounds: int
    others: float
    machine: Machine
    instructions: tuple[str, ...]
    versions: dict[str, str]
    forms: tuple[Judged, ...]
    pixels: PixelGraph | None
    schema: int = DEPLOYMENT_SCHEMA

    @property
    def kept(self) -> Judged | None:
        """The form that is kept, None where none is right."""
        return next((each for each in self.forms if each.fate == "chosen"), None)

    @property
    def is_trusted(self) -> bool:
        """Whether the machine was idle but for the forms."""
        return self.others <= BUSY
