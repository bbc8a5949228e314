"""What features tell of the classes: logistic regression and nearest neighbors, as logits of other images."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController
from torch import Tensor

from dorsal.data.sampling import held_out
from dorsal.recipes.probe import INNER_SHARE, Neighbors, PenaltyChoice, Probe, averages, check_images

TEMPERATURE = 0.07
"""Of a neighbor's vote (DINO, arXiv 2104.14294 section 4.1)."""
TOLERANCE = 1e-5
"""Largest value of the gradient of a regression that answers alone. Probabilities are then within about 0.002 of
the exact ones, with the weakest penalty of the default list; rounding to float32 does not let them come much closer."""
SWEEP_TOLERANCE = 1e-4
"""The same of each regression of a sweep, which is there to be compared or averaged."""
_MOST_STEPS = 1000
_CHUNK = 2**24
"""Similarities at a time: 64 MiB."""


def answer(
    recipe: Probe | Neighbors, features: Tensor, labels: Tensor, classes: int, asked: Tensor, seed: int
) -> tuple[Tensor, PenaltyChoice | None]:
    """Logits float32 [m, classes] for features `asked` [m, C], and what was chosen on the way.

    `features` float32 [n, C] and `labels` int64 [n] are of the training images, all on one device. `seed` draws the
    inner split of a probe, and nothing else. Raises ValueError as `check_images` does, with classes by their numbers.
    """
    check_images(recipe, labels.bincount(minlength=classes).tolist(), tuple(map(str, range(classes))))
    if isinstance(recipe, Neighbors):
        return neighbors(features, labels, classes, asked, recipe.k), None
    return fit_probe(features, labels, classes, asked, recipe, seed)


def fit_probe(
    features: Tensor, labels: Tensor, classes: int, asked: Tensor, probe: Probe, seed: int
) -> tuple[Tensor, PenaltyChoice]:
    """As `answer`. The logits of an average are the logarithms of the mean probabilities."""
    features, asked = _standardized(features, asked)
    strongest_first = tuple(reversed(probe.penalties))
    if averages(probe, len(labels), classes):
        found = regressions(features, labels, classes, strongest_first, SWEEP_TOLERANCE)
        mean = torch.stack([F.log_softmax(F.linear(asked, w, b), 1) for w, b in found]).logsumexp(0)
        return mean - float(np.log(len(found))), PenaltyChoice(penalty=None)
    penalty, start = probe.penalties[0], None
    inner: tuple[float, ...] = ()
    if len(probe.penalties) > 1:
        learnt, held = (torch.from_numpy(rows) for rows in held_out(labels.cpu().numpy(), INNER_SHARE, seed))
        tried = regressions(features[learnt], labels[learnt], classes, strongest_first, SWEEP_TOLERANCE)
        right = [int((F.linear(features[held], w, b).argmax(1) == labels[held]).sum()) for w, b in tried]
        best = right.index(max(right))
        penalty, start = strongest_first[best], tried[best]
        inner = tuple(100 * count / len(held) for count in reversed(right))
    ((weights, biases),) = regressions(features, labels, classes, (penalty,), TOLERANCE, start)
    return F.linear(asked, weights, biases), PenaltyChoice(penalty=penalty, inner=inner)


def regressions(
    features: Tensor,
    labels: Tensor,
    classes: int,
    penalties: Sequence[float],
    tolerance: float,
    start: tuple[Tensor, Tensor] | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Weights [classes, C] and biases [classes] of multinomial logistic regression, one pair a penalty: see `Probe`.

    L-BFGS, each penalty from the solution of the one before it, the first from `start` or zero. It ends where no value
    of the gradient is above `tolerance`.
    """
    channels = features.shape[1]
    rows = torch.arange(len(labels), device=labels.device)
    penalty = 0.0

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, biases = _split(flat, classes, channels, features)
        logits = F.linear(features, weights, biases)
        total = logits.logsumexp(1, keepdim=True)
        loss = (total[:, 0] - logits[rows, labels]).double().mean() + penalty / 2 * weights.double().square().sum()
        slope = (logits - total).exp_()
        slope[rows, labels] -= 1
        slope /= len(labels)
        gradient = torch.cat([(slope.T @ features + penalty * weights).flatten(), slope.sum(0)])
        return float(loss), gradient.cpu().double().numpy()

    flat = np.zeros(classes * (channels + 1))
    if start is not None:
        flat = torch.cat([start[0].flatten(), start[1]]).cpu().double().numpy()
    found = []
    options = {"gtol": tolerance, "ftol": 0.0, "maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS}
    # SciPy's own linear algebra is of short vectors, where threads wait longer than they work.
    with _blas().limit(limits=1):
        for penalty in penalties:  # noqa: B007  # the closure reads it
            flat = minimize(loss_and_gradient, flat, jac=True, method="L-BFGS-B", options=options).x
            found.append(_split(flat, classes, channels, features))
    return found


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's and SciPy's linear algebra. Kept, since finding it takes longer than a small regression."""
    return ThreadpoolController().select(internal_api="openblas")


def neighbors(features: Tensor, labels: Tensor, classes: int, asked: Tensor, k: int) -> Tensor:
    """Logits float32 [m, classes] by the votes of the k nearest: see `Neighbors`.

    A logit is the logarithm of a class's share of the votes, one more vote being shared by all classes alike, so that a
    class without a neighbor has one too.
    """
    features, asked = F.normalize(features), F.normalize(asked)
    parts = []
    for some in torch.split(asked, max(_CHUNK // len(features), 1)):
        near, places = _nearest(some @ features.T, k)
        share = (near / TEMPERATURE).softmax(1)
        votes = asked.new_zeros(len(some), classes).scatter_add_(1, labels[places], share)
        parts.append(((k * votes + 1 / classes) / (k + 1)).log())
    return torch.cat(parts)


def _nearest(similar: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, and their places; of equal ones at the end of the k the first."""
    values, places = similar.topk(min(k + 1, similar.shape[1]), dim=1)
    if similar.shape[1] > k:
        tied = values[:, k - 1] == values[:, k]
        if tied.any():  # few rows: sorting takes long
            ordered, order = similar[tied].sort(stable=True, dim=1, descending=True)
            values[tied], places[tied] = ordered[:, : k + 1], order[:, : k + 1]
    return values[:, :k], places[:, :k]


def _standardized(features: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the mean of the training images taken off and divided by their standard deviation; what does not vary
    among them becomes 0."""
    deviation, mean = torch.std_mean(features, 0, correction=0)
    constant = deviation <= 1e-6 * mean.abs()
    scale = torch.where(constant, 0.0, 1 / deviation)
    return (features - mean) * scale, (asked - mean) * scale


def _split(flat: NDArray[np.float64], classes: int, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.from_numpy(flat).to(like)
    return both[: classes * channels].view(classes, channels), both[classes * channels :]
