"""Detectors and a segmenter beside torchvision's of the same sizes, alternating in one process.

    python benchmarks/versus_torchvision_detection.py [--settings small,large] [--models faster,mask,deeplab]
                                                      [--threads 1,2] [--rounds 11] [--memory] [--json out.json]

Both sides have the same trunk (Dorsal's network), pyramid, heads, numbers of proposals and samples, and start from the
same weights, with the same inputs and targets. torchvision's are its GeneralizedRCNN and DeepLabV3, put together from
its own parts, with a transform that does nothing: no side resizes, normalises or pastes masks. Before anything is timed
each side learns the batch, drawn rectangles, for some steps, so that there is something to propose, suppress and find.
How much is found is printed: where it is not the same on both sides, their work is not either.

    small   16 images of 64 x 64 px, network small,    64 channels,  64 samples, 200 proposals
    large    4 images of 192 x 320,  network resnet18, 64 channels, 128 samples, 240 proposals

`step` is forward, losses, backward and a step of SGD; `found` is evaluation in inference mode. The layout is channels
last, as in the training loop. The ratio is the median over the rounds of torchvision / ours with its quartiles: above
1, ours is faster. Each number of threads has a process of its own. Time is that of the clock, with one thread that of
the processor, which other programs disturb less.

Peak memory (`--memory`, Linux only) is what a call adds to the resident set of a process of its own, with the first of
the numbers of threads.

A lesser processor can be played: ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2.
"""

import argparse
import functools
import itertools
import json
import statistics
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from dorsal import build, network
from dorsal.spec.adapt import with_output_stride
from dorsal.spec.task import Detect, at
from dorsal.tasks.detect.anchors import RATIOS
from dorsal.tasks.detect.detector import Detector, Truth
from dorsal.tasks.maps import pyramid_maps
from dorsal.tasks.semantic.deeplab import RATES, DeepLabHead
from dorsal.tasks.semantic.segmenter import Segmenter, losses
from parts import alternating, in_own_process, memory_line, ratio

CLASSES, MOST_OBJECTS, IGNORED = 10, 6, 255
DETECTIONS = 20  # of an image at most: few enough for both sides to find as many
SIDES = ("torchvision", "ours")


class Setting(NamedTuple):
    network: str
    images: int
    size: tuple[int, int]
    proposals: int
    samples: int
    learnt: int  # steps before anything is timed


SETTINGS = {
    "small": Setting("small", 16, (64, 64), 200, 64, 25),
    "large": Setting("resnet18", 4, (192, 320), 240, 128, 10),
}
CHANNELS = 64


class Batch(NamedTuple):
    """The same images and truth, as either side takes them."""

    images: torch.Tensor
    sizes: torch.Tensor
    truth: Truth
    targets: list
    classes: torch.Tensor  # of pixels


def drawn(setting):
    """Images with rectangles, each class of its own color."""
    random = torch.Generator().manual_seed(0)
    (height, width), count = setting.size, setting.images
    colors = torch.randn(CLASSES, 3, generator=random)
    images = 0.3 * torch.randn(count, 3, height, width, generator=random)
    boxes, labels = torch.zeros(count, MOST_OBJECTS, 4), torch.full((count, MOST_OBJECTS), -1)
    masks = torch.zeros(count, MOST_OBJECTS, height, width, dtype=torch.bool)
    pixels = torch.full((count, height, width), CLASSES - 1)
    for image in range(count):
        for place in range(1 + image % MOST_OBJECTS):
            high, wide = (int(height * part) for part in 0.12 + 0.4 * torch.rand(2, generator=random))
            y = int((height - high) * torch.rand((), generator=random))
            x = int((width - wide) * torch.rand((), generator=random))
            label = int(torch.randint(CLASSES, (), generator=random))
            inside = (slice(y, y + high), slice(x, x + wide))
            images[image][:, *inside] += colors[label][:, None, None]
            boxes[image, place] = torch.tensor([x, y, x + wide, y + high])
            labels[image, place] = label
            masks[image, place][inside] = True
            pixels[image][inside] = label
    targets = [
        {"boxes": b[own], "labels": label[own] + 1, "masks": m[own].byte()}
        for b, label, m in zip(boxes, labels, masks, strict=True)
        if (own := label >= 0).any()
    ]
    sizes = torch.tensor(setting.size).expand(count, 2)
    images = images.to(memory_format=torch.channels_last)
    return Batch(images, sizes, Truth(boxes, labels, masks), targets, pixels)


class Pyramid(nn.Module):
    """What GeneralizedRCNN calls a backbone: the trunk and torchvision's pyramid."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.out_channels = trunk, CHANNELS
        widths = [level.channels for level in trunk.info]
        self.neck = FeaturePyramidNetwork(widths, CHANNELS, LastLevelMaxPool())

    def forward(self, images):
        return self.neck(OrderedDict((str(level), x) for level, x in enumerate(self.trunk(images))))


class Last(nn.Module):
    """What DeepLabV3 calls a backbone: the last of the trunk's maps."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk

    def forward(self, images):
        return {"out": self.trunk(images)[-1]}


