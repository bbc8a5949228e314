"""Throughput of the loop of `dorsal.train` against a bare torch loop, alternating in one run.

    python benchmarks/loop_overhead.py [rounds] [images]

Both loops get the same prepared batches and make the same step: forward, loss, backward, update, loss read back. A
round is one epoch of each, in turns. Time is that of the processor, on one thread: other programs disturb it less.
"""

import statistics
import sys
import time
from collections.abc import Callable

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor

from dorsal.data.dataset import ImageData, open_data, order, to_float
from dorsal.data.spec import Scenes
from dorsal.nn.build import build
from dorsal.recipes.text import recipe
from dorsal.train import loop
from dorsal.zoo import network

NETWORK = network("small")
RECIPE = recipe("plain(optimizer=nesterov, decay_on=all)")
Batches = list[tuple[Tensor, Tensor]]


def bare_epoch(batches: Batches) -> Callable[[], None]:
    model = build(NETWORK).to(memory_format=torch.channels_last).train()  # as the loop has it
    optimizer = torch.optim.SGD(
        model.parameters(), RECIPE.lr, RECIPE.momentum, nesterov=True, weight_decay=RECIPE.weight_decay
    )

    def epoch() -> None:
        for images, labels in batches:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def our_epoch(batches: Batches, data: ImageData) -> Callable[[], None]:
    run = loop._assemble(NETWORK, RECIPE, data, 0, loop._accelerator("cpu", "no"), 0)
    run = msgspec.structs.replace(run, loader=batches)
    return lambda: loop._train(run, 0, None) and None


def seconds(epoch: Callable[[], None]) -> float:
    began = time.process_time()
    epoch()
    return time.process_time() - began


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 61
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    torch.set_num_threads(1)
    data = open_data(Scenes(train=count, val=10))
    assert data.train.stacked is not None
    images, labels = to_float(data.normalization)(data.train.stacked), torch.from_numpy(data.train.labels)
    batches = [(images[part], labels[part]) for part in order(count, 0, 0).split(RECIPE.batch)]
    loops = {"bare": bare_epoch(batches), "dorsal": our_epoch(batches, data)}
    times: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds):
        for name in sorted(loops, reverse=turn % 2 == 0):  # neither always comes after the other
            times[name].append(seconds(loops[name]))
    medians = {name: statistics.median(spent[1:]) for name, spent in times.items()}  # the first is warm-up
    speeds = ", ".join(f"{name} {count / median:.0f} images/s" for name, median in medians.items())
    print(f"{speeds} of processor time, medians of {rounds - 1} rounds")
    # Round by round, since the machine's speed drifts more between rounds than the loops differ.
    ratio = statistics.median(b / d for b, d in zip(times["bare"][1:], times["dorsal"][1:], strict=True))
    print(f"throughput ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
