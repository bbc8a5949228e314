"""The method of classification: its losses by hand, its score against torchmetrics, its evidence."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from dorsal.recipes.recipe import Recipe
from dorsal.spec.task import Classify, metric_of
from dorsal.tasks.classify.method import ClassifyMethod, cross_entropy
from dorsal.tasks.classify.score import ClassifyScorer, score_of

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
LABELS = torch.tensor([0, 1, 0])


def losses(recipe: Recipe, targets: Tensor, train_labels: list[int]) -> Tensor:
    method = ClassifyMethod(np.array(train_labels), 3)
    (loss,) = method.losses(nn.Identity(), LOGITS, targets, recipe).values()
    return loss


def test_cross_entropy_by_hand() -> None:
    parts = [math.log(math.exp(2) + 2) - 2, math.log(math.e + 2) - 1, math.log(math.exp(3) + 2)]
    assert float(cross_entropy(LOGITS, LABELS)) == pytest.approx(sum(parts) / 3)
    assert float(losses(Recipe(), LABELS, [0, 1, 2])) == pytest.approx(sum(parts) / 3)


def test_smoothing_gives_every_class_its_share() -> None:
    targets = torch.full((3, 3), 0.3 / 3)
    targets[torch.arange(3), LABELS] += 0.7
    by_hand = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    assert torch.allclose(losses(Recipe(label_smoothing=0.3), LABELS, [0, 1, 2]), by_hand)
    one_hot = torch.eye(3)[LABELS]
    assert torch.allclose(losses(Recipe(label_smoothing=0.3), one_hot, [0, 1, 2]), by_hand)


def test_mixed_targets_are_a_mixed_loss() -> None:
    other = torch.tensor([1, 1, 2])
    mixed = 0.4 * torch.eye(3)[LABELS] + 0.6 * torch.eye(3)[other]
    both = 0.4 * cross_entropy(LOGITS, LABELS) + 0.6 * cross_entropy(LOGITS, other)
    assert torch.allclose(cross_entropy(LOGITS, mixed), both)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = [0] * 6 + [1] * 3 + [2]
    each = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    weights = torch.tensor([10 / 18, 10 / 9, 10 / 3])
    balanced = Recipe(class_weights="balanced")
    assert torch.allclose(losses(balanced, LABELS, labels), (each * weights[LABELS]).mean())
    assert torch.allclose(losses(balanced, torch.eye(3)[LABELS], labels), (each * weights[LABELS]).mean())


def test_balanced_weights_change_nothing_where_classes_are_equal() -> None:
    assert torch.allclose(losses(Recipe(class_weights="balanced"), LABELS, [0, 1, 2]), cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("classes", [3, 5, 12])
def test_score_is_that_of_torchmetrics_for_any_batches_in_any_order(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(100, classes, generator=generator)
    labels = torch.randint(classes - 1, (100,), generator=generator)  # of the last class there is no image
    parts = [ClassifyScorer(classes), ClassifyScorer(classes)]
    for turn, indices in enumerate((range(60, 100), range(7), range(7, 60))):
        parts[turn % 2].add(indices, logits[indices], labels[indices])
    score = parts[0].merged(parts).score()

    def accuracy(average: str, top_k: int = 1) -> float:
        return 100 * float(MulticlassAccuracy(classes, average=average, top_k=top_k)(logits, labels))

    assert score.score == pytest.approx(accuracy("micro"))
    assert ("top-5 accuracy" in score.scores) == (classes > 5)  # of fewer classes it is 100 %
    if classes > 5:
        assert score.scores["top-5 accuracy"] == pytest.approx(accuracy("micro", 5))
    recalls = recall_score(labels, logits.argmax(1), labels=range(classes - 1), average="macro")
    assert score.scores["mean accuracy of classes"] == pytest.approx(100 * recalls)
    assert score.loss == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-6)
    assert score.images == 100
    each = MulticlassAccuracy(classes, average="none")(logits, labels)
    assert score.per_class[:-1] == pytest.approx((100 * each[:-1]).tolist())
    assert score.per_class[-1] is None


def test_evidence_is_in_the_order_of_the_split_and_gives_the_score_exactly() -> None:
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    logits[:, 1] = logits[:, 0] + 1e-6  # half precision cannot tell them apart
    labels = torch.arange(30) % 4
    scorer = ClassifyScorer(4)
    for indices in (range(20, 30), range(20)):
        scorer.add(indices, logits[indices], labels[indices])
    evidence = scorer.evidence()
    assert score_of(evidence) == scorer.score().score
    assert evidence["label"].tolist() == labels.tolist()
    assert evidence["logits"].dtype == np.float16
    assert np.array_equal(evidence["logits"], logits.half().numpy())
    assert evidence["predicted"].tolist() == logits.argmax(1).tolist()


def test_a_loss_that_is_not_a_number_is_not_dropped() -> None:
    scorer = ClassifyScorer(3)
    scorer.add(range(3), LOGITS, LABELS)
    scorer.add(range(3, 6), LOGITS * float("nan"), LABELS)
    loss = scorer.score().loss
    assert loss is not None
    assert math.isnan(loss)


def test_the_metric_is_accuracy() -> None:
    assert metric_of(Classify()) == ClassifyMethod.metric
    assert metric_of(Classify()).short == "accuracy"
