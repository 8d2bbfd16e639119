"""Operators that reduce axes, and products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .graph import Graph
from .values import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    Value,
    as_value,
    cast,
    elementwise,
    multiply,
    square,
    unsqueeze,
    where,
)


def reduction(operator: str) -> Any:
    def translate(graph: Graph, x: Value, axes: Any = None, keepdim: bool = False,
                  **_: Any) -> Value:  # fmt: skip
        if x.dtype == BOOLEAN:
            x = cast(graph, x, INTEGER)
        axes = list(range(x.n_axes)) if axes is None else axes
        axes = [axis % x.n_axes for axis in (axes if isinstance(axes, list) else [axes])]
        name = graph.node(operator, x.name, axes, keepdims=int(keepdim))
        return Value(name, x.dtype, _reduced(x.shape, axes, keepdim))

    return translate


def _reduced(shape: tuple, axes: list[int], keepdim: bool) -> tuple:
    if keepdim:
        return tuple(1 if i in axes else s for i, s in enumerate(shape))
    return tuple(s for i, s in enumerate(shape) if i not in axes)


total, least, greatest = reduction("ReduceSum"), reduction("ReduceMin"), reduction("ReduceMax")


def log_sum_exp(graph: Graph, x: Value, axes: Any, keepdim: bool = False) -> Value:
    """log Σ exp(x), with the maximum taken out."""
    top = greatest(graph, x, axes, True)
    top = where(graph, Value(graph.node("IsInf", top.name), BOOLEAN, top.shape), 0.0, top)
    each = Value(graph.node("Exp", elementwise("Sub")(graph, x, top).name), FLOAT, x.shape)
    summed = total(graph, each, axes, True)
    logarithm = Value(graph.node("Log", summed.name), FLOAT, summed.shape)
    result = elementwise("Add")(graph, logarithm, top)
    return result if keepdim else squeeze_axes(graph, result, axes)


def squeeze_axes(graph: Graph, x: Value, axes: Any) -> Value:
    axes = [axis % x.n_axes for axis in (axes if isinstance(axes, list) else [axes])]
    return Value(graph.node("Squeeze", x.name, axes), x.dtype, _reduced(x.shape, axes, False))


def log_softmax(graph: Graph, x: Value, axis: int, *_: Any) -> Value:
    return elementwise("Sub")(graph, x, log_sum_exp(graph, x, [axis], True))


def softmax(graph: Graph, x: Value, axis: int, *_: Any) -> Value:
    return Value(graph.node("Exp", log_softmax(graph, x, axis).name), FLOAT, x.shape)


def arg(operator: str) -> Any:
    def translate(graph: Graph, x: Value, axis: int, keepdim: bool = False) -> Value:
        name = graph.node(operator, x.name, axis=axis % x.n_axes, keepdims=int(keepdim))
        return Value(name, INTEGER, _reduced(x.shape, [axis % x.n_axes], keepdim))

    return translate


def max_and_place(graph: Graph, x: Value, axis: int, keepdim: bool = False) -> list[Value]:
    return [greatest(graph, x, axis, keepdim), arg("ArgMax")(graph, x, axis, keepdim)]


def all_(graph: Graph, x: Value, axis: Any = None, keepdim: bool = False) -> Value:
    return cast(graph, least(graph, x, axis, keepdim), BOOLEAN)


def any_(graph: Graph, x: Value, axis: Any = None, keepdim: bool = False) -> Value:
    return cast(graph, greatest(graph, x, axis, keepdim), BOOLEAN)


def mean(graph: Graph, x: Value, axes: Any = None, keepdim: bool = False, **_: Any) -> Value:
    return reduction("ReduceMean")(graph, x, axes, keepdim)


def variance(graph: Graph, x: Value, axes: Any, correction: float = 1, **_: Any) -> Value:
    """Σ (x − mean)² / (n − correction)."""
    axes = [axis % x.n_axes for axis in axes]
    n = math.prod(x.shape[axis] or 0 for axis in axes)
    centered = elementwise("Sub")(graph, x, mean(graph, x, axes, True))
    summed = total(graph, square(graph, centered), axes)
    return multiply(graph, summed, 1 / (n - correction))


def layer_norm(
    graph: Graph, x: Value, shape: list[int], weight: Any, bias: Any, eps: float
) -> list[Value]:
    axes = [x.n_axes - 1 - i for i in range(len(shape))]
    centered = elementwise("Sub")(graph, x, mean(graph, x, axes, True))
    spread = elementwise("Add")(graph, mean(graph, square(graph, centered), axes, True), eps)
    result = elementwise("Div")(graph, centered, elementwise("Sqrt")(graph, spread))
    if weight is not None:
        result = multiply(graph, result, weight)
    result = result if bias is None else elementwise("Add")(graph, result, bias)
    return [result, result, result]  # the others are for the gradient


def search_sorted(graph: Graph, ordered: Any, x: Any, right: bool = False, **_: Any) -> Value:
    """How many of the last axis of `ordered` are below x (with `right`, not above it)."""
    ordered, x = as_value(graph, ordered), as_value(graph, x)
    ordered = unsqueeze(graph, ordered, ordered.n_axes - 1)
    compare = elementwise("LessOrEqual" if right else "Less", BOOLEAN)
    below = compare(graph, ordered, unsqueeze(graph, x, x.n_axes))
    return total(graph, below, [below.n_axes - 1])


def cumulated(graph: Graph, x: Value, axis: int, **_: Any) -> Value:
    return Value(graph.node("CumSum", x.name, np.int64(axis % x.n_axes)), x.dtype, x.shape)


# ------------------------------------------------------------------------------ products


def product(graph: Graph, a: Any, b: Any) -> Value:
    a, b = as_value(graph, a), as_value(graph, b)
    return Value(graph.node("MatMul", a.name, b.name), FLOAT, (*a.shape[:-1], b.shape[-1]))


def affine(graph: Graph, bias: Any, a: Any, b: Any) -> Value:
    return elementwise("Add")(graph, product(graph, a, b), bias)
