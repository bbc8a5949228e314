"""What every way to do a task keeps to: whatever network, recipe and images it is given. A suite inherits this."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.rle import rle_of_pixels
from dorsal.data.annotated import AnnotatedData, ChosenAnnotated
from dorsal.data.geometry import map_boxes, map_semantic
from dorsal.data.view import Seen, SeenBatches
from dorsal.jobs.evaluate import evaluate
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe
from dorsal.spec.task import Detect, Semantic, at, parse_task
from dorsal.spec.timm import TimmNetwork
from dorsal.tasks.contributions import contributions
from dorsal.tasks.data import open_for
from dorsal.tasks.detect.detector import Found
from dorsal.tasks.method import Method, method_of
from dorsal.tasks.saved import builder_of, load_model
from dorsal.tasks.score import Scorer
from dorsal.tasks.trunk import OnTrunk
from dorsal.train.evaluate import scored
from dorsal.train.loop import Fit, fit
from dorsal.weights.saved import verify_model
from dorsal.zoo import network
from tests.nn.test_forms import FAMILIES
from tests.processes import in_two_processes
from tests.tasks.pictures import pictures

NETWORK = "small(depths=[1, 1, 1], widths=[16, 32, 48])"
NEEDS = r"needs maps of strides 4, 8|needs a trunk whose last map has stride 16|^output_stride=16 is not one"
CPU = torch.device("cpu")


class StopError(Exception):
    """Stands for whatever ends a process."""


class TaskContract:
    text: str
    unfit: tuple[str, ...] = ("cifar",)
    """Families without the maps that the head needs."""
    takes_timm = True

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> AnnotatedData:
        return pictures()

    @pytest.fixture(scope="class")
    @classmethod
    def method(cls, data: AnnotatedData) -> Method:
        return method_for(cls.text, data)

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, data: AnnotatedData) -> Fit:
        """A model that has learnt a little, so that not everything that it says is nothing."""
        return fit(NETWORK, "dense(epochs=10, batch=5, lr=0.003)", data, seed=0, task=cls.text)

    # What is built

    def test_builds_on_every_family(self, method: Method) -> None:
        for name in FAMILIES:
            if name in self.unfit:
                with pytest.raises(ValueError, match=NEEDS):
                    check_levels(method, network(FAMILIES[name]))
            else:
                check_levels(method, network(FAMILIES[name]))

    def test_builds_on_a_network_of_timm(self, method: Method) -> None:
        pytest.importorskip("timm")
        timm = TimmNetwork("resnet10t", classes=10)
        if self.takes_timm:
            check_levels(method, timm)
        else:
            with pytest.raises(ValueError, match=NEEDS):
                check_levels(method, timm)

    def test_every_parameter_that_learns_gets_a_gradient(self, method: Method, data: AnnotatedData) -> None:
        model = built(method)
        loss_of(method, model, data, range(4)).backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert idle == []

    # Losses

    @pytest.mark.parametrize("images", [[0], [3], [9], [8], [9, 9], [0, 1, 8, 9]])
    def test_losses_are_finite(self, method: Method, data: AnnotatedData, images: list[int]) -> None:
        """One image, one of odd sides, one without objects, one with a crowd, none with objects, and several."""
        model = built(method)
        loss = loss_of(method, model, data, images)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_a_batch_of_one_and_unknown_images_train(self, data: AnnotatedData) -> None:
        empty = msgspec.structs.replace(data, train=ChosenAnnotated(data.train, np.array([9, 9, 9])))
        found = fit(NETWORK, "dense(epochs=1, batch=1, warmup_epochs=0)", empty, seed=0, task=self.text)
        assert found.status == "finished"

    # Scores

    def test_truth_scores_100_and_nothing_0(self, method: Method, data: AnnotatedData) -> None:
        scorers = method.scorer(), method.scorer()
        for scorer, said in zip(scorers, (truth_as_found, nothing), strict=True):
            for index, each in all_seen(method, data):
                scorer.add([index], [said(each.truth)], [each])
        best, worst = (scorer.score() for scorer in scorers)
        assert best.score == 100
        assert [value for value in best.per_class if value is not None] == [100] * sum(
            v is not None for v in best.per_class
        )
        assert worst.score == 0

    def test_a_score_does_not_depend_on_batches_order_or_parts(self, method: Method, data: AnnotatedData) -> None:
        seen = dict(all_seen(method, data))
        found = {index: disturbed(each.truth, index) for index, each in seen.items()}

        def of(*parts: Sequence[Sequence[int]]) -> Scorer:
            scorers = []
            for part in parts:
                scorer = method.scorer()
                for batch in part:
                    scorer.add(batch, [found[i] for i in batch], [seen[i] for i in batch])
                scorers.append(scorer)
            return scorers[0] if len(parts) == 1 else method.scorer().merged(scorers)

        first = of([[0, 1, 2, 3, 4]])
        assert 0 < first.score().score < 100
        for other in (of([[4], [2], [0], [1], [3]]), of([[3, 0]], [[1], [4, 2]]), of([[4, 3, 2, 1, 0]])):
            assert other.score() == first.score()
            for name, column in first.evidence().items():
                assert np.array_equal(column, other.evidence()[name])

    def test_a_model_says_the_same_in_any_batch(self, method: Method, data: AnnotatedData, trained: Fit) -> None:
        assert trained.score is not None
        assert trained.score.score > 0
        for batch in (1, 4):
            found = scored(method, trained.model, method.validation(data, batch), CPU).score()
            assert found.score == pytest.approx(trained.score.score, abs=1e-6)
            assert found.scores == pytest.approx(trained.score.scores, abs=1e-6)

    def test_two_processes_score_as_one(self, trained: Fit, tmp_path: Path) -> None:
        assert trained.score is not None
        path = tmp_path / "model.pt"
        torch.save(trained.model.state_dict(), path)
        first, second = in_two_processes(score_in_processes, (self.text, path), (self.text, path))
        assert first == second
        assert first == pytest.approx(trained.score.score, abs=1e-6)

    def test_what_is_kept_folds_to_the_score(self, trained: Fit) -> None:
        assert trained.score is not None
        assert trained.evidence is not None
        fold = contributions(parse_task(self.text), trained.evidence).score()
        assert fold == pytest.approx(trained.score.score, abs=1e-9)

    # From file to view and back

    @pytest.mark.parametrize("side", [48, 96, 131])
    def test_what_is_found_comes_back_to_the_pixels_of_the_file(
        self, method: Method, data: AnnotatedData, side: int
    ) -> None:
        batches = SeenBatches(data.val, side, data.normalization, 2)
        for images, seen in batches:
            (*said,) = method.predict(Oracle(seen), images, seen)
            for each, found in zip(seen, said, strict=True):
                check_near(found, each.truth, self.text)

    def test_a_mirrored_image_has_mirrored_targets(self) -> None:
        data = pictures(sizes=((48, 48),))
        method = method_for(self.text, data)
        plain, mirrored = (method.training(recipe(f"dense(flip={flip})"), data, 0).items for flip in ("false", "true"))
        flips = []
        for index in range(10):
            (image, target), (other_image, other) = plain[index], mirrored[index]
            flips.append(not torch.equal(image, other_image))
            if flips[-1]:
                image, target = image.flip(-1), mirror(target, image.shape[-1])
            assert torch.equal(image, other_image)
            assert_same(target, other)
        assert 0 < sum(flips) < 10

    # Runs and folders

    def test_a_run_goes_on_from_its_checkpoint_to_the_bit(self, data: AnnotatedData, tmp_path: Path) -> None:
        def stop(step: Any) -> None:
            if (step.epoch, step.step) == (2, 2):
                raise StopError

        run = functools.partial(
            fit, NETWORK, "dense(epochs=3, batch=5, ema=0.5, min_scale=0.7)", data, seed=1, task=self.text
        )
        with pytest.raises(StopError):
            run(checkpoint=tmp_path / "run.pt", on_step=stop)
        seen: list[int] = []
        resumed = run(checkpoint=tmp_path / "run.pt", on_epoch=lambda epoch: seen.append(epoch.epoch))
        unbroken = run()
        assert seen == [2, 3]
        assert_same_run(resumed, unbroken)
        assert_same_run(run(checkpoint=tmp_path / "run.pt"), unbroken)

    def test_a_saved_model_comes_back_and_scores_the_same(self, tmp_path: Path) -> None:
        text = "scenes(size=32, train=10, val=10)"
        task, made, net = parse_task(self.text), recipe("dense(epochs=2, batch=5, lr=0.003)"), network(NETWORK)
        result = fit(net, made, text, seed=0, task=task)
        assert result.score is not None
        card = trained_card(net, open_for(task, text), "of a test", made, task=task)
        save_trained(tmp_path / "model", result.model, card, result.score.score)
        _, card = load_model(tmp_path / "model")
        assert card.task == at(task, 32)
        assert all(check.holds for check in verify_model(tmp_path / "model", builder_of(card)))
        assert evaluate(tmp_path / "model", "val", text) == result.score


def method_for(text: str, data: AnnotatedData) -> Method:
    return method_of(at(parse_task(text), data.size), data.labels)


def built(method: Method) -> OnTrunk:
    torch.manual_seed(0)
    model = method.build(network(NETWORK), Recipe(), None)
    assert isinstance(model, OnTrunk)
    return model.train()


def check_levels(method: Method, net: Any) -> None:
    """Builds without memory. Every parameter is of a level of the trunk or of the head."""
    with torch.device("meta"):
        model = method.build(net, Recipe(), None)
    assert isinstance(model, OnTrunk)
    names = {name for name, _ in model.named_parameters()}
    levels = model.parameter_levels()
    assert all(parameter.is_meta for parameter in model.parameters())
    assert levels.keys() == names
    assert set(levels.values()) <= {*range(model.level_count + 1)}
    assert {level == model.level_count for name, level in levels.items() if not name.startswith("trunk.")} == {True}
    strides = [level.stride for level in model.trunk.info]
    assert strides == sorted(strides)
    assert strides[0] == 4


def loss_of(method: Method, model: nn.Module, data: AnnotatedData, indices: Sequence[int]) -> Tensor:
    training = method.training(Recipe(), data, 0)
    assert training.collate is not None
    images, targets = training.collate([training.items[index] for index in indices])
    torch.manual_seed(0)
    return sum(method.losses(model, images, targets, Recipe()).values(), torch.zeros(()))


def all_seen(method: Method, data: AnnotatedData) -> Iterator[tuple[int, Seen]]:
    batches = method.validation(data, 2)
    for number, (_, seen) in enumerate(batches):
        yield from zip(batches.indices(number), seen, strict=True)


def truth_as_found(truth: Annotation) -> Annotation:
    """The truth as if it had been found: a crowd is not."""
    objects = truth.objects
    if objects is not None:
        rows = np.flatnonzero(~objects.crowd)
        masks = None if objects.masks is None else [objects.masks[row] for row in rows]
        objects = objects_of(objects.boxes[rows], objects.labels[rows], scores=np.ones(len(rows)), masks=masks)
    return msgspec.structs.replace(truth, objects=objects)


def nothing(truth: Annotation) -> Annotation:
    """No objects, and no pixel right."""
    assert truth.semantic is not None
    wrong = ((truth.semantic.astype(np.int64) + 1) % 3).astype(np.uint8)
    return Annotation(size=truth.size, objects=objects_of([], [], scores=[], masks=[]), semantic=wrong)


def disturbed(truth: Annotation, seed: int) -> Annotation:
    """The truth moved by a few pixels, sure of it as chance has it."""
    random = np.random.default_rng(seed)
    by = tuple(int(each) for each in random.integers(-2, 3, 2))
    objects, found = truth.objects, None
    if objects is not None and objects.masks is not None:
        masks = [np.roll(mask.pixels(), by, (0, 1)) for mask in objects.masks]
        boxes = objects.boxes + np.array([by[1], by[0], by[1], by[0]], np.float32)
        scores = random.uniform(0.1, 1, len(boxes)).round(1)  # so that some tie
        found = objects_of(boxes, objects.labels, scores=scores, masks=[rle_of_pixels(mask) for mask in masks])
    assert truth.semantic is not None
    semantic = np.roll(np.minimum(truth.semantic, 2), by, (0, 1))
    return Annotation(size=truth.size, objects=found, semantic=semantic)


class Oracle(nn.Module):
    """Says of images what is true, in their pixels: logits of classes, or objects with masks of 28 x 28."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> Tensor | Found:
        if sizes is None:
            logits = torch.zeros(len(images), 3, *images.shape[-2:])
            for place, each in enumerate(self.seen):
                truth = each.truth.semantic
                assert truth is not None
                height, width = each.frame.size
                classes = map_semantic(np.minimum(truth, 2), each.frame.affine, each.frame.size)
                logits[place, :, :height, :width] = nn.functional.one_hot(torch.from_numpy(classes).long(), 3).movedim(
                    -1, 0
                )
            return logits
        boxes, labels = torch.zeros(len(images), 3, 4), torch.full((len(images), 3), -1)
        for place, each in enumerate(self.seen):
            objects = each.truth.objects
            assert objects is not None
            boxes[place, : len(objects.boxes)] = torch.from_numpy(map_boxes(objects.boxes, each.frame.affine))
            labels[place, : len(objects.boxes)] = torch.from_numpy(objects.labels)
        assert sizes.tolist() == [list(each.frame.size) for each in self.seen]
        return Found(boxes, torch.where(labels < 0, -1.0, 0.9), labels, torch.ones(len(images), 3, 28, 28))


