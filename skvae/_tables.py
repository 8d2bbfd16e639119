"""Tables in: any container → the :class:`Cells` of each column.

What a data-frame library does in its own way is here and in ``_layouts.py``, so that the rest of
the package sees plain arrays: floats with NaN, ticks of time, or codes into a list of levels.
"""

from __future__ import annotations

import datetime
import decimal
import warnings
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_array

from ._layouts import TICKS_PER_DAY, ArrayLayout, Cells, FrameLayout, PandasLayout, SparseLayout

MAX_DECIMALS = 12  # of decimal.Decimal: what a float can tell apart
_NESTED = (list, dict, set, tuple, frozenset, np.ndarray, pd.Series, pd.DataFrame)


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
                f"{type(cell).__name__}; a cell must be a string, a number, a boolean, a "
                "date or missing. Unpack it into columns of its own, or drop it."
            )
        # An untyped array makes no promise about its cells: keep such an object as a level.
        warnings.warn(
            f"Column {name!r} holds nested objects, such as {cell!r}; its cells are treated as "
            "levels of a category.",
            UserWarning,
            stacklevel=2,
        )
        keys = np.array([None if m else repr(v) for v, m in zip(values, missing, strict=True)])
        cells = _labels(keys)
        first = {repr(v): v for v in values[::-1]}
        return Cells("label", cells.values, cells.missing, tuple(first[k] for k in cells.levels))
    return _labels(values)


def _prototype(kind: str, values: np.ndarray) -> Any:
    if kind == "decimal":
        places = min(v.as_tuple().exponent for v in values)
        return decimal.Decimal(0).scaleb(max(places, -MAX_DECIMALS))
    if kind == "date":
        return datetime.date.min
    if kind.startswith("datetime"):
        return datetime.datetime.min
    return {"integer": 0, "boolean": False}.get(kind, 0.0)


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

    def header(self) -> Any:
        """The columns without rows, in a container whose names every scikit-learn can read."""
        if self.layout.container in ("array", "sparse"):
            return np.empty((0, len(self.names)))
        return pd.DataFrame(columns=self.names)

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
    if hasattr(X, "collect"):
        raise TypeError(f"X is a lazy {type(X).__name__}; pass X.collect().")
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
        dtype: Any = series.dtype
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
                "a number, a boolean, a date or missing. Unpack it into columns of its own, or drop "
                "it."
            )
        values = np.empty(len(series), dtype=object)
        values[:] = series.to_list()
        return _object_cells(values, name, allow_nested=False)

    return Table(names, len(X), FrameLayout(X), read)


def _floats(series: nw.Series) -> np.ndarray:
    return np.asarray(series.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _narwhals_time(series: nw.Series) -> Cells:
    dtype: Any = series.dtype
    unit: Any = "D"
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
