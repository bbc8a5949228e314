"""Whether a faster form may stand in for the call of a module: only where nobody could tell but by the time it takes.

Users change what a module does in many ways: hooks, a `forward` of their own on the object or its class, another module
in its place, modes and transforms that see every operator. A faster form follows none of these, so it asks here first.
This is asked hundreds of times in a forward pass, so it is written to take about a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import BuiltinFunctionType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

LARGE = 2**15
"""Maps of fewer values take the plain calls: asking what was changed takes longer than the faster forms and writing in
place save."""


def is_eager(x: Tensor) -> bool:
    """Whether `x` is a tensor and nothing more, and no compiler, tracer, transform (torch.func) or mode hears what is
    asked of it."""
    return (
        type(x) is Tensor
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_function_stack()
        and not torch._C._len_torch_dispatch_stack()
    )


def is_large(x: Tensor) -> bool:
    """Whether `x` is eager, and large enough for a faster form."""
    return is_eager(x) and x.numel() >= LARGE


def runs_plainly(x: Tensor) -> bool:
    """Whether operators on `x` run now and as they are written.

    Not so for compilers, exporters and tracers, transforms (torch.func), modes that see or replace operators (counters
    of FLOPs, fake tensors, `with torch.device(...)`), subclasses of Tensor, hooks on all modules, and where somebody
    has replaced a function of torch.nn.functional.
    """
    return (
        is_eager(x)
        and x.layout is torch.strided
        and not torch._C._len_torch_dispatch_stack()
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
        and _functions() == _TORCHS_FUNCTIONS
    )


def call_of(x: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
    """What calls a module of a block on `x`: without the call where it is an `nn.Identity` that nobody watches.

    A block has up to eleven of these, whose calls would take longer than all its questions.
    """
    quiet = is_eager(x) and not _has_any_global_hook() and _calls(nn.Identity) == _original_calls(nn.Identity)  # type: ignore[no-untyped-call]
    return _unless_identity if quiet else _module_call


def _unless_identity(module: nn.Module, x: Tensor) -> Tensor:
    return x if type(module) is nn.Identity and is_unwatched(module) else module(x)


def _module_call(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)  # type: ignore[no-any-return]


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether the module is exactly of one of `kinds`, unwatched, and its class is called as it was written."""
    kind = type(module)
    return kind in kinds and is_unwatched(module) and _calls(kind) == _original_calls(kind)  # type: ignore[arg-type]


def is_unwatched(module: nn.Module) -> bool:
    """Whether the module has no hooks, and its class's methods run when it is called."""
    own = module.__dict__
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in own
        or "_call_impl" in own
        or "_conv_forward" in own
    )


def _functions() -> tuple[object, ...]:
    """What the modules that this is asked of call, and the forms in their place."""
    return F.conv2d, F.linear, F.avg_pool2d, F.batch_norm, F.relu


# A wrapper copies a function's name and module, but its globals are those of where it was written.
_TORCHS_FUNCTIONS = tuple(
    function if type(function) is BuiltinFunctionType or getattr(function, "__globals__", None) is vars(F) else None
    for function in _functions()
)


def _calls(kind: type[nn.Module]) -> tuple[object, ...]:
    return kind.__call__, kind._call_impl, kind.forward, getattr(kind, "_conv_forward", None)


@cache
def _original_calls(kind: type[nn.Module]) -> tuple[object, ...] | None:
    """What `_calls` gives while nobody has replaced a method; None if somebody had when this was first asked."""
    for name in ("__call__", "_call_impl", "forward", "_conv_forward"):
        owner = next((each for each in kind.__mro__ if name in vars(each)), None)
        if owner and getattr(vars(owner)[name], "__globals__", {}).get("__name__") != owner.__module__:
            return None
    return _calls(kind)
