"""Three annotated images, written in every format that the project reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dorsal.annotations.rle import rle_of_pixels, rle_to_coco

Outlines = Literal["polygons", "runs", "compressed"]


class Thing(msgspec.Struct, frozen=True):
    """A rectangle x0, y0, x1, y1 of a class; points are pixels counted from 0, with their flags."""

    name: str
    box: tuple[int, int, int, int]
    crowd: bool = False
    points: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (0, 0, 0))


class Picture(msgspec.Struct, frozen=True):
    """An image of a size (height, width), named by its split and stem."""

    split: Literal["train", "val"]
    stem: str
    size: tuple[int, int]
    things: tuple[Thing, ...]

    def pixels(self, thing: Thing) -> NDArray[np.bool_]:
        found = np.zeros(self.size, bool)
        x0, y0, x1, y1 = thing.box
        found[y0:y1, x0:x1] = True
        return found

    def semantic(self, values: dict[str, int], elsewhere: int) -> NDArray[np.uint8]:
        """The value of each pixel's class; later things lie before earlier ones."""
        found = np.full(self.size, elsewhere, np.uint8)
        for thing in self.things:
            found[self.pixels(thing)] = values[thing.name]
        return found


NAMES = ("car", "person")
POINTS = ("left hand", "right hand")
PICTURES = (
    Picture(
        "train",
        "a_1",
        (32, 40),
        (
            Thing("car", (4, 8, 12, 16), points=((5, 9, 2), (11, 15, 1))),
            Thing("person", (20, 10, 32, 30)),
            Thing("person", (34, 2, 40, 12), crowd=True),
        ),
    ),
    Picture("train", "a_2", (28, 36), ()),
    Picture(
        "val",
        "b_1",
        (24, 48),
        (Thing("person", (0, 0, 8, 20), points=((1, 1, 2), (6, 4, 2))), Thing("car", (16, 4, 48, 24))),
    ),
)


def write_image(path: Path, size: tuple[int, int], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def write_map(path: Path, values: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def coco_files(outlines: Outlines | None = "polygons", points: bool = False) -> dict[str, dict[str, Any]]:
    """COCO's documents of train and val. Category ids are 7 for car and 3 for person, so person comes first."""
    ids = {"car": 7, "person": 3}
    files: dict[str, dict[str, Any]] = {}
    for split in ("train", "val"):
        categories: list[dict[str, Any]] = [{"id": ids[name], "name": name} for name in NAMES]
        if points:
            categories = [{**each, "keypoints": list(POINTS), "skeleton": [[1, 2]]} for each in categories]
        files[split] = {"info": {}, "images": [], "annotations": [], "categories": categories}
    number = 100
    for image_id, picture in enumerate(PICTURES, 11):
        file = files[picture.split]
        height, width = picture.size
        file["images"].append({"id": image_id, "file_name": f"{picture.stem}.png", "height": height, "width": width})
        for thing in picture.things:
            number += 1
            x0, y0, x1, y1 = thing.box
            said: dict[str, Any] = {"id": number, "image_id": image_id, "category_id": ids[thing.name]}
            said |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": int(thing.crowd)}
            if outlines is not None:
                said["segmentation"] = _outline(picture, thing, outlines)
            if points:
                said["keypoints"] = [value for point in thing.points for value in point]
            file["annotations"].append(said)
    return files


def _outline(picture: Picture, thing: Thing, outlines: Outlines) -> object:
    x0, y0, x1, y1 = thing.box
    mask = rle_of_pixels(picture.pixels(thing))
    match outlines:
        case "polygons":
            return [[x0, y0, x1, y0, x1, y1, x0, y1]]
        case "runs":
            return {"size": list(picture.size), "counts": mask.runs.tolist()}
        case "compressed":
            return rle_to_coco(mask)


def write_coco(root: Path, files: dict[str, dict[str, Any]] | None = None) -> Path:
    (root / "annotations").mkdir(parents=True)
    for split, file in (files or coco_files()).items():
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(file))
    for seed, picture in enumerate(PICTURES):
        write_image(root / f"{picture.split}2017" / f"{picture.stem}.png", picture.size, seed)
    return root


def write_voc(root: Path, semantic: bool = True) -> Path:
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for seed, picture in enumerate(PICTURES):
        write_image(root / "JPEGImages" / f"{picture.stem}.jpg", picture.size, seed)
        objects = "".join(map(_element, picture.things))
        size = f"<size><width>{picture.size[1]}</width><height>{picture.size[0]}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{picture.stem}.jpg</filename>{size}{objects}</annotation>"
        (root / "Annotations" / f"{picture.stem}.xml").write_text(text)
        with (root / "ImageSets" / "Main" / f"{picture.split}.txt").open("a") as file:
            file.write(f"{picture.stem}\n")
        if semantic:
            values = picture.semantic({"car": 7, "person": 15}, 255)
            values[:2, 12:16] = 0
            write_map(root / "SegmentationClass" / f"{picture.stem}.png", values)
    return root


def _element(thing: Thing) -> str:
    x0, y0, x1, y1 = thing.box
    box = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    said = f"<name>{thing.name}</name><difficult>{int(thing.crowd)}</difficult>"
    return f"<object>{said}<bndbox>{box}</bndbox></object>"


def write_yolo(root: Path, polygons: bool) -> Path:
    root.mkdir(parents=True)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(NAMES))
    (root / "data.yaml").write_text(
        f"path: ../somewhere\ntrain: images/train\nval: images/val\nnc: 2\nnames:\n{names}\n"
    )
    for seed, picture in enumerate(PICTURES):
        write_image(root / "images" / picture.split / f"{picture.stem}.png", picture.size, seed)
        lines = [_line(thing, picture.size, polygons) for thing in picture.things]
        path = root / "labels" / picture.split / f"{picture.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines:
            path.write_text("\n".join(lines) + "\n")
    return root


