"""Faster and Mask R-CNN of torchvision, and these and Cascade R-CNN of detectron2, from their checkpoints.

What no detector here can be is refused by name. What loads and still differs is said in notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor

from dorsal.language.files import PathLike
from dorsal.nn.build import build
from dorsal.spec.adapt import deformable_stages
from dorsal.spec.block import Bottleneck
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Normalization
from dorsal.spec.task import Detect, task_text
from dorsal.spec.text import edit
from dorsal.tasks.detect.anchors import make_anchors
from dorsal.tasks.detect.checkpoint_names import (
    DEFORMABLE,
    OTHERS,
    PACKAGES,
    Package,
    has_plain_resnet,
    naming_of_trunk,
    with_names_of_today,
)
from dorsal.tasks.detect.checkpoint_settings import Settings, read_config, settings_of
from dorsal.tasks.detect.detector import Detector
from dorsal.tasks.maps import pyramid_maps
from dorsal.weights.formats.compare import likeness, name_first, sentence, shape_differences
from dorsal.weights.formats.table import COUNTER, Shape, apply, make_table
from dorsal.weights.read import find_state, read_state
from dorsal.zoo import text_of

State = Mapping[str, Tensor]


class DetectorInFile(msgspec.Struct, frozen=True, eq=False):
    """A detector of another package.

    - `network`: its trunk, without a classifier. `classes`: of objects, without the background. `task`: what it is.
    - `state`: its tensors under the names of `Detector`, for RGB images.
    - `normalization`, and `size`, the short side in pixels (0: as it is): how its images are prepared.
    - `notes`: sentences on what differs from the package, and on what the tensors do not say.
    """

    network: Network
    classes: int
    task: Detect
    state: dict[str, Tensor]
    normalization: Normalization
    size: int
    notes: tuple[str, ...]

    def build(self) -> Detector:
        """The detector with these weights, on torch's default device, in evaluation mode."""
        detector = _outline(self.network, self.classes, self.task).to_empty(device=torch.get_default_device())
        detector.load_state_dict(self.state)
        return detector.eval()


class Entry(NamedTuple):
    """A tensor: Dorsal's name, the package's, its shape there, and what turns it into ours."""

    ours: str
    theirs: str
    shape: Shape
    change: Callable[[Tensor], Tensor]


def read_detector(path: PathLike, network: Network, config: PathLike | None = None) -> DetectorInFile:
    """The detector in a checkpoint file, on a trunk that is `network`; see `load_detector`.

    It may lie under any keys and behind any prefix, see `find_state`. `config` is the config.yaml that detectron2
    writes beside its checkpoints. Raises ValueError as `find_state` and `load_detector` do.
    """
    path = Path(path)
    trunk = find_state(path)
    prefix = re.sub(r"backbone\.(body\.|bottom_up\.)?$", "", trunk.prefix)
    state = read_state(path, trunk.state, prefix)
    return load_detector(state, network, None if config is None else read_config(Path(config)))


def load_detector(state: State, network: Network, config: Mapping[str, Any] | None = None) -> DetectorInFile:
    """The detector whose tensors these are, by the names of torchvision or detectron2. Its kind, its widths and its
    number of classes follow from them.

    - `network`: the trunk. Its classifier means nothing.
    - `config`: detectron2's, nested as in its files. Settings that it lacks have the values of detectron2's R-CNNs.

    Half-precision weights become float32. Weights for BGR images are turned to RGB.

    Raises ValueError for a detector that none here can be, another trunk than `network`, or a setting that no detector
    here has. It names the tensors, or the setting.
    """
    _refuse_others(state, network)
    package = _package_of(state)
    trunk = edit(network, {"classes": 0, "head_width": None})
    if package.name == "torchvision":
        if config is not None:
            raise ValueError("the checkpoint is torchvision's, and a config is detectron2's; leave it out")
        state = with_names_of_today(state)
        settings = Settings(notes=tuple(_torchvision_notes(state)))
    else:
        bottlenecks = any(isinstance(stage.block, Bottleneck) for stage in trunk.stages)
        settings = settings_of(config, state, has_plain_resnet(trunk) and bottlenecks)
    classes, task = _read_task(state, package, settings)
    detector = _outline(trunk, classes, task)
    entries = (*_trunk_entries(trunk, package, settings.bgr), *head_entries(detector, package))
    what = f"{task_text(task)} on {text_of(network)} with the names of {package.name}"
    try:
        ours = translate(state, entries, what, _unused(state, detector))
    except ValueError as error:
        raise ValueError(f"{_likeness_of_trunk(state, trunk, package)}{error}") from None
    return DetectorInFile(trunk, classes, task, ours, settings.normalization, settings.size, settings.notes)


def _likeness_of_trunk(state: State, trunk: Network, package: Package) -> str:
    """What the trunk in the file looks like, to begin a sentence; "" where that is like nothing, or like `trunk`."""
    start = package.trunk
    shapes = {name.removeprefix(start): tuple(x.shape) for name, x in state.items() if name.startswith(start)}
    found = likeness(shapes, trunk, package.name)
    return found.replace("it looks like", "its trunk looks like") + ": " if found else ""


