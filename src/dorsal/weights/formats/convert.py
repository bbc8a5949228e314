"""Translates states of other packages to Dorsal's names, and back."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import torch
from torch import Tensor

from dorsal.spec.network import Network
from dorsal.weights.formats import dorsal
from dorsal.weights.formats.compare import (
    Differences,
    compare_with_table,
    likeness,
    sentence,
    shape_differences,
    with_ends_of,
    without_prefix,
)
from dorsal.weights.formats.naming import PREFIX
from dorsal.weights.formats.packages import FORMATS, naming_of, recognise
from dorsal.weights.formats.table import COUNTER, NamingTable, Shape, apply, make_table

State = Mapping[str, Tensor]


class FormatMatch(msgspec.Struct, frozen=True):
    """A file's state that fits a network, under Dorsal's names, and the differences by the file's names."""

    state: dict[str, Tensor]
    differences: Differences
    format: str


def match(state: State, network: Network, format: str | None = None) -> FormatMatch:
    """Compares a file's state with a network and translates what fits. Without `format`, the names tell the format.

    Counters of batches are 0 if the file has none (files older than PyTorch 0.4.1, frozen norms).

    Raises ValueError if the format is unknown or not recognised, or has no network like this one.
    """
    format = format or recognise(state)
    shapes = _shapes(state)
    try:
        naming = naming_of(format, network)
    except ValueError as error:
        like = likeness(shapes, network, format) if format in FORMATS else ""
        raise ValueError(f"{error}{like and f'; {like}'}") from None
    table = make_table(network, naming)
    bare = without_prefix(state)
    ours: dict[str, Tensor] = {}
    for entry in table.entries:
        tensor = bare.get(entry.theirs)
        if tensor is not None and tuple(tensor.shape) == entry.shape:
            ours[entry.ours] = apply(entry.change, tensor, back=False)
        elif tensor is None and entry.ours.endswith(COUNTER) and _sibling(entry.ours) in ours:
            ours[entry.ours] = _zero(state)
    return FormatMatch(ours, compare_with_table(_shapes(bare), table), format)


def to_ours(state: State, network: Network, format: str | None = None, partial: bool = False) -> dict[str, Tensor]:
    """A file's state under Dorsal's names, ready for `build(network).load_state_dict`. See `match` for the format.

    Tensors keep their type. They also keep their memory, except a first convolution that is turned from BGR to RGB.

    Raises ValueError with the names that are missing, surplus or misshapen in the file, and what the file would fit
    instead. With `partial` all that fits is returned, and an error is raised only if nothing does; `match` says what
    does not fit.
    """
    found = match(state, network, format)
    if not found.differences or (partial and found.state):
        return found.state
    raise _misfit(state, network, found)


def adopt(state: State, network: Network) -> tuple[Network, FormatMatch]:
    """The network with the file's own input channels and classes, and the file's state for it.

    The format is the recognised one, or else the first that fits. All of the trunk must be there, and nothing more
    inside it, so a deeper network is refused. A head of another form or a detector's neck may lie beside the trunk: it
    is named in `differences.surplus`, and the network then has no classifier.

    Raises ValueError as `to_ours` does.
    """
    recognised = recognise(state)
    shapes = _shapes(state)
    nearest = network
    for format in dict.fromkeys((recognised, *FORMATS)):
        try:
            naming = naming_of(format, network)
        except ValueError:  # the format has no such network
            continue
        own = with_ends_of(shapes, network, naming)
        nearest = own if format == recognised else nearest
        for candidate in (own, msgspec.structs.replace(own, head=msgspec.structs.replace(own.head, classes=0))):
            found = match(state, candidate, format)
            if _fits_but_for_what_is_beside(found.differences, make_table(candidate, naming)):
                return candidate, found
    raise _misfit(state, nearest, match(state, nearest, recognised))


def from_ours(state: State, network: Network, format: str) -> dict[str, Tensor]:
    """A state of Dorsal's under a format's names, as the package saves it. `to_ours` gives the state back.

    The classifier is left out if the format has none. Tensors that the package saves but never uses are zeros.

    Raises ValueError if the format has no such network, or the state is not the network's.
    """
    naming = naming_of(format, network)
    own = make_table(network, dorsal.names(network))
    wrong = shape_differences(_shapes(state), {entry.ours: entry.shape for entry in own.entries})
    if wrong:
        raise ValueError(f"the state is not of this network: {sentence(wrong)}")
    table = make_table(network, naming)
    theirs: dict[str, Tensor] = {}
    for entry in table.entries:
        prefix = PREFIX if naming.whole and not entry.ours.startswith("fc.") else ""
        tensor = state[entry.ours] if entry.ours in state else _zero(state)
        theirs[prefix + entry.theirs] = apply(entry.change, tensor, back=True)
    for name, shape in table.unused.items():
        theirs[name] = _zero(state) if name.endswith(COUNTER) else next(iter(state.values())).new_zeros(shape)
    return theirs


def _misfit(state: State, network: Network, found: FormatMatch) -> ValueError:
    like = likeness(_shapes(state), network, found.format)
    return ValueError(
        f"the file ({found.format} names) is not of this network: {sentence(found.differences)}{like and f'; {like}'}"
    )


def _fits_but_for_what_is_beside(differences: Differences, table: NamingTable) -> bool:
    trunk = {entry.theirs.partition(".")[0] for entry in table.entries if not entry.ours.startswith("fc.")}
    inside = [name for name in differences.surplus if name.partition(".")[0] in trunk]
    return not (differences.missing or differences.misshapen or inside)


def _shapes(state: State) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _sibling(counter: str) -> str:
    return counter.removesuffix(COUNTER) + "running_var"


def _zero(state: State) -> Tensor:
    """A counter where the state's tensors are."""
    return torch.zeros((), dtype=torch.long, device=next(iter(state.values())).device)
