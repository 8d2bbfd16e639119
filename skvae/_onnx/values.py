"""Tensors in a graph, and operators that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from . import functions
from .graph import Graph

FLOAT, INTEGER, BOOLEAN = np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool)
NUMBERS = {FLOAT: 11, INTEGER: 7, BOOLEAN: 9}  # of the types in the ONNX format


class Rows(int):
    """A multiple of the number of rows, as a size."""


@dataclass(frozen=True)
class Value:
    """A tensor in a graph.

    Attributes
    ----------
    name : str
    dtype : dtype
        float64, int64 or bool.
    shape : tuple of int or None
        None: the size follows the number of rows.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]

    @classmethod
    def constant(cls, graph: Graph, value: Any) -> Value:
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        kind = {"f": FLOAT, "i": INTEGER, "u": INTEGER, "b": BOOLEAN}[array.dtype.kind]
        return cls(graph.constant(array.astype(kind)), kind, array.shape)

    @property
    def n_axes(self) -> int:
        return len(self.shape)


def as_value(graph: Graph, value: Any) -> Value:
    return value if isinstance(value, Value) else Value.constant(graph, value)


def cast(graph: Graph, value: Value, dtype: np.dtype) -> Value:
    if value.dtype == dtype:
        return value
    return Value(graph.node("Cast", value.name, to=NUMBERS[dtype]), dtype, value.shape)


def broadcast(*shapes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape of an elementwise result."""
    n_axes = max(len(shape) for shape in shapes)
    padded = [(1,) * (n_axes - len(shape)) + shape for shape in shapes]
    return tuple(
        None if None in sizes else max(s for s in sizes if s is not None) if 0 not in sizes else 0
        for sizes in zip(*padded, strict=True)
    )


def promoted(graph: Graph, *values: Any) -> tuple[list[Value], np.dtype]:
    """Operands of one type: that of the tensors, unless a Python number needs another."""
    tensors = [as_value(graph, v) for v in values]
    order = [BOOLEAN, INTEGER, FLOAT]
    dtype = order[max(order.index(v.dtype) for v in tensors)]
    return [cast(graph, v, dtype) for v in tensors], dtype


def elementwise(
    operator: str, result: np.dtype | None = None, least: np.dtype | None = None
) -> Any:
    """An operator whose operands broadcast; `least` is the least type that it takes."""

    def translate(graph: Graph, *values: Any, alpha: Any = 1, rounding_mode: Any = None) -> Value:
        if alpha != 1:
            values = values[0], multiply(graph, values[1], alpha)
        operands, dtype = promoted(graph, *values)
        if least is not None and dtype != FLOAT:
            dtype = least
            operands = [cast(graph, v, least) for v in operands]
        name = graph.node(operator, *(v.name for v in operands))
        return Value(name, result or dtype, broadcast(*(v.shape for v in operands)))

    return translate


def composed(function: Callable[[Graph, str], str]) -> Any:
    def translate(graph: Graph, x: Any, *_: Any) -> Value:
        x = cast(graph, as_value(graph, x), FLOAT)
        return Value(function(graph, x.name), FLOAT, x.shape)

    return translate


multiply = elementwise("Mul")


def square(graph: Graph, x: Value) -> Value:
    return multiply(graph, x, x)


def power(graph: Graph, x: Any, exponent: Any) -> Value:
    if exponent == 2:
        return square(graph, x)
    return elementwise("Pow", least=FLOAT)(graph, x, exponent)


def clamp(graph: Graph, x: Value, low: Any = None, high: Any = None, **named: Any) -> Value:
    low, high = named.get("min", low), named.get("max", high)
    if low is not None:
        x = elementwise("Max")(graph, x, low)
    return x if high is None else elementwise("Min")(graph, x, high)


def where(graph: Graph, condition: Any, x: Any, y: Any) -> Value:
    condition = as_value(graph, condition)
    (x, y), dtype = promoted(graph, x, y)
    name = graph.node("Where", condition.name, x.name, y.name)
    return Value(name, dtype, broadcast(condition.shape, x.shape, y.shape))


def masked_fill(graph: Graph, x: Any, mask: Any, value: Any) -> Value:
    x = as_value(graph, x)
    filled = Value.constant(graph, np.asarray(float(value) if x.dtype == FLOAT else value))
    return where(graph, mask, cast(graph, filled, x.dtype), x)


def log_sigmoid(graph: Graph, x: Value) -> list[Value]:
    result = Value(functions.log_sigmoid(graph, x.name), FLOAT, x.shape)
    return [result, result]  # the second is for the gradient


def log_add_exp(graph: Graph, a: Any, b: Any) -> Value:
    a, b = as_value(graph, a), as_value(graph, b)
    name = functions.log_add_exp(graph, a.name, b.name)
    return Value(name, FLOAT, broadcast(a.shape, b.shape))


def unsqueeze(graph: Graph, x: Value, axis: int) -> Value:
    axis = axis % (x.n_axes + 1)
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    return Value(graph.node("Unsqueeze", x.name, [axis]), x.dtype, shape)
