import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dorsal.data.split import ImageData
from dorsal.jobs.evaluate import evaluate
from dorsal.nn.build import build
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.text import NAMED, Recipe, recipe
from dorsal.spec.network import Network
from dorsal.tasks.classify.method import cross_entropy as loss
from dorsal.train import loop
from dorsal.train.loop import Fit, fit
from dorsal.train.optim import learning_rate
from dorsal.train.timing import time_step
from tests.train.tiny import make_data, make_network

PLAIN = recipe("plain(epochs=3, batch=16)")
TRICKS = recipe("tricks(epochs=3, batch=16, ema=0.5, drop_block=0.1, dropout=0.1)")


def losses(result: Fit) -> list[tuple[float, float, float, float]]:
    """The curve without its times."""
    return [(e.train_loss, e.val_loss, e.score, e.learning_rate) for e in result.curve]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_it_learns(network: Network, data: ImageData) -> None:
    result = fit(network, recipe("plain(epochs=6, batch=8, lr=0.01)"), make_data(train=96), seed=0)
    assert (result.status, result.error, result.notes) == ("finished", "", ())
    assert [epoch.epoch for epoch in result.curve] == [1, 2, 3, 4, 5, 6]
    assert result.curve[-1].score > 80
    assert result.curve[-1].val_loss < result.curve[0].val_loss
    assert all(type(value) in (int, float) for epoch in result.curve for value in (epoch.score, epoch.train_loss))


@pytest.mark.parametrize("made", [PLAIN, TRICKS], ids=["plain", "tricks"])
def test_equal_seeds_are_equal_bit_for_bit(network: Network, data: ImageData, made: Recipe) -> None:
    first = fit(network, made, data, seed=3)
    torch.rand(7)  # whatever else draws in between
    second = fit(network, made, data, seed=3)
    assert losses(first) == losses(second)
    assert same(first.model, second.model)
    assert losses(fit(network, made, data, seed=4)) != losses(first)


def test_the_caller_keeps_its_random_numbers(network: Network, data: ImageData) -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    fit(network, recipe("plain(epochs=1)"), data, seed=3)
    assert torch.equal(torch.rand(2), expected)


def test_loader_processes_change_nothing(network: Network, data: ImageData) -> None:
    made = recipe("tricks(epochs=3, batch=16, drop_path=0.5, dropout=0.3)")
    assert losses(fit(network, made, data, seed=0, loader_processes=1)) == losses(fit(network, made, data, seed=0))


def test_a_batch_of_one_at_the_end(network: Network) -> None:
    result = fit(network, recipe("tricks(epochs=2, batch=16)"), make_data(train=33), seed=0)
    assert result.status == "finished"
    assert all(math.isfinite(epoch.train_loss) for epoch in result.curve)


def test_divergence_is_an_outcome(network: Network, data: ImageData) -> None:
    result = fit(network, recipe("plain(epochs=30, batch=16, lr=1000000, warmup_epochs=0)"), data, seed=0)
    assert result.status == "diverged"
    assert "loss is" in result.error
    assert f"epoch {len(result.curve) + 1}" in result.error
    assert all(math.isfinite(value) for row in losses(result) for value in row)


