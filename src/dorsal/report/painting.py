"""What is known or said about an image, painted over it: boxes, masks, points, maps, and words."""

from __future__ import annotations

import unicodedata
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import minimum_filter

from dorsal.annotations.annotation import Annotation, Objects, Segments
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import Integers, Rle

LabelMap = npt.NDArray[np.integer[Any]]

PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442"),
    *("#8800FF", "#773311", "#BBEE99", "#00FFDD", "#4433AA", "#BB55FF", "#EE0055"),
    *("#663377", "#CCAA55", "#991155", "#99FF77", "#88CC99", "#EECCFF"),
)
"""First the seven colours of Okabe and Ito (2008), without their black. Each of ours after them was chosen to be as far
as possible from all before it (in CIELAB), with normal sight and without the cones for red, green or blue. Any two are
at least 15 apart for all four readers."""
LEAST_SCORE = 0.5
"""Objects with a lower score are not drawn by default."""
INK, PAPER = "#1b232b", "#ffffff"

_LEAST_POINT = 0.2
"""Key points are drawn where their third value is above this. In truth that leaves out 0, which is "not labelled"."""
_TINT, _MAP_TINT = 0.4, 0.6
"""How much of its colour covers an object, and a pixel of a map."""
_LONGEST_TAG, _LONGEST_NAME = 24, 60
"""Letters of a name in the picture, without its score, and below the picture."""


def colour_of(label: int) -> str:
    """The colour of a label in every picture, such as "#0072B2"."""
    return PALETTE[label % len(PALETTE)]


def shown(objects: Objects, least_score: float) -> Integers:
    """Indices of the objects that a picture shows, the topmost last: all but those that score below `least_score`.

    The surest are on top; where there are no scores, the smallest.
    """
    if objects.scores is None:
        return np.argsort(-objects.area, kind="stable")
    order = np.argsort(objects.scores, kind="stable")
    return order[objects.scores[order] >= least_score]


def labels_in(annotation: Annotation, least_score: float) -> list[int]:
    """The labels that a picture of the annotation shows, each once, in order."""
    found = [np.zeros(0, np.int64)]
    if annotation.objects is not None:
        found.append(annotation.objects.labels[shown(annotation.objects, least_score)])
    if (regions := label_map(annotation)) is not None:
        found.append(np.flatnonzero(np.bincount((regions + 1).ravel())[1:]))
    if (whole := _of_whole(annotation)) is not None:
        found.append(np.array([whole[0]]))
    return [int(label) for label in np.unique(np.concatenate(found))]


def label_map(annotation: Annotation) -> LabelMap | None:
    """The label of each pixel [H, W] by the map or else the segments, -1 where none is known; None without both."""
    if annotation.semantic is not None:
        unknown = annotation.semantic == np.iinfo(annotation.semantic.dtype).max
        return np.where(unknown, -1, annotation.semantic.astype(np.int32))
    return None if annotation.segments is None else _labels_of(annotation.segments)


def paint(picture: Image.Image, annotation: Annotation, labels: Labels, least_score: float) -> Image.Image:
    """A copy of an RGB picture of the whole image, at any size, with the annotation drawn over it.

    Raises ValueError for labels that are not among `labels`.
    """
    last = len(labels.classes) + len(labels.stuff) - 1
    if (beyond := max(labels_in(annotation, least_score), default=0)) > last:
        raise ValueError(f"the annotation has label {beyond}; the labels are 0 to {last}")
    picture = picture.copy()
    if (regions := label_map(annotation)) is not None:
        _paint_regions(picture, regions)
    if annotation.segments is not None:
        _paint_borders(picture, annotation.segments)
    if annotation.objects is not None:
        _paint_objects(picture, annotation, annotation.objects, labels, least_score)
    if (whole := _of_whole(annotation)) is not None:
        label, score = whole
        _write_tag(picture, _said(label, labels, score), 0, 0, colour_of(label))
    return picture


def _of_whole(annotation: Annotation) -> tuple[int, float | None] | None:
    """The label of the whole image, predicted or true, and how sure the prediction is."""
    if annotation.probabilities is not None and annotation.probabilities.size:
        label = int(annotation.probabilities.argmax())
        return label, float(annotation.probabilities[label])
    return None if annotation.label is None else (annotation.label, None)


