"""Runs of tasks that learn from annotations: what each field of a recipe does to them, kills, processes, bad input."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.data.annotated import AnnotatedData, ChosenAnnotated
from dorsal.data.errors import DataError
from dorsal.data.memory import annotated_data
from dorsal.jobs.engine import Worker, WorkerDeath, thread_variables
from dorsal.nn.build import build
from dorsal.recipes.epoch import Step
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe
from dorsal.train.loop import Fit, fit
from dorsal.zoo import network
from tests.contracts.task import assert_same_run, method_for
from tests.processes import ROOT, in_two_processes
from tests.tasks.pictures import LABELS, picture, pictures

NETWORK = "small(depths=[1, 1, 1], widths=[8, 16, 16])"
SEMANTIC, DETECT, INSTANCE = "semantic(channels=8)", "detect(channels=8, hidden=16)", "instance(channels=8, hidden=16)"
BASE = "epochs=2, batch=5, lr=0.003, warmup_epochs=0.5"
DOES = {
    "epochs": "epochs=3",
    "batch": "batch=4",
    "optimizer": "optimizer=sgd",
    "lr": "lr=0.004",
    "clip": "clip=0.1",
    "momentum": "momentum=0.5",
    "weight_decay": "weight_decay=0.5",
    "decay_on": "decay_on=all",
    "schedule": "schedule=poly",
    "steps": "steps=[0.4]",
    "lr_per": "lr_per=epoch",
    "warmup_epochs": "warmup_epochs=1",
    "warmup_from": "warmup_from=0.5",
    "cosine_starts_at": "cosine_starts_at=start",
    "freeze": "freeze=1",
    "head_epochs": "head_epochs=1",
    "norm": "norm=frozen",
    "trunk_rate": "trunk_rate=0.1",
    "level_decay": "level_decay=0.5",
    "min_scale": "min_scale=0.5",
    "max_scale": "max_scale=1.5",
    "flip": "flip=false",
    "color_jitter": "color_jitter=0.4",
    "lighting": "lighting=0.1",
    "drop_path": "drop_path=0.5",
    "drop_block": "drop_block=0.5",
    "zero_init": "zero_init=true",
    "ema": "ema=0.9",
}
"""An edit of each field that all of these tasks use."""
BESIDE = {"decay_on": "weight_decay=0.5", "steps": "schedule=steps"}
"""Edits of others, without which one of these means nothing."""
OF_STARTS = ("freeze", "head_epochs", "norm")
"""Fields that would keep random weights of a network without a start."""
OWN: dict[str, dict[str, str]] = {
    SEMANTIC: {"label_smoothing": "label_smoothing=0.1", "precise_bn": "precise_bn=10"},
    DETECT: {},
}
OF_CLASSES = {
    "class_weights": "class_weights=balanced",
    "mixup": "mixup=0.2",
    "cutmix": "cutmix=0.2",
    "crop": "crop=area",
    "min_area": "min_area=0.5",
    "auto_augment": "auto_augment=randaugment",
    "augment_ops": "augment_ops=3",
    "augment_magnitude": "augment_magnitude=5",
    "erasing": "erasing=0.1",
    "dropout": "dropout=0.1",
}
REFUSED = {
    SEMANTIC: OF_CLASSES | {"sampling": "sampling=repeat"},
    DETECT: OF_CLASSES
    | {"sampling": "sampling=balanced", "label_smoothing": "label_smoothing=0.1", "precise_bn": "precise_bn=10"},
}


def weight(found: Fit) -> float:
    """A number for all parameters and buffers."""
    return sum(float(value.double().abs().sum()) for value in found.model.state_dict().values())


def made(*edits: str) -> Recipe:
    """The base with edits, of which later ones count."""
    fields = dict(edit.split("=") for text in (BASE, *edits) for edit in text.split(", "))
    return recipe(f"dense({', '.join(f'{name}={value}' for name, value in fields.items())})")


def trace(text: str, data: AnnotatedData, made: Recipe, start: Path | None = None) -> tuple[list[float], float]:
    """What a run comes to: losses and weights."""
    found = fit(NETWORK, made, data, seed=0, task=text, start=start)
    return [epoch.train_loss for epoch in found.curve], weight(found)


@pytest.fixture(scope="module")
def data() -> AnnotatedData:
    return pictures(sizes=((32, 40), (40, 32)), size=32)


@pytest.mark.parametrize("text", [SEMANTIC, DETECT])
def test_every_field_of_a_recipe_is_used_or_refused(text: str, data: AnnotatedData, tmp_path: Path) -> None:
    names = {field.name for field in msgspec.structs.fields(Recipe)}
    assert DOES.keys() | OWN[text].keys() | REFUSED[text].keys() | {"sampling"} == names
    torch.manual_seed(0)
    torch.save(build(network(NETWORK)).state_dict(), tmp_path / "start.pt")
    plain: dict[tuple[str, bool], object] = {}
    idle = []
    for field, edit in (DOES | OWN[text]).items():
        base, start = BESIDE.get(field, "clip=10"), tmp_path / "start.pt" if field in OF_STARTS else None
        key = base, start is not None
        if key not in plain:
            plain[key] = trace(text, data, made(base), start)
        if trace(text, data, made(base, edit), start) == plain[key]:
            idle.append(field)
    assert idle == []
    for field, edit in REFUSED[text].items():
        with pytest.raises(ValueError, match=rf"^{field}=.* of the recipe does nothing in task .*; leave it out"):
            fit(NETWORK, f"dense({edit})", data, seed=0, task=text)


def test_images_with_a_rare_class_come_several_times(data: AnnotatedData) -> None:
    """One of 5,000: by arXiv 1908.03195 the square root of .001 x 5,000 times, which is 2.2; all together it is 2."""
    places = np.full(5000, 9)  # an image without objects
    places[7] = 0
    rare = msgspec.structs.replace(data, train=ChosenAnnotated(data.train, places))
    method = method_for(DETECT, rare)
    times = {
        sampling: [
            int((training.orders(epoch) == 7).sum())
            for training in [method.training(recipe(f"dense(sampling={sampling})"), rare, 0)]
            for epoch in range(3)
        ]
        for sampling in ("repeat", "shuffled")
    }
    assert set(times["repeat"]) == {2}
    assert set(times["shuffled"]) == {1}


def fits_until_killed(what: tuple[Path, int], tell: Callable[[object], None]) -> None:
    """Trains a detector with masks, and tells its process in the middle of an epoch."""
    torch.set_num_threads(1)
    path, epoch = what

    def on_step(step: Step) -> None:
        if (step.epoch, step.step) == (epoch, 2):
            tell(os.getpid())
            time.sleep(600)

    fits_instances(checkpoint=path, on_step=on_step)


def fits_instances(**options: Any) -> Fit:
    small = pictures(sizes=((32, 40), (40, 32)), size=32)
    return fit(NETWORK, made("epochs=4, ema=0.5, min_scale=0.7"), small, seed=3, task=INSTANCE, **options)


def test_a_detector_with_masks_killed_twice_is_the_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    monkeypatch.syspath_prepend(ROOT)
    for epoch in (2, 4):
        worker: Worker[tuple[Path, int], object] = Worker(fits_until_killed, thread_variables(1))
        worker.begin((path, epoch))
        pid = worker.receive()[1]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(worker.receive()[1], WorkerDeath)
        worker.stop()
    seen: list[int] = []
    resumed = fits_instances(checkpoint=path, on_epoch=lambda epoch: seen.append(epoch.epoch))
    assert seen == [4]
    assert_same_run(resumed, fits_instances())


def trains_in_processes(text: str, _: object) -> tuple[list[tuple[float, float]], float]:
    """In one of two processes: the curve and the weights. Each has one image of a batch, at times without objects."""
    torch.set_num_threads(1)
    found = fit(NETWORK, made("batch=2"), pictures(sizes=((32, 40),), size=32), seed=0, task=text)
    torch.distributed.destroy_process_group()
    return [(epoch.train_loss, epoch.score) for epoch in found.curve], weight(found)


@pytest.mark.parametrize("text", [SEMANTIC, INSTANCE])
def test_two_processes_train_one_model(text: str) -> None:
    first, second = in_two_processes(trains_in_processes, text, text)
    assert first == second
    curve, _ = first
    assert curve[1][0] < curve[0][0]


# Bad input


@pytest.mark.parametrize(
    ("net", "strides"),
    [
        ("resnet18(depths=[1, 1], widths=[8, 16], strides=[2, 2])", "2, 8, 16"),
        ("small(depths=[1, 1, 1], widths=[8, 16, 16], strides=[1, 1, 1])", "2, 2, 2, 2"),
    ],
)
@pytest.mark.parametrize("text", [SEMANTIC, DETECT])
def test_a_backbone_without_a_pyramid_is_refused(net: str, strides: str, text: str, data: AnnotatedData) -> None:
    with pytest.raises(ValueError, match=f"each twice the one before; those of this network are {strides}$"):
        fit(net, "dense(epochs=1, warmup_epochs=0)", data, seed=0, task=text)


@pytest.mark.parametrize(
    "net",
    [
        NETWORK,
        "small(depths=[1, 1], widths=[8, 16])",
        "resnet18(depths=[1, 1, 1], widths=[8, 16, 16], strides=[1, 2, 2])",
    ],
)
@pytest.mark.parametrize("text", [SEMANTIC, INSTANCE])
def test_pyramids_of_two_and_three_levels_learn(net: str, text: str, data: AnnotatedData) -> None:
    found = fit(net, "dense(epochs=1, warmup_epochs=0, batch=5)", data, seed=0, task=text)
    assert found.status == "finished"


@pytest.mark.parametrize("text", [SEMANTIC, DETECT])
def test_a_network_of_timm_learns_by_its_text(text: str, data: AnnotatedData) -> None:
    pytest.importorskip("timm")
    found = fit("timm:resnet10t", "dense(epochs=1, warmup_epochs=0, batch=5)", data, seed=0, task=text)
    assert found.status == "finished"


def test_anchors_larger_than_the_images_learn(data: AnnotatedData) -> None:
    """The smallest is 400 px wide, and the images 32."""
    found = fit(NETWORK, made(), data, seed=0, task="detect(channels=8, hidden=16, anchor=100)")
    assert found.status == "finished"
    assert found.curve[1].train_loss < found.curve[0].train_loss


@pytest.mark.parametrize(("text", "says"), [(DETECT, "no objects, or crowds alone"), (SEMANTIC, "no pixel of")])
def test_images_on_which_nothing_can_be_scored_are_refused_before_any_step(
    text: str, says: str, data: AnnotatedData
) -> None:
    crowd = picture((32, 32), 0, objects=1, crowd=True)[1]
    assert crowd.semantic is not None
    unknown = msgspec.structs.replace(crowd, semantic=np.full_like(crowd.semantic, 255))
    split = msgspec.structs.replace(data.val, images=data.val.images[:1], annotations=(unknown,))  # type: ignore[type-var, attr-defined]
    steps: list[Step] = []
    with pytest.raises(ValueError, match=f"^(the|no) .*{says}|^{says}.* nothing to score$"):
        fit(NETWORK, "dense", msgspec.structs.replace(data, val=split), seed=0, task=text, on_step=steps.append)
    assert steps == []


@pytest.mark.parametrize(("objects", "problem"), [(0, "no-objects"), (1, "crowd-only")])
def test_data_without_objects_or_with_crowds_alone_do_not_open(objects: int, problem: str) -> None:
    """Also where there is only the val split to blame."""
    image, said = picture((32, 32), 0)
    other, empty = picture((32, 32), 1, objects, crowd=True)
    said, empty = (msgspec.structs.replace(each, semantic=None) for each in (said, empty))
    for train, val in (((other, empty), (image, said)), ((image, said), (other, empty))):
        with pytest.raises(DataError, match=problem):
            annotated_data([train[0]], [train[1]], LABELS, val_images=[val[0]], val_annotations=[val[1]])


def test_boxes_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes\[1\]=\[nan, .* must hold finite numbers"):
        Annotation(size=(32, 32), objects=objects_of([[0, 0, 4, 4], [np.nan, 0, 4, 4]], [0, 0]))
