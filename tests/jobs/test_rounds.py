"""What the rounds of a choice look at: portions that grow, each with the images of those before, and colors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dorsal.data.colors import color_histograms
from dorsal.data.growing import added, class_ranks, ranks
from dorsal.jobs import rounds
from dorsal.jobs.candidates import license_of, models_in
from dorsal.jobs.plan import Portion
from dorsal.spec.licenses import is_allowed
from dorsal.weights.fetch import has_copy
from dorsal.weights.published import find_published
from dorsal.zoo import network


class Pictures:
    """A split in memory."""

    groups = None

    def __init__(self, images: torch.Tensor, labels: Any) -> None:
        self.stacked, self.labels = images, np.asarray(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> torch.Tensor:
        return self.stacked[index]


class Opened:
    """Data with so many training images of each class, of which so many are held out."""

    def __init__(self, of_class: tuple[int, ...], held: int) -> None:
        self.classes = tuple(map(str, range(len(of_class))))
        self.train = Pictures(torch.zeros(sum(of_class)), np.repeat(range(len(of_class)), of_class))
        self.val = range(held)


@pytest.mark.parametrize(
    ("of_class", "held", "expected"),
    [
        ((8, 8), 4, [(8, 16, 4, 1)]),
        ((79, 79), 17, [(79, 158, 17, 1)]),
        ((90, 20), 17, [(40, 60, 17, 4), (90, 110, 17, 1)]),
        ((90, 3, 200), 300, [(40, 83, 300, 3), (200, 293, 300, 1)]),
        ((800,) * 10, 2000, [(40, 400, 500, 4), (160, 1600, 1600, 4), (800, 8000, 2000, 1)]),
    ],
)
def test_portions_begin_with_forty_of_each_class_in_four_draws_and_end_with_all_in_one(
    of_class: tuple[int, ...], held: int, expected: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "data_of", lambda _: Opened(of_class, held))
    assert rounds.portions_of(None) == tuple(Portion(*each) for each in expected)  # type: ignore[arg-type]


def test_a_class_without_an_image_to_learn_from_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "data_of", lambda _: Opened((3, 0), 1))
    with pytest.raises(ValueError, match="class '1' has no training image"):
        rounds.portions_of(None)  # type: ignore[arg-type]


def test_rounds_add_images_and_keep_those_before() -> None:
    labels = np.array([0, 1] * 20 + [1] * 10)
    images = Pictures(torch.arange(50).view(50, 1, 1, 1), labels)
    order = class_ranks(labels, seed=0)
    assert sorted(order[labels == 0]) == list(range(20))
    parts = added(images, order, [5, 12, 30])
    assert list(parts) == ["0 to 5", "5 to 12", "12 to 30"]
    assert [np.bincount(part.labels).tolist() for part in parts.values()] == [[5, 5], [7, 7], [8, 18]]
    seen = [int(part.image(index)) for part in parts.values() for index in range(len(part))]
    assert sorted(seen) == list(range(50))
    longer = added(images, order, [5, 12])
    assert [int(longer["0 to 5"].image(index)) for index in range(10)] == seen[:10]
    assert list(added(images, ranks(50, seed=0), [50, 50])) == ["0 to 50"]  # the second round adds nothing


def test_the_answers_of_each_draw_are_scored_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "label": np.array([0, 1, 1, 0, 1, 1]),
        "predicted": np.array([0, 1, 1, 0, 1, 0]),
        "group": np.array([7, 8, 8, 7, 8, 8]),
    }
    monkeypatch.setattr(rounds, "read_predictions", lambda *_: said)
    first, second = rounds.ratios_of(None, 2, tmp_path)  # type: ignore[arg-type]
    assert (first.score(), second.score()) == (100.0, pytest.approx(200 / 3))
    assert first.groups is not None
    assert first.groups.tolist() == [7, 8, 8]


def test_color_histograms_know_colors_and_not_places() -> None:
    red, blue = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    red[0], blue[2] = 255, 255
    half = torch.cat([red[:, :4], blue[:, 4:]], 1)
    found = color_histograms(Pictures(torch.stack([red, blue, half, half.flip(1)]), range(4)), 3)  # type: ignore[arg-type]
    assert found.shape == (4, 512)
    assert np.allclose((found**2).sum(1), 1)
    assert (found[2] == found[3]).all()
    assert np.allclose(found[2] ** 2, (found[0] ** 2 + found[1] ** 2) / 2)
    gray = torch.full((1, 1, 8, 8), 128, dtype=torch.uint8)
    assert color_histograms(Pictures(gray, [0]), 1).argmax() == 32  # type: ignore[arg-type]


def test_licenses_are_known_without_a_download_and_compared_without_case() -> None:
    resnet = network("resnet50")
    assert license_of("torchvision_v1", resnet) == "BSD-3-Clause"
    assert license_of("resnet50.timm_fb_swsl_ig1b_ft_in1k", resnet) == "CC-BY-NC-4.0"
    assert is_allowed("bsd-3-clause", "permissive")
    assert is_allowed("mit", "MIT")
    assert not any(is_allowed(license, "permissive") for license in ("", "unknown", "CC-BY-NC-4.0", "not stated"))


def test_a_copy_in_the_named_folder_or_the_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = find_published("resnet20.akamaster_cifar10")
    monkeypatch.setenv("DORSAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DORSAL_WEIGHTS", str(tmp_path))
    assert not has_copy(entry)
    (tmp_path / entry.local_name).touch()
    assert has_copy(entry)
    monkeypatch.delenv("DORSAL_WEIGHTS")
    assert not has_copy(entry)
    (tmp_path / "home" / "weights").mkdir(parents=True)
    (tmp_path / "home" / "weights" / entry.local_name).touch()
    assert has_copy(entry)


def test_a_folder_without_models_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no model: there is no model.json in it; `dorsal train` and"):
        models_in(str(tmp_path))
