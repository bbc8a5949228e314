"""How colours look to readers with all cones and to those without one kind, after Machado, Oliveira, Fernandes (2009).

Their matrices for a whole loss of a kind, on linear RGB; distances are Euclidean in CIELAB (CIE 1976).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

SIGHT = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "without red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "without green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "without blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> NDArray[np.float64]:
    """Red, green and blue as amounts of light, from 0 to 1."""
    values = np.array(ImageColor.getrgb(colour)) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(XYZ[1] @ linear(colour))


def lab(colour: str, sight: str) -> NDArray[np.float64]:
    x, y, z = XYZ @ (np.array(SIGHT[sight]) @ linear(colour)).clip(0, 1) / XYZ.sum(axis=1)
    f, g, h = (value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116 for value in (x, y, z))
    return np.array([116 * g - 16, 500 * (f - g), 200 * (g - h)])


def distance(one: str, other: str, sight: str) -> float:
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))