class Batched(nn.Module):
    """A transform for images that are a batch."""

    def forward(self, images, targets=None):
        return ImageList(images, [tuple(images.shape[-2:])] * len(images)), targets

    def postprocess(self, result, *_):
        return result


def pool_of(strides, bins, canonical):
    """torchvision's pool, told its scales, which it would guess."""
    pool = MultiScaleRoIAlign([str(level) for level in range(len(strides))], bins, 2)
    pool.scales = [1 / stride for stride in strides]
    finest = strides[0].bit_length() - 1
    pool.map_levels = LevelMapper(finest, finest + len(strides) - 1, canonical, 4)
    return pool


def their_detector(trunk, task):
    strides = [level.stride for level in trunk.info]
    sizes = tuple((task.anchor * stride,) for stride in [*strides, 2 * strides[-1]])
    anchors = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
    before = {"training": 2 * task.proposals, "testing": task.proposals}
    after = dict.fromkeys(before, task.proposals)
    rpn = RegionProposalNetwork(
        anchors, RPNHead(CHANNELS, len(RATIOS)), 0.7, 0.3, task.samples // 2, 0.5, before, after, 0.7
    )
    pools = [pool_of(strides, bins, 28 * task.anchor) for bins in (7, 14)]
    heads = RoIHeads(
        pools[0],
        TwoMLPHead(CHANNELS * 49, task.hidden),
        FastRCNNPredictor(task.hidden, CLASSES + 1),
        0.5,
        0.5,
        task.samples,
        0.25,
        None,
        task.least_score,
        0.5,
        task.detections,
        *(
            (pools[1], MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1), MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES + 1))
            if task.masks
            else ()
        ),
    )
    return GeneralizedRCNN(Pyramid(trunk), rpn, heads, Batched())


def their_segmenter(trunk):
    last = trunk.info[-1]
    head = nn.Sequential(ASPP(last.channels, RATES[last.stride], CHANNELS), nn.Conv2d(CHANNELS, CLASSES, 1))
    return DeepLabV3(Last(trunk), head)


THEIR_NAMES = {
    "trunk.": "backbone.trunk.",
    "neck.laterals.": "backbone.neck.inner_blocks.",
    "neck.outputs.": "backbone.neck.layer_blocks.",
    "rpn.conv.": "rpn.head.conv.0.0.",
    "rpn.logits.": "rpn.head.cls_logits.",
    "rpn.deltas.": "rpn.head.bbox_pred.",
    "box_head.0.fc1.": "roi_heads.box_head.fc6.",
    "box_head.0.fc2.": "roi_heads.box_head.fc7.",
    "box_head.1.classes.": "roi_heads.box_predictor.cls_score.",
    "box_head.1.deltas.": "roi_heads.box_predictor.bbox_pred.",
    **{f"mask_head.convs.{2 * i}.": f"roi_heads.mask_head.{i}.0." for i in range(4)},
    "mask_head.deconv.": "roi_heads.mask_predictor.conv5_mask.",
    "mask_head.predictor.": "roi_heads.mask_predictor.mask_fcn_logits.",
}


