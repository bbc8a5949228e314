"""The gallery of a comparison: images, what is true of them, and what each arm says. No script is needed to see it."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from dorsal.annotations.annotation import Annotation
from dorsal.annotations.labels import Labels
from dorsal.report.painting import LEAST_SCORE, colour_of, label_map, labels_in, paint, shown
from dorsal.report.parts import section, table
from dorsal.report.pictures import as_picture, enlarged
from dorsal.report.words.numerals import plural

GALLERY_STYLE = """
.gallery th:first-child { position: static; min-width: 0; max-width: none; }
.gallery :is(th, td) { text-align: left; vertical-align: top; white-space: normal; overflow-wrap: anywhere; }
.gallery tbody th { font-weight: 400; }
.gallery figure { width: min-content; }
.gallery img { display: block; border-radius: 4px; }
.gallery figcaption b { color: var(--ink); }
.chips { margin-bottom: 12px; }
.chips li::before { content: ""; display: inline-block; width: 12px; height: 12px; margin-right: 6px;
  vertical-align: -1px; border: 1px solid var(--soft); background: var(--chip); }
"""
"""What the page's style sheet needs besides; for `page_of`."""
MOST_BYTES = 1_000_000
"""All pictures of a gallery together, as text in the page."""

_SIDES = ((256, 85), (192, 80), (144, 75), (112, 65), (80, 50))
"""The longest side of pictures in pixels, and their quality as JPEGs: the first that `MOST_BYTES` allow, else the last.
"""
_TRUTH = "truth"
_MOST_SAID = 4
"""Classes that the words below a picture name."""


