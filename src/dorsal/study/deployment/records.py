"""A deployment as data: all forms with what was found out about each. Written as JSON. No torch."""

from __future__ import annotations

import msgspec

from dorsal.deploy.choose import Judged
from dorsal.deploy.runtime import Aim
from dorsal.jobs.forms import BUSY, Calibration
from dorsal.jobs.records import Machine
from dorsal.spec.task import AnyTask
from dorsal.stats import Estimate

DEPLOYMENT_FILE = "deployment.json"
DEPLOYMENT_SCHEMA = 1


class DeploymentStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every form of a model, and which of them is kept.

    - `command`, `created`, `machine`, `versions`: as in `Study`. `instructions`: of the processor, as far as networks
      gain by them.
    - `model`: what it is called; `network`: reads back as its network; `license`: of its weights.
    - `images`: what the forms are proven on, in words; `score`: the model's on them, in percent.
    - `calibration`: where ranges come from. `batch`, `threads`, `aim`, `max_drop`, `accept_unshown`: as asked.
    - `shape`: of what was timed, [N, C, H, W]. `rounds`: how many there were. `others`: the largest share of the
      processor that other work took in one of them.
    - `pixels`: the time of the kept form with images normalized in its graph, over that of normalizing them before;
      None where that was not tried.
    """

    command: str
    created: str
    model: str
    network: str
    license: str
    task: AnyTask
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
    pixels: Estimate | None
    schema: int = DEPLOYMENT_SCHEMA

    @property
    def kept(self) -> Judged | None:
        """The form that is kept, None where none is right."""
        return next((each for each in self.forms if each.fate == "chosen"), None)

    @property
    def is_trusted(self) -> bool:
        """Whether the machine was idle but for the forms."""
        return self.others <= BUSY
