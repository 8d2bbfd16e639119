"""Tables in, tables out: any container → :class:`Cells` per column → the same container.

Everything a data-frame library does in its own way is in this file, so that the rest of the
package sees plain arrays: floats with NaN, ticks of time, or codes into a list of levels.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_array

TICKS_PER_DAY = {
    "D": 1,
    "h": 24,
    "m": 1440,
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400_000_000,
    "ns": 86_400_000_000_000,
}
_NESTED = (list, dict, set, tuple, frozenset, np.ndarray, pd.Series, pd.DataFrame)


@dataclass(frozen=True)
class Cells:
    """One column as arrays.

    ``type`` is what the cells are: "float", "integer" and "boolean" have float64 ``values`` with
    NaN where missing; "time" has int64 ticks (``unit`` of numpy) and "label" has codes into
    ``levels``, both with ``missing`` beside them.
    """

    type: str
    values: np.ndarray
    missing: np.ndarray
    levels: tuple = ()
    unit: str = ""
    ordered: bool = False
    prototype: Any = None  # a neutral value of the Python type of an untyped column's cells

    def take(self, rows: np.ndarray) -> Cells:
        return replace(self, values=self.values[rows], missing=self.missing[rows])


def _numbers(cell_type: str, values: np.ndarray, name: Any) -> Cells:
    values = np.asarray(values, dtype=np.float64)
    if np.isinf(values).any():
        raise ValueError(
            f"Input X contains infinity or a value too large for dtype('float64') in column "
            f"{name!r}. Replace it by a finite number, or by NaN if it is not known."
        )
    return Cells(cell_type, values, np.isnan(values))


def _time(values: np.ndarray) -> Cells:
    """`values` is a datetime64 or timedelta64 array with a unit."""
    if np.datetime_data(values.dtype)[0] not in TICKS_PER_DAY:  # years, months, weeks, generic
        values = values.astype(values.dtype.kind + "8[s]")
    return Cells(
        "time", values.astype(np.int64), np.isnat(values), unit=np.datetime_data(values.dtype)[0]
    )


def _labels(values: Any, levels: Any = None, ordered: bool = False) -> Cells:
    """Codes into levels; without ``levels``, `values` are the labels themselves."""
    if levels is None:
        values, levels = pd.factorize(values, use_na_sentinel=True)
    codes = np.asarray(values, dtype=np.int64)
    return Cells("label", codes, codes < 0, tuple(levels), ordered=ordered)


def _object_cells(values: np.ndarray, name: Any, allow_nested: bool) -> Cells:
    """Cells of a column without a type of its own: look at the values."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    missing = pd.isna(values)
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"):
        cell_type = kind if kind in ("integer", "boolean") else "float"
        cells = _numbers(cell_type, np.where(missing, np.nan, values).astype(np.float64), name)
        return replace(cells, prototype=_prototype(kind, values[~missing]))
    if kind in ("date", "datetime", "datetime64"):
        cells = _time(pd.to_datetime(pd.Series(values)).to_numpy())
        return replace(cells, prototype=_prototype(kind, values[~missing]))
    if kind in ("timedelta", "timedelta64"):
        cells = _time(pd.to_timedelta(pd.Series(values)).to_numpy())
        return replace(cells, prototype=datetime.timedelta())
    if kind == "complex":
        raise ValueError(f"Complex data not supported: column {name!r} holds complex numbers.")
    if any(issubclass(t, _NESTED) for t in {type(v) for v in values}):
        cell = next(v for v in values if isinstance(v, _NESTED))
        if not allow_nested:
            raise TypeError(
                f"Column {name!r} holds nested objects, such as {cell!r} of type "
                f"{type_name(cell)}; a cell must be a string, a number, a date or missing. "
                "Unpack it into columns of its own, or drop it."
            )
        # An untyped array makes no promise about its cells: keep such an object as a level.
        keys = np.array([None if m else repr(v) for v, m in zip(values, missing, strict=True)])
        cells = _labels(keys)
        first = {repr(v): v for v in values[::-1]}
        return Cells("label", cells.values, cells.missing, tuple(first[k] for k in cells.levels))
    return _labels(values)


def _prototype(kind: str, values: np.ndarray) -> Any:
    if kind == "decimal":
        return decimal.Decimal(0).scaleb(min(v.as_tuple().exponent for v in values))
    if kind == "date":
        return datetime.date.min
    if kind.startswith("datetime"):
        return datetime.datetime.min
    return {"integer": 0, "boolean": False}.get(kind, 0.0)


def type_name(value: Any) -> str:
    return type(value).__name__


