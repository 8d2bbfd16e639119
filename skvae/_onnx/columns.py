"""The cells of a table in a graph: inputs to encoded columns, and decoded columns to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from skvae._model.schema import Schema
from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY, ArrayLayout
from skvae._table.lookup import lookup
from skvae._table.numeric_column import NumericColumn

from .graph import Graph
from .numpy_tracing import TracedArray
from .values import BOOLEAN, FLOAT, INTEGER, Value

NOT_A_TIME = np.iinfo(np.int64).min  # of numpy and pandas
ROWS = "n_rows"  # the name of the first axis


@dataclass(frozen=True)
class Cell:
    """The form of a column's cells in a graph.

    Attributes
    ----------
    dtype : {"float64", "int64", "str"}
    levels : ndarray or None
        The levels of a column of levels, in the order of its ``levels``.
    """

    dtype: str
    levels: np.ndarray | None = None


def form_of(column: Column) -> Cell:
    """How the cells of a column are given: numbers, ticks of time, or texts.

    Raises
    ------
    NotImplementedError
        If ONNX has no type for them.
    """
    if column.type == "time":
        return Cell("int64")
    if column.type != "label":
        if isinstance(column, NumericColumn) and len(column.known_integers):
            raise _not_possible(column, "integers that float64 cannot hold")
        return Cell("float64")
    levels = column.levels if isinstance(column, CategoricalColumn) else _constant_level(column)
    if all(isinstance(level, str) for level in levels):
        return Cell("str", np.array(levels, dtype=object))
    if all(isinstance(level, (bool, int, float, np.bool_, np.integer, np.floating))
           and abs(float(level)) <= 2**53 for level in levels):  # fmt: skip
        return Cell("float64", np.array(levels, dtype=np.float64))
    raise _not_possible(column, f"levels such as {levels[0]!r}, which are no texts or numbers")


def _constant_level(column: Column) -> tuple:
    value = column.value if isinstance(column, ConstantColumn) else None
    return () if value is None else (value,)


def _not_possible(column: Column, found: str) -> NotImplementedError:
    return NotImplementedError(
        f"Column {column.name!r} holds {found}, so that it cannot be exported to ONNX. Convert "
        "the column to text or to smaller numbers before fit."
    )


def has_one_input(schema: Schema) -> bool:
    """Whether the table is one array of numbers."""
    is_array = isinstance(schema.layout, ArrayLayout)
    return is_array and all(form_of(column).dtype == "float64" for column in schema.columns)


def add_inputs(graph: Graph, schema: Schema) -> list[TracedArray]:
    """The inputs of a graph: one of (n_rows, 1) for each column, or an array of all, "X"."""
    if has_one_input(schema):
        graph.input("X", "float64", [ROWS, len(schema.columns)])
        columns = [graph.node("Gather", "X", np.int64(j), axis=1)
                   for j in range(len(schema.columns))]  # fmt: skip
        return [TracedArray(graph, name) for name in columns]
    cells = []
    for name, column in zip(input_names(schema), schema.columns, strict=True):
        form = form_of(column)
        graph.input(name, form.dtype, [ROWS, 1])
        flat = graph.node("Reshape", name, [-1])
        cells.append(TracedArray(graph, flat, {"str": object}.get(form.dtype, form.dtype)))
    return cells


def input_names(schema: Schema) -> list[str]:
    """A name for each column: its own, as text."""
    return [str(column.name) for column in schema.columns]


# ------------------------------------------------------------------------------ encoding


def encode(graph: Graph, schema: Schema, cells: Sequence[TracedArray]) -> dict[str, Value]:
    """The tensors of :class:`skvae._model.rows.Rows` from the cells of the columns."""
    values: dict[int, str] = {}
    extras: dict[int, str] = {}
    missing, unknown = {}, {}
    measure: Any = None
    for j, (column, cell) in enumerate(zip(schema.columns, cells, strict=True)):
        encoded, empty = _encoded(graph, column, cell)
        part = encoded.log_measure
        measure = part if measure is None else measure + part
        if j not in schema.order:
            continue
        values[j] = encoded.values.name
        missing[j] = encoded.missing.name
        unknown[j] = (encoded.missing & ~empty).name
        if encoded.extra is not None:
            extras[j] = encoded.extra.name
    by_place = sorted(extras, key=lambda j: schema.extras[j].start)
    wide = [extras[j] for j in by_place]
    return {
        "values": _side_by_side(graph, [values[j] for j in schema.numeric], FLOAT),
        "codes": _side_by_side(graph, [values[j] for j in schema.categorical], INTEGER),
        "missing": _side_by_side(graph, [missing[j] for j in schema.order], BOOLEAN),
        "extras": _side_by_side(graph, wide, FLOAT, schema.n_extras),
        "log_measure": Value(measure.name, FLOAT, (None,)),
        "marginalized": _side_by_side(graph, [unknown[j] for j in schema.order], BOOLEAN),
    }


def _encoded(graph: Graph, column: Column, cell: Any) -> tuple[Any, Any]:
    """The encoded column, and which of its cells are missing."""
    form = form_of(column)
    if form.levels is not None:
        found, empty = _found(graph, form, cell)
        if isinstance(column, CategoricalColumn):
            return column.encode_found(found, empty), empty
        assert isinstance(column, ConstantColumn)
        return column.encode_same(found == 0, empty), empty
    if isinstance(column, ConstantColumn):
        value = np.int64(column.value or 0) if column.type == "time" else float(column.value or 0)
        empty = cell == NOT_A_TIME if column.type == "time" else np.isnan(cell)
        return column.encode_same(cell == value, empty), empty
    assert isinstance(column, NumericColumn)
    x = cell - float(column.origin)
    if column.type == "time":
        days = (cell - column.origin) / TICKS_PER_DAY[column.unit]
        x = np.where(cell == NOT_A_TIME, np.nan, days)
    return column.encode_numbers(x), np.isnan(x)


def _found(graph: Graph, form: Cell, cell: Any) -> tuple[Any, Any]:
    """The place of each cell among the levels (their number: none of them); missing cells."""
    assert form.levels is not None
    n = len(form.levels)
    if form.dtype == "str":
        keys = [str(level) for level in form.levels]
        found = _encoder(graph, cell, keys or ["\0"], list(range(n)) or [0], n)
        if "" in keys:
            return found, found < 0
        return found, _encoder(graph, cell, [""], [1], 0) == 1
    column = graph.node("Unsqueeze", cell.name, [1])
    equal = graph.node("Cast", graph.node("Equal", column, form.levels[None]), to=7)
    # The first place that is equal; a last one that always is stands for "none of them".
    always = graph.node("Expand", np.ones((1, 1), np.int64), graph.node("Shape", column))
    equal = graph.node("Concat", equal, always, axis=1)
    place = graph.node("ArgMax", equal, axis=1, keepdims=0)
    return TracedArray(graph, place, np.int64), np.isnan(cell)


def _encoder(graph: Graph, cell: TracedArray, keys: list, places: list, other: int) -> TracedArray:
    name = graph.node(
        "LabelEncoder", cell.name, domain="ai.onnx.ml",
        keys_strings=keys, values_int64s=places, default_int64=other,
    )  # fmt: skip
    return TracedArray(graph, name, np.int64)


def _side_by_side(
    graph: Graph, names: list[str], dtype: np.dtype, width: int | None = None
) -> Value:
    """Columns as one tensor, (n_rows, n_columns)."""
    width = len(names) if width is None else width
    if not names:
        empty = np.zeros((1, 0), dtype)
        return Value(graph.constant(empty), dtype, (1, 0))
    parts = [graph.node("Reshape", name, [-1, 1]) if width == len(names) else name
             for name in names]  # fmt: skip
    return Value(graph.node("Concat", *parts, axis=1), dtype, (None, width))


# ------------------------------------------------------------------------------ decoding


def add_outputs(graph: Graph, schema: Schema, values: Value, codes: Value, like: str) -> None:
    """The outputs "…_reconstruction" of the columns, or one for an array of all."""
    cells = [_decoded(graph, schema, j, values, codes, like) for j in range(len(schema.columns))]
    if has_one_input(schema):
        parts = [graph.node("Reshape", cell, [-1, 1]) for cell in cells]
        X = graph.node("Concat", *parts, axis=1)
        graph.output("X_reconstruction", X, "float64", [ROWS, len(cells)])
        return
    for name, column, cell in zip(input_names(schema), schema.columns, cells, strict=True):
        cell = graph.node("Reshape", cell, [-1, 1])
        graph.output(f"{name}_reconstruction", cell, form_of(column).dtype, [ROWS, 1])


def _decoded(graph: Graph, schema: Schema, j: int, values: Value, codes: Value, like: str) -> str:
    """The cells of a column, (n_rows,); `like` is a value with as many rows."""
    column, form = schema.columns[j], form_of(schema.columns[j])
    if isinstance(column, CategoricalColumn):
        assert form.levels is not None
        code = graph.node("Gather", codes.name, np.int64(schema.places[j]), axis=1)
        level = graph.node("Gather", column.level_of_code, code)
        return graph.node("Gather", form.levels, level)
    if isinstance(column, NumericColumn):
        place = np.int64(schema.places[j])
        y: Any = TracedArray(graph, graph.node("Gather", values.name, place, axis=1))
        x, known = cast(Any, column).decode_numbers(y)
        if column.type == "time":
            return _ticks(column, x, known).name
        return (x + float(column.origin)).name
    return graph.node("Expand", _constant(column, form)[:, None], graph.shape_of_rows(like))


def _ticks(column: NumericColumn, x: Any, known: Any) -> Any:
    """Times of days from the origin, in whole steps and inside the bounds."""
    steps = np.rint(x * (TICKS_PER_DAY[column.unit] / column.step)).astype(np.int64)
    ends = column.known_integers[[0, -1]]
    ticks = np.clip(steps * column.step + column.origin, *ends)
    return np.where(known < 0, ticks, lookup(column.known_integers, known))


def _constant(column: Column, form: Cell) -> np.ndarray:
    if form.levels is not None and len(form.levels):
        return form.levels
    value = column.value if isinstance(column, ConstantColumn) else None
    empty: Any = {"str": "", "int64": NOT_A_TIME, "float64": np.nan}[form.dtype]
    array = np.array([empty if value is None else value])
    return array.astype({"str": object}.get(form.dtype, form.dtype))
