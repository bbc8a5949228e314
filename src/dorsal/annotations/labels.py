"""What the numbers in annotations stand for: classes, and points of a body."""

from __future__ import annotations

from collections import Counter
from math import isfinite

import msgspec

Pairs = tuple[tuple[int, int], ...]


class Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The names behind the numbers of a data set.

    - `classes`: label k is the name k. In a panoptic data set they are the things, which can be counted.
    - `stuff`: regions that cannot be counted, such as sky. Their labels follow those of the classes, in the same row of
      numbers.
    - `keypoints`: the names of the K points of an object.
    - `pairs`: numbers of two points that change places in a mirror, such as left and right wrist.
    - `sigmas`: for each point, how far apart two people mark it, as a share of the square root of the object's area;
      OKS measures distances in units of 2 sigma. Empty where it is not known.
    - `skeleton`: numbers of two points that a drawing joins by a line.

    Raises ValueError for no class and no stuff, names that are empty or there twice, numbers of no point, a point that
    is paired twice, and sigmas of another number than the points or not above 0.
    """

    classes: tuple[str, ...]
    stuff: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    pairs: Pairs = ()
    sigmas: tuple[float, ...] = ()
    skeleton: Pairs = ()

    def __post_init__(self) -> None:
        if not self.classes and not self.stuff:
            raise ValueError("classes and stuff are both empty; at least one name is needed")
        _check_names("classes and stuff", (*self.classes, *self.stuff))
        _check_names("keypoints", self.keypoints)
        for field, pairs in (("pairs", self.pairs), ("skeleton", self.skeleton)):
            for pair in pairs:
                _check_pair(field, pair, len(self.keypoints))
        paired = Counter(point for pair in self.pairs for point in pair)
        if twice := [point for point, times in paired.items() if times > 1]:
            raise ValueError(f"pairs holds point {twice[0]} twice; a mirror exchanges it with one other only")
        if self.sigmas and len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"sigmas has {len(self.sigmas)} values; there are {len(self.keypoints)} keypoints")
        if wrong := [sigma for sigma in self.sigmas if not (isfinite(sigma) and sigma > 0)]:
            raise ValueError(f"sigmas holds {wrong[0]}; each must be a number above 0")

    @property
    def of_objects(self) -> Labels:
        """The same without stuff, which no object is; all of them where there is nothing else."""
        return msgspec.structs.replace(self, stuff=()) if self.classes else self


def _check_names(field: str, names: tuple[str, ...]) -> None:
    """Raises ValueError for an empty name or one that is there twice."""
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"{field} must hold names, and none that is empty")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{field} hold the name {twice[0]!r} twice; every name must be another")


def _check_pair(field: str, pair: tuple[int, int], points: int) -> None:
    """Raises ValueError unless the pair is of two different points."""
    whole = len(pair) == 2 and all(type(point) is int and 0 <= point < points for point in pair)
    if not whole or pair[0] == pair[1]:
        valid = f"two different numbers from 0 to {points - 1}" if points > 1 else "left out without two keypoints"
        raise ValueError(f"{field} holds {pair}; it must be {valid}")
