"""Cells, and the layouts that write them back into the container they were read from.

A layout stores the container and the dtypes of the fitted table, not its rows.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from .casting import in_zone, to_category, to_dictionary, to_integers, with_categories

WIDE = decimal.Context(prec=76)  # digits of the widest decimal of Arrow
TICKS_PER_DAY = {
    "D": 1,
    "h": 24,
    "m": 1440,
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400_000_000,
    "ns": 86_400_000_000_000,
}


@dataclass(frozen=True)
class Cells:
    """One column as arrays.

    ``type`` is the type of the cells: "float", "integer" and "boolean" have float64 ``values`` with
    NaN where missing; "time" has int64 ticks (``unit`` of numpy) and "label" has codes into
    ``levels``, both with a mask ``missing``.
    """

    type: str
    values: np.ndarray
    missing: np.ndarray
    levels: tuple = ()
    unit: str = ""
    ordered: bool = False
    exact: np.ndarray | None = None  # integers that float64 cannot hold
    duration: bool = False  # whether ticks count from zero, not from an epoch
    zone: Any = None  # the time zone in which UTC ticks were written; None: naive times
    single: bool = False  # whether the numbers were stored in float32
    prototype: Any = None  # a neutral value of the Python type of an untyped column's cells

    def take(self, rows: np.ndarray) -> Cells:
        exact = None if self.exact is None else self.exact[rows]
        return replace(self, values=self.values[rows], missing=self.missing[rows], exact=exact)

    def days_since(self, origin: int, unit: str) -> np.ndarray:
        """Days from `origin`, a tick of `unit`, to each cell, for spans of any length."""
        per_day, origin_per_day = TICKS_PER_DAY[self.unit or unit], TICKS_PER_DAY[unit]
        whole, rest = np.divmod(self.values.astype(np.int64), per_day)
        origin_whole, origin_rest = divmod(int(origin), origin_per_day)
        days: np.ndarray = (whole - origin_whole) + (rest / per_day - origin_rest / origin_per_day)
        return days

    def with_missing(self, missing: np.ndarray) -> Cells:
        """The cells with more of them missing, by a mask."""
        if not missing.any():
            return self
        values, empty = self.values, -1 if self.type == "label" else np.nan
        if self.type == "label" or values.dtype.kind == "f":
            values = np.where(missing, empty, values)
        return replace(self, values=values, missing=self.missing | missing)

    @property
    def exact_values(self) -> np.ndarray:
        return self.values if self.exact is None else self.exact


def _as_python(values: np.ndarray, cell: Any) -> np.ndarray:
    """The cells of an untyped column as the Python type they had."""
    out = np.empty(len(values), dtype=object)
    missing = pd.isna(values)
    for i, value in enumerate(values):
        if missing[i]:
            out[i] = None
        elif isinstance(cell, decimal.Decimal):
            out[i] = decimal.Decimal(repr(float(value))).quantize(cell, context=WIDE)
        elif isinstance(cell, datetime.date):
            out[i] = _as_date(value, cell)
        elif isinstance(cell, datetime.timedelta):
            out[i] = pd.Timedelta(value).to_pytimedelta()
        elif isinstance(cell, (bool, int, float, np.number, np.bool_)):
            out[i] = type(cell)(round(value) if isinstance(cell, (int, np.integer)) else value)
        else:
            out[i] = value
    return out


def _as_date(value: np.datetime64, cell: datetime.date) -> datetime.date:
    """A date, a datetime in the zone of `cell`, or a pandas Timestamp."""
    date: datetime.datetime = value.astype("M8[us]").item()
    if not isinstance(cell, datetime.datetime):
        return date.date()
    if cell.tzinfo is not None:
        date = date.replace(tzinfo=datetime.UTC).astimezone(cell.tzinfo)
    return pd.Timestamp(date) if isinstance(cell, pd.Timestamp) else date


def _time_array(cells: Cells, kind: str) -> np.ndarray:
    values = cells.values.astype(f"{kind}8[{cells.unit}]")
    values[cells.missing] = np.array("NaT", dtype=values.dtype)
    return values


def _label_array(cells: Cells) -> np.ndarray:
    levels = np.empty(len(cells.levels) + 1, dtype=object)
    levels[:-1] = cells.levels
    levels[-1] = None
    return levels[cells.values]


def objects(cells: Cells) -> list:
    """The cells one by one as Python objects; None, NaN or NaT where missing."""
    if cells.type == "label":
        return list(_label_array(cells))
    if cells.type == "time":
        return list(pd.Series(_time_array(cells, "m" if cells.duration else "M")))
    if cells.type == "float":
        return [float(value) for value in cells.values]
    kind = int if cells.type == "integer" else bool
    pairs = zip(cells.exact_values, cells.missing, strict=True)
    return [None if missing else kind(value) for value, missing in pairs]


class ArrayLayout:
    """numpy: one dtype for all columns."""

    container = "array"

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def write(self, columns: list[Cells]) -> Any:
        kind = self.dtype.kind
        # Levels of later batches may be longer than a dtype of text allows.
        texts = [cells.levels for cells in columns if kind in "US" and cells.levels]
        dtype = np.result_type(self.dtype, *(np.array(levels).dtype for levels in texts))
        out = np.empty((len(columns[0].values), len(columns)), dtype=dtype)
        for j, cells in enumerate(columns):
            if cells.type == "label":
                out[:, j] = _label_array(cells)
            elif cells.type == "time":
                out[:, j] = _time_array(cells, kind if kind in "mM" else "M")
            elif kind in "iu":
                out[:, j] = to_integers(cells.values, self.dtype)
            elif kind == "b":
                out[:, j] = cells.values > 0.5
            elif kind in "OUS":
                out[:, j] = _as_python(cells.values, cells.prototype)
            else:
                out[:, j] = cells.values
        return out


class SparseLayout(ArrayLayout):
    """A scipy sparse matrix or array: the same class and format."""

    container = "sparse"

    def __init__(self, X: Any) -> None:
        super().__init__(X.dtype)
        self.make, self.format = type(X), X.format

    def write(self, columns: list[Cells]) -> Any:
        return self.make(super().write(columns))


class PandasLayout:
    """pandas: the columns and a dtype for each."""

    container = "pandas"

    def __init__(self, X: pd.DataFrame) -> None:
        # Not a frame without rows, whose pickle is another one after it is loaded.
        self.columns, self.dtypes = X.columns, list(X.dtypes)

    def write(self, columns: list[Cells]) -> Any:
        series = [self._series(j, cells) for j, cells in enumerate(columns)]
        return pd.concat(dict(enumerate(series)), axis=1).set_axis(self.columns, axis=1)

    def _series(self, j: int, cells: Cells) -> pd.Series:
        dtype = self.dtypes[j]
        base = getattr(dtype, "subtype", dtype) if isinstance(dtype, pd.SparseDtype) else dtype
        if cells.type == "label":
            if isinstance(dtype, pd.CategoricalDtype):
                labels = pd.Series(_label_array(cells), dtype=object)
                return to_category(labels, with_categories(dtype, cells.levels))
            return pd.Series(_label_array(cells), dtype=object).astype(dtype)
        if cells.type == "time":
            kind = dtype.kind if dtype.kind in "mM" else "M"
            if isinstance(cells.prototype, datetime.timedelta):
                kind = "m"
            times = pd.Series(_time_array(cells, kind))
            zone = dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None
            if isinstance(dtype, pd.ArrowDtype):
                zone = getattr(dtype.pyarrow_dtype, "tz", None)
            if zone is not None:
                return in_zone(times, zone).astype(dtype)
            if dtype.kind == "O" and not isinstance(dtype, pd.api.extensions.ExtensionDtype):
                return pd.Series(_as_python(times.to_numpy(), cells.prototype), dtype=object)
            return times.astype(dtype)
        if cells.missing.all():
            holds_none = not isinstance(dtype, np.dtype) or dtype.kind not in "iub"
            return pd.Series([None] * len(cells.missing), dtype=dtype if holds_none else float)
        if dtype.kind in "iu":
            whole = to_integers(np.where(cells.missing, 0, cells.values),
                                 np.dtype(f"{base.kind}{base.itemsize}"))  # fmt: skip
            return pd.Series(whole).astype(dtype).mask(cells.missing)
        if dtype.kind == "b":
            return pd.Series(cells.values > 0.5).astype(dtype).mask(cells.missing)
        if dtype.kind == "O" and not isinstance(dtype, pd.api.extensions.ExtensionDtype):
            return pd.Series(_as_python(cells.values, cells.prototype), dtype=object)
        return pd.Series(cells.values).astype(dtype)


class FrameLayout:
    """polars and pyarrow: the native schema, kept in a frame without rows."""

    def __init__(self, X: nw.DataFrame) -> None:
        self.container = "polars" if X.implementation.is_polars() else "pyarrow"
        native = X.to_native()  # a slice of an Arrow table would hold on to all rows
        self.empty = native.clear() if X.implementation.is_polars() else native.schema.empty_table()

    def write(self, columns: list[Cells]) -> Any:
        values = [self._values(c, s) for c, s in zip(columns, self._are_signed(), strict=True)]
        pairs = list(zip(columns, values, strict=True))
        if self.container == "polars":
            import polars as pl

            schema = self.empty.schema.items()
            return pl.DataFrame({  # of a list of series, polars would rename one named ""
                name: self._polars(name, values, dtype)
                for (name, dtype), (_, values) in zip(schema, pairs, strict=True)
            })  # fmt: skip
        import pyarrow as pa

        fields = self.empty.schema
        return pa.Table.from_arrays(
            [self._arrow(f.type, v, c.unit) for f, (c, v) in zip(fields, pairs, strict=True)],
            schema=fields,
        )

    def _are_signed(self) -> list[bool]:
        """Which columns hold integers with a sign."""
        dtypes = nw.from_native(self.empty, eager_only=True).schema.values()
        return [dtype.is_signed_integer() for dtype in dtypes]

    @staticmethod
    def _values(cells: Cells, is_signed: bool) -> list:
        """Python values with None: which both libraries convert without a loss."""
        if cells.type == "label":
            return _label_array(cells).tolist()
        values = cells.values
        if cells.type == "boolean":
            values = values > 0.5
        if cells.type == "integer":
            if values.dtype.kind == "f":
                values = np.where(cells.missing, 0, values)
            # As a float the largest integer with a sign is 2⁶³, which is beyond it.
            unsigned = not is_signed and values.size and values.max() >= 2**63
            values = to_integers(values, np.dtype(np.uint64 if unsigned else np.int64))
        return [None if m else v for v, m in zip(values.tolist(), cells.missing, strict=True)]

    @staticmethod
    def _polars(name: str, values: list, dtype: Any) -> Any:
        import polars as pl

        if dtype == pl.Object:
            return pl.Series(name, values, dtype=dtype)
        if dtype == pl.Time:  # ticks are nanoseconds since midnight
            return pl.Series(name, values, dtype=pl.Int64).cast(dtype)
        return pl.Series(name, values, strict=False).cast(dtype)

    @staticmethod
    def _arrow(type: Any, values: list, unit: str) -> Any:
        import pyarrow as pa

        if pa.types.is_dictionary(type):
            return to_dictionary(pa.array(values, type=type.value_type), type)
        if pa.types.is_temporal(type):  # ticks of `unit` to those of the type
            own = (
                "D" if pa.types.is_date32(type) else "ms" if pa.types.is_date64(type) else type.unit
            )
            here, there = TICKS_PER_DAY[unit or own], TICKS_PER_DAY[own]
            ticks = [None if v is None else v * there // here for v in values]
            width = pa.int32() if type.bit_width == 32 else pa.int64()
            return pa.array(ticks, type=width).cast(type)
        if pa.types.is_decimal(type):
            places = decimal.Decimal(1).scaleb(-type.scale)
            exact = [
                None if v is None else decimal.Decimal(repr(v)).quantize(places, context=WIDE)
                for v in values
            ]
            return pa.array(exact, type=type)
        return pa.array(values, type=type)
