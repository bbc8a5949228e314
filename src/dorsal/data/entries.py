"""An annotated folder, checked and opened: for training, or for a model to be scored on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from dorsal.annotations.annotation import Annotation
from dorsal.data.annotated import AnnotatedData
from dorsal.data.check import data_error, fact_row, read_unchanged, say_waiting
from dorsal.data.decode import Levels, Reading, pixels
from dorsal.data.errors import shown
from dorsal.data.formats.check import Checked, check_annotated, fitted
from dorsal.data.formats.facts import Facts, gather, image_paths, label_paths, read_kept, write_kept
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, listed
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.read import fingerprint_of, read_annotated
from dorsal.data.index import checking, fact_type
from dorsal.data.measuring import conversion_notes, normalization_of, range_of_deep
from dorsal.data.progress import Progress, on_stderr
from dorsal.data.spec import Annotated
from dorsal.spec.preprocessing import IMAGENET
from dorsal.spec.task import Kind

_CACHE_BYTES = 512 * 2**20


class EntrySplit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Files and what is said about them, a `dorsal.data.annotated.AnnotatedSplit`. Images are decoded, masks drawn and
    label images read when they are asked for. Each process keeps those of a small set: up to 512 MiB, `set_bytes` being
    those of the whole set."""

    entries: tuple[Entry, ...]
    facts: tuple[Facts, ...]
    kinds: frozenset[Kind]
    sizes: NDArray[np.int64]
    reading: Reading
    levels: Levels | None
    set_bytes: int
    images: dict[int, Tensor] = {}
    annotations: dict[int, Annotation] = {}

    @property
    def groups(self) -> None:
        """None: nothing says which files belong together."""

    def __len__(self) -> int:
        return len(self.entries)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.entries[index].path

    def image(self, index: int) -> Tensor:
        """Uint8 [channels, H, W] in the frame that the image is annotated in.

        Raises DataError if the file is not the one that was checked, and OSError if it cannot be read.
        """
        found = self.images.get(index)
        if found is None:
            entry, known = self.entries[index], self.facts[index]
            data = read_unchanged(str(entry.path), known.bytes, known.time, known.scan.digest)
            reading = msgspec.structs.replace(self.reading, turned=entry.turned)
            found = torch.from_numpy(pixels(data, reading, self.levels))
            if self._small:
                self.images[index] = found
        return found

    def annotation(self, index: int) -> Annotation:
        """All that was asked for about image `index`, in its pixels."""
        found = self.annotations.get(index)
        if found is None:
            found = self.entries[index].annotation(self.kinds)
            if self._small:
                self.annotations[index] = found
        return found

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of image `index` that are no crowds."""
        truth = self.entries[index].truth
        labels: NDArray[np.int64] = truth.labels[~truth.crowd]
        return labels

    @property
    def _small(self) -> bool:
        worker = get_worker_info()
        return self.set_bytes * (1 if worker is None else worker.num_workers) <= _CACHE_BYTES


class Examined(msgspec.Struct, frozen=True, eq=False):
    """A data set that was checked, with the facts of its files."""

    checked: Checked
    facts: dict[Path, Facts]
    fingerprint: str


def examine(spec: Annotated, kinds: frozenset[Kind], on_progress: Progress | None = None) -> Examined:
    """Reads annotations of these kinds and checks them, as far as no earlier check found the same sound.

    What is found out about files is kept beside the data set, see `dorsal.data.index.homes`.

    Raises as `read_annotated` does. Other problems are in the result; the fingerprint is "" where images have any.
    """
    root, reading = Path(spec.path), Reading(channels=spec.channels)
    tell = on_progress or on_stderr(root)
    index = read_annotated(spec, kinds)
    began = time.time_ns()
    with checking(root, lambda: say_waiting(root)):
        kept = read_kept(root, spec.channels)
        facts = gather(index, reading, kept.facts(root, [*image_paths(index), *label_paths(index)]), tell)
        sized = fitted(index, facts)
        fingerprint = "" if sized is None else fingerprint_of(sized, facts)
        asked = _asked(index, spec, fingerprint)
        notes = None if sized is None else kept.verdicts.get(asked)
        if sized is not None and notes is not None:
            return Examined(Checked(sized, (), notes), facts, fingerprint)
        checked = _of_some(check_annotated(index, spec.size, facts), spec)
        if not checked.problems:
            kept.verdicts[asked] = checked.notes
        try:
            write_kept(root, spec.channels, kept, facts, began)
        except OSError as error:
            note = f"what was checked of {shown(root)} could not be kept ({error.strerror}); it will be checked anew"
            checked = msgspec.structs.replace(checked, notes=(*checked.notes, note))
    return Examined(checked, facts, fingerprint)


def open_entries(
    spec: Annotated, kinds: frozenset[Kind], fingerprint: str | None = None, on_progress: Progress | None = None
) -> AnnotatedData:
    """Checks an annotated folder and opens it. Each training image has the same weight in the measured normalization.

    With the `fingerprint` of an earlier check annotations are read and what it found out about files is used as it is;
    if there is nothing of it, the folder is checked.

    Raises DataError, with all problems, where the check finds any, and as `read_annotated` does.
    """
    if fingerprint is not None and (known := _known(spec, kinds, fingerprint)) is not None:
        return open_examined(spec, known)
    found = examine(spec, kinds, on_progress)
    if found.checked.problems:
        raise data_error(Path(spec.path), list(map(str, found.checked.problems)))
    return open_examined(spec, found)


def open_entries_to_score(
    spec: Annotated, kinds: frozenset[Kind], splits: Collection[SplitName], on_progress: Progress | None = None
) -> AnnotatedData:
    """As `open_entries`, of which only these splits are scored: what the others lack as a whole does not count.

    Raises DataError for all other problems.
    """
    found = examine(spec, kinds, on_progress)
    problems = [each for each in found.checked.problems if not _of_other_splits(each, splits)]
    if problems:
        raise data_error(Path(spec.path), list(map(str, problems)))
    return open_examined(spec, found)


def _of_other_splits(problem: Problem, scored: Collection[SplitName]) -> bool:
    """Whether the problem is none for scoring on these splits."""
    if problem.id == "class-unseen":  # it could not be learned here, but a model may know it
        return True
    return problem.id in ("no-objects", "crowd-only") and problem.place not in scored


def _known(spec: Annotated, kinds: frozenset[Kind], fingerprint: str) -> Examined | None:
    """The data of this fingerprint by what earlier checks kept, None where that is not enough. Looks at no image."""
    root, index = Path(spec.path), read_annotated(spec, kinds)
    paths = [*image_paths(index), *label_paths(index)]
    kept = read_kept(root, spec.channels)
    facts = kept.facts(root, paths)
    sized = fitted(index, facts)
    if sized is None or len(facts) < len(paths) or fingerprint_of(sized, facts) != fingerprint:
        return None
    notes = kept.verdicts.get(_asked(index, spec, fingerprint), ())
    return Examined(Checked(sized, (), notes), facts, fingerprint)


def _asked(index: AnnotatedIndex, spec: Annotated, fingerprint: str) -> str:
    """What a check was asked, as one number. Its notes name files, so these are part of it."""
    paths = [str(entry.path) for entry in (*index.train, *index.val)]
    return hashlib.sha256(repr((fingerprint, spec.size, spec.max_images, paths, index.notes)).encode()).hexdigest()


def _of_some(checked: Checked, spec: Annotated) -> Checked:
    """Where only some images were looked at, a class of val may be in those of train that were not: a note."""
    unseen = [each for each in checked.problems if each.id == "class-unseen"] if spec.max_images else []
    if not unseen:
        return checked
    problems = tuple(each for each in checked.problems if each.id != "class-unseen")
    names = listed(each.place for each in unseen)
    note = f"of the images looked at (max_images={spec.max_images}) none in train has what val has: {names}"
    return msgspec.structs.replace(checked, problems=problems, notes=(*checked.notes, note))


def open_examined(spec: Annotated, found: Examined) -> AnnotatedData:
    """Opens data that were checked and have no problems."""
    index, reading = found.checked.index, Reading(channels=spec.channels)
    both = (*index.train, *index.val)
    rows, conversions = _fact_rows(both, found.facts, reading)
    read = rows["width"] > 0
    train = rows[: len(index.train)][read[: len(index.train)]]
    levels = range_of_deep(train, reading)
    layers = spec.channels + ("semantic" in index.kinds)
    size = layers * sum(entry.size[0] * entry.size[1] for entry in both if entry.size)
    splits = [
        EntrySplit(
            entries=entries,
            facts=tuple(found.facts[entry.path] for entry in entries),
            kinds=index.kinds,
            sizes=np.array([entry.size for entry in entries], np.int64).reshape(-1, 2),
            reading=reading,
            levels=levels,
            set_bytes=size,
        )
        for entries in (index.train, index.val)
    ]
    paths = [str(entry.path) for entry in both]
    notes = conversion_notes(rows, conversions, paths.__getitem__, levels, "the training images")
    return AnnotatedData(
        labels=index.labels,
        kinds=index.kinds,
        category_ids=index.category_ids,
        train=splits[0],
        val=splits[1],
        normalization=IMAGENET if spec.normalization == "imagenet" else normalization_of(train, levels),
        fingerprint=found.fingerprint,
        size=spec.size,
        flip=index.flip,
        levels=levels,
        source=shown(spec.path),
        notes=(*notes, *found.checked.notes),
    )


def _fact_rows(
    entries: Sequence[Entry], facts: Mapping[Path, Facts], reading: Reading
) -> tuple[NDArray[np.void], list[str]]:
    """The scan of each image as a row of `fact_type`, empty where nobody read its pixels, and the conversions that the
    rows name."""
    rows, conversions = np.zeros(len(entries), fact_type(reading.channels)), {"": 0}
    for place, entry in enumerate(entries):
        scan = facts[entry.path].scan
        if scan.digest:
            rows[place] = fact_row(scan, conversions.setdefault(scan.note, len(conversions)))
    return rows, list(conversions)