# --------------------------------------------------------------------------------------- reading


@dataclass
class Table:
    """A read table: names and layout of the columns, and the cells of each on demand."""

    names: list
    n_rows: int
    layout: Any
    read: Any  # column index → Cells

    def __getitem__(self, j: int) -> Cells:
        cells: Cells = self.read(j)
        return cells

    def take(self, rows: np.ndarray) -> Table:
        return Table(self.names, len(rows), self.layout, lambda j: self.read(j).take(rows))


def read_table(X: Any) -> Table:
    """Any supported container as a :class:`Table`; errors in scikit-learn's words."""
    if isinstance(X, pd.DataFrame):
        return _read_pandas(X)
    if sparse.issparse(X):
        X = check_array(X, accept_sparse=["csr", "csc", "coo", "lil", "dok", "bsr", "dia"],
                        ensure_all_finite=False, ensure_min_samples=0)  # fmt: skip
        columns = X.tocsc()
        cell_type = _array_type(X.dtype)
        return Table(
            [f"x{j}" for j in range(X.shape[1])], X.shape[0], SparseLayout(X),
            lambda j: _numbers(cell_type, columns[:, [j]].toarray().ravel(), f"x{j}"),
        )  # fmt: skip
    if nw.dependencies.is_into_dataframe(X):
        return _read_narwhals(nw.from_native(X, eager_only=True))
    return _read_array(X)


def _refuse_duplicates(names: list) -> None:
    duplicates = sorted({str(n) for n in names if names.count(n) > 1})
    if duplicates:
        raise ValueError(f"Column names must be unique, but these occur twice: {duplicates}.")


def _array_type(dtype: np.dtype) -> str:
    return {"i": "integer", "u": "integer", "b": "boolean"}.get(dtype.kind, "float")


def _read_array(X: Any) -> Table:
    if not hasattr(X, "dtype") and not hasattr(X, "__array__") and not hasattr(X, "shape"):
        as_read = np.asarray(X)  # a list of rows: numpy would turn numbers beside text into text
        X = np.asarray(X, dtype=object) if as_read.dtype.kind in "US" else as_read
    if isinstance(X, np.ndarray) and X.dtype.kind in "mM" and X.ndim == 2:
        array = X
    else:
        array = check_array(X, dtype=None, ensure_all_finite=False, ensure_min_samples=0)
    kind = array.dtype.kind

    def read(j: int) -> Cells:
        values = array[:, j]
        if kind in "OUS":
            return _object_cells(values.astype(object), f"x{j}", allow_nested=True)
        if kind in "mM":
            return _time(values)
        return _numbers(_array_type(array.dtype), values, f"x{j}")

    names = [f"x{j}" for j in range(array.shape[1])]
    return Table(names, array.shape[0], ArrayLayout(array.dtype), read)