def test_train_loss_is_the_mean_over_images(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Step] = []
    lost: list[float] = []

    def watch(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        value = loss(logits, targets, smoothing)
        lost.append(float(value.detach()))
        return value

    monkeypatch.setattr("dorsal.tasks.classify.method.cross_entropy", watch)
    made = recipe("plain(epochs=1, batch=16)")
    result = fit(network, made, make_data(train=40), seed=0, on_step=steps.append)
    assert steps == [Step(1, 1, 3), Step(1, 2, 3), Step(1, 3, 3)]
    assert result.curve[0].train_loss == pytest.approx((16 * lost[0] + 16 * lost[1] + 8 * lost[2]) / 40)
    assert result.curve[0].learning_rate == learning_rate(made, 2, 3)


def test_the_returned_model_is_the_one_evaluated(network: Network, data: ImageData) -> None:
    for made in (PLAIN, TRICKS):
        result = fit(network, made, data, seed=0)
        score = evaluate(result.model, data.val, data)
        assert score.score == pytest.approx(result.curve[-1].score)
        assert score.loss == pytest.approx(result.curve[-1].val_loss, rel=1e-5)
        assert score.images == len(data.val)


def test_average_is_the_exponential_one(network: Network, data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    update = loop.AveragedModel.update_parameters

    def watch(self: torch.nn.Module, model: torch.nn.Module) -> None:
        seen.append({key: value.clone() for key, value in model.state_dict().items()})
        update(self, model)

    monkeypatch.setattr(loop.AveragedModel, "update_parameters", watch)
    result = fit(network, recipe("plain(epochs=2, batch=16, ema=0.3)"), data, seed=0)
    average = seen[0]
    for decay, state in zip((2 / 11, 3 / 12, 0.3, 0.3, 0.3), seen[1:], strict=True):
        average = {key: decay * average[key] + (1 - decay) * state[key] for key in state}
    assert len(seen) == 6
    for key, value in result.model.state_dict().items():
        if value.is_floating_point():  # parameters and running statistics
            assert torch.allclose(value, average[key], atol=1e-6), key


def test_precise_norms_are_those_of_the_training_images(network: Network, data: ImageData) -> None:
    precise = fit(network, recipe("plain(epochs=1, batch=20, precise_bn=40)"), data, seed=0).model
    running = fit(network, recipe("plain(epochs=1, batch=20)"), data, seed=0).model
    differ = {key for key, value in running.state_dict().items() if not torch.equal(value, precise.state_dict()[key])}
    assert differ == {key for key in precise.state_dict() if "running_" in key}


@pytest.mark.parametrize(
    "change",
    [
        "epochs=2",
        "batch=20",
        "optimizer=sgd",
        "optimizer=nesterov",
        "lr=0.02",
        "momentum=0.5",
        "weight_decay=0.1",
        "decay_on=all, weight_decay=0.1",
        "schedule=steps",
        "schedule=steps, steps=[0.5]",
        "lr_per=epoch",
        "warmup_epochs=1",
        "warmup_from=0.5",
        "cosine_starts_at=start",
        "label_smoothing=0.1",
        "mixup=0.5",
        "cutmix=0.5",
        "crop=area",
        "crop=area, min_area=0.5",
        "flip=false",
        "auto_augment=autoaugment",
        "drop_path=0.5",
        "drop_block=0.5",
        "dropout=0.5",
        "zero_init=true",
        "ema=0.9",
        "precise_bn=40",
    ],
)
def test_every_field_changes_training(network: Network, change: str) -> None:
    data = make_data(train=24, val=12, flip=True)
    base = "epochs=3, batch=12"
    without = change.rsplit(", ", 1)[0] if change.startswith(("schedule=steps, ", "crop=area, ")) else ""
    if change.startswith("decay_on"):
        without = "weight_decay=0.1"
    before = recipe(f"plain({base}, {without})" if without else f"plain({base})")
    edits = ", ".join(part for part in base.split(", ") if part.split("=")[0] not in change.split("="))
    after = recipe(f"plain({edits}, {change})")
    assert losses(fit(network, before, data, seed=0)) != losses(fit(network, after, data, seed=0))


def test_bf16_trains_and_another_precision_follows_in_one_process(network: Network, data: ImageData) -> None:
    made = recipe("plain(epochs=1, batch=16)")
    half = fit(network, made, data, seed=0, precision="bf16")
    full = fit(network, made, data, seed=0)
    assert losses(half) != losses(full)
    assert half.curve[0].train_loss == pytest.approx(full.curve[0].train_loss, rel=0.02)
    assert half.model(torch.zeros(1, 3, 16, 16)).dtype == torch.float32


def test_what_does_not_fit_is_refused(network: Network, data: ImageData) -> None:
    with pytest.raises(ValueError, match="classes=5 of the network, but the data have 3; nearest valid: classes=3"):
        fit(make_network(classes=5), PLAIN, data, seed=0)
    with pytest.raises(ValueError, match="seed=-1 is below 0; nearest valid: 0"):
        fit(network, PLAIN, data, seed=-1)
    with pytest.raises(ValueError, match="device=cuba is not there; nearest valid: "):
        fit(network, PLAIN, data, seed=0, device="cuba")


@pytest.mark.parametrize("name", NAMED)
def test_every_named_recipe_trains(network: Network, name: str, tmp_path: Path) -> None:
    made = recipe(f"{name}(epochs=2, batch=8, lr=0.01, warmup_epochs=0, min_scale=1, max_scale=1)")
    torch.save(build(network).state_dict(), tmp_path / "weights.pth")
    start = tmp_path / "weights.pth" if made.keeps_weights else None
    result = fit(network, made, make_data(train=16, val=6, flip=True), seed=0, start=start)
    assert (result.status, len(result.curve)) == ("finished", 2)


def test_callbacks_come_after_the_checkpoint(network: Network, data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    seen: list[tuple[Epoch, bool]] = []
    fit(
        network,
        recipe("plain(epochs=1)"),
        data,
        seed=0,
        checkpoint=path,
        on_epoch=lambda e: seen.append((e, path.exists())),
    )
    assert [exists for _, exists in seen] == [True]


def test_time_step_is_the_median_after_some_to_warm_up(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [50.0, 40.0, 3.0, 1.0, 2.0]  # the first two warm up
    ticks = iter([tick for end in taken for tick in (0.0, end)])
    monkeypatch.setattr("dorsal.train.timing.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert time_step(network, PLAIN, 16, device="cpu", steps=3) == 2
    with pytest.raises(ValueError, match="steps=0 is below 1"):
        time_step(network, PLAIN, 16, device="cpu", steps=0)


def test_evaluate_keeps_the_mode(network: Network, data: ImageData) -> None:
    model = build(network)
    evaluate(model, data.val, data, batch=7)
    assert model.training
