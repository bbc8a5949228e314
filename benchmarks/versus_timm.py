"""Eager forward and training step against timm's same network, alternating in one process.

    python benchmarks/versus_timm.py [--batch 16] [--size 224] [--rounds 9] [--threads 2] [--profile]

Prints both medians and the median over the rounds of timm / ours: above 1, ours is faster. Both sides run float32 with
random weights, contiguous and channels_last. `--profile` prints the operators that take the most time on each side.
"""

import argparse
import statistics
import time

import timm
import torch

from dorsal import build, network

PAIRS = {
    "resnet50": "resnet50",
    "resnest50": "resnest50d",
    "res2net50_26w_4s": "res2net50_26w_4s",
    "regnety_032": "regnety_032",
}


def forward(model, images):
    with torch.inference_mode():
        model.eval()(images)


def training_step(model, images):
    model.train()
    model.zero_grad(set_to_none=True)
    model(images).logsumexp(1).sum().backward()


def timed(call, model, images):
    start = time.perf_counter()
    call(model, images)
    return time.perf_counter() - start


def profile(call, model, images):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
        call(model, images)
    total = sum(event.self_cpu_time_total for event in trace.key_averages())
    top = sorted(trace.key_averages(), key=lambda event: -event.self_cpu_time_total)[:6]
    return ", ".join(f"{event.key.removeprefix('aten::')} {event.self_cpu_time_total / total:.0%}" for event in top)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(PAIRS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, timm {timm.__version__}, {given.threads} threads, batch {given.batch}")
    print(f"{'network':18} {'what':9} {'memory format':14} {'ours ms':>9} {'timm ms':>9} {'timm/ours':>9}")
    for name in given.names:
        for layout in (torch.contiguous_format, torch.channels_last):
            models = [m.to(memory_format=layout) for m in (build(network(name)), timm.create_model(PAIRS[name]))]
            images = torch.randn(given.batch, 3, given.size, given.size).to(memory_format=layout)
            for call in (forward, training_step):
                seconds = [[], []]
                for turn in range(given.rounds + 1):
                    for side in (0, 1) if turn % 2 else (1, 0):
                        seconds[side].append(timed(call, models[side], images))
                ours, theirs = (statistics.median(each[1:]) * 1e3 for each in seconds)
                ratio = statistics.median(b / a for a, b in list(zip(*seconds, strict=True))[1:])
                label = str(layout).removeprefix("torch.").removesuffix("_format")
                row = f"{name:18} {call.__name__[:8]:9} {label:14} {ours:9.1f} {theirs:9.1f} {ratio:9.3f}"
                print(row, flush=True)
                if given.profile:
                    for side, model in zip(("ours", "timm"), models, strict=True):
                        print(f"    {side}: {profile(call, model, images)}")


if __name__ == "__main__":
    main()