class GalleryImage(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One image of a gallery.

    - `name`: what a reader knows it by, such as its file's name.
    - `thumbnail`: uint8 [h, w, C], the whole image at any size; a longest side of 256 pixels is as much as is shown.
    - `truth`, and `found` by the label of the arm: in pixels of the file. An arm that is not in it has no prediction.
    """

    name: str
    thumbnail: npt.NDArray[np.uint8]
    truth: Annotation
    found: Mapping[str, Annotation]


class _Picture(msgspec.Struct, frozen=True):
    """A picture as a data URI, and its sides in pixels."""

    uri: str
    width: int
    height: int


def gallery(
    images: Sequence[GalleryImage], arms: Sequence[str], labels: Labels, least_score: float = LEAST_SCORE
) -> str:
    """The section with a row for each image: truth first, then each of the `arms`, by their labels. "" without images.

    The page needs `GALLERY_STYLE`. Pictures are JPEGs inside the page, with a longest side of 256 pixels. Where that
    would be more than `MOST_BYTES`, all are smaller, down to 80 pixels. Objects that score below `least_score` are
    counted and not drawn.

    Raises ValueError for a thumbnail of other proportions than its annotations, annotations of one image with different
    sizes, and as `paint` and `as_picture` do.
    """
    if not images:
        return ""
    for image in images:
        _check(image)
    rows = []
    for image, row in zip(images, _pictures(images, arms, labels, least_score), strict=True):
        cells = []
        for who, annotation, picture in zip((_TRUTH, *arms), _row(image, arms), row, strict=True):
            said = "no prediction" if annotation is None else _said(annotation, labels, least_score)
            cells.append(_figure(image.name, who, said, picture))
        rows.append(cells)
    heads = [_TRUTH, *map(escape, arms)]
    about = (
        f"{plural(len(images), 'validation image')}, the same for every arm, with truth and what the first run of each "
        f"arm says. Of objects with a score, those of {least_score:g} and more are drawn."
    )
    occurring = {
        label
        for image in images
        for annotation in _row(image, arms)
        if annotation is not None
        for label in labels_in(annotation, least_score)
    }
    body = f'<p class="soft">{about}</p>{_chips(sorted(occurring), labels)}'
    return section("Gallery", body + table("Truth and predictions", heads, rows, "gallery"))


def _check(image: GalleryImage) -> None:
    """Raises ValueError unless all that is said about an image is about one of the thumbnail's proportions."""
    height, width = image.truth.size
    for arm, found in image.found.items():
        if found.size != image.truth.size:
            raise ValueError(f"{image.name}: found[{arm!r}] has size={found.size}; truth has size={image.truth.size}")
    drawn = as_picture(image.thumbnail)
    if abs(drawn.width * height - drawn.height * width) > max(height, width):  # a pixel: sides are rounded
        sides = f"{drawn.height} x {drawn.width}"
        raise ValueError(f"{image.name}: the thumbnail is {sides} pixels, which is no scale of {height} x {width}")


def _row(image: GalleryImage, arms: Sequence[str]) -> list[Annotation | None]:
    """What is in the cells of an image: truth, and what each arm says."""
    return [image.truth, *(image.found.get(arm) for arm in arms)]


def _pictures(
    images: Sequence[GalleryImage], arms: Sequence[str], labels: Labels, least_score: float
) -> list[list[_Picture | None]]:
    """A row for each image, as large as all together may be; None where an arm has no prediction."""
    for side, quality in _SIDES:
        made = []
        for image in images:
            bare = _sized(as_picture(image.thumbnail), side)
            made.append(
                [
                    None if each is None else _encoded(paint(bare, each, labels, least_score), quality)
                    for each in _row(image, arms)
                ]
            )
        if sum(len(each.uri) for row in made for each in row if each) <= MOST_BYTES:
            break
    return made


def _sized(picture: Image.Image, side: int) -> Image.Image:
    """The picture with a longest side of at most `side` pixels. A small one is enlarged by a whole factor."""
    if max(picture.size) <= side:
        return enlarged(picture, side, side)
    scale = side / max(picture.size)
    width, height = (max(round(scale * each), 1) for each in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image, quality: int) -> _Picture:
    """The picture as a JPEG. Colours are kept at every pixel, as the lines are thin."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True, subsampling="4:4:4")
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return _Picture(f"data:image/jpeg;base64,{text}", *picture.size)


def _figure(name: str, who: str, said: str, picture: _Picture | None) -> str:
    """One cell: the picture, whose it is, and in words what it shows."""
    caption = f"<figcaption><b>{escape(who)}</b><small>{escape(said)}</small></figcaption>"
    if picture is None:
        return f"<figure>{caption}</figure>"
    alt = escape(f"{name}, {who}: {said}")
    sides = f'width="{picture.width}" height="{picture.height}"'
    more = f"<small>{escape(name)}</small>" if who == _TRUTH else ""
    return f'<figure><img src="{picture.uri}" alt="{alt}" {sides}>{caption}{more}</figure>'


def _chips(occurring: Sequence[int], labels: Labels) -> str:
    """The classes that occur, in their colours."""
    names = (*labels.classes, *labels.stuff)
    chips = "".join(f'<li style="--chip:{colour_of(label)}">{escape(names[label])}</li>' for label in occurring)
    return f'<ul class="legend chips">{chips}</ul>' if chips else ""


def _said(annotation: Annotation, labels: Labels, least_score: float) -> str:
    """What a picture shows, in words: objects counted by class, or the classes of a map by their share of the image."""
    names = (*labels.classes, *labels.stuff)
    parts = []
    if (objects := annotation.objects) is not None:
        drawn = shown(objects, least_score)
        counts = Counter(names[label] for label in objects.labels[drawn].tolist())
        parts.append(_short([f"{count:,} {name}" for name, count in counts.most_common()]) or "no object")
        if hidden := len(objects.boxes) - len(drawn):
            parts.append(f"{hidden:,} below {least_score:g}")
    if (regions := label_map(annotation)) is not None:
        shares = np.bincount((regions + 1).ravel())[1:] / regions.size
        order = [int(label) for label in np.argsort(-shares, kind="stable") if shares[label]]
        parts.append(_short([f"{names[label]} {100 * shares[label]:.0f} %" for label in order]) or "nothing known")
    whole = [names[label] for label in labels_in(annotation, least_score)] if not parts else []
    return "; ".join(parts) or _short(whole) or "nothing"


def _short(parts: Sequence[str]) -> str:
    """The first parts, and how many more there are."""
    rest = len(parts) - _MOST_SAID
    return ", ".join([*parts[:_MOST_SAID], *([f"{rest} more"] if rest > 0 else [])])
