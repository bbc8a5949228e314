"""Forward and training step against timm's same network, alternating in one process; or, `--creation`, making it.

    python benchmarks/parts.py [--networks resnet50,res2net50_26w_4s] [--rounds 11] [--batches 1,16] [--size 224]
                               [--precisions float32,bfloat16] [--memory] [--json out.json]
    python benchmarks/parts.py --creation

Every cell of network x layout x precision x batch x {forward, step} has medians of both sides, the median over the
rounds of timm / ours with its quartiles (above 1, ours is faster), the same of a second timm model against the first
(the noise), and of ours with plain calls in place of the fast CPU forms against ours (what these gain). `forward` is
evaluation in inference mode; `step` is forward, loss, backward.

A lesser processor can be played: ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2.

Time is that of the clock, or with `--threads 1` that of the processor, which other programs disturb less. Peak memory
(`--memory`, slow) is what one call adds to the resident set of a process of its own (VmHWM; Linux only): oneDNN's
buffers and the allocator's waste count, which torch's own allocation statistics do not see.
"""

import argparse
import functools
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import safetensors.torch
import timm
import torch

from dorsal import build, network
from dorsal.nn import fast_cpu

PAIRS = {
    "resnet50": "resnet50",
    "resnest50": "resnest50d",
    "res2net50_26w_4s": "res2net50_26w_4s",
    "regnety_032": "regnety_032",
    "resnet18": "resnet18",
}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
PRECISIONS = {"float32": False, "bfloat16": True}
CREATED = ("resnest269", "resnest269e")


def forward(model, images, autocast):
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(images)


def step(model, images, autocast):
    model.train()
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(images).float().logsumexp(1).sum()
    loss.backward()


CALLS = {"forward": forward, "step": step}


def with_plain_calls(call, *arguments):
    taken = fast_cpu.is_faster_here
    fast_cpu.is_faster_here = lambda _: False
    try:
        call(*arguments)
    finally:
        fast_cpu.is_faster_here = taken


def make(side, name, layout):
    model = build(network(name)) if side == "ours" else timm.create_model(PAIRS[name])
    return model.to(memory_format=LAYOUTS[layout])


def images_of(batch, layout, size):
    return torch.randn(batch, 3, size, size).to(memory_format=LAYOUTS[layout])


def alternating(calls, rounds, clock):
    """Seconds of each call in each round; the order turns, and a first round warms up."""
    seconds = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name in sorted(calls, reverse=turn % 2 == 0):
            start = clock()
            calls[name]()
            seconds[name].append(clock() - start)
    return {name: each[1:] for name, each in seconds.items()}


def ratio(slow, fast):
    """Quartiles of the ratio round by round: the machine drifts more between rounds than the sides differ."""
    return [round(q, 3) for q in statistics.quantiles([s / f for s, f in zip(slow, fast, strict=True)], n=4)]


def memory_line(key):
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(key))


def added_memory(side, name, layout, autocast, batch, size, what, threads):
    """MiB that the second call adds at its peak to the resident set before the first: in a process of its own."""
    torch.set_num_threads(threads)
    model, images = make(side, name, layout), images_of(batch, layout, size)
    before = memory_line("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
    for _ in range(2):
        CALLS[what](model, images, autocast)
    return memory_line("VmHWM") - before


def in_own_process(function, *arguments):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def compare(given, clock):
    print(f"{'network':17} {'layout':13} {'precision':9} batch what    {'ours ms':>8} {'timm ms':>8}", end=" ")
    print("timm/ours (quartiles)     noise (quartiles)      plain/ours (quartiles)", "  MiB ours, timm" * given.memory)
    rows = []
    for name, layout in itertools.product(given.networks.split(","), LAYOUTS):
        models = {"ours": make("ours", name, layout), "timm": make("timm", name, layout)}
        models["timm again"] = make("timm", name, layout)
        for precision, batch, what in itertools.product(
            given.precisions.split(","), map(int, given.batches.split(",")), CALLS
        ):
            if what == "step" and batch == 1 and PAIRS[name].startswith("resnest"):
                print(f"{name:17} {layout:13} {precision:9}     1 step    timm's raises: one value a channel")
                continue
            images, autocast = images_of(batch, layout, given.size), PRECISIONS[precision]
            calls = {key: functools.partial(CALLS[what], model, images, autocast) for key, model in models.items()}
            calls["plain"] = functools.partial(with_plain_calls, calls["ours"])
            seconds = alternating(calls, given.rounds, clock)
            row = {"network": name, "layout": layout, "precision": precision, "batch": batch, "what": what}
            for side in ("ours", "timm"):
                row[f"{side}_ms"] = 1e3 * statistics.median(seconds[side])
                if given.memory:
                    row[f"{side}_mib"] = in_own_process(
                        added_memory, side, name, layout, autocast, batch, given.size, what, given.threads
                    )
            row["ratio"] = ratio(seconds["timm"], seconds["ours"])
            row["noise"] = ratio(seconds["timm"], seconds["timm again"])
            row["plain"] = ratio(seconds["plain"], seconds["ours"])
            rows.append(row)
            print(
                f"{name:17} {layout:13} {precision:9} {batch:5} {what:7} {row['ours_ms']:8.1f} {row['timm_ms']:8.1f}",
                *(
                    f"{row[key][1]:6.3f} ({row[key][0]:.3f}, {row[key][2]:.3f})  "
                    for key in ("ratio", "noise", "plain")
                ),
                f"{row['ours_mib']:8.0f} {row['timm_mib']:6.0f}" if given.memory else "",
                flush=True,
            )
    return rows


def create_ours(path):
    with torch.device("meta"):
        model = build(network(CREATED[0]))
    state = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else torch.load(path, mmap=True)
    model.load_state_dict(state, assign=True)
    return read(model)


def create_theirs(path):
    return read(timm.create_model(CREATED[1], checkpoint_path=path))


def read(model):
    """Reads every weight, so that a file mapped into memory is paid for by whoever mapped it."""
    return sum(float(p.detach().sum()) for p in model.parameters())


def creation(given, clock):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, save in ((".safetensors", safetensors.torch.save_file), (".pth", torch.save)):
            ours, theirs = Path(folder) / f"ours{suffix}", Path(folder) / f"timm{suffix}"
            save(build(network(CREATED[0])).state_dict(), ours)
            save(timm.create_model(CREATED[1]).state_dict(), theirs)
            calls = {"ours": functools.partial(create_ours, ours), "timm": functools.partial(create_theirs, theirs)}
            seconds = alternating(calls, given.rounds, clock)
            medians = {side: statistics.median(each) for side, each in seconds.items()}
            low, middle, high = ratio(seconds["timm"], seconds["ours"])
            print(f"{CREATED[0]} from {suffix:12} ours {medians['ours']:.2f} s, timm {medians['timm']:.2f} s,", end=" ")
            print(f"timm/ours {middle:.2f} ({low:.2f}, {high:.2f})", flush=True)
            rows.append({"file": suffix, "ours_s": medians["ours"], "timm_s": medians["timm"], "ratio": middle})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="resnet50,resnest50,res2net50_26w_4s,regnety_032")
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--creation", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, timm {timm.__version__}, {given.threads} threads, {given.rounds} rounds")
    fast = [name for name in PRECISIONS if fast_cpu.is_faster_here(getattr(torch, name))]
    print(f"{torch.backends.cpu.get_cpu_capability()}: fast forms in {', '.join(fast) or 'no precision'}")
    clock = time.process_time if given.threads == 1 else time.perf_counter
    rows = (creation if given.creation else compare)(given, clock)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
