"""Arrays whose numpy operations become nodes of an ONNX graph.

Numpy hands every function of an array with ``__array_ufunc__`` and ``__array_function__`` to the
array itself (NEP 13 and 18), so that the maps of columns are traced by calling them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skvae._table.lookup import lookup

from . import functions
from .graph import Graph

FLOAT, BOOLEAN = np.dtype(np.float64), np.dtype(bool)
COMPARISONS = {
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
}
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_not": "Not"}
LOGICAL |= {"bitwise_and": "And", "bitwise_or": "Or", "invert": "Not"}
ARITHMETIC = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "negative": "Neg",
    "absolute": "Abs",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "log": "Log",
    "exp": "Exp",
    "maximum": "Max",
    "minimum": "Min",
    "rint": "Round",
}
KEEP_INTEGERS = {
    "add", "subtract", "multiply", "negative", "absolute", "sign", "maximum", "minimum",
    *COMPARISONS,
}  # fmt: skip
COMPOSED: dict[str, Callable[[Graph, str], str]] = {
    "log1p": functions.log1p,
    "expm1": functions.expm1,
}


class TracedArray(np.lib.mixins.NDArrayOperatorsMixin):
    """One number for each row, (n_rows,), as a value of a graph.

    Attributes
    ----------
    graph : Graph
    name : str
        The value in the graph.
    dtype : dtype
        float64, int64 or bool.
    """

    __array_priority__ = 1000

    def __init__(self, graph: Graph, name: str, dtype: Any = np.float64) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> TracedArray:
        name = ufunc.__name__
        if method != "__call__" or options:
            return NotImplemented
        graph = self.graph
        if name == "isnan":
            return TracedArray(graph, graph.node("IsNaN", inputs[0].name), bool)
        if name in LOGICAL:
            values = [self._value(value, BOOLEAN) for value in inputs]
            return TracedArray(graph, graph.node(LOGICAL[name], *values), bool)
        dtype = _common_dtype(inputs) if name in KEEP_INTEGERS else FLOAT
        values = [self._value(value, dtype) for value in inputs]
        if name in COMPARISONS:
            return TracedArray(graph, graph.node(COMPARISONS[name], *values), bool)
        if name in COMPOSED:
            return TracedArray(graph, COMPOSED[name](graph, values[0]))
        if name not in ARITHMETIC:
            return NotImplemented
        return TracedArray(graph, graph.node(ARITHMETIC[name], *values), dtype)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        implementation = FUNCTIONS.get(function)
        return NotImplemented if implementation is None else implementation(self, *args, **kwargs)

    def astype(self, dtype: Any, copy: bool = True) -> TracedArray:
        return TracedArray(self.graph, self._value(self, np.dtype(dtype)), dtype)

    def clip(self, min: Any = None, max: Any = None) -> TracedArray:
        return _clip(self, self, min, max)

    def looked_up_in(self, values: np.ndarray) -> TracedArray:
        """The entries of a constant at these places."""
        dtype = np.dtype(np.int64) if values.dtype.kind in "iu" else values.dtype
        return self.like(self.graph.node("Gather", values.astype(dtype), self.name), dtype)

    def _value(self, value: Any, dtype: np.dtype) -> str:
        """The name of an operand, as a number of a type."""
        if not isinstance(value, TracedArray):
            return self.graph.constant(np.asarray(value, dtype=dtype))
        if value.dtype == dtype:
            return value.name
        to = {"f": 11, "i": 7, "b": 9}[dtype.kind]
        return self.graph.node("Cast", value.name, to=to)

    def like(self, name: str, dtype: Any = np.float64) -> TracedArray:
        return TracedArray(self.graph, name, dtype)


def _common_dtype(inputs: Any) -> np.dtype:
    dtypes = [value.dtype if isinstance(value, TracedArray) else np.asarray(value).dtype
              for value in inputs]  # fmt: skip
    return np.dtype(np.int64 if all(dtype.kind in "iu" for dtype in dtypes) else np.float64)


def _where(like: TracedArray, condition: Any, x: Any, y: Any) -> TracedArray:
    kinds = {np.asarray(v).dtype.kind if not isinstance(v, TracedArray) else v.dtype.kind
             for v in (x, y)}  # fmt: skip
    dtype = np.dtype(bool if kinds == {"b"} else np.int64 if kinds <= {"i", "u"} else np.float64)
    condition = like._value(condition, BOOLEAN)
    values = like._value(x, dtype), like._value(y, dtype)
    return like.like(like.graph.node("Where", condition, *values), dtype)


def _clip(like: TracedArray, x: Any, low: Any = None, high: Any = None) -> TracedArray:
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _zeros_like(like: TracedArray, x: Any, dtype: Any = np.float64) -> TracedArray:
    # Not x · 0: x may be NaN.
    numbers = like.graph.node("Cast", like.graph.node("IsNaN", like._value(x, FLOAT)), to=11)
    return like.like(like.graph.node("Mul", numbers, 0.0)).astype(dtype)


def _stack(like: TracedArray, arrays: Any, axis: int = 0) -> TracedArray:
    graph = like.graph
    columns = [graph.node("Unsqueeze", like._value(array, FLOAT), [1]) for array in arrays]
    return like.like(graph.node("Concat", *columns, axis=1))


def _count_below(like: TracedArray, sorted_: np.ndarray, x: Any, operator: str) -> TracedArray:
    """How many entries of a sorted constant are below x."""
    graph = like.graph
    if not len(sorted_):
        return _zeros_like(like, x, np.int64)
    column = graph.node("Unsqueeze", like._value(x, FLOAT), [1])
    below = graph.node(operator, column, np.asarray(sorted_, dtype=np.float64)[None])
    return like.like(graph.node("ReduceSum", graph.node("Cast", below, to=7), [1], keepdims=0),
                     np.int64)  # fmt: skip


def _searchsorted(like: TracedArray, sorted_: Any, x: Any) -> TracedArray:
    return _count_below(like, sorted_, x, "Greater")


def _interp(like: TracedArray, x: Any, points: Any, values: Any) -> TracedArray:
    points, values = np.asarray(points), np.asarray(values)
    inside = np.clip(x, points[0], points[-1])
    place: Any = _count_below(like, points[1:-1], inside, "GreaterOrEqual")
    rise = np.diff(values) / np.diff(points)
    start, height = lookup(points[:-1], place), lookup(values[:-1], place)
    return height + (inside - start) * lookup(rise, place)


def _round(like: TracedArray, x: Any, decimals: int = 0) -> TracedArray:
    factor = 10.0**decimals
    return np.rint(x * factor) / factor


FUNCTIONS: dict[Any, Callable[..., TracedArray]] = {
    np.where: _where,
    np.clip: _clip,
    np.zeros_like: _zeros_like,
    np.stack: _stack,
    np.searchsorted: _searchsorted,
    np.interp: _interp,
    np.round: _round,
}
