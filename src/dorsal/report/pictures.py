"""A picture of an image and what is known or said about it, with a legend."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dorsal.annotations.annotation import Annotation
from dorsal.annotations.labels import Labels
from dorsal.report.painting import (
    INK,
    LEAST_SCORE,
    PAPER,
    colour_of,
    cut,
    font_for,
    labels_in,
    line_for,
    name_in_ascii,
    paint,
    text_height,
)

Pixels = npt.NDArray[np.uint8]

_SHORT_SIDE, _LONGEST_SIDE = 256, 1024
"""Pixels that an image is enlarged to, at the most."""
_NARROWEST = 200
"""Pixels that a picture is wide at the least, so that its words have room."""


def draw(
    image: Pixels,
    found: Annotation,
    labels: Labels,
    truth: Annotation | None = None,
    least_score: float = LEAST_SCORE,
) -> Pixels:
    """A picture of an image and what a prediction says about it, uint8 [h, w, 3]; `truth` is drawn to the left of it.

    `image` is uint8 [H, W, C]: grey of one or two channels, colours of the first three of more. Objects have a box with
    class and score, a tint and an outline if they have a mask, and their key points; those that score below
    `least_score` are left out, and the surest are on top. Maps and segments are translucent. The class of a whole image
    is written in its corner. Below are the classes that occur, in their colours.

    A class has the same colour in every picture, by its label; after the last of `PALETTE` they begin again. A small
    image is enlarged by a whole factor, up to a short side of 256 pixels. Words are in
    Pillow's own font, which has ASCII only: letters lose their accents, and a name with other characters is written as
    the number of its label, such as "class 3".

    Raises ValueError for another type or shape of the image, annotations of another size, and labels that are not among
    `labels`.
    """
    picture = as_picture(image)
    for annotation in (found, truth):
        if annotation is not None and annotation.size != image.shape[:2]:
            raise ValueError(f"image has (height, width) {image.shape[:2]}; the annotation has size={annotation.size}")
    picture = enlarged(picture, _SHORT_SIDE, _LONGEST_SIDE)
    parts = {"": found} if truth is None else {"Truth": truth, "Prediction": found}
    panels = {title: paint(picture, annotation, labels, least_score) for title, annotation in parts.items()}
    occurring = {label for annotation in parts.values() for label in labels_in(annotation, least_score)}
    return np.array(_laid_out(panels, [(label, name_in_ascii(label, labels)) for label in sorted(occurring)]))


def as_picture(image: Pixels) -> Image.Image:
    """Pillow's picture in RGB of uint8 [H, W, C]. Raises ValueError for another type or shape, and for no pixels."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        given = (
            f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else f"of type {type(image).__name__}"
        )
        raise ValueError(f"image is {given}; it must be uint8 [H, W, C] with a pixel at least")
    colours = image[..., :3] if image.shape[2] > 2 else image[..., :1].repeat(3, axis=2)
    return Image.fromarray(np.ascontiguousarray(colours))


def enlarged(picture: Image.Image, short: int, long: int) -> Image.Image:
    """The picture at the largest whole multiple of its size whose sides are at most `short` and `long` pixels."""
    factor = max(min(short // min(picture.size), long // max(picture.size)), 1)
    return picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)


def _laid_out(panels: dict[str, Image.Image], occurring: list[tuple[int, str]]) -> Image.Image:
    """The panels side by side under their titles, and the classes that occur below."""
    first = next(iter(panels.values()))
    font, step, gap = font_for(first), round(1.5 * text_height(first)), line_for(first) * 3
    top = step if any(panels) else 0
    across = max(len(panels) * (first.width + gap) - gap, _NARROWEST)
    entries, rows = _rows(occurring, font, step, across)
    sheet = Image.new("RGB", (across, top + first.height + rows * step), PAPER)
    pen, half = ImageDraw.Draw(sheet), step // 2
    for place, (title, panel) in enumerate(panels.items()):
        x = place * (first.width + gap)
        sheet.paste(panel, (x, top))
        pen.text((x + gap, half), cut(title, font, first.width - gap), fill=INK, font=font, anchor="lm")
    for label, name, x, row in entries:
        middle, quarter = top + first.height + row * step + half, step // 4
        left = x + quarter
        pen.rectangle((left, middle - quarter, left + half, middle + quarter), fill=colour_of(label), outline=INK)
        pen.text((x + step, middle), name, fill=INK, font=font, anchor="lm")
    return sheet


def _rows(
    occurring: Iterable[tuple[int, str]], font: ImageFont.FreeTypeFont, step: int, width: int
) -> tuple[list[tuple[int, str, int, int]], int]:
    """Label, name, x and row of each entry of the legend, broken into rows, and how many rows there are."""
    entries, x, row = [], 0, 0
    for label, whole in occurring:
        name = cut(whole, font, width - step)
        length = step + ceil(font.getlength(name))
        if x and x + length > width:
            x, row = 0, row + 1
        entries.append((label, name, x, row))
        x += length + step
    return entries, row + 1 if entries else 0
