"""Which models are scored, and on what, as data: the same as command line, TOML file and Python value. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dorsal.jobs.machine import available_cores
from dorsal.jobs.plan import ScoredSplit
from dorsal.jobs.resources import Device, Gpus, RayAddress, Resources, Workers, check_device_name
from dorsal.jobs.study_file import STUDY_FILE
from dorsal.language.options import check_options, described, option
from dorsal.study.question import Data, own_folder


@described
class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Models to score on the images of a data set. A study's folder stands for all models it kept.

    Raises ValueError naming the field, the value and what would be valid.
    """

    models: Annotated[
        tuple[str, ...],
        option(
            "Folders that `dorsal train` or `dorsal weights` made, or of studies, which keep their models.",
            metavar="FOLDER",
            argument=True,
            path=True,
        ),
    ]
    data: Data = "scenes"
    split: Annotated[
        ScoredSplit | None,
        option("val, train, or all (default: val where the data have splits, else all)."),
    ] = None
    image_size: Annotated[
        int | None, option("Image size instead of the card's; the resize is scaled to match.", least=1)
    ] = None
    scales: Annotated[
        tuple[float, ...],
        option("Segmenters: average what is said over these scales of the images, e.g. 0.75,1,1.25.", least=0.1),
    ] = (1.0,)
    flip: Annotated[bool, option("Segmenters: average what is said over images and their mirror images.")] = False
    batch: Annotated[
        int | None, option("Images at a time (default: 128, and 8 for other tasks than classify).", least=1, free=True)
    ] = None
    device: Device = "auto"
    workers: Workers = None
    threads: Annotated[
        int | None,
        option(
            "CPU threads of each model (default: all cores for one model, 1 for several, with --workers or --ray).",
            least=1,
            free=True,
        ),
    ] = None
    ray: RayAddress = None
    gpus: Gpus = 0
    out: Annotated[
        str,
        option(
            "Folder of the scores and of what was said of each image (default: none for one model, for several one in "
            "runs/ named after the question).",
            metavar="FOLDER",
            path=True,
            free=True,
        ),
    ] = ""

    def __post_init__(self) -> None:
        check_options(self)
        check_device_name(self.device)
        _ = self.resources  # checks what only a cluster has

    @property
    def is_one_call(self) -> bool:
        """Whether it is one model, scored in this process, of which nothing is kept."""
        return not (self._are_several or self.out or self.ray or self.workers)

    @property
    def _are_several(self) -> bool:
        return len(self.models) > 1 or (Path(self.models[0]) / STUDY_FILE).is_file()

    @property
    def folder(self) -> Path:
        """Where the scores are: `out`, or a folder of its own."""
        names = (Path(text).name for text in self.models)
        return Path(self.out) if self.out else own_folder("evaluate", names, self)

    @property
    def resources(self) -> Resources:
        """Where the models are scored, and with what."""
        unset = 1 if self._are_several or self.workers or self.ray else available_cores()
        return Resources(
            device=self.device, workers=self.workers, threads=self.threads or unset, ray=self.ray, gpus=self.gpus
        )