def check_near(found: Annotation, truth: Annotation, text: str) -> None:
    """Within half a pixel of the file."""
    assert found.size == truth.size
    task = parse_task(text)
    if isinstance(task, Semantic):
        assert found.semantic is not None
        assert truth.semantic is not None
        known = truth.semantic != 255
        assert (found.semantic == truth.semantic)[known].all()
        return
    objects, true = found.objects, truth.objects
    assert objects is not None
    assert true is not None
    assert np.array_equal(objects.labels, true.labels)
    assert len(true.boxes) == 0 or np.abs(objects.boxes - true.boxes).max() < 0.5
    if isinstance(task, Detect) and task.masks:
        assert objects.masks is not None
        assert true.masks is not None
        pairs = zip(objects.masks, true.masks, strict=True)
        assert all(np.array_equal(mask.pixels(), other.pixels()) for mask, other in pairs)


def mirror(target: Any, width: int) -> Any:
    if isinstance(target, Tensor):
        return target.flip(-1)
    boxes = torch.stack(
        [width - target.boxes[:, 2], target.boxes[:, 1], width - target.boxes[:, 0], target.boxes[:, 3]], 1
    )
    return target._replace(boxes=boxes, masks=None if target.masks is None else target.masks.flip(-1))


def assert_same(target: Any, other: Any) -> None:
    if isinstance(target, Tensor):
        assert torch.equal(target, other)
        return
    for own, each in zip(target, other, strict=True):
        assert (own is each is None) or torch.equal(own, each)


def assert_same_run(run: Fit, other: Fit) -> None:
    left, right = run.model.state_dict(), other.model.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert [msgspec.structs.replace(epoch, seconds=0) for epoch in run.curve] == [
        msgspec.structs.replace(epoch, seconds=0) for epoch in other.curve
    ]
    assert run.score == other.score
    assert run.evidence is not None
    assert other.evidence is not None
    assert all(np.array_equal(column, other.evidence[name]) for name, column in run.evidence.items())


def score_in_processes(what: tuple[str, Path], _: object) -> float:
    """In one of two processes: the score of a model, of which each takes its part of the images."""
    from accelerate import Accelerator

    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    text, path = what
    data = pictures()
    method = method_for(text, data)
    model = built(method)
    model.load_state_dict(torch.load(path))
    rank = int(os.environ["RANK"])
    assert accelerator.num_processes == 2
    score = scored(method, model, method.validation(data, 1), CPU, rank, 2).score().score
    torch.distributed.destroy_process_group()
    return score
