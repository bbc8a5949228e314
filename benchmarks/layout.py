"""Training step of the default arms, contiguous against channels_last, alternating on one thread; images a second.

python benchmarks/layout.py [--batch 32] [--rounds 15]
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from dorsal import Comparison, build
from dorsal.data.spec import Scenes
from dorsal.jobs.ahead import data_summary
from dorsal.study.comparison.plan import plan_comparison

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def step_seconds(model, images, labels):
    start = time.perf_counter()
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = torch.randn(given.batch, 3, 48, 48), torch.zeros(given.batch, dtype=torch.long)
    for arm in plan_comparison(Comparison(), data_summary(Scenes(train=10, val=10)), {}).arms:
        models = {name: build(arm.network).to(memory_format=layout).train() for name, layout in LAYOUTS.items()}
        seconds = {name: [] for name in models}
        for _ in range(given.rounds + 2):
            for name, model in models.items():
                seconds[name].append(step_seconds(model, images, labels))
        rates = {name: given.batch / statistics.median(each[2:]) for name, each in seconds.items()}
        print(f"{arm.label:10}", ", ".join(f"{name} {rate:.0f} images/s" for name, rate in rates.items()))


if __name__ == "__main__":
    main()