def _labels_of(segments: Segments) -> LabelMap:
    """The label of each pixel [H, W], -1 where its id is that of no segment."""
    order = np.argsort(segments.ids)
    ids, labels = segments.ids[order], segments.labels[order]
    places = np.searchsorted(ids, segments.pixels)
    known = np.append(ids, 0)[places] == segments.pixels
    return np.where(known & (segments.pixels > 0), np.append(labels, -1)[places], -1)


def _paint_regions(picture: Image.Image, regions: LabelMap) -> None:
    """The colour of each pixel's label, translucent; the image where none is known."""
    there = _resampled(regions, picture)
    table = np.array([ImageColor.getrgb(colour) for colour in PALETTE], dtype=np.uint8)
    colours = Image.fromarray(table[there % len(PALETTE)])
    picture.paste(colours, (0, 0), Image.fromarray(np.where(there >= 0, round(255 * _MAP_TINT), 0).astype(np.uint8)))


def _paint_borders(picture: Image.Image, segments: Segments) -> None:
    """A light line between segments, which may be of one class."""
    ids = _resampled(segments.pixels, picture)
    border = np.zeros(ids.shape, dtype=bool)
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    picture.paste(PAPER, (0, 0), Image.fromarray(np.where(border, 255, 0).astype(np.uint8)))


def _paint_objects(
    picture: Image.Image, annotation: Annotation, objects: Objects, labels: Labels, least_score: float
) -> None:
    """First what covers the image, then what must not be covered: masks, boxes, points, words."""
    scale = np.array([picture.width / annotation.size[1], picture.height / annotation.size[0]])
    most = np.array(picture.size)
    drawn = [(int(i), colour_of(int(objects.labels[i]))) for i in shown(objects, least_score)]
    for i, colour in drawn:
        if objects.masks is not None:
            _paint_mask(picture, objects.masks[i], colour)
    corners = {}
    for i, colour in drawn:
        scaled = (objects.boxes[i].astype(np.float64).reshape(2, 2) * scale).clip(0, most)
        corners[i] = np.sort(scaled.round().astype(int), axis=0)
        _paint_box(picture, corners[i], colour)
    for i, colour in drawn:
        if objects.keypoints is not None:
            points = objects.keypoints[i].astype(np.float64) * (*scale, 1)
            _paint_points(picture, points, labels, colour)
    for i, colour in drawn:
        score = None if objects.scores is None else float(objects.scores[i])
        text = _said(int(objects.labels[i]), labels, score) + " (crowd)" * bool(objects.crowd[i])
        x, y = corners[i][0].tolist()
        _write_tag(picture, text, x, y - text_height(picture) if y >= text_height(picture) else y, colour)


def _paint_mask(picture: Image.Image, mask: Rle, colour: str) -> None:
    """A tint on the object's pixels, and an outline within them."""
    rows, columns = _middles(mask.size, picture)
    x0, y0, x1, y1 = mask.box()
    top, bottom = np.searchsorted(rows, (y0, y1)).tolist()
    left, right = np.searchsorted(columns, (x0, x1)).tolist()
    if top == bottom or left == right:
        return  # too small for this picture, or without pixels
    inside = mask.pixels()[rows[top:bottom, None], columns[left:right]].astype(np.uint8)
    inner = minimum_filter(inside, 2 * line_for(picture) + 1, mode="constant", cval=0)
    strength = np.where(inner, round(255 * _TINT), 255 * inside).astype(np.uint8)
    picture.paste(colour, (left, top), Image.fromarray(strength))


def _paint_box(picture: Image.Image, corners: Integers, colour: str) -> None:
    """The outline of a box of whole pixels, [[x0, y0], [x1, y1]], with a dark line around it for light images."""
    (x0, y0), (x1, y1) = corners.tolist()
    x1, y1 = max(x1 - 1, x0), max(y1 - 1, y0)
    pen, line = ImageDraw.Draw(picture), line_for(picture)
    edge = ceil(line / 3)
    pen.rectangle((x0 - edge, y0 - edge, x1 + edge, y1 + edge), outline=INK, width=edge)
    pen.rectangle((x0, y0, x1, y1), outline=colour, width=line)


