"""Random states for tests, in which no layer can hide."""

import torch


def randomised(state, seed=0):
    """The state with random norm scales, shifts and statistics."""
    draw = torch.Generator().manual_seed(seed)

    def random(key, value):
        if key.endswith("running_var"):
            return torch.rand(value.shape, generator=draw, dtype=value.dtype) + 0.5
        if value.ndim == 1 and value.dtype.is_floating_point:
            centre = 1.0 if key.endswith("weight") else 0.0
            return centre + 0.2 * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        return value

    return {key: random(key, value) for key, value in state.items()}
