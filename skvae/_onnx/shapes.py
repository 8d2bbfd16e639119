"""Operators that change shapes, and that look values up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from .graph import Graph
from .values import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    Rows,
    Value,
    as_value,
    broadcast,
    cast,
    elementwise,
    multiply,
    promoted,
    unsqueeze,
)


def same(graph: Graph, x: Any, *_: Any, **__: Any) -> Any:
    return x


def to_copy(graph: Graph, x: Value, dtype: Any = None, **_: Any) -> Value:
    if dtype is None:
        return x
    kind = INTEGER if not (dtype.is_floating_point or dtype == torch.bool) else FLOAT
    return cast(graph, x, BOOLEAN if dtype == torch.bool else kind)


def view(graph: Graph, x: Value, shape: list[Any]) -> Value:
    sizes = [-1 if isinstance(size, Rows) else size for size in shape]
    follows = [i for i, size in enumerate(shape) if isinstance(size, Rows)]
    if len(follows) > 1 or sizes.count(-1) > 1:
        raise NotImplementedError("two of its axes follow the number of rows")
    return Value(
        graph.node("Reshape", x.name, sizes),
        x.dtype,
        tuple(None if isinstance(size, Rows) else size for size in shape),
    )


def expand(graph: Graph, x: Value, shape: list[Any], **_: Any) -> Value:
    own = (1,) * (len(shape) - x.n_axes) + x.shape
    # Where rows are repeated, one stands for all of them: every operator broadcasts.
    sizes = [1 if isinstance(size, Rows) or size == -1 else size for size in shape]
    result = tuple(
        here if isinstance(size, Rows) or size == -1 else size
        for size, here in zip(shape, own, strict=True)
    )
    return Value(graph.node("Expand", x.name, sizes), x.dtype, result)


def squeeze(graph: Graph, x: Value, axes: Any) -> Value:
    axes = [axis % x.n_axes for axis in (axes if isinstance(axes, list) else [axes])]
    axes = [axis for axis in axes if x.shape[axis] == 1]
    shape = tuple(size for i, size in enumerate(x.shape) if i not in axes)
    return Value(graph.node("Squeeze", x.name, axes), x.dtype, shape) if axes else x


def permute(graph: Graph, x: Value, axes: list[int]) -> Value:
    axes = [axis % x.n_axes for axis in axes]
    shape = tuple(x.shape[axis] for axis in axes)
    return Value(graph.node("Transpose", x.name, perm=axes), x.dtype, shape)


def transpose(graph: Graph, x: Value, a: int = 0, b: int = 1) -> Value:
    axes = list(range(x.n_axes))
    axes[a], axes[b] = axes[b], axes[a]
    return permute(graph, x, axes)


def slice_(graph: Graph, x: Value, axis: int = 0, start: Any = 0, end: Any = None,
           step: int = 1) -> Value:  # fmt: skip
    size = x.shape[axis]
    start = start or 0
    if size is None or end is None:
        if start == 0 and step == 1:
            return x
        raise NotImplementedError("it takes a part of the rows")
    start, end, step = slice(start, end, step).indices(size)
    shape = tuple(len(range(start, end, step)) if i == axis % x.n_axes else s
                  for i, s in enumerate(x.shape))  # fmt: skip
    return Value(graph.node("Slice", x.name, [start], [end], [axis], [step]), x.dtype, shape)


def select(graph: Graph, x: Value, axis: int, index: int) -> Value:
    axis = axis % x.n_axes
    shape = tuple(size for i, size in enumerate(x.shape) if i != axis)
    return Value(graph.node("Gather", x.name, np.int64(index), axis=axis), x.dtype, shape)


def unbind(graph: Graph, x: Value, axis: int = 0) -> list[Value]:
    size = x.shape[axis]
    assert size is not None
    return [select(graph, x, axis, i) for i in range(size)]


def split(graph: Graph, x: Value, sizes: Any, axis: int = 0) -> list[Value]:
    size = x.shape[axis]
    if size is None:
        raise NotImplementedError("it splits the rows")
    if isinstance(sizes, int):
        sizes = [min(sizes, size - start) for start in range(0, size, sizes)]
    starts = np.cumsum([0, *sizes])
    return [slice_(graph, x, axis, int(a), int(b))
            for a, b in pairwise(starts)]  # fmt: skip


def concatenate(graph: Graph, parts: list[Any], axis: int = 0) -> Value:
    values = [as_value(graph, part) for part in parts]
    values = [value for value in values if 0 not in value.shape] or values[:1]
    axis = axis % values[0].n_axes
    if len(values) == 1:
        return values[0]
    values = _expanded(graph, values, axis)
    operands, dtype = promoted(graph, *values)
    sizes = [value.shape[axis] for value in operands]
    total = None if None in sizes else sum(s for s in sizes if s is not None)
    shape = tuple(total if i == axis else s for i, s in enumerate(operands[0].shape))
    return Value(graph.node("Concat", *(v.name for v in operands), axis=axis), dtype, shape)


def _expanded(graph: Graph, values: list[Value], axis: int) -> list[Value]:
    """Values with as many rows as the one that has most: one row may stand for all."""
    follows = [v for v in values if any(s is None for i, s in enumerate(v.shape) if i != axis)]
    if not follows:
        return values
    like = follows[0]
    sizes = graph.node("Shape", like.name)
    sizes = graph.node("ScatterElements", sizes, [axis], [1])
    target = tuple(1 if i == axis else s for i, s in enumerate(like.shape))
    return [
        v if v.shape[:axis] == like.shape[:axis] and v.shape[axis + 1 :] == like.shape[axis + 1 :]
        else Value(graph.node("Expand", v.name, sizes), v.dtype, broadcast(v.shape, target))
        for v in values
    ]  # fmt: skip


def pad(graph: Graph, x: Value, amounts: list[int], value: float = 0.0) -> Value:
    """Amounts before and after each axis, the last axis first."""
    if not any(amounts):
        return x
    pairs = [tuple(amounts[i : i + 2]) for i in range(0, len(amounts), 2)]
    pairs = [(0, 0)] * (x.n_axes - len(pairs)) + pairs[::-1]
    sizes = [before for before, _ in pairs] + [after for _, after in pairs]
    filler = cast(graph, Value.constant(graph, np.asarray(value)), x.dtype)
    shape = tuple(s if s is None else s + sum(p) for s, p in zip(x.shape, pairs, strict=True))
    return Value(graph.node("Pad", x.name, sizes, filler.name), x.dtype, shape)


def stack(graph: Graph, parts: list[Any], axis: int = 0) -> Value:
    return concatenate(graph, [unsqueeze(graph, as_value(graph, p), axis) for p in parts], axis)


def filled(graph: Graph, shape: Any, value: Any, like: Value, dtype: Any = None) -> Value:
    """A constant, with one row for all rows."""
    sizes = [1 if isinstance(size, Rows) or size is None else size for size in shape]
    whole = dtype is not None and not dtype.is_floating_point
    kind = like.dtype if dtype is None else BOOLEAN if dtype == torch.bool else \
        INTEGER if whole else FLOAT  # fmt: skip
    return Value.constant(graph, np.full(sizes, value, kind))


def new_filled(value: Any) -> Any:
    return lambda graph, x, shape, dtype=None, **_: filled(graph, shape, value, x, dtype)


def filled_like(value: Any) -> Any:
    return lambda graph, x, dtype=None, **_: filled(graph, x.shape, value, x, dtype)


# -------------------------------------------------------------------------------- lookups


def gather(graph: Graph, x: Any, axis: int, index: Any, **_: Any) -> Value:
    x, index = as_value(graph, x), as_value(graph, index)
    axis = axis % x.n_axes
    x, index = _expanded(graph, [x, index], axis) if None in x.shape + index.shape else (x, index)
    shape = tuple(index.shape[i] if i == axis else s for i, s in enumerate(index.shape))
    return Value(graph.node("GatherElements", x.name, index.name, axis=axis), x.dtype, shape)


def index_tensor(graph: Graph, x: Any, indices: list[Any]) -> Value:
    """x[i, j], x[i] or x[:, i] for tensors of indices."""
    x = as_value(graph, x)
    given = [(axis, as_value(graph, i)) for axis, i in enumerate(indices) if i is not None]
    if len(given) == 1:
        axis, index = given[0]
        shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        return Value(graph.node("Gather", x.name, index.name, axis=axis), x.dtype, shape)
    (a, first), (b, second) = given
    if (a, b) != (0, 1) or None in x.shape:
        raise NotImplementedError("its indices are not those of the first two axes")
    n = x.shape[1]
    flat = Value(graph.node("Reshape", x.name, [-1, *x.shape[2:]]), x.dtype, ())
    place = elementwise("Add")(graph, multiply(graph, first, n), second)
    shape = (*place.shape, *x.shape[2:])
    return Value(graph.node("Gather", flat.name, place.name, axis=0), x.dtype, shape)


def embedding(graph: Graph, table: Any, index: Value, *_: Any, **__: Any) -> Value:
    table = as_value(graph, table)
    shape = (*index.shape, table.shape[1])
    return Value(graph.node("Gather", table.name, index.name, axis=0), table.dtype, shape)
