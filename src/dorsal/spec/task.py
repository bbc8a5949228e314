"""What a network is trained for, as data, with a text form. No torch.

classify                                  a label for each image
semantic, semantic(head=deeplabv3)        a class for each pixel
detect, detect(head=cascade)              boxes of objects; `cascade` is short for the latter
instance                                  short for detect(masks=true)
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import msgspec

from dorsal.language.fields import check_word, read_fields, show
from dorsal.language.reader import Call, Reader, read_closed, suggest, wrong_type
from dorsal.spec.metric import ACCURACY, BOX_AP, MASK_AP, MIOU, Metric

Kind = Literal["label", "boxes", "masks", "keypoints", "semantic", "segments"]
"""What may be known about an image; see `dorsal.annotations.annotation`."""
SemanticHead = Literal["fpn", "deeplabv3", "deeplabv3+"]
DetectHead = Literal["faster", "cascade"]
BoxHead = Literal["linear", "conv"]


_RANGES: dict[str, tuple[float, float]] = {
    "channels": (1, 4096),
    "hidden": (1, 65_536),
    "anchor": (0.5, 1000),
    "proposals": (1, 10_000),
    "samples": (4, 10_000),
    "detections": (1, 10_000),
    "least_score": (0, 1),
}


def _check_ranges(task: msgspec.Struct) -> None:
    for field, (low, high) in _RANGES.items():
        value = getattr(task, field, None)
        if value is not None and not low <= value <= high:
            side, end = ("below", low) if not value >= low else ("above", high)
            raise ValueError(f"{field}={value:g} is {side} {end:g}; nearest valid: {end:g}")


class Classify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="classify"):
    """One label for each image. The number of classes follows from the data."""


class Semantic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="semantic"):
    """A class for each pixel.

    - `head`: "fpn", on a feature pyramid (Panoptic FPN, arXiv 1901.02446 section 3); "deeplabv3" (arXiv 1706.05587) or
      "deeplabv3+" (arXiv 1802.02611), on a trunk dilated to `output_stride`, 8 or 16.
    - `channels`: of the pyramid, or of each branch of DeepLab's pyramid pooling. None: by the size of the images.
    - `auxiliary`: another head on the level before the last learns beside it (FCN, arXiv 1612.01105 section 3.3).

    Raises ValueError for another word, a number out of range, or an output stride that means nothing to the head.
    """

    head: SemanticHead = "fpn"
    channels: int | None = None
    output_stride: int | None = None
    auxiliary: bool = False

    def __post_init__(self) -> None:
        check_word("head", self.head, get_args(SemanticHead))
        _check_ranges(self)
        if self.output_stride is not None and self.head == "fpn":
            raise ValueError(f"output_stride={self.output_stride} means nothing to head=fpn; leave it out")
        if self.output_stride not in (None, 8, 16):
            nearest = 8 if self.output_stride < 12 else 16
            raise ValueError(f"output_stride={self.output_stride} is neither 8 nor 16; nearest valid: {nearest}")


class Detect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="detect"):
    """Boxes of objects, with a class and a score, and their masks if asked for: R-CNNs on a feature pyramid.

    - `head`: "faster" (arXiv 1506.01497) or "cascade", three box heads one after another (arXiv 1712.00726).
    - `masks`: a mask for each object too (Mask R-CNN, arXiv 1703.06870).
    - `box_head`: "linear", two linear layers, or "conv", four convolutions with group norm and one linear layer.
    - `channels` of the pyramid; `hidden` features of the box head; `anchor`, the side of the square anchor in units of
      a map's stride; `proposals` kept in evaluation (in training twice as many from each level); `samples`, the boxes
      of an image from which the box head learns. None: by the size of the images, see `at`.
    - `detections`: at most so many of an image, of those that score above `least_score` (100 and .05 for COCO, 300 and
      .0001 for LVIS).

    Raises ValueError for another word, or a number out of range.
    """

    head: DetectHead = "faster"
    masks: bool = False
    box_head: BoxHead = "linear"
    channels: int | None = None
    hidden: int | None = None
    anchor: float | None = None
    proposals: int | None = None
    samples: int | None = None
    detections: int = 100
    least_score: float = 0.05

    def __post_init__(self) -> None:
        check_word("head", self.head, get_args(DetectHead))
        check_word("box_head", self.box_head, get_args(BoxHead))
        _check_ranges(self)


AnyTask = Classify | Semantic | Detect
Kept = TypeVar("Kept", bound=AnyTask)
NAMED: dict[str, AnyTask] = {
    "classify": Classify(),
    "semantic": Semantic(),
    "detect": Detect(),
    "instance": Detect(masks=True),
    "cascade": Detect(head="cascade"),
}


_OPEN = ("channels", "output_stride", "hidden", "anchor", "proposals", "samples")
"""Fields that follow from the size of the images where they are None."""


def any_task(given: AnyTask | str) -> AnyTask:
    """A task that is given as a value or as its text. Raises ValueError as `parse_task`, and TypeError for others."""
    if isinstance(given, AnyTask):
        return given
    if not isinstance(given, str):
        raise wrong_type("task", given, "a task, or its text such as 'detect'")
    return parse_task(given)


def parse_task(text: str) -> AnyTask:
    """The task that a text names. Raises ValueError with the nearest valid choice for any other text."""
    return read_closed(text, _read)


def task_text(task: AnyTask) -> str:
    """The shortest text that `parse_task` reads as this task."""
    texts = []
    for name, base in NAMED.items():
        if type(base) is type(task):
            fields = type(task).__struct_fields__
            edits = [f"{f}={show(getattr(task, f))}" for f in fields if getattr(task, f) != getattr(base, f)]
            texts.append(f"{name}({', '.join(edits)})" if edits else name)
    return min(texts, key=len)


def task_name(task: AnyTask) -> str:
    """The word for the task in a sentence, whatever its fields: classify, semantic, detect or instance."""
    match task:
        case Classify():
            return "classify"
        case Semantic():
            return "semantic"
        case Detect():
            return "instance" if task.masks else "detect"


def at(task: Kept, image_size: int) -> Kept:
    """The task with every None filled in for images of this size (the short side in pixels).

    Values at 800 px are detectron2's; smaller images have smaller objects, fewer of them, and less to learn from.
    `channels`: 256 from 400 px on, 128 from 256 px on, else 64. `hidden`: 4 x channels. `anchor`: a fiftieth of the
    size, 0.5 to 8. `proposals`: 5/4 of the size, at most 1,000. `samples`: two thirds of it, at most 512.
    `output_stride` of DeepLab: 16. Ours, and recorded in full with every run. Classification leaves nothing open.
    """
    if isinstance(task, Classify):
        return task
    channels = task.channels or (256 if image_size >= 400 else 128 if image_size >= 256 else 64)
    if isinstance(task, Semantic):
        stride = None if task.head == "fpn" else task.output_stride or 16
        return msgspec.structs.replace(task, channels=channels, output_stride=stride)
    return msgspec.structs.replace(
        task,
        channels=channels,
        hidden=task.hidden or 4 * channels,
        anchor=task.anchor or min(8.0, max(image_size / 50, 0.5)),
        proposals=task.proposals or min(1000, max(image_size * 5 // 4, 1)),
        samples=task.samples or min(512, max(image_size * 2 // 3, 4)),
    )


def left_open(task: Kept, image_size: int) -> Kept:
    """The shortest task of which `at` makes this one: what the size of the images determines is None."""
    for field in task.__struct_fields__:
        without = msgspec.structs.replace(task, **{field: None}) if field in _OPEN else task
        task = without if at(without, image_size) == at(task, image_size) else task
    return task


def needs(task: AnyTask) -> frozenset[Kind]:
    """What has to be known about the images of a data set."""
    match task:
        case Classify():
            return frozenset({"label"})
        case Semantic():
            return frozenset({"semantic"})
        case Detect():
            return frozenset({"boxes", "masks"} if task.masks else {"boxes"})


def metric_of(task: AnyTask) -> Metric:
    """The score of the task."""
    match task:
        case Classify():
            return ACCURACY
        case Semantic():
            return MIOU
        case Detect():
            return MASK_AP if task.masks else BOX_AP


def _read(text: str) -> AnyTask:
    call = Reader(text).whole()
    if not isinstance(call, Call):
        raise ValueError(f"{text!r} is no task: expected a name, e.g. detect or semantic(head=deeplabv3)")
    if call.name not in NAMED:
        raise ValueError(f"unknown task {call.name!r}{suggest(call.name, NAMED)}")
    base = NAMED[call.name]
    fields: dict[str, Any] = read_fields(call.arguments, type(base), f"task {call.name}")
    return msgspec.structs.replace(base, **fields)
