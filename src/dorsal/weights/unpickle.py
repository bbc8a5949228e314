"""Reads what `torch.save` wrote without looking up a class that the file names, so that nothing of it can run.

A checkpoint is a pickle with raw numbers beside it, and a pickle can call whatever it names. Here a name means one of
four things: a type of number, the function that makes a tensor of the file's numbers, a dictionary, or `Inert`, which
does nothing. So anything may stand beside the tensors: the `argparse.Namespace` of timm's and torchvision's scripts,
NumPy scalars, paths, dates, configurations, an optimizer's state, mmengine's history of losses, a whole module.
`torch.load(weights_only=True)` refuses a file for each such class that is not imported and listed.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import Tensor

_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickled number of files older than PyTorch 1.6."""

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class NotSavedByTorchError(Exception):
    """The file is of another kind. The message says which."""


class Inert(dict[Any, Any]):
    """Stands for an object whose class is not looked up. It keeps the fields and items that the file gives it."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # paths and enumerations are keys of dictionaries

    def __init__(self, *fields: object, **_: object) -> None:
        super().__init__(enumerate(fields))

    def __call__(self, *_: object, **__: object) -> Inert:
        """Stands for the result of calling the object."""
        return Inert()

    def __setstate__(self, state: object) -> None:
        for fields in state if isinstance(state, tuple) else (state,):  # with __slots__ there are two
            if isinstance(fields, dict):
                self.update(fields)

    def append(self, item: object) -> None:
        """Adds an item, as to a list."""
        self[len(self)] = item

    def extend(self, items: Iterable[object]) -> None:
        """Adds items, as to a list."""
        for item in items:
            self.append(item)

    add = append


class _OrderedItems(Inert):
    """An OrderedDict; Python 2 saved its items as pairs."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]] = ()) -> None:
        dict.__init__(self, pairs)


class _Builder:
    """A function that a file may call. A pickle can set attributes of whatever it names, but none of a builder."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., Tensor]) -> None:
        self._build = build

    def __call__(self, *fields: Any) -> Tensor:
        """The tensor that these fields describe."""
        return self._build(*fields)

    def __setstate__(self, state: object) -> None:
        pass


_tensor = _Builder(lambda numbers, offset, size, stride, *_: numbers.as_strided(size, stride, offset))
_parameter = _Builder(lambda tensor, *_: tensor)
_BUILDERS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _OrderedItems,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    # A tensor with attributes: the function that makes it, its class, the arguments, the attributes.
    ("torch._tensor", "_rebuild_from_type_v2"): _Builder(lambda rebuild, _, fields, *__: rebuild(*fields)),
}


class _Unpickler(pickle._Unpickler):  # a damaged index makes the one in C allocate gigabytes
    """`numbers` returns a storage as a flat tensor, by its type of number, its key and its count of numbers."""

    def __init__(self, file: IO[bytes], numbers: Callable[[torch.dtype, str, int], Tensor]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.numbers = numbers
        self.not_looked_up: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file means. Nothing is imported."""
        if name in _DTYPES:
            return _DTYPES[name]
        if (module, name) in _BUILDERS:
            return _BUILDERS[module, name]
        self.not_looked_up[f"{module}.{name}"] = None
        return Inert

    def persistent_load(self, pid: Any) -> Any:
        """The numbers of a storage. Before PyTorch 1.6 also a module's class, with its source."""
        kind, *fields = pid
        if kind == "module":
            return fields[0]
        dtype, key, _, count, *view = fields
        whole = self.numbers(dtype, key, count)
        if not view or view[0] is None:
            return whole
        _, offset, size = view[0]  # a part of another storage, as files of PyTorch 0.3 have
        return whole[offset : offset + size]


def unpickle(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content of a file, and the names in it that were not looked up. Tensors in a zip file are mapped.

    Raises NotSavedByTorchError for a TorchScript archive, a plain pickle or another byte order. For a damaged file it
    raises whatever Python's unpickler and zip reader raise.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return _read_zip(file) if zipped else _read_old(file)


def _read_zip(file: BinaryIO) -> tuple[Any, tuple[str, ...]]:
    """PyTorch 1.6 and later: `data.pkl` and a record for each storage, not compressed."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        root = next(name for name in names if name.endswith("data.pkl")).removesuffix("data.pkl")
        if f"{root}constants.pkl" in names:
            raise NotSavedByTorchError("is a TorchScript archive and not a state; save the module's state_dict instead")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder").decode() != sys.byteorder:
            raise NotSavedByTorchError(f"was written in another byte order than this machine's, {sys.byteorder}")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        storages: dict[str, Tensor] = {}

        def numbers(dtype: torch.dtype, key: str, count: int) -> Tensor:
            if key not in storages:
                record = archive.getinfo(f"{root}data/{key}")
                lengths = struct.unpack_from("<HH", content, record.header_offset + 26)  # of its name and its padding
                start = record.header_offset + 30 + sum(lengths)
                storages[key] = (
                    torch.frombuffer(content, dtype=dtype, count=count, offset=start)
                    if count
                    else torch.empty(0, dtype=dtype, device="cpu")
                )
            return storages[key]

        with archive.open(f"{root}data.pkl") as pickled:
            reader = _Unpickler(pickled, numbers)
            return reader.load(), tuple(reader.not_looked_up)


def _read_old(file: BinaryIO) -> tuple[Any, tuple[str, ...]]:
    """Before PyTorch 1.6: five pickles, then for each storage its count and its numbers."""
    storages: dict[str, Tensor] = {}

    def numbers(dtype: torch.dtype, key: str, count: int) -> Tensor:
        if key not in storages:
            if count * dtype.itemsize > os.fstat(file.fileno()).st_size:
                raise EOFError(f"storage {key} is longer than the file")
            storages[key] = torch.empty(count, dtype=dtype, device="cpu")
        return storages[key]

    if _Unpickler(file, numbers).load() != _MAGIC:
        raise NotSavedByTorchError("is a pickle that torch.save did not write; save its tensors with torch.save")
    _version, _system = (_Unpickler(file, numbers).load() for _ in range(2))
    reader = _Unpickler(file, numbers)
    content = reader.load()
    for key in _Unpickler(file, numbers).load():
        [count] = struct.unpack("<q", file.read(8))
        target = storages[key]
        if count != target.numel() or (count and file.readinto(target.view(torch.uint8).numpy()) != target.nbytes):  # type: ignore[attr-defined]
            raise EOFError(f"storage {key} is cut short")
    return content, tuple(reader.not_looked_up)
