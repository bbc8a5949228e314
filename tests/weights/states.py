"""Random states of networks, made from layer records: no module is built."""

import torch

from dorsal.weights.formats import dorsal
from dorsal.weights.formats.table import make_table


def shapes_of(network):
    """Our names and shapes."""
    return {entry.ours: entry.shape for entry in make_table(network, dorsal.names(network)).entries}


def random_state(network, dtype=torch.float64, seed=0):
    """A state with random norm scales, shifts and statistics, so that no layer can hide."""
    draw = torch.Generator().manual_seed(seed)

    def tensor(name, shape):
        if not shape:
            return torch.randint(1, 1000, (), generator=draw)
        noise = torch.randn(shape, generator=draw).to(dtype)  # drawn in float32, which takes a third of the time
        if len(shape) > 1:
            return noise / noise[0].numel() ** 0.5
        centre = 1.0 if name.endswith("running_var") or name.endswith("norm.weight") else 0.0
        return centre + 0.2 * noise.clamp(-2, 2)

    return {name: tensor(name, shape) for name, shape in shapes_of(network).items()}


def meta_state(network):
    """Shapes only."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes_of(network).items()}
