import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from dorsal.data.sampling import held_out
from dorsal.recipes.probe import INNER_SHARE, Neighbors, Probe
from dorsal.tasks.classify.method import cross_entropy
from dorsal.tasks.classify.score import ClassifyScorer, score_of
from dorsal.train import probe as module
from dorsal.train.probe import TEMPERATURE, answer, fit_probe, neighbors, regressions


def blobs(
    images: int, channels: int = 12, classes: int = 3, apart: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Overlapping classes in correlated channels of different scale, none of them near zero."""
    random = np.random.default_rng(0)
    means, mix = random.normal(size=(classes, channels)) * apart, random.normal(size=(channels, channels))
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    found = (means[labels] + random.normal(size=(images, channels)) @ mix / 3) * np.geomspace(0.1, 10, channels) + 5
    return torch.from_numpy(found).float(), torch.from_numpy(labels)


def scaled(features: Tensor, asked: Tensor) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = features.double().mean(0), features.double().std(0, correction=0)
    return ((features - mean) / deviation).numpy(), ((asked - mean) / deviation).numpy()


@pytest.mark.parametrize("penalty", [1.0, 0.01, 0.001])
@pytest.mark.parametrize("classes", [2, 7])
def test_the_regression_is_that_of_scikit_learn(monkeypatch, classes, penalty):
    features, labels = blobs(300, classes=classes)
    asked, _ = blobs(100, classes=classes, seed=1)
    x, z = scaled(features, asked)
    # Of two classes scikit-learn has one vector, the difference of ours: its square is twice the sum of our squares.
    times = 2 if classes == 2 else 1
    theirs = LogisticRegression(C=times / (penalty * len(x)), tol=1e-8, max_iter=10_000).fit(x, labels.numpy())
    probe = Probe(penalties=(penalty,))
    logits, choice = fit_probe(features, labels, classes, asked, probe, 0)
    assert (choice.penalty, choice.inner) == (penalty, ())
    np.testing.assert_allclose(logits.softmax(1).numpy(), theirs.predict_proba(z), atol=1e-3)
    monkeypatch.setattr(module, "TOLERANCE", 1e-8)  # to the end, and without the rounding of float32
    logits, _ = fit_probe(features.double(), labels, classes, asked.double(), probe, 0)
    np.testing.assert_allclose(logits.softmax(1).numpy(), theirs.predict_proba(z), atol=1e-5)


def test_a_path_of_penalties_ends_where_each_alone_does():
    features, labels = blobs(300)
    features = torch.from_numpy(scaled(features, features)[0])
    penalties = (1.0, 0.1, 0.01)
    for (weights, biases), penalty in zip(regressions(features, labels, 3, penalties, 1e-8), penalties, strict=True):
        ((alone, bias),) = regressions(features, labels, 3, (penalty,), 1e-8)
        torch.testing.assert_close(weights, alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(biases - biases.mean(), bias - bias.mean(), atol=1e-5, rtol=0)


def test_the_penalty_is_chosen_on_images_that_the_seed_draws():
    features, labels = blobs(600, channels=60, apart=0.3)
    asked, _ = blobs(50, channels=60, apart=0.3, seed=1)
    probe = Probe(penalties=(1e-4, 0.01, 1.0, 100.0))
    logits, choice = fit_probe(features, labels, 3, asked, probe, 1)
    learnt, held = held_out(labels.numpy(), INNER_SHARE, 1)
    x, z = scaled(features, asked)
    inner = []
    for penalty in probe.penalties:
        tried = LogisticRegression(C=1 / (penalty * len(learnt)), max_iter=10_000).fit(
            x[learnt], labels.numpy()[learnt]
        )
        inner.append(100 * tried.score(x[held], labels.numpy()[held]))
    np.testing.assert_allclose(choice.inner, inner, atol=1.7)  # two of 120 images, as the comparison stops early
    best = max(choice.inner)
    assert choice.penalty == max(p for p, each in zip(probe.penalties, choice.inner, strict=True) if each == best)
    refit = LogisticRegression(C=1 / (choice.penalty * len(x)), tol=1e-8, max_iter=10_000).fit(x, labels.numpy())
    np.testing.assert_allclose(logits.softmax(1).numpy(), refit.predict_proba(z), atol=2e-3)
    again, same = fit_probe(features, labels, 3, asked, probe, 1)
    assert torch.equal(again, logits)
    assert same == choice
    assert fit_probe(features, labels, 3, asked, probe, 2)[1].inner != choice.inner


def test_few_images_are_answered_by_the_average_of_all_penalties(monkeypatch):
    features, labels = blobs(30)
    asked, _ = blobs(20, seed=1)
    probe = Probe(penalties=(0.01, 1.0))
    monkeypatch.setattr(module, "held_out", lambda *_: pytest.fail("split"))
    logits, choice = answer(probe, features, labels, 3, asked, 0)
    assert (choice.penalty, choice.inner) == (None, ())
    alone = [fit_probe(features, labels, 3, asked, Probe(penalties=(p,)), 0)[0] for p in probe.penalties]
    mean = torch.stack([each.softmax(1) for each in alone]).mean(0)
    torch.testing.assert_close(logits.exp(), mean, atol=5e-3, rtol=0)  # those of a sweep stop earlier


def test_a_feature_that_never_varies_does_no_harm():
    features, labels = blobs(90)
    asked, _ = blobs(20, seed=1)
    probe = Probe(penalties=(0.01,))
    expected, _ = fit_probe(features, labels, 3, asked, probe, 0)
    constant = [
        torch.cat([each, torch.full((len(each), 1), value)], 1) for each, value in ((features, 3.0), (asked, 9.0))
    ]
    found, _ = fit_probe(constant[0], labels, 3, constant[1], probe, 0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def votes(features: Tensor, labels: Tensor, classes: int, asked: Tensor, k: int) -> np.ndarray:
    """The shares of `neighbors`, image by image."""
    unit, shares = features / features.norm(dim=1, keepdim=True), []
    for image in asked:
        cosines = (unit @ (image / image.norm())).tolist()
        share = np.zeros(classes)
        for place in sorted(range(len(cosines)), key=lambda place: (-cosines[place], place))[:k]:
            share[labels[place]] += np.exp(cosines[place] / TEMPERATURE)
        shares.append(share / share.sum())
    return np.array(shares)


@pytest.mark.parametrize("k", [1, 5, 60])
def test_neighbors_are_those_found_one_by_one_and_by_scikit_learn(monkeypatch, k):
    monkeypatch.setattr(module, "_CHUNK", 60 * 7)  # several chunks, the last one smaller
    features, labels = blobs(60)
    asked, _ = blobs(40, seed=1)
    logits, choice = answer(Neighbors(k=k), features, labels, 3, asked, 0)
    assert choice is None
    shares = logits.exp() * (k + 1) / k - 1 / (3 * k)
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(40))
    np.testing.assert_allclose(shares.numpy(), votes(features, labels, 3, asked, k), atol=1e-4)
    theirs = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / TEMPERATURE)
    )
    theirs.fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(shares.numpy(), theirs.predict_proba(asked.numpy()), atol=1e-4)


def test_of_equally_near_images_the_first_vote():
    features = torch.eye(4)[[0, 1, 1, 1, 0, 2]]
    labels = torch.tensor([3, 0, 1, 2, 3, 0])
    logits = neighbors(features, labels, 4, torch.eye(4)[[1]], 2)
    assert logits.argsort(descending=True)[0, :2].sort().values.tolist() == [0, 1]
    assert logits[0, 0] == logits[0, 1]


def test_answers_are_scored_as_those_of_training():
    features, labels = blobs(300, apart=2.0)
    asked, truth = blobs(90, apart=2.0, seed=1)
    for recipe in (Probe(), Neighbors()):
        logits, _ = answer(recipe, features, labels, 3, asked, 0)
        assert (logits.dtype, logits.shape) == (torch.float32, (90, 3))
        scorer = ClassifyScorer(3)
        scorer.add(range(90), logits, truth)
        score = scorer.score()
        assert score.score == score_of(scorer.evidence()) > 90
        assert score.loss == pytest.approx(float(cross_entropy(logits, truth)))


def test_too_few_images_are_refused():
    features, labels = blobs(30)
    with pytest.raises(ValueError, match="k=31 of neighbors is above the 30 training images; nearest valid: k=30"):
        answer(Neighbors(k=31), features, labels, 3, features, 0)
    with pytest.raises(ValueError, match="class '3' has no training image"):
        answer(Probe(), features, labels, 4, features, 0)
