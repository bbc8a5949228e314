"""What `dorsal.train.doctor` measures of published CIFAR-10 weights on images of many kinds, prepared rightly or not.

python benchmarks/input_statistics.py FOLDER [--network resnet20] [--images 64] [--colors]

FOLDER holds weights/resnet20-12fca82f.th or resnet56-4bfd9763.th, cifar10_png/, and, for photographs and cells,
coco_mini/images/ and bccd/images/. For each kind of images: the gap under each preparation, whether the right one would
be refused ("false alarm"), and which wrong ones would not be ("missed"). `--colors`: both orders of colors on 1,000
images, and in how many of 200 draws of fewer images the difference would be shown.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest
from torchvision.transforms.v2.functional import resize

import dorsal
from dorsal.data.transform import eval_crop, histogram, measured, to_float
from dorsal.spec.preprocessing import IMAGENET, Normalization
from dorsal.train.doctor.gap import variance_gap
from dorsal.train.doctor.inputs import FITS, USUAL

FILES = {"resnet20": "resnet20-12fca82f.th", "resnet56": "resnet56-4bfd9763.th"}
MEAN, STD = np.array(IMAGENET.mean), np.array(IMAGENET.std)
PREPARATIONS = {
    "right": (MEAN, STD),
    "own": None,
    ".5 / .5": (0.5 + 0 * MEAN, 0.5 + 0 * STD),
    "no std": (MEAN, 1 + 0 * STD),
    "none": (0 * MEAN, 1 + 0 * STD),
    "/255 twice": (255 * MEAN, 255 * STD),
    "0..255": (0 * MEAN, 1 / 255 + 0 * STD),
    "0..255 less mean": (MEAN, 1 / 255 + 0 * STD),
    "0..255, mean, std": (MEAN / 255, STD / 255),
    "bgr": (MEAN, STD),
}


def sheet(folder):
    with Image.open(folder / "cifar10_png" / "cifar10_batch_50.png") as file:
        pixels = np.array(file)[..., :3].reshape(1000, 32, 32, 3)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def photographs(folder, count, crop=None):
    """The whole image at 32 px, or a random square of `crop` pixels at 32 px."""
    random = np.random.default_rng(0)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    found = []
    for path in random.choice(np.array(paths), count, replace=count > len(paths)):
        with Image.open(path) as file:
            image = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        if crop is not None:
            y, x = (int(random.integers(0, side - crop + 1)) for side in image.shape[1:])
            image = image[:, y : y + crop, x : x + crop]
        found.append(eval_crop(32, 32)(image))
    return torch.stack(found)


def kinds(folder, count):
    """Name and images uint8 [N, 3, H, W] of each kind."""
    images = sheet(folder)[:count]
    values = images.float()
    labels = torch.from_numpy(np.load(folder / "cifar10_png" / "labels.npy")[50000:51000])
    generator = torch.Generator().manual_seed(0)
    yield "CIFAR-10 test", images
    for few in (16, 4, 1):
        yield f"CIFAR-10, {few} images", images[:few]
    for side in (17, 24, 48):
        yield f"CIFAR-10 at {side} px", resize(images, [side, side], antialias=True)
    yield "CIFAR-10, airplanes", sheet(folder)[labels == 0][:count]
    for name, part in (("photographs", "coco_mini"), ("blood cells", "bccd")):
        if (folder / part).exists():
            for crop in (None, 128, 32):
                text = name if crop is None else f"{name}, crops of {crop} px"
                yield text, photographs(folder / part / "images", count, crop)
    yield "scenes", dorsal.open_data(f"scenes(size=32, train={count}, val=10)").train.stacked
    yield "grey", values.mean(1, keepdim=True).expand(-1, 3, -1, -1).to(torch.uint8)
    yield "inverted", 255 - images
    yield "values x 0.3", (0.3 * values).to(torch.uint8)
    yield "values x 0.1", (0.1 * values).to(torch.uint8)
    yield "values x 0.3 + 90", (0.3 * values + 90).to(torch.uint8)
    yield "values x 0.4 + 150", (0.4 * values + 150).to(torch.uint8)
    yield "two levels, 0 and 255", (images > 127).to(torch.uint8) * 255
    grey = values.mean(1, keepdim=True)
    edges = ((grey[..., 1:, 1:] - grey[..., :-1, 1:]).abs() > 25) | (
        (grey[..., 1:, 1:] - grey[..., 1:, :-1]).abs() > 25
    )
    yield "line drawings", (255 * ~edges).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    yield "noise", torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
    plain = torch.randint(0, 256, (count, 3, 1, 1), generator=generator, dtype=torch.uint8)
    yield "one color an image", plain.expand(-1, -1, 32, 32).contiguous()


def prepare(name, images):
    if name == "own":
        return to_float(measured(histogram(images.numpy())))
    mean, std = (tuple(values.tolist()) for values in PREPARATIONS[name])
    return to_float(Normalization(mean=mean, std=std, color_order="bgr" if name == "bgr" else "rgb"))


def judged(gaps):
    """The words on the rule: none where it does what it should."""
    usual = {name: gap for name, gap in gaps.items() if name not in ("own", "bgr")}

    def refused(name):
        return gaps[name] > USUAL and min(usual.values()) < FITS * gaps[name]

    missed = [name for name in usual if name != "right" and not refused(name)]
    return "false alarm" if refused("right") else f"missed: {', '.join(missed)}" if missed else ""


def colors(model, folder):
    labels = np.load(folder / "cifar10_png" / "labels.npy")[50000:51000]
    images, right = sheet(folder), []
    for name in ("right", "bgr"):
        with torch.no_grad():
            found = [model(prepare(name, part)(part)).argmax(1) for part in images.split(250)]
        right.append(torch.cat(found).numpy() == labels)
    print(f"rgb {right[0].mean():.1%}, bgr {right[1].mean():.1%} of 1,000")
    random = np.random.default_rng(0)
    for count in (64, 128, 256, 512, 1000):
        shown = 0
        for _ in range(200):
            drawn = random.choice(1000, count, replace=False)
            first, second = ((right[i] & ~right[1 - i])[drawn].sum() for i in (0, 1))
            shown += first > second and binomtest(int(first), int(first + second)).pvalue < 0.05
        print(f"{count} images: the difference is shown in {shown / 200:.0%} of draws")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=FILES, default="resnet20")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--colors", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = dorsal.create(given.network, weights=given.folder / "weights" / FILES[given.network]).eval()
    if given.colors:
        colors(model, given.folder)
        return
    print(f"| images | {' | '.join(PREPARATIONS)} | rule |\n|---|{'--:|' * len(PREPARATIONS)}---|")
    for kind, images in kinds(given.folder, given.images):
        gaps = {name: variance_gap(model, images, prepare(name, images)).value for name in PREPARATIONS}
        print(f"| {kind} | {' | '.join(f'{gap:.2f}' for gap in gaps.values())} | {judged(gaps)} |", flush=True)


if __name__ == "__main__":
    main()
