import math

import pytest
import torch

from dorsal.tasks.classify.loss import loss
from dorsal.tasks.classify.metric import Scorer

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
LABELS = torch.tensor([0, 1, 0])


def test_cross_entropy_by_hand() -> None:
    parts = [math.log(math.exp(2) + 2) - 2, math.log(math.e + 2) - 1, math.log(math.exp(3) + 2)]
    assert float(loss(LOGITS, LABELS)) == pytest.approx(sum(parts) / 3)


def test_smoothing_gives_every_class_its_share() -> None:
    targets = torch.full((3, 3), 0.3 / 3)
    targets[torch.arange(3), LABELS] += 0.7
    by_hand = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    assert torch.allclose(loss(LOGITS, LABELS, 0.3), by_hand)
    one_hot = torch.eye(3)[LABELS]
    assert torch.allclose(loss(LOGITS, one_hot, 0.3), by_hand)


def test_mixed_targets_are_a_mixed_loss() -> None:
    other = torch.tensor([1, 1, 2])
    mixed = 0.4 * torch.eye(3)[LABELS] + 0.6 * torch.eye(3)[other]
    assert torch.allclose(loss(LOGITS, mixed), 0.4 * loss(LOGITS, LABELS) + 0.6 * loss(LOGITS, other))


def test_score_counts_images_over_batches_of_any_size() -> None:
    scorer = Scorer(3, torch.device("cpu"))
    scorer.update(LOGITS[:2], LABELS[:2])
    scorer.update(LOGITS[2:], LABELS[2:])
    score = scorer.score()
    assert score.accuracy == pytest.approx(200 / 3)
    assert score.top5 == 100
    assert score.loss == pytest.approx(float(loss(LOGITS, LABELS)))
    assert score.images == 3
    assert score.per_class == (50.0, 100.0, None)


def test_top5_is_among_the_five_highest() -> None:
    logits = torch.arange(10.0).expand(10, 10)
    scorer = Scorer(10, torch.device("cpu"))
    scorer.update(logits, torch.arange(10))
    assert (scorer.score().accuracy, scorer.score().top5) == pytest.approx((10, 50))


def test_a_loss_that_is_not_a_number_is_not_dropped() -> None:
    scorer = Scorer(3, torch.device("cpu"))
    scorer.update(LOGITS, LABELS)
    scorer.update(LOGITS * float("nan"), LABELS)
    assert math.isnan(scorer.score().loss)
