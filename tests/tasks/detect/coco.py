"""Sets of images with objects and detections, and what pycocotools says of them."""

import contextlib
import io
from types import SimpleNamespace

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def objects(boxes, labels, scores=None, area=None, crowd=None):
    """As `Objects`; areas are those of the boxes unless they are given."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return SimpleNamespace(
        boxes=boxes,
        labels=np.asarray(labels, dtype=np.int64),
        scores=None if scores is None else np.asarray(scores, dtype=np.float64),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) if area is None else np.asarray(area, dtype=np.float64),
        crowd=np.zeros(len(boxes), dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool),
    )


def drawn(images, classes, seed=0, levels=None, pixels=150, most=6, copies=4, others=4):
    """Truth and what is found of it. With `levels`, scores have so many values, and boxes whole numbers of pixels.

    A fifth of the images is empty, and a fifth finds nothing. The last class has no truth, and crowds are many.
    """
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        there = int(random.integers(1, most + 1)) * (random.random() > 0.2)
        side = np.exp(random.uniform(np.log(8), np.log(pixels), (there, 2)))
        corner = random.random((there, 2)) * pixels
        labels = random.integers(0, max(1, classes - 1), there)
        boxes = np.concatenate([corner, corner + side], axis=1)
        boxes = np.round(boxes) if levels else boxes
        near = random.integers(0, max(there, 1), copies * there)
        sides = np.tile(boxes[near, 2:] - boxes[near, :2], 2)
        moved = boxes[near] + random.choice([0, 0.03, 0.2], (len(near), 1)) * sides * random.normal(size=(len(near), 4))
        more = random.random((others, 4)) * pixels
        seen = np.concatenate([moved, np.concatenate([more[:, :2], more[:, :2] + more[:, 2:]], axis=1)])
        seen = np.round(seen) if levels else seen
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 1)
        kinds = np.where(random.random(len(near)) < 0.8, labels[near], random.integers(0, classes, len(near)))
        kinds = np.concatenate([kinds, random.integers(0, classes, others)])
        scores = random.random(len(seen))
        scores = np.round(scores * levels) / levels if levels else scores
        kept = slice(0, len(seen) if random.random() > 0.2 else 0)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * random.choice([0.6, 1], there)
        truth.append(objects(boxes, labels, area=area, crowd=random.random(there) < 0.15))
        found.append(objects(seen[kept], kinds[kept], scores=scores[kept]))
    return truth, found


def outlined(each, image, size):
    """The records of COCO of the objects of an image, their boxes as masks at `size`."""
    for box, label, area, crowd in zip(each.boxes, each.labels, each.area, each.crowd, strict=True):
        xywh = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
        whole = np.zeros((size, size), dtype=np.uint8, order="F")
        whole[int(box[1]) : int(np.ceil(box[3])), int(box[0]) : int(np.ceil(box[2]))] = 1
        yield {
            "image_id": image + 1,
            "category_id": int(label) + 1,
            "bbox": xywh,
            "area": float(area),
            "iscrowd": int(crowd),
            "segmentation": mask.encode(whole),
        }


def pycocotools(truth, found, classes, kind="bbox", size=320):
    """The oracle: its twelve scores by name, its precisions [T, R, K, A, M], and the evaluation."""
    annotations = [record for image, each in enumerate(truth) for record in outlined(each, image, size)]
    results = [
        {**record, "score": float(score)}
        for image, each in enumerate(found)
        for record, score in zip(outlined(each, image, size), each.scores, strict=True)
    ]
    for result in results:  # with both, the area would be that of the box
        del result["bbox" if kind == "segm" else "segmentation"], result["area"], result["iscrowd"]
    data = {
        "images": [{"id": image + 1, "height": size, "width": size} for image in range(len(truth))],
        "categories": [{"id": label + 1} for label in range(classes)],
        "annotations": [{**record, "id": place + 1} for place, record in enumerate(annotations)],
    }
    return evaluated(data, results, kind)


def evaluated(data, results, kind):
    """What pycocotools says of results on data in the form of COCO."""
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO()
        whole.dataset = data
        whole.createIndex()
        if not results:
            return dict.fromkeys(NAMES, 0.0), None
        evaluation = COCOeval(whole, whole.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats.tolist(), strict=True)), evaluation


def by_masks(truth, found, size=320):
    """What is found with the areas of its masks, and for each image the overlaps of masks with the truth."""
    matrices, measured = [], []
    for image, (own, other) in enumerate(zip(found, truth, strict=True)):
        first, second = ([each["segmentation"] for each in outlined(part, image, size)] for part in (own, other))
        overlap = mask.iou(first, second, other.crowd.astype(np.uint8).tolist())
        matrices.append(np.asarray(overlap, dtype=np.float64).reshape(len(first), len(second)))
        area = np.asarray(mask.area(first), dtype=np.float64).reshape(len(first))
        measured.append(objects(own.boxes, own.labels, own.scores, area=area))
    return measured, matrices
