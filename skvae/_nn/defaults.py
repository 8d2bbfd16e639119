"""The state of torch and numpy that the package assumes, whatever the caller has set.

A caller may have set another default dtype or device, run in inference mode or without gradients,
or let numpy raise. Within :func:`library_defaults` none of it matters. What it changes is local to
the thread and is restored at the end; but for the number of threads in a process that was forked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

Function = TypeVar("Function", bound=Callable)

FACTORIES = frozenset({
    torch.zeros, torch.ones, torch.empty, torch.eye, torch.linspace, torch.rand, torch.randn,
})  # fmt: skip
CONVERSIONS = frozenset({
    torch.Tensor.to, torch.Tensor.double, torch.Tensor.float, torch.Tensor.half, torch.Tensor.view,
    torch.Tensor.type,
})  # fmt: skip


class SinglePrecision(TorchFunctionMode):
    """Floats are made in single precision, in this thread, whatever the default dtype is."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence = (), kwargs: Mapping | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is not None or func in CONVERSIONS:
            return func(*args, **kwargs)
        of_floats = func in (torch.tensor, torch.full) and _has_python_float(args)
        if func in FACTORIES or of_floats:
            return func(*args, **{**kwargs, "dtype": torch.float32})
        result = func(*args, **kwargs)
        if _has_default_dtype(result) and _has_only_integers(args):  # a quotient, say
            convert = _number_as_single if func is torch.where else _as_single
            return func(*map(convert, args), **kwargs)
        return result


def _has_python_float(data: Any) -> bool:
    """Whether Python floats are made a tensor; arrays have a dtype of their own."""
    if isinstance(data, (list, tuple)):
        return any(map(_has_python_float, data))
    return isinstance(data, float) and not isinstance(data, np.generic)


def _has_default_dtype(result: Any) -> bool:
    return isinstance(result, torch.Tensor) and result.dtype == torch.get_default_dtype()


def _has_only_integers(args: Sequence) -> bool:
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    return bool(tensors) and not any(tensor.is_floating_point() for tensor in tensors)


def _as_single(arg: Any) -> Any:
    return arg.float() if isinstance(arg, torch.Tensor) else arg


def _number_as_single(arg: Any) -> Any:
    return torch.tensor(arg, dtype=torch.float32) if isinstance(arg, float) else arg


class Fork:
    """Whether this process was forked since torch was last told its number of threads.

    A fork does not copy the threads of OpenMP, for which torch would wait for ever. One thread
    needs no others: torch's own loader of data sets that in its workers, too.
    """

    is_new = False

    @classmethod
    def note(cls) -> None:
        cls.is_new = True

    @classmethod
    def use_one_thread(cls) -> None:
        """At the first use alone: who then sets another number has it."""
        if cls.is_new:
            torch.set_num_threads(1)
            cls.is_new = False


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=Fork.note)


@contextmanager
def library_defaults() -> Iterator[None]:
    """Single precision on the CPU, gradients on, numpy's own handling of overflow."""
    Fork.use_one_thread()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(SinglePrecision())
        yield


def with_library_defaults(function: Function) -> Function:
    """A function that runs within :func:`library_defaults`."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with library_defaults():
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]
