"""What can be wrong with an annotated data set: an id for each kind of problem, and what it means."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

ProblemId = Literal[
    "layout",
    "image-missing",
    "image-unreadable",
    "image-size",
    "image-orientation",
    "file-malformed",
    "id-duplicate",
    "id-dangling",
    "box-malformed",
    "box-outside",
    "box-empty",
    "box-normalized",
    "box-corners",
    "mask-malformed",
    "mask-empty",
    "mask-size",
    "mask-box",
    "keypoint-count",
    "keypoint-flag",
    "keypoint-outside",
    "label-missing",
    "label-unreadable",
    "label-size",
    "label-colors",
    "label-value",
    "class-unseen",
    "no-objects",
    "crowd-only",
]

MEANINGS: dict[ProblemId, str] = {
    "layout": "Folders or files are not as their format has them, so that nothing of it can be read.",
    "image-missing": "The annotations name an image file that is not there.",
    "image-unreadable": "The image file cannot be read, is truncated, too small or too large, or is no image.",
    "image-size": "The image is of another size than the annotations say.",
    "image-orientation": "The EXIF orientation turns the image, and the size does not tell which way was annotated.",
    "file-malformed": "An annotation file of one image is unreadable, or a line, field or entry of one makes no sense.",
    "id-duplicate": "An id or a file is there twice.",
    "id-dangling": "An annotation, or a file of such, is of an image or a class that is not there.",
    "box-malformed": "A box is missing, or is not four finite numbers.",
    "box-outside": "A box reaches more than one pixel beyond its image.",
    "box-empty": "A box has no area.",
    "box-normalized": "All boxes lie between 0 and 1, so they are shares of the image where pixels are due.",
    "box-corners": "Boxes have two corners where a corner, a width and a height are due.",
    "mask-malformed": "A mask is missing, a polygon has fewer than three points, or runs are cut.",
    "mask-empty": "A mask has no pixel in its image.",
    "mask-size": "A mask is of another size than its image.",
    "mask-box": "A mask and its box are of different places: their overlap (IoU) is below .5.",
    "keypoint-count": "An object has another number of points than its class.",
    "keypoint-flag": "The third value of a point is none of 0 (not labelled), 1 (hidden) and 2 (visible).",
    "keypoint-outside": "A visible point lies more than one pixel beyond its image.",
    "label-missing": "An image has no label image.",
    "label-unreadable": "A label image cannot be read, is truncated, or is no image.",
    "label-size": "A label image is of another size than its image.",
    "label-colors": "A label image has colors where the numbers of classes are due.",
    "label-value": "A label image has a value that is neither a class nor to be ignored.",
    "class-unseen": "A class of val is not in train.",
    "no-objects": "A split has no annotations at all, neither objects nor labelled pixels.",
    "crowd-only": "All objects of a split are crowds, which are neither learned nor scored.",
}
"""The one table of all problems."""

assert tuple(MEANINGS) == get_args(ProblemId)


class Problem(msgspec.Struct, frozen=True):
    """Something wrong, found at `place` in the file `path`. Place is "" for the file as a whole, path for no file."""

    id: ProblemId
    path: str
    place: str
    found: str

    def __str__(self) -> str:
        """One line for people."""
        where = ", ".join(filter(None, (self.path, self.place)))
        return ": ".join(filter(None, (where, self.found))) + f" [{self.id}]"


class TruthError(ValueError):
    """A part of the truth of an image that cannot be used, and the id of its problem."""

    def __init__(self, problem: ProblemId, found: str) -> None:
        super().__init__(problem, found)
        self.problem, self.found = problem, found

    def __str__(self) -> str:
        return self.found