def translate(state: State, entries: Sequence[Entry], what: str, unused: Sequence[str] = ()) -> dict[str, Tensor]:
    """The state under Dorsal's names, by a table of all tensors; those that are `unused` may be there or not.

    Counters of batches are 0 if there are none. Raises ValueError, which says `what` the state should be and names the
    tensors that are missing, left over, or of another shape.
    """
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differences = shape_differences(found, {entry.theirs: entry.shape for entry in entries}, unused)
    if differences:
        raise ValueError(f"the checkpoint is not {what}: {sentence(differences)}")
    ours = {}
    for entry in entries:
        tensor = entry.change(state[entry.theirs]) if entry.theirs in state else torch.zeros((), dtype=torch.long)
        ours[entry.ours] = tensor.float() if tensor.is_floating_point() else tensor
    return ours


def head_entries(detector: Detector, package: Package) -> Iterator[Entry]:
    """The table of all that a detector has beside its trunk: neck, proposals, box heads, masks.

    In torchvision the background is class 0, and there are boxes and masks for it that nothing reads. Here, as in
    detectron2, it is the last class and has neither.
    """
    for ours, tensor in detector.state_dict().items():
        module, _, part = ours.rpartition(".")
        if module.startswith("trunk."):
            continue
        shape, change = tuple(tensor.shape), _keep
        if package.name == "torchvision" and module == "box_head.1.classes":
            change = _move_first_to_end
        elif package.name == "torchvision" and module in _ROWS_OF_BACKGROUND:
            rows = _ROWS_OF_BACKGROUND[module]
            shape, change = (shape[0] + rows, *shape[1:]), partial(_drop, rows)
        yield Entry(ours, f"{package.modules[module]}.{part}", shape, change)


_ROWS_OF_BACKGROUND = {"box_head.1.deltas": 4, "mask_head.predictor": 1}


def _trunk_entries(network: Network, package: Package, bgr: bool) -> Iterator[Entry]:
    for entry in make_table(network, naming_of_trunk(package, network, bgr)).entries:
        change = partial(apply, entry.change, back=False)
        yield Entry(f"trunk.{entry.ours}", package.trunk + entry.theirs, entry.shape, change)


def _keep(tensor: Tensor) -> Tensor:
    return tensor


def _move_first_to_end(tensor: Tensor) -> Tensor:
    return tensor.roll(-1, 0)


def _drop(rows: int, tensor: Tensor) -> Tensor:
    return tensor[rows:]


def _refuse_others(state: State, network: Network) -> None:
    for pattern, what in OTHERS:
        found = tuple(name for name in state if re.search(pattern, name))
        if found and not (what == DEFORMABLE and deformable_stages(network)):
            raise ValueError(f"the checkpoint has {what}, which cannot be loaded: {name_first(found)}")


def _package_of(state: State) -> Package:
    for package in PACKAGES:
        if f"{package.modules['rpn.logits']}.weight" in state:
            return package
    raise ValueError(
        "the checkpoint has the names of no Faster, Mask or Cascade R-CNN of torchvision or detectron2: "
        f"{name_first(tuple(state))}"
    )


def _read_task(state: State, package: Package, settings: Settings) -> tuple[int, Detect]:
    """How many classes of objects there are, and the task."""
    stage = ".0" if "roi_heads.box_predictor.0.cls_score.weight" in state else ""
    lateral = f"{package.modules['neck.laterals.0']}.weight"
    predictor = f"roi_heads.box_predictor{stage}.cls_score.weight"
    missing = [name for name in (lateral, predictor) if name not in state]
    if missing:
        raise ValueError(f"the checkpoint is no R-CNN on maps of strides 4, 8 and so on: missing {', '.join(missing)}")
    rows, hidden = state[predictor].shape
    task = Detect(
        head="cascade" if stage else "faster",
        masks=any(name.startswith("roi_heads.mask_") for name in state),
        box_head="conv" if f"roi_heads.box_head{stage}.conv1.weight" in state else "linear",
        channels=state[lateral].shape[0],
        hidden=hidden,
        anchor=8.0,
        proposals=settings.proposals,
        samples=settings.samples,
        detections=settings.detections,
        least_score=settings.least_score,
    )
    return rows - 1, task


def _outline(network: Network, classes: int, task: Detect) -> Detector:
    """The detector without memory."""
    with torch.device("meta"):
        return Detector(pyramid_maps(build(network)), classes, task)


def _unused(state: State, detector: Detector) -> list[str]:
    """What older checkpoints of detectron2 have beside the weights. Raises ValueError for other anchors than ours."""
    start = "proposal_generator.anchor_generator.cell_anchors."
    for place, stride in enumerate(detector.rpn.strides):
        stored = state.get(f"{start}{place}")
        ours = make_anchors((1, 1), stride, detector.rpn.anchor)
        if stored is not None and (stored.shape != ours.shape or not torch.allclose(stored.float(), ours, atol=1e-3)):
            raise ValueError(f"the anchors {start}{place} are {stored.tolist()}; here they are {ours.tolist()}")
    return ["pixel_mean", "pixel_std", *(f"{start}{place}" for place in range(len(detector.rpn.strides)))]


def _torchvision_notes(state: State) -> Iterator[str]:
    yield "labels are one less than in torchvision, where 0 is the background"
    yield "RoIAlign is aligned; torchvision's looks half a position of a map farther right and down"
    yield "anchors are not rounded, by up to half a pixel; padding does not change how far apart they are"
    yield "the settings are torchvision's defaults, anchors of 32 to 512 pixels among them: a file holds none"
    if not any(name.endswith(COUNTER) for name in state):  # its norms are frozen
        yield "norms have an epsilon of 1e-5; in torchvision those of its weights named COCO_V1 have 0"
