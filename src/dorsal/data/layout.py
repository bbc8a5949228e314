"""Which folders of a data set are splits and which are classes. Opens no file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from dorsal.data.decode import Reading
from dorsal.data.errors import shown

Role = Literal["train", "val", "whole"]

_NAMES = {
    "train": "train training trainset trainingset traindata trainingdata",
    "val": "val valid validation valset validset validationset valdata dev devset eval evalset evaluation",
    "test": "test testing testset testingset testdata testingdata",
}
_MEANING = {name: role for role, names in _NAMES.items() for name in names.split()}
_LISTED = 5


class Layout(msgspec.Struct, frozen=True):
    """The folders that hold class folders, by role: `train` and `val`, or `whole` for the root itself, of name "".
    `problem` says why the layout is refused."""

    folders: dict[Role, str] = {}
    notes: tuple[str, ...] = ()
    problem: str = ""


def role_of(name: str) -> Literal["train", "val", "test"] | None:
    """The role that a folder of this name has as a split, in any case and spelling. None if it is no split.

    >>> role_of("Training_Set"), role_of("val2017"), role_of("cat")
    ('train', 'val', None)
    """
    plain = re.sub(r"[-_. ]", "", name.casefold())
    return _MEANING.get(re.sub(r"(19|20)\d\d$", "", plain))  # type: ignore[return-value]


def find_layout(root: Path, names: Iterable[str], reading: Reading) -> Layout:
    """The layout of `root`, whose folders are `names`.

    A folder is a split if it has the name of one and holds class folders. If it holds images, and other classes stand
    beside it, it is a class: `train` beside `bus` and `car` is a vehicle.
    """
    names = list(names)
    others = [name for name in names if role_of(name) is None]
    called = [name for name in names if role_of(name) is not None]
    inside = {name: _look(root / name, reading) for name in called}
    splits = [name for name in called if "folders" in inside[name] and not (others and "images" in inside[name])]
    if not called or (others and not splits):
        return Layout({"whole": ""})
    roles: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in splits:
        roles[role_of(name) or ""].append(name)
    for name in called:  # `train` without class folders is a broken split, not a missing one
        role = role_of(name) or ""
        if name not in splits and role != "test" and not roles[role]:
            roles[role].append(name)
    twice = next((found for found in roles.values() if len(found) > 1), None)
    if twice:
        return Layout(problem=f"{shown(root)}: {_listed(twice)} are names of one split; leave one of them")
    found = {role: folders[0] for role, folders in roles.items() if folders}
    classes = [] if "train" in found else [name for name in others if "images" in _look(root / name, reading)]
    if classes:
        return Layout(
            problem=f"{shown(root)}: holds a split, {_listed(found.values())}, beside folders of images, "
            f"{_listed(classes)}; if those are classes, put them into a folder `train`, or rename what is no split"
        )
    left = [name for name in names if name not in found.values()]
    return _splits(root, found, left)


def _splits(root: Path, found: dict[str, str], left: list[str]) -> Layout:
    """The layout of splits: `found` has the folder of each role, `left` the folders that are none of them."""
    notes = []
    if "test" in found and "val" not in found:
        notes.append(f"{shown(root / found['test'])} is read as val, as there is no folder of that name")
    elif "test" in found:
        notes.append(f"{shown(root / found['test'])} is left out; to score a model on it, name that folder itself")
    folders: dict[Role, str] = {}
    if "train" in found:
        folders["train"] = found["train"]
    if "val" in found or "test" in found:
        folders["val"] = found["val"] if "val" in found else found["test"]
    for role, name in folders.items():
        if name != role and found.get(role) == name:
            notes.append(f"{shown(root / name)} is read as {role}")
    if left:
        notes.append(f"folders beside the splits are left out: {_listed(left)}")
    return Layout(folders, tuple(notes))


def nested(folder: Path, inside: Collection[tuple[str, frozenset[str]]]) -> str:
    """The problem of a folder in which every class holds folders of the same names; "" for others.

    `inside` has a pair for each class folder of `folder`: its name, and the names of the folders in it; no names if it
    also holds images itself.
    """
    if len(inside) < 2:
        return ""
    names = [name for name, _ in inside]
    same = sorted(frozenset.intersection(*(folders for _, folders in inside)))
    where = f"{shown(folder)}: every folder in it ({_listed(names)}) holds folders of the same names ({_listed(same)})"
    if same and all(map(role_of, same)):
        return f"{where}, which are splits; put the splits outside and the classes inside, as in {same[0]}/{names[0]}"
    if len(same) < 2:
        return ""
    return (
        f"{where}, so either may be the classes; if {_listed(same)} are, name the outer folders `train` and `val`; "
        f"if {_listed(names)} are, put the images of each into it, without folders"
    )


def _look(folder: Path, reading: Reading) -> frozenset[str]:
    """Which of "folders" and "images" the folder holds."""
    found = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    found.add("folders")
                elif Path(entry.name).suffix.lower() in reading.suffixes:
                    found.add("images")
                if len(found) == 2:
                    break
    except OSError:
        return frozenset({"folders"})  # the listing says why it cannot be read
    return frozenset(found)


def _listed(names: Collection[str]) -> str:
    shorter = ", ".join(map(shown, list(names)[:_LISTED]))
    return f"{shorter}, ..." if len(names) > _LISTED else shorter
