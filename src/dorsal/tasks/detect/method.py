"""Detection and instance segmentation: how a network is trained and scored for them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dorsal.annotations.annotation import Annotation, Objects, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels
from dorsal.data.annotated import AnnotatedData, AnnotatedSplit
from dorsal.data.geometry import map_boxes, map_mask
from dorsal.data.orders import grouped_epoch, repeat_factors, repeated_order
from dorsal.data.sampling import SeededItems, order
from dorsal.data.view import Frame, Seen, SeenBatches, drawn_whole, padded, stacked
from dorsal.nn.norms import synchronise
from dorsal.recipes.recipe import Recipe
from dorsal.spec.metric import Metric
from dorsal.spec.task import Detect, metric_of
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.data import AnyData
from dorsal.tasks.detect.detector import Detector, Found, Truth
from dorsal.tasks.detect.masks import paste
from dorsal.tasks.detect.score import DetectScorer
from dorsal.tasks.maps import Maps, pyramid_maps
from dorsal.tasks.model import make_model
from dorsal.tasks.training import Training
from dorsal.tasks.views import ViewedItems
from dorsal.weights.start import StartingWeights

RARE = 0.001
"""Images with a class that a smaller share of the images have come several times, if the recipe says (LVIS)."""


class Targets(NamedTuple):
    """The objects of a batch. `sizes` int64 [N, 2] are height and width of the images without padding; the others are
    as in `Truth`."""

    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor | None


class Target(NamedTuple):
    """The objects of an image: boxes float32 [n, 4], labels int64 [n], masks bool [n, h, w] if they are learnt."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None


class DetectMethod:
    """See `tasks.method.Method`. Targets are `Targets`; what is found are annotations."""

    def __init__(self, task: Detect, labels: Labels) -> None:
        """Raises ValueError for data without classes that can be counted."""
        if not labels.classes:
            raise ValueError("the data have no classes of objects, only regions that cannot be counted")
        self.metric: Metric = metric_of(task)
        self._task, self._classes = task, len(labels.classes)

    def build(self, network: AnyNetwork, recipe: Recipe, start: StartingWeights | None = None) -> Detector:
        """See `Method.build`. Raises ValueError for a network without the maps of a feature pyramid."""
        detector = self.on(pyramid_maps(make_model(network, recipe, start)))
        if recipe.norm == "sync":
            synchronise(detector)
        return detector

    def on(self, maps: Maps) -> Detector:
        """The model on a trunk, its neck and heads freshly initialised."""
        return Detector(maps, self._classes, self._task)

    def training(self, recipe: Recipe, data: AnyData, seed: int) -> Training:
        """See `Method.training`: whole images at a random scale, wide ones and tall ones in batches of their own."""
        assert isinstance(data, AnnotatedData)
        images = length = len(data.train)
        orders = functools.partial(order, images, seed)
        if recipe.sampling == "repeat":
            factors = repeat_factors(_present(data.train, self._classes), RARE)
            length = round(float(factors.sum()))
            orders = functools.partial(repeated_order, factors, seed)
        sizes = data.train.sizes
        wide = sizes[:, 1] > sizes[:, 0]
        items = SeededItems(ViewedItems(recipe, data, drawn_whole, self._target), images, seed)
        return Training(items, length, functools.partial(grouped_epoch, orders, wide, recipe.batch), _collate)

    def validation(self, data: AnyData, batch: int) -> SeenBatches:
        """See `Method.validation`: whole images. Raises ValueError where nothing is in them but crowds."""
        assert isinstance(data, AnnotatedData)
        if not any(len(data.val.object_labels(index)) for index in range(len(data.val))):
            raise ValueError("the validation images have no objects, or crowds alone, so there is nothing to score")
        return SeenBatches(data.val, data.size, data.normalization, batch)

    def losses(self, model: nn.Module, images: Tensor, targets: Targets, _: Recipe) -> dict[str, Tensor]:
        """See `Method.losses`: those of the proposals, of the boxes and of the masks."""
        found: dict[str, Tensor] = model(images, targets.sizes, Truth(targets.boxes, targets.labels, targets.masks))
        return found

    def predict(self, model: nn.Module, images: Tensor, seen: Sequence[Seen]) -> Iterator[Annotation]:
        """See `Method.predict`: objects, the best first, in pixels of the file."""
        frames = [each.frame for each in seen]
        found: Found = model(images, torch.tensor([frame.size for frame in frames], device=images.device))
        for place, frame in enumerate(frames):
            yield Annotation(size=frame.file, objects=_in_file(found, place, frame))

    def scorer(self) -> DetectScorer:
        """See `Method.scorer`."""
        return DetectScorer(self._classes, self._task.masks)

    def _target(self, truth: Annotation, frame: Frame) -> Target:
        """What of an image is learnt: objects that the view shows, without crowds."""
        objects = truth.objects
        assert objects is not None
        height, width = frame.size
        boxes = map_boxes(objects.boxes, frame.affine).clip(0, np.array([width, height, width, height], np.float32))
        kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ~objects.crowd)
        masks = None
        if self._task.masks:
            assert objects.masks is not None
            dense = [map_mask(objects.masks[row].pixels(), frame.affine, frame.size) for row in kept.tolist()]
            masks = torch.from_numpy(np.stack(dense) if dense else np.zeros((0, *frame.size), np.bool_))
        return Target(torch.from_numpy(boxes[kept]), torch.from_numpy(objects.labels[kept]), masks)


def _collate(items: Sequence[tuple[Tensor, Target]]) -> tuple[Tensor, Targets]:
    """Images of several sizes end in zeros. Rows without an object have the label -1, and a box with an area."""
    images = [image for image, _ in items]
    sizes = torch.tensor([image.shape[-2:] for image in images])
    height, width = sizes.amax(0).tolist()
    batch = stacked(images, padded((height, width)))
    rows = max(1, *(len(target.labels) for _, target in items))
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(items), rows, 1)
    labels = torch.full((len(items), rows), -1)
    has_masks = items[0][1].masks is not None
    masks = torch.zeros(len(items), rows, *batch.shape[-2:], dtype=torch.bool) if has_masks else None
    for place, (_, target) in enumerate(items):
        count = len(target.labels)
        boxes[place, :count], labels[place, :count] = target.boxes, target.labels
        if masks is not None and target.masks is not None:
            masks[place, :count, : target.masks.shape[1], : target.masks.shape[2]] = target.masks
    return batch, Targets(sizes, boxes, labels, masks)


def _in_file(found: Found, place: int, frame: Frame) -> Objects:
    """What is found in one image of a batch, in pixels of its file; boxes that lie outside it are left out."""
    height, width = frame.file
    scores = found.scores[place].float().cpu().numpy()
    boxes = map_boxes(found.boxes[place].float().cpu().numpy(), frame.affine.inverse())
    boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
    kept = np.flatnonzero((scores >= 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    masks = None
    if found.masks is not None:
        soft = found.masks[place][torch.from_numpy(kept).to(found.masks.device)].float().cpu()
        own = torch.from_numpy(boxes[kept])
        rows = range(len(kept))  # one at a time: a file may have millions of pixels
        masks = [rle_of_pixels(paste(soft[row, None], own[row, None], frame.file)[0].numpy()) for row in rows]
    labels = found.labels[place].cpu().numpy()[kept]
    return objects_of(boxes[kept], labels, scores=scores[kept], masks=masks)


def _present(split: AnnotatedSplit, classes: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which classes are in which image, bool [n, K]."""
    present = np.zeros((len(split), classes), np.bool_)
    for index in range(len(split)):
        present[index, split.object_labels(index)] = True
    return present
