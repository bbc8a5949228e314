"""Candidates a second that a sampler draws, counts the cost of and accepts or rejects; alternating runs, medians.

One process and one thread each. Against pycls: its sweep code is not in its package on PyPI, so its loop is written
here anew from its description, over the package's own widths, complexity and configuration: draw, merge into the
configuration, check the stages, count the complexity. "bare" leaves the configuration out, which pycls does not. A
whole-grammar space has no counterpart there: its slow twin builds each network and counts its layers.

python benchmarks/sampling.py [--rounds 5]
"""

import argparse
import math
import random
import resource
import statistics
import time

import numpy as np

from dorsal.space.candidates import realise
from dorsal.space.named import SPACES
from dorsal.space.points import draw_points
from dorsal.space.sample import sample
from dorsal.spec.cost import cost

LOW, HIGH = 360, 400
BOUND = f"{LOW}M..{HIGH}M"


def dorsal_rate(name, seed):
    start = time.perf_counter()
    found = sample(SPACES[name], 500, {"pycls_flops": BOUND}, seed=seed, distinct="points")
    return found.sampling.candidates / (time.perf_counter() - start)


def log_uniform(low, high, quantum):
    lowest = low - min(quantum, low / 2)
    return math.ceil(math.exp(random.uniform(math.log(lowest), math.log(high))) / quantum) * quantum


def regnet_point():
    return (
        random.randint(12, 28),
        log_uniform(8, 256, 8),
        log_uniform(8.0, 256.0, 0.1),
        log_uniform(2.0, 3.0, 0.001),
        log_uniform(8, 128, 8),
    )


def pycls_regnet(with_config):
    from pycls.core.config import cfg
    from pycls.core.net import complexity
    from pycls.models import anynet, regnet

    base = cfg.clone()

    def candidate():
        depth, w0, wa, wm, group_width = regnet_point()
        if with_config:
            cfg.merge_from_other_cfg(base)
            sizes = ["REGNET.DEPTH", depth, "REGNET.GROUP_W", group_width]
            cfg.merge_from_list([*sizes, "REGNET.W0", w0, "REGNET.WA", wa, "REGNET.WM", wm])
        blocks, stages, steps, _ = regnet.generate_regnet(wa, w0, wm, depth)
        if stages != steps or stages != 4:
            return False
        if with_config:
            return LOW * 1e6 <= complexity(regnet.RegNet)["flops"] <= HIGH * 1e6
        widths, depths = regnet.get_stages_from_blocks(blocks, blocks)
        widths, groups = regnet.adjust_ws_gs_comp(widths, [1.0] * 4, [group_width] * 4)
        return LOW * 1e6 <= pycls_flops(anynet, depths, widths, [1.0] * 4, groups) <= HIGH * 1e6

    return candidate


def pycls_anynet(with_config):
    from pycls.core.config import cfg
    from pycls.core.net import complexity
    from pycls.models import anynet, regnet

    base = cfg.clone()

    def candidate():
        depths = [log_uniform(1, 16, 1) for _ in range(4)]
        widths = [log_uniform(8, 1024, 8) for _ in range(4)]
        ratios = [2.0 ** -random.randint(0, 2) for _ in range(4)]
        groups = [2 ** random.randint(0, 5) for _ in range(4)]
        widths, groups = regnet.adjust_ws_gs_comp(widths, ratios, groups)
        if with_config:
            cfg.merge_from_other_cfg(base)
            sizes = ["ANYNET.DEPTHS", depths, "ANYNET.WIDTHS", widths, "ANYNET.STRIDES", [2] * 4]
            cfg.merge_from_list([*sizes, "ANYNET.BOT_MULS", ratios, "ANYNET.GROUP_WS", groups])
            return LOW * 1e6 <= complexity(anynet.AnyNet)["flops"] <= HIGH * 1e6
        return LOW * 1e6 <= pycls_flops(anynet, depths, widths, ratios, groups) <= HIGH * 1e6

    return candidate


def pycls_flops(anynet, depths, widths, ratios, groups):
    start = {"h": 224, "w": 224, "flops": 0, "params": 0, "acts": 0}
    stem, block = "simple_stem_in", "res_bottleneck_block"
    found = anynet.AnyNet._complexity(start, stem, 32, block, depths, widths, [2] * 4, ratios, groups, None, 1000)
    return found["flops"]


def slow_twin(name):
    compiled = SPACES[name].compiled
    numbers = np.random.default_rng(0)

    def candidate():
        realised = realise(compiled, draw_points(compiled, 1, numbers))
        return len(realised.rows) > 0 and LOW * 1e6 <= cost(realised.network(0)).pycls_flops <= HIGH * 1e6

    return candidate


def peer_rate(candidate, seconds=2.0):
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        candidate()
        count += 1
    return count / (time.perf_counter() - start)


def million():
    """One million candidates after a hundred thousand, and the process's peak memory after each."""
    space = SPACES["regnetx_pycls"]
    for candidates in (100_000, 1_000_000):
        start = time.perf_counter()
        found = sample(
            space, round(0.0049 * candidates), {"pycls_flops": BOUND}, distinct="points", max_candidates=2 * candidates
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.perf_counter() - start
        print(
            f"{len(found):,} RegNets at {BOUND}: {found.sampling.candidates:,} candidates in {seconds:.2f} s, "
            f"peak memory of the process {peak:.0f} MiB"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    million()
    peers = {
        "regnetx_pycls": {"pycls": pycls_regnet(True), "pycls, bare": pycls_regnet(False)},
        "anynetx_a": {"pycls": pycls_anynet(True), "pycls, bare": pycls_anynet(False)},
        "crossed": {"one by one": slow_twin("crossed")},
    }
    for name, others in peers.items():
        ours, theirs = [], {other: [] for other in others}
        for index in range(rounds):
            ours.append(dorsal_rate(name, index))
            for other, candidate in others.items():
                theirs[other].append(peer_rate(candidate))
        rate = statistics.median(ours)
        print(f"{name}: dorsal {rate:,.0f} candidates/s ({min(ours):,.0f} to {max(ours):,.0f})")
        for other, rates in theirs.items():
            print(f"    {other} {statistics.median(rates):,.0f} candidates/s: {rate / statistics.median(rates):,.0f}x")


if __name__ == "__main__":
    main()
