"""A device that is none: its tensors are on the CPU, but may not be mixed with those of the CPU.

As on a GPU, an operation that takes tensors of both fails, but for scalars and indices, and arrays
of numpy are made of tensors of the CPU alone. It has the name "meta", which torch knows everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "meta"
MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
INDEXING = {
    torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default,
    torch.ops.aten.index_put.default, torch.ops.aten._unsafe_index.Tensor,
    torch.ops.aten._index_put_impl_.default,
}  # fmt: skip


class There(torch.Tensor):
    """A tensor of the device; `here` is the one on the CPU that holds its numbers."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        assert not isinstance(here, There)
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), dtype=here.dtype, device=NAME
        )
        tensor.here = here
        return tensor

    def __getitem__(self, index: Any) -> Any:
        """Lists are made indices here, since torch makes them within C++."""
        index = index if isinstance(index, tuple) else (index,)
        each = (torch.tensor(i) if isinstance(i, list) else i for i in index)
        return super().__getitem__(tuple(each))

    def tolist(self) -> Any:  # which torch refuses to subclasses
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class FakeDevice(TorchDispatchMode):
    """Within it, tensors can be moved to the device and made there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the numbers, if all of its tensors are on one device."""
    tensors = list(tensors_of(args[:1] if func in INDEXING else [*args, *kwargs.values()]))
    is_there = any(isinstance(t, There) for t in tensors)
    is_mixed = is_there and not all(isinstance(t, There) or not t.ndim for t in tensors)
    if is_mixed and func not in MOVES:
        raise RuntimeError(f"{func}: tensors of the device and of the CPU")
    to_there = is_there
    if kwargs.get("device") is not None:
        to_there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    found = func(*map(here, args), **{name: here(value) for name, value in kwargs.items()})
    if func._schema.is_mutable:
        return args[0] if isinstance(args[0], There) else found
    return there(found) if to_there else found


def tensors_of(values: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            assert isinstance(value, There) or value.device.type == "cpu"
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_of(value)


def here(value: Any) -> Any:
    """Tensors of the CPU in place of those of the device."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(here, value))
    return value.here if isinstance(value, There) else value


def there(value: Any) -> Any:
    """Tensors of the device in place of those of the CPU."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(there, value))
    return There(value) if isinstance(value, torch.Tensor) else value