def _line(thing: Thing, size: tuple[int, int], polygon: bool) -> str:
    height, width = size
    x0, x1, y0, y1 = thing.box[0] / width, thing.box[2] / width, thing.box[1] / height, thing.box[3] / height
    values = (x0, y0, x1, y0, x1, y1, x0, y1) if polygon else ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    return f"{NAMES.index(thing.name)} {' '.join(map(repr, values))}"


def write_pairs(root: Path) -> Path:
    for seed, picture in enumerate(PICTURES):
        write_image(root / picture.split / f"{picture.stem}.png", picture.size, seed)
        values = picture.semantic({"car": 0, "person": 1}, 11)
        write_map(root / f"{picture.split}annot" / f"{picture.stem}.png", values)
    (root / "names.txt").write_text("\n".join(NAMES) + "\n")
    return root


def write_cityscapes(root: Path, polygons: bool) -> Path:
    for seed, picture in enumerate(PICTURES):
        city, base = picture.stem.split("_")[0], f"{picture.stem}_000019"
        write_image(root / "leftImg8bit" / picture.split / city / f"{base}_leftImg8bit.png", picture.size, seed)
        folder = root / "gtFine" / picture.split / city
        write_map(folder / f"{base}_gtFine_labelIds.png", picture.semantic({"car": 26, "person": 24}, 3))
        if polygons:
            objects = [{"label": "out of roi", "polygon": [[0, 0], [1, 0], [1, 1]]}]
            for thing in picture.things:
                x0, y0, x1, y1 = thing.box
                corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
                objects.append({"label": f"{thing.name}{'group' * thing.crowd}", "polygon": corners})
            said = {"imgHeight": picture.size[0], "imgWidth": picture.size[1], "objects": objects}
            (folder / f"{base}_gtFine_polygons.json").write_text(json.dumps(said))
    return root


def write_ade20k(root: Path) -> Path:
    folders = {"train": "training", "val": "validation"}
    for seed, picture in enumerate(PICTURES):
        write_image(root / "images" / folders[picture.split] / f"{picture.stem}.jpg", picture.size, seed)
        values = picture.semantic({"car": 21, "person": 13}, 0)
        write_map(root / "annotations" / folders[picture.split] / f"{picture.stem}.png", values)
    names = {13: "person, individual", 21: "car, auto", 60: "screen door, screen", 132: "screen, silver screen"}
    rows = "".join(f"{number}\t0.1\t1\t1\t0\t{names.get(number, f'thing {number}')}\n" for number in range(1, 151))
    (root / "objectInfo150.txt").write_text(f"Idx\tRatio\tTrain\tVal\tStuff\tName\n{rows}")
    return root
