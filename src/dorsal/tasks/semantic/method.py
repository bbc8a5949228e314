"""Semantic segmentation: how a network is trained and scored for it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dorsal.annotations.annotation import IGNORE, Annotation
from dorsal.annotations.labels import Labels
from dorsal.data.annotated import AnnotatedData
from dorsal.data.geometry import map_semantic
from dorsal.data.sampling import SeededItems, order
from dorsal.data.view import Frame, Seen, SeenBatches, drawn_window, stacked
from dorsal.nn.fpn import FeaturePyramid
from dorsal.nn.norms import synchronise
from dorsal.recipes.recipe import Recipe
from dorsal.spec.adapt import with_output_stride
from dorsal.spec.metric import MIOU
from dorsal.spec.network import Network
from dorsal.spec.task import Semantic, task_text
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.data import AnyData
from dorsal.tasks.maps import Maps, all_maps, pyramid_maps
from dorsal.tasks.model import make_model
from dorsal.tasks.score import NotFiniteError, check_output
from dorsal.tasks.semantic.deeplab import DeepLabHead, FcnHead
from dorsal.tasks.semantic.fpn import FpnHead
from dorsal.tasks.semantic.inference import at_file_size, probabilities
from dorsal.tasks.semantic.score import SemanticScorer
from dorsal.tasks.semantic.segmenter import Segmenter, losses
from dorsal.tasks.training import Training
from dorsal.tasks.views import ViewedItems
from dorsal.weights.start import StartingWeights

IGNORED = -1
"""The target of pixels whose class is not known."""
AUXILIARY = 0.4
"""The weight of the auxiliary head's loss (MMSegmentation)."""


class SemanticMethod:
    """See `tasks.method.Method`. Targets are maps of classes int16 [N, H, W]; what is found are annotations."""

    metric = MIOU

    def __init__(self, task: Semantic, labels: Labels, scales: Sequence[float] = (1.0,), flip: bool = False) -> None:
        """`scales` and `flip` are what probabilities are averaged over, see `inference.probabilities`."""
        self._task, self._labels, self._scales, self._flip = task, labels, scales, flip
        self._classes = len(labels.classes) + len(labels.stuff)

    def build(self, network: AnyNetwork, recipe: Recipe, start: StartingWeights | None = None) -> Segmenter:
        """See `Method.build`. Raises ValueError for a network without the maps that the head needs."""
        stride = self._task.output_stride
        if stride is not None and isinstance(network, Network):
            try:
                network = with_output_stride(network, stride)
            except ValueError as error:
                needs = f"task {task_text(self._task)} needs a trunk whose last map has stride {stride}"
                raise ValueError(f"{needs}: {error}; take another network, or head=fpn") from None
        model = make_model(network, recipe, start)
        maps = pyramid_maps(model) if stride is None else all_maps(model)
        strides = [level.stride for level in maps.info]
        if stride is not None and strides[-1] != stride:
            raise ValueError(
                f"task {task_text(self._task)} needs a trunk whose last map has stride {stride}; those of this network "
                f"have {', '.join(map(str, strides))}, and only networks of Dorsal's own can be dilated"
            )
        segmenter = self.on(maps)
        if recipe.norm == "sync":
            synchronise(segmenter)
        return segmenter

    def on(self, maps: Maps) -> Segmenter:
        """The model on a trunk, its heads freshly initialised."""
        task, classes = self._task, self._classes
        assert task.channels is not None
        auxiliary = FcnHead(maps.info, classes) if task.auxiliary else None
        if task.head == "fpn":
            neck = FeaturePyramid(maps.info, task.channels)
            head = FpnHead(neck.info[:-1], classes, max(task.channels // 2, 1))
            return Segmenter(maps, head, neck, auxiliary)
        fine = task.head == "deeplabv3+"
        return Segmenter(maps, DeepLabHead(maps.info, classes, task.channels, fine), auxiliary=auxiliary)

    def training(self, recipe: Recipe, data: AnyData, seed: int) -> Training:
        """See `Method.training`: windows of `size` x `size` pixels on images at a random scale."""
        assert isinstance(data, AnnotatedData)
        images = len(data.train)
        items = ViewedItems(recipe, data, drawn_window, _target)
        return Training(SeededItems(items, images, seed), images, functools.partial(order, images, seed), _collate)

    def validation(self, data: AnyData, batch: int) -> SeenBatches:
        """See `Method.validation`: whole images. Raises ValueError where no pixel of them has a class."""
        assert isinstance(data, AnnotatedData)
        if not any(_has_class(data.val.annotation(index)) for index in range(len(data.val))):
            raise ValueError("no pixel of the validation images has a class, so there is nothing to score")
        return SeenBatches(data.val, data.size, data.normalization, batch)

    def losses(self, model: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> dict[str, Tensor]:
        """See `Method.losses`: mean cross entropy of the pixels that have a class."""
        weight = AUXILIARY if self._task.auxiliary else 0.0
        return losses(model, images, targets, weight, IGNORED, recipe.label_smoothing)

    def predict(self, model: nn.Module, images: Tensor, seen: Sequence[Seen]) -> Iterator[Annotation]:
        """See `Method.predict`: the most probable class of each pixel, at the size of the file. Raises NotFiniteError
        for outputs that are not finite."""
        plain = tuple(self._scales) == (1.0,) and not self._flip
        said = model(images) if plain else probabilities(model, images, self._scales, self._flip)
        check_output(said, (len(images), self._classes, *images.shape[-2:]))
        if not said.isfinite().all():
            raise NotFiniteError("the outputs are not finite, so they say nothing of the pixels")
        for each_said, each in zip(said, seen, strict=True):
            frame = each.frame
            found = at_file_size(each_said, frame.size, frame.file).argmax(0)
            classes = found.cpu().numpy()
            semantic = classes.astype(np.uint8) if self._classes <= IGNORE else classes.astype(np.uint16)
            yield Annotation(size=frame.file, semantic=semantic)

    def scorer(self) -> SemanticScorer:
        """See `Method.scorer`."""
        return SemanticScorer(self._classes)


def _has_class(truth: Annotation) -> bool:
    assert truth.semantic is not None
    return bool((truth.semantic != np.iinfo(truth.semantic.dtype).max).any())


def _target(truth: Annotation, frame: Frame) -> Tensor:
    """Int16 [h, w]."""
    assert truth.semantic is not None
    classes = map_semantic(truth.semantic, frame.affine, frame.size)
    return torch.from_numpy(np.where(classes == np.iinfo(classes.dtype).max, IGNORED, classes.astype(np.int16)))


def _collate(items: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images of several sizes end in zeros, and their maps in pixels to ignore."""
    images, maps = zip(*items, strict=True)
    batch = stacked(list(images))
    targets = torch.full((len(maps), *batch.shape[-2:]), IGNORED, dtype=torch.int16)
    for own, place in zip(maps, targets, strict=True):
        place[: own.shape[0], : own.shape[1]] = own
    return batch, targets
