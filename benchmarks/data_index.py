"""What it costs to check a large folder of images and to open it: `python benchmarks/data_index.py [--images N]`.

Makes a folder of links to some hundred small photographs, checks it, and opens it again as a planner and as workers do.
Each figure is measured in a process of its own. With `--images 1281167 --side 64`, as many as ImageNet's training split
has, it needs as many inodes and some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS, PER_CLASS = 300, 1281
OPEN = """
import json, resource, sys, time
import torch
from dorsal.data import decode
from dorsal.data.dataset import open_data

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)

def refuse(*_):
    raise AssertionError("an image was decoded")

if sys.argv[2] != "check":
    decode._convert = refuse
fingerprint = None if sys.argv[2] in ("check", "again") else sys.argv[2]
before, wall, cpu = peak(), time.perf_counter(), time.process_time()
data = open_data(sys.argv[1], fingerprint=fingerprint, on_progress=None if sys.argv[2] == "check" else lambda *_: None)
print(json.dumps({
    "wall": time.perf_counter() - wall,
    "cpu": time.process_time() - cpu,
    "children": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
    "mib": peak() - before,
    "images": len(data.train) + len(data.val),
    "fingerprint": data.fingerprint,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=224, help="of the photographs, in pixels")
    parser.add_argument("--folder", type=Path, default=None, help="where to make the links; a temporary folder")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir=asked.folder))
    try:
        measure(make(home, asked.images, asked.side), asked.images)
    finally:
        shutil.rmtree(home)


def make(home: Path, images: int, side: int) -> Path:
    """A folder of class folders of links to smooth photographs."""
    (home / "pool").mkdir()
    rng = np.random.default_rng(0)
    for number in range(PHOTOGRAPHS):
        corners = rng.integers(0, 256, (side // 5, side // 5, 3), dtype=np.uint8)
        photograph = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
        photograph.save(home / "pool" / f"{number:03}.jpg", quality=85)
    for number in range(images):
        folder = home / "photos" / f"n{number // PER_CLASS:08}"
        if number % PER_CLASS == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:08}.JPEG").symlink_to(f"../../pool/{number % PHOTOGRAPHS:03}.jpg")
    return home / "photos"


def measure(photos: Path, images: int) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{images:,} images, {cores} cores")
    sample = [str(path) for folder in sorted(photos.iterdir())[:8] for path in sorted(folder.iterdir())]
    before = decoder(sample, cores)
    [first] = opened(photos, "check")
    alone = (before[0] + decoder(sample, cores)[0]) / 2
    rate = images / first["wall"]
    each = 1e6 * (first["cpu"] + first["children"]) / images
    print(f"the decoder alone, a process a core, before and after: {alone:,.0f} images a second")
    print(f"checked in {first['wall']:.1f} s: {rate:,.0f} images a second, {rate / alone:.2f} of the decoder's rate")
    print(f"processor time of an image: decoder {before[1]:.0f} us, check {each:.0f} us")
    size = sum(path.stat().st_size for path in (photos / ".dorsal").iterdir()) / 2**20
    for _ in range(3):
        bare = bare_stat(photos)
        [again] = opened(photos, "again")
        print(
            f"opened again in {again['wall']:.2f} s ({again['cpu']:.2f} s of processor), {again['mib']:.0f} MiB above "
            f"torch; a bare stat of every file {bare[0]:.2f} s ({bare[1]:.2f} s); the index takes {size:.0f} MiB"
        )
    for workers in (1, 8):
        found = opened(photos, first["fingerprint"], workers)
        cpu = " ".join(f"{worker['cpu']:.2f}" for worker in found)
        print(f"opened by {workers} at once as workers do, no image decoded, processor seconds of each: {cpu}")


def bare_stat(photos: Path) -> tuple[float, float]:
    """Seconds, and seconds of processor."""
    began, cpu = time.perf_counter(), time.process_time()
    for folder in os.scandir(photos):
        for name in os.listdir(folder.path):  # noqa: PTH208
            os.stat(f"{folder.path}/{name}")  # noqa: PTH116 - as bare as can be
    return time.perf_counter() - began, time.process_time() - cpu


def decoder(paths: list[str], cores: int) -> tuple[float, float]:
    """Images a second on all cores, and microseconds of processor for each in one process."""
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(decode, paths[: 4 * cores], chunksize=1))
        began = time.perf_counter()
        list(pool.map(decode, paths, chunksize=64))
        rate = len(paths) / (time.perf_counter() - began)
    cpu = time.process_time()
    for path in paths[:1000]:
        decode(path)
    return rate, 1e6 * (time.process_time() - cpu) / len(paths[:1000])


def decode(path: str) -> None:
    with Image.open(path) as image:
        image.load()


def opened(photos: Path, how: str, workers: int = 1) -> list[dict[str, float]]:
    command = [sys.executable, "-c", OPEN, str(photos), how]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(workers)]
    return [json.loads(process.communicate()[0]) for process in running]


if __name__ == "__main__":
    main()
