"""Mean IoU against detectron2's numbers and torchmetrics, in any order and in parts; its images drawn again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from dorsal.annotations.annotation import Annotation
from dorsal.data.view import Seen, whole
from dorsal.stats import compare_fixed
from dorsal.tasks.contributions import iou_contributions
from dorsal.tasks.semantic.score import SemanticScorer
from tests.tasks.golden import golden

Maps = list[Tensor]


def images(seed: int, count: int = 6, classes: int = 5, unlabelled: float = 0.1) -> tuple[Maps, Maps]:
    """Found and true maps of different sizes; the last class is found and never true, the one before rarely true."""
    generator = torch.Generator().manual_seed(seed)
    found, truth = [], []
    for index in range(count):
        size = (7 + index, 12 - index % 3)
        target = torch.randint(classes - (1 if index == 0 else 2), size, generator=generator)
        wrong = torch.rand(size, generator=generator) < 0.3
        found.append(torch.where(wrong, torch.randint(classes, size, generator=generator), target))
        truth.append(torch.where(torch.rand(size, generator=generator) < unlabelled, 255, target))
    return found, truth


def annotated(maps: Maps) -> list[Annotation]:
    return [Annotation(size=tuple(each.shape), semantic=each.numpy().astype(np.uint8)) for each in maps]


def seen(maps: Maps) -> list[Seen]:
    return [Seen(whole(truth.size, 8), truth) for truth in annotated(maps)]


def scorer(found: Maps, truth: Maps, classes: int = 5) -> SemanticScorer:
    made = SemanticScorer(classes)
    made.add(range(len(found)), annotated(found), seen(truth))
    return made


def test_scores_are_detectron2s(real_data: Path) -> None:
    item = golden(real_data, "seg_miou")
    maps = ([item.tensors[f"in.{kind}_{index}"] for index in range(3)] for kind in ("pred", "gt"))
    made = scorer(*maps, classes=6)
    score, library = made.score(), item.values["library"]
    assert score.score == pytest.approx(library["mIoU"], abs=1e-9)
    assert score.score == pytest.approx(100 * item.values["mean_over_classes_in_truth"], abs=1e-9)
    assert score.scores["pixel accuracy"] == pytest.approx(library["pACC"], abs=1e-9)
    assert score.scores["mean accuracy of classes"] == pytest.approx(library["mACC"], abs=1e-9)
    assert score.scores["frequency-weighted IoU"] == pytest.approx(library["fwIoU"], abs=1e-9)
    for index, value in enumerate(score.per_class):
        expected = library[f"IoU-{index}"]
        assert value is None if expected is None else value == pytest.approx(expected, abs=1e-9)
    assert (score.images, score.loss) == (3, None)
    ratios = iou_contributions(made.evidence())
    single = ratios.fold(np.eye(3))
    assert single.tolist() == pytest.approx(item.values["per_image_miou_percent"], abs=1e-9)


def test_scores_of_three_pixels_by_hand() -> None:
    """Truth 0 0 1, found 0 1 2: class 0 has 1 of 2, class 1 has 0 of 2, class 2 is not in the truth."""
    score = scorer([torch.tensor([[0, 1, 2]])], [torch.tensor([[0, 0, 1]])], classes=3).score()
    assert score.per_class == (50, 0, None)
    assert score.score == 25
    assert score.scores == pytest.approx(
        {"pixel accuracy": 100 / 3, "mean accuracy of classes": 25, "frequency-weighted IoU": 100 / 3}
    )


@pytest.mark.parametrize("seed", range(3))
def test_iou_of_each_class_is_torchmetrics(seed: int) -> None:
    found, truth = images(seed)
    score = scorer(found, truth).score()
    metric = MulticlassJaccardIndex(5, ignore_index=255, average="none")
    for said, target in zip(found, truth, strict=True):
        metric.update(said[None], target[None])
    expected = 100 * metric.compute()
    assert score.per_class[:4] == pytest.approx(expected[:4].tolist(), abs=1e-4)  # torchmetrics has float32
    assert score.per_class[4] is None  # there 0, which lowers its mean
    assert score.score == pytest.approx(float(expected[:4].mean()), abs=1e-4)


def test_any_batches_in_any_order_and_any_number_of_processes_score_alike() -> None:
    found, truth = images(0)
    parts = [SemanticScorer(5), SemanticScorer(5)]
    for turn, index in enumerate((4, 1, 0, 5, 3, 2)):
        parts[turn % 2].add([index], annotated([found[index]]), seen([truth[index]]))
    merged, whole = parts[0].merged(parts), scorer(found, truth)
    assert merged.score() == whole.score()
    assert all(np.array_equal(merged.evidence()[name], column) for name, column in whole.evidence().items())


def test_maps_of_bytes_and_of_16_bits_score_alike() -> None:
    found, truth = images(1)
    expected = scorer(found, truth).score()
    assert scorer([m.to(torch.uint8) for m in found], [m.to(torch.uint8) for m in truth]).score() == expected
    wide = SemanticScorer(5)
    unknown = [np.where(m == 255, 65535, m).astype(np.uint16) for m in truth]
    wide.add(
        range(6), annotated(found), [Seen(whole(m.shape, 8), Annotation(size=m.shape, semantic=m)) for m in unknown]
    )
    assert wide.score() == expected


def test_truth_fed_as_found_is_perfect_and_what_is_not_labelled_does_not_count() -> None:
    found, truth = images(2)
    perfect = scorer([torch.where(m == 255, 0, m) for m in truth], truth).score()
    assert perfect.score == perfect.scores["pixel accuracy"] == 100
    other = [torch.where(t == 255, 3, m) for m, t in zip(found, truth, strict=True)]
    assert scorer(other, truth).score() == scorer(found, truth).score()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
def test_images_drawn_again_score_as_copies_of_them(counts: list[int]) -> None:
    """Class 3 is true in image 0 alone, and class 4 never: both are found all over."""
    found, truth = images(3)
    drawn = [index for index, count in enumerate(counts) for _ in range(count)]
    copies = scorer([found[index] for index in drawn], [truth[index] for index in drawn]).score()
    assert (copies.per_class[3] is None) == (counts[0] == 0)
    ratios = iou_contributions(scorer(found, truth).evidence())
    assert ratios.fold(np.array([counts], dtype=float))[0] == pytest.approx(copies.score, abs=1e-9)


def test_two_models_are_compared_although_they_find_other_classes() -> None:
    found, truth = images(4)
    first, second = (iou_contributions(scorer(maps, truth).evidence()) for maps in (found, [m % 4 for m in found]))
    assert not np.array_equal(first.bottom > 0, second.bottom > 0)
    pair = compare_fixed(first, second, draws=200)
    assert pair.difference.value == pytest.approx(first.score() - second.score())
    with pytest.raises(ValueError, match="different images"):
        compare_fixed(first, iou_contributions(scorer(truth[::-1], truth[::-1]).evidence()), draws=200)


def test_what_is_no_score_is_refused() -> None:
    found, truth = images(0)
    with pytest.raises(ValueError, match=r"image 3 of the split: the map found is \[7, 12\], its target \[8, 11\]"):
        SemanticScorer(5).add([3], annotated(found[:1]), seen(truth[1:2]))
    with pytest.raises(ValueError, match="no image was scored"):
        SemanticScorer(5).score()
    with pytest.raises(ValueError, match="no pixel has a class: there is no score"):
        scorer(found, [torch.full_like(m, 255) for m in truth]).score()
