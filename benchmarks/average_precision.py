"""COCO's scores of boxes, ours beside faster-coco-eval's on the same set, alternating in one process.

    python benchmarks/average_precision.py [--images 5000] [--truths 36000] [--found 100] [--classes 80] [--rounds 5]
                                           [--one ours|theirs]

The set is drawn: 80 classes, common and rare; up to four of them in an image; objects of 8 to 350 px; about four boxes
found near each object, the others anywhere. Both sides start with what they need in memory, ours from arrays of each
image, theirs from its own index of the records (making that is told apart). Both match in four ranges of area at ten
thresholds, and give AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm and ARl.

Seconds are medians over the rounds, of the clock and of the processor. Other programs disturb the first, and theirs and
ours alternate so that both have the same share of that. The ratio is the median over the rounds of theirs / ours: above
1, ours is faster. Peak memory is what one call adds to a process of its own (`--one`; Linux only).
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import faster_coco_eval
import numpy as np
import torch

from dorsal.tasks.detect.average_precision import average_precision

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def objects(boxes, labels, scores=None, crowd=None):
    """The objects of an image; see `dorsal.tasks.detect.listing.Objects`."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    crowd = np.zeros(len(boxes), dtype=bool) if crowd is None else crowd
    return SimpleNamespace(boxes=boxes, labels=labels, scores=scores, area=area, crowd=crowd)


def anywhere(n, random):
    """Boxes [n, 4] within 600 px."""
    side = np.exp(random.uniform(np.log(8), np.log(350), (n, 2)))
    corner = random.random((n, 2)) * (600 - side)
    return np.concatenate([corner, corner + side], axis=1)


def drawn(given):
    """What is there and what is found in each image."""
    random = np.random.default_rng(0)
    share = np.arange(1, given.classes + 1) ** -0.8
    share /= share.sum()
    truth, found = [], []
    for there in np.bincount(random.integers(0, given.images, given.truths), minlength=given.images):
        kinds = random.choice(given.classes, min(4, given.classes), replace=False, p=share)
        boxes, labels = anywhere(there, random), random.choice(kinds, there)
        truth.append(objects(boxes, labels, crowd=random.random(there) < 0.01))
        near = np.repeat(np.arange(there), 4)[: given.found]
        spread = random.choice([0.03, 0.1, 0.25], (len(near), 1)) * np.tile(boxes[near, 2:] - boxes[near, :2], 2)
        moved = boxes[near] + spread * random.normal(size=(len(near), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        others = given.found - len(near)
        any_kind = random.choice(given.classes, given.found, p=share)
        kind = np.concatenate([labels[near], random.choice(kinds, others)])
        kind = np.where(random.random(given.found) < 0.7, kind, any_kind)
        scores = np.concatenate([random.beta(2, 2, len(near)), random.beta(1, 6, others)])
        found.append(objects(np.concatenate([moved, anywhere(others, random)]), kind, scores))
    return truth, found


def records(parts):
    """The records of COCO of objects."""
    for image, each in enumerate(parts):
        sides = each.boxes[:, 2:] - each.boxes[:, :2]
        boxes = np.concatenate([each.boxes[:, :2], sides], axis=1).tolist()
        for box, label, area, crowd in zip(boxes, each.labels.tolist(), each.area.tolist(), each.crowd, strict=True):
            yield {"image_id": image + 1, "category_id": label + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}


def indexed(truth, found, classes):
    """Their index of both."""
    scores = np.concatenate([each.scores for each in found]).tolist()
    data = {
        "images": [{"id": image + 1, "height": 600, "width": 600} for image in range(len(truth))],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
        "annotations": [{**record, "id": place + 1} for place, record in enumerate(records(truth))],
    }
    results = [{**record, "score": score} for record, score in zip(records(found), scores, strict=True)]
    whole = faster_coco_eval.COCO(data)
    return whole, whole.loadRes(results)


def ours(truth, found, classes):
    scored = average_precision(truth, found, classes)
    return [scored.score, *(scored.scores[name] for name in NAMES[1:])]


def theirs(whole, results):
    evaluation = faster_coco_eval.COCOeval_faster(whole, results, iouType="bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [100 * value for value in evaluation.stats[:12]]


def resident(field):
    """MiB of this process: VmRSS, what it has, or VmHWM, the most that it had."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 5000), ("truths", 36000), ("found", 100), ("classes", 80), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one", choices=("ours", "theirs"))
    given = parser.parse_args()
    truth, found = drawn(given)
    sides = {"ours": lambda: ours(truth, found, given.classes)}
    if given.one != "ours":
        began = time.perf_counter()
        index = indexed(truth, found, given.classes)
        made = time.perf_counter() - began
        sides["theirs"] = lambda: theirs(*index)
    if given.one:
        Path("/proc/self/clear_refs").write_text("5")  # the most that it had counts from here
        before = resident("VmRSS")
        sides[given.one]()
        print(resident("VmHWM") - before)
        return
    seconds = {(name, clock): [] for name in sides for clock in ("clock", "processor")}
    for _ in range(given.rounds):
        for name, call in sides.items():
            wall, processor = time.perf_counter(), time.process_time()
            said = call()
            seconds[name, "clock"].append(time.perf_counter() - wall)
            seconds[name, "processor"].append(time.process_time() - processor)
            if name == "ours":
                expected = said
    apart = np.abs(np.subtract(expected, said)).max()
    print(f"{given.images} images, {given.truths} truths, {given.found} found in each, {given.classes} classes")
    print(f"faster-coco-eval {faster_coco_eval.__version__}, numpy {np.__version__}, ", end="")
    print(f"{torch.backends.cpu.get_cpu_capability()}; {given.rounds} rounds; their index: {made:.1f} s, once")
    print(f"the twelve scores differ by at most {apart:.1e} points; AP {expected[0]:.4f}")
    for clock in ("clock", "processor"):
        pairs = [seconds[name, clock] for name in ("theirs", "ours")]
        middle = [statistics.median(each) for each in pairs]
        ratio = statistics.median(a / b for a, b in zip(*pairs, strict=True))
        print(f"seconds of the {clock}: theirs {middle[0]:.2f}, ours {middle[1]:.2f}, theirs / ours {ratio:.2f}")
    for name in sides:
        options = [f"--{key}={getattr(given, key)}" for key in ("images", "truths", "found", "classes")]
        done = subprocess.run([sys.executable, __file__, "--one", name, *options], capture_output=True, check=True)
        print(f"peak memory of a call, {name}: {float(done.stdout):.0f} MiB")


if __name__ == "__main__":
    main()
