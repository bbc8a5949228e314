"""The loss of classification."""

import torch.nn.functional as F
from torch import Tensor


def loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy, a scalar, of logits [N, K] and labels int64 [N] or mixed targets float [N, K].

    `label_smoothing` eps gives eps / K to every class (arXiv 1512.00567 section 7), of mixed targets too.
    """
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