def _read_pandas(X: pd.DataFrame) -> Table:
    names = list(X.columns)
    _refuse_duplicates(names)

    def read(j: int) -> Cells:
        series, name = X.iloc[:, j], names[j]
        dtype = series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return _labels(series.cat.codes, dtype.categories, bool(dtype.ordered))
        if isinstance(dtype, pd.DatetimeTZDtype):
            return _time(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        if dtype.kind in "mM":
            if not isinstance(dtype, np.dtype):  # Arrow-backed
                series = series.astype(f"{dtype.kind}8[ns]")
            return _time(series.to_numpy())
        if dtype.kind == "c":
            raise ValueError(f"Complex data not supported: column {name!r} has dtype {dtype}.")
        if dtype.kind in "iufb":
            cell_type = _array_type(dtype)
            return _numbers(cell_type, series.to_numpy(dtype=np.float64, na_value=np.nan), name)
        if isinstance(dtype, pd.StringDtype):
            return _labels(series)
        return _object_cells(series.astype(object).to_numpy(), name, allow_nested=False)

    return Table(names, len(X), PandasLayout(X), read)


def _read_narwhals(X: nw.DataFrame) -> Table:
    names = X.columns
    if not (X.implementation.is_polars() or X.implementation.is_pyarrow()):
        raise TypeError(
            f"X is a frame of {X.implementation}; pandas, polars and pyarrow are supported. "
            "Convert it with its own to_pandas() or to_arrow()."
        )

    def read(j: int) -> Cells:
        series, name = X[names[j]], names[j]
        dtype = series.dtype
        if dtype.is_numeric():
            cell_type = "integer" if dtype.is_integer() else "float"
            return _numbers(cell_type, _floats(series.cast(nw.Float64)), name)
        if dtype == nw.Boolean:
            return _numbers("boolean", _floats(series.cast(nw.Int8).cast(nw.Float64)), name)
        if dtype in (nw.Datetime, nw.Date, nw.Duration, nw.Time):
            return _narwhals_time(series)
        if dtype == nw.Enum:
            levels = list(dtype.categories)
            labels = pd.Categorical(series.cast(nw.String).to_list(), categories=levels)
            return _labels(labels.codes, levels, ordered=True)
        if dtype in (nw.String, nw.Categorical):
            series = series.cast(nw.String)
        if dtype.is_nested():
            raise TypeError(
                f"Column {name!r} holds nested objects of type {dtype}; a cell must be a string, "
                "a number, a date or missing. Unpack it into columns of its own, or drop it."
            )
        values = np.empty(len(series), dtype=object)
        values[:] = series.to_list()
        return _object_cells(values, name, allow_nested=False)

    return Table(names, len(X), FrameLayout(X), read)


def _floats(series: nw.Series) -> np.ndarray:
    return np.asarray(series.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _narwhals_time(series: nw.Series) -> Cells:
    dtype = series.dtype
    missing = series.is_null().to_numpy()
    if dtype == nw.Time:
        unit = "ns"
        text = pd.to_timedelta(pd.Series(series.to_list(), dtype=object).astype("str"),
                               errors="coerce")  # fmt: skip
        ticks = text.to_numpy().astype("m8[ns]").astype(np.int64)
    elif dtype == nw.Duration:
        unit = dtype.time_unit
        totals = {"s": "total_seconds", "ms": "total_milliseconds",
                  "us": "total_microseconds", "ns": "total_nanoseconds"}  # fmt: skip
        ticks = getattr(series.dt, totals[unit])().fill_null(0).to_numpy()
    else:
        unit = "D" if dtype == nw.Date else dtype.time_unit
        if unit in ("D", "s"):
            values = series.dt.timestamp("ms").fill_null(0).to_numpy()
            ticks = values // (86_400_000 if unit == "D" else 1000)
        else:
            ticks = series.dt.timestamp(unit).fill_null(0).to_numpy()
    return Cells("time", np.asarray(ticks, dtype=np.int64), np.asarray(missing), unit=unit)


# --------------------------------------------------------------------------------------- writing
# A layout remembers the container of the fitted table, never its rows. Each `write` takes one
# float, tick or object array a column, with NaN, NaT or None where a cell is missing.


def _as_integers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round and keep inside the type; float(2**63 - 1) rounds up, so compare as integers."""
    info = np.iinfo(dtype)
    rounded = np.clip(np.round(values), float(info.min), float(info.max))
    top = rounded >= float(info.max)
    return np.where(top, info.max, np.where(top, 0, rounded).astype(dtype))


def _as_python(values: np.ndarray, cell: Any) -> np.ndarray:
    """The cells of an untyped column as the Python type they had."""
    out = np.empty(len(values), dtype=object)
    missing = pd.isna(values)
    for i, value in enumerate(values):
        if missing[i]:
            out[i] = None
        elif isinstance(cell, decimal.Decimal):
            out[i] = decimal.Decimal(repr(float(value))).quantize(cell)
        elif isinstance(cell, datetime.date):
            stamp = pd.Timestamp(value)
            out[i] = stamp.to_pydatetime() if isinstance(cell, datetime.datetime) else stamp.date()
        elif isinstance(cell, datetime.timedelta):
            out[i] = pd.Timedelta(value).to_pytimedelta()
        elif isinstance(cell, (bool, int, float, np.number, np.bool_)):
            out[i] = type(cell)(round(value) if isinstance(cell, (int, np.integer)) else value)
        else:
            out[i] = value
    return out


def _time_array(cells: Cells, kind: str) -> np.ndarray:
    values = cells.values.astype(f"{kind}8[{cells.unit}]")
    values[cells.missing] = np.array("NaT", dtype=values.dtype)
    return values


def _label_array(cells: Cells) -> np.ndarray:
    levels = np.empty(len(cells.levels) + 1, dtype=object)
    levels[:-1] = cells.levels
    levels[-1] = None
    return levels[cells.values]


class ArrayLayout:
    """numpy: one dtype for all columns."""

    container = "array"

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def write(self, columns: list[Cells]) -> Any:
        out = np.empty((len(columns[0].values), len(columns)), dtype=self.dtype)
        kind = self.dtype.kind
        for j, cells in enumerate(columns):
            if cells.type == "label":
                out[:, j] = _label_array(cells)
            elif cells.type == "time":
                out[:, j] = _time_array(cells, kind if kind in "mM" else "M")
            elif kind in "iu":
                out[:, j] = _as_integers(cells.values, self.dtype)
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
    """pandas: a dtype for each column, kept in a frame without rows."""

    container = "pandas"

    def __init__(self, X: pd.DataFrame) -> None:
        self.empty = X.iloc[:0].copy()

    def write(self, columns: list[Cells]) -> Any:
        series = [self._series(j, cells) for j, cells in enumerate(columns)]
        return pd.concat(dict(enumerate(series)), axis=1).set_axis(self.empty.columns, axis=1)

    def _series(self, j: int, cells: Cells) -> pd.Series:
        dtype = self.empty.dtypes.iloc[j]
        if cells.type == "label":
            if isinstance(dtype, pd.CategoricalDtype):
                values: Any = pd.Categorical(_label_array(cells), dtype=dtype)
                return pd.Series(values)
            return pd.Series(_label_array(cells), dtype=object).astype(dtype)
        if cells.type == "time":
            kind = dtype.kind if dtype.kind in "mM" else "M"
            if isinstance(cells.prototype, datetime.timedelta):
                kind = "m"
            times = pd.Series(_time_array(cells, kind))
            if isinstance(dtype, pd.DatetimeTZDtype):
                return times.dt.tz_localize("UTC").dt.tz_convert(dtype.tz).astype(dtype)
            if dtype == object:
                return pd.Series(_as_python(times.to_numpy(), cells.prototype), dtype=object)
            return times.astype(dtype)
        if dtype.kind in "iu":
            whole = _as_integers(np.where(cells.missing, 0, cells.values),
                                 np.dtype(f"{dtype.kind}{dtype.itemsize}"))  # fmt: skip
            return pd.Series(whole).astype(dtype).mask(cells.missing)
        if dtype.kind == "b":
            return pd.Series(cells.values > 0.5).astype(dtype).mask(cells.missing)
        if dtype == object:
            return pd.Series(_as_python(cells.values, cells.prototype), dtype=object)
        return pd.Series(cells.values).astype(dtype)


class FrameLayout:
    """polars and pyarrow: the native schema, kept in a frame without rows."""

    def __init__(self, X: nw.DataFrame) -> None:
        self.container = "polars" if X.implementation.is_polars() else "pyarrow"
        self.empty = X.head(0).to_native()

    def write(self, columns: list[Cells]) -> Any:
        values = [self._values(cells) for cells in columns]
        if self.container == "polars":
            import polars as pl

            return pl.DataFrame([
                self._polars(name, column, dtype)
                for (name, dtype), column in zip(self.empty.schema.items(), values, strict=True)
            ])  # fmt: skip
        import pyarrow as pa

        return pa.Table.from_arrays(
            [self._arrow(f.type, v) for f, v in zip(self.empty.schema, values, strict=True)],
            schema=self.empty.schema,
        )

    @staticmethod
    def _values(cells: Cells) -> list:
        """Python values with None: what both libraries take without a loss."""
        if cells.type == "label":
            return _label_array(cells).tolist()
        values = cells.values
        if cells.type == "boolean":
            values = values > 0.5
        if cells.type == "integer":
            values = _as_integers(np.where(cells.missing, 0, values), np.dtype(np.int64))
        return np.where(cells.missing, None, values.astype(object)).tolist()

    @staticmethod
    def _polars(name: str, values: list, dtype: Any) -> Any:
        import polars as pl

        if dtype == pl.Object:
            return pl.Series(name, values, dtype=dtype)
        if dtype == pl.Time:  # ticks are nanoseconds since midnight
            return pl.Series(name, values, dtype=pl.Int64).cast(dtype)
        return pl.Series(name, values, strict=False).cast(dtype)

    @staticmethod
    def _arrow(type: Any, values: list) -> Any:
        import pyarrow as pa

        if pa.types.is_dictionary(type):
            return pa.array(values, type=type.value_type).dictionary_encode().cast(type)
        if pa.types.is_date(type):
            return pa.array(values, type=pa.int32()).cast(pa.date32()).cast(type)
        if pa.types.is_temporal(type):
            width = pa.int32() if type.bit_width == 32 else pa.int64()
            return pa.array(values, type=width).cast(type)
        if pa.types.is_decimal(type):
            places = decimal.Decimal(1).scaleb(-type.scale)
            exact = [None if v is None else decimal.Decimal(repr(v)).quantize(places)
                     for v in values]  # fmt: skip
            return pa.array(exact, type=type)
        return pa.array(values, type=type)