def their_weights(ours):
    """A detector's weights by torchvision's names; its background is the first class."""
    theirs = {}
    for name, own in ours.items():
        (prefix,) = [prefix for prefix in THEIR_NAMES if name.startswith(prefix)]
        rest = name.removeprefix(prefix)
        if prefix.startswith("neck."):
            rest = rest.replace(".", ".0.")  # each in a container of one
        x = own.roll(1, 0) if prefix == "box_head.1.classes." else own
        if prefix in ("box_head.1.deltas.", "mask_head.predictor."):
            x = torch.cat((torch.zeros_like(x[: len(x) // CLASSES]), x))
        theirs[THEIR_NAMES[prefix] + rest] = x
    return theirs


def copy_of_segmenter(ours, theirs):
    """Gives torchvision's segmenter the weights of ours where there are such, which is everywhere but in the branch of
    the mean."""
    theirs.backbone.trunk.load_state_dict(ours.trunk.state_dict())
    for own, other in zip(
        (*ours.head.aspp.branches, ours.head.aspp.project),
        (*theirs.classifier[0].convs[:-1], theirs.classifier[0].project),
        strict=True,
    ):
        other[0].load_state_dict(own.conv.state_dict())
        other[1].load_state_dict(own.norm.state_dict())
    theirs.classifier[1].load_state_dict(ours.head.predictor.state_dict())


def make(side, kind, setting):
    """A model; both sides have the same weights."""
    torch.manual_seed(0)
    net = network(setting.network)
    if kind == "deeplab":
        ours = Segmenter(trunk := pyramid_maps(build(with_output_stride(net, 16))), head_of(trunk))
    else:
        task = Detect(
            masks=kind == "mask",
            channels=CHANNELS,
            proposals=setting.proposals,
            samples=setting.samples,
            detections=DETECTIONS,
        )
        task = at(task, min(setting.size))
        ours = Detector(pyramid_maps(build(net)), CLASSES, task)
    if side == "ours":
        model = ours
    elif kind == "deeplab":
        model = their_segmenter(pyramid_maps(build(with_output_stride(net, 16))))
        copy_of_segmenter(ours, model)
    else:
        model = their_detector(pyramid_maps(build(net)), task)
        model.load_state_dict(their_weights(ours.state_dict()))
    return model.to(memory_format=torch.channels_last)


def head_of(trunk):
    return DeepLabHead(trunk.info, CLASSES, CHANNELS, fine=False)


def loss_of(side, kind, model, batch):
    if kind == "deeplab":
        if side == "ours":
            return sum(losses(model, batch.images, batch.classes).values())
        return F.cross_entropy(model(batch.images)["out"], batch.classes, ignore_index=IGNORED)
    if side == "ours":
        return sum(model(batch.images, batch.sizes, batch.truth).values())
    return sum(model(batch.images, batch.targets).values())


def step(side, kind, model, optimizer, batch):
    model.train()
    optimizer.zero_grad()
    loss = loss_of(side, kind, model, batch)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def found(side, kind, model, _, batch):
    """How many detections; of a segmenter nothing."""
    model.eval()
    if kind == "deeplab":
        model(batch.images)
        return 0
    if side == "ours":
        return int((model(batch.images, batch.sizes).scores >= 0).sum())
    return sum(len(each["scores"]) for each in model(batch.images))


CALLS = {"step": step, "found": found}


def learn(side, kind, setting, folder):
    """Teaches a model the batch for some steps and keeps its weights."""
    model, batch = make(side, kind, setting), drawn(setting)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(setting.learnt):
        model.train()
        optimizer.zero_grad()
        loss_of(side, kind, model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    torch.save(model.state_dict(), folder / f"{side} {kind}")


def ready(side, kind, setting, folder):
    """What is called, with its arguments. The weights hardly move, so that every round has the same work."""
    model = make(side, kind, setting)
    model.load_state_dict(torch.load(folder / f"{side} {kind}"))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    return side, kind, model, optimizer, drawn(setting)


def timed(kind, setting, folder, threads, rounds):
    """Seconds of both sides in each round by kind of call, and what the calls said last."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    sides = {side: ready(side, kind, setting, folder) for side in SIDES}
    result = {}
    for what, call in CALLS.items():
        calls = {side: functools.partial(call, *arguments) for side, arguments in sides.items()}
        result[what] = alternating(calls, rounds, clock), {side: said() for side, said in calls.items()}
    return result


def added_memory(side, kind, what, setting, folder, threads):
    """MiB that two calls add at their peak to the resident set before them."""
    torch.set_num_threads(threads)
    arguments = ready(side, kind, setting, folder)
    before = memory_line("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
    for _ in range(2):
        CALLS[what](*arguments)
    return memory_line("VmHWM") - before


def rows_of(given, name, kind, threads, folder):
    setting = SETTINGS[name]
    result = in_own_process(timed, kind, setting, folder, threads, given.rounds)
    for what, (seconds, said) in result.items():
        row = {"setting": name, "model": kind, "threads": threads, "what": what, "said": said}
        row["ms"] = {side: 1e3 * statistics.median(seconds[side]) for side in SIDES}
        row["ratio"] = ratio(seconds["torchvision"], seconds["ours"])
        if given.memory and threads == int(given.threads.split(",")[0]):
            row["mib"] = {
                side: in_own_process(added_memory, side, kind, what, setting, folder, threads) for side in SIDES
            }
        yield row


def line(row):
    low, middle, high = row["ratio"]
    text = f"{row['setting']:7} {row['model']:8} {row['threads']:7} {row['what']:6}"
    text += "".join(f" {row['ms'][side]:11.1f}" for side in SIDES) + f"  {middle:6.3f} ({low:.3f}, {high:.3f})"
    if "mib" in row:
        text += "".join(f" {row['mib'][side]:6.0f}" for side in SIDES)
        text += f" {row['mib']['ours'] / row['mib']['torchvision']:5.2f}"
    digits = 3 if row["what"] == "step" else 0
    return text + "  " + ", ".join(f"{row['said'][side]:.{digits}f}" for side in SIDES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--models", default="faster,mask,deeplab")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {given.rounds} rounds,", end=" ")
    print(f"{torch.backends.cpu.get_cpu_capability()}")
    print(f"{'setting':7} {'model':8} threads {'what':6} {'theirs ms':>11} {'ours ms':>11}", end="  ")
    print("theirs/ours (quartiles)", "MiB theirs, ours, ours/theirs" * given.memory, "loss or number found, both")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in itertools.product(given.settings.split(","), given.models.split(",")):
            for side in SIDES:
                in_own_process(learn, side, kind, SETTINGS[name], Path(folder))
            for threads in map(int, given.threads.split(",")):
                for row in rows_of(given, name, kind, threads, Path(folder)):
                    rows.append(row)
                    print(line(row), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