def _paint_points(picture: Image.Image, points: npt.NDArray[np.float64], labels: Labels, colour: str) -> None:
    """Key points [K, 3] and the lines of the skeleton between those that are there."""
    pen, line = ImageDraw.Draw(picture), line_for(picture)
    there = np.isfinite(points).all(axis=1) & (points[:, 2] > _LEAST_POINT)
    places = [(float(x), float(y)) for x, y in points[:, :2].clip(-1e6, 1e6)]
    for first, second in labels.skeleton:
        if max(first, second) < len(places) and there[first] and there[second]:
            pen.line((*places[first], *places[second]), fill=colour, width=line)
    for place in np.flatnonzero(there):
        pen.circle(places[place], radius=line + 1, fill=colour, outline=INK)


def _middles(size: tuple[int, int], picture: Image.Image) -> tuple[Integers, Integers]:
    """Rows and columns of the image of this size on which the middles of the picture's rows and columns lie."""
    rows, columns = (
        ((np.arange(drawn) + 0.5) * side / drawn).astype(np.int64)
        for side, drawn in zip(size, (picture.height, picture.width), strict=True)
    )
    return rows, columns


def _resampled(values: Any, picture: Image.Image) -> Any:
    """Values of the image's pixels [H, W] → those of the picture's pixels."""
    rows, columns = _middles(values.shape, picture)
    return values[rows[:, None], columns]


def line_for(picture: Image.Image) -> int:
    """The width of lines in pixels."""
    return max(2, min(picture.size) // 300)


def font_for(picture: Image.Image) -> ImageFont.FreeTypeFont:
    """The font of all words in and around the picture. Raises RuntimeError where Pillow was built without FreeType."""
    return _font(max(11, min(picture.size) // 50))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font in this size."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, so it has no font of a chosen size")
    return found


def text_height(picture: Image.Image) -> int:
    """The height of a line of words in pixels."""
    return sum(font_for(picture).getmetrics())


def _write_tag(picture: Image.Image, text: str, x: int, y: int, colour: str) -> None:
    """Writes on a field of the colour with its upper left corner at x, y.

    The field is moved and the text is cut to lie within the picture. Where there is no room, nothing is written.
    """
    font, height, margin = font_for(picture), text_height(picture), line_for(picture)
    text = cut(text, font, picture.width - 2 * margin)
    if height > picture.height or not text:
        return
    width = ceil(font.getlength(text)) + 2 * margin
    x, y = min(x, picture.width - width), min(max(y, 0), picture.height - height)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    pen.text((x + margin, y), text, fill=_ink_on(colour), font=font)


def name_in_ascii(label: int, labels: Labels) -> str:
    """The name without accents, or "class 3" where it holds other characters that Pillow's font lacks."""
    name = " ".join((*labels.classes, *labels.stuff)[label].split())
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return plain if plain and plain.isascii() and plain.isprintable() else f"class {label}"


def _said(label: int, labels: Labels, score: float | None) -> str:
    """What a tag says."""
    name = name_in_ascii(label, labels)
    name = name if len(name) <= _LONGEST_TAG else f"{name[: _LONGEST_TAG - 1].rstrip()}…"
    return name if score is None else f"{name} {score:.2f}"


def cut(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """As much of the text as fits, with … where it was cut; "" where nothing fits."""
    if len(text) <= _LONGEST_NAME and font.getlength(text) <= width:
        return text
    for kept in range(min(len(text) - 1, _LONGEST_NAME), 0, -1):
        if font.getlength(short := f"{text[:kept].rstrip()}…") <= width:
            return short
    return ""


def _ink_on(colour: str) -> str:
    """Black or white, whichever is read more easily on the colour (contrast as WCAG 2 has it)."""
    red, green, blue = (value / 255 for value in ImageColor.getrgb(colour)[:3])
    luminance = sum(
        share * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
        for share, value in ((0.2126, red), (0.7152, green), (0.0722, blue))
    )
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
