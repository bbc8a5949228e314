"""Time of calls that are made often and should cost nearly nothing; the least of several rounds of each.

python benchmarks/small_calls.py [--rounds 21]
"""

import argparse
import time

import torch

from dorsal import network
from dorsal.data.dataset import to_float
from dorsal.data.sampling import SeededSplit
from dorsal.data.scenes import open_scenes
from dorsal.data.spec import Scenes
from dorsal.space.named import SPACES
from dorsal.space.size import size
from dorsal.spec.cost import cost
from dorsal.spec.receptive import receptive_fields

NETWORKS = ("resnest269", "regnety_320", "res2net101_26w_4s")
IMAGES = 1000
BATCH = 64


def calls():
    """What is timed by its name, and into how many parts its time is divided."""
    for name in NETWORKS:
        yield f"cost of {name}", lambda net=network(name): cost(net), 1
        yield f"receptive fields of {name}", lambda net=network(name): receptive_fields(net), 1
    for name in ("anynetx_e", "crossed"):
        yield f"size of space {name}", lambda space=SPACES[name]: size(space), 1
    scenes = open_scenes(Scenes(train=IMAGES, val=10))
    bare, seeded = scenes.train, SeededSplit(scenes.train, lambda image: image, 0)
    yield "an image of scenes", lambda: [bare.image(index) for index in range(IMAGES)], IMAGES
    yield "an image of scenes under seeded draws", lambda: [seeded[index] for index in range(IMAGES)], IMAGES
    normalize, indices = to_float(scenes.normalization), torch.randperm(IMAGES)[:BATCH]
    yield f"a batch of {BATCH} scenes", lambda: normalize(scenes.train.stacked.index_select(0, indices)), 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name, call, parts in calls():
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            seconds.append((time.perf_counter() - start) / parts)
        print(f"{name:45} {1e6 * min(seconds):10.1f} us")


if __name__ == "__main__":
    main()
