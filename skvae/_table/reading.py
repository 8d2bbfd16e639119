"""Reading: a table of any container → the :class:`Cells` of each column.

A *table* is a numpy array, a data frame of pandas, polars or pyarrow, a list of rows, or a sparse
matrix of scipy, of shape (n_samples, n_features). A column holds numbers, integers, booleans,
levels (strings, categories, any hashable objects), dates, datetimes or durations; NaN, None, NA and
NaT are missing values. Array columns are named "x0", "x1", …

Code for single data-frame libraries is here and in ``layouts.py`` alone; the rest of the package
reads plain arrays: floats with NaN, ticks of time, or codes into a list of levels.
"""

from __future__ import annotations

import datetime
import decimal
import warnings
from dataclasses import replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_array

from skvae._validation import caller_stacklevel

from .layouts import TICKS_PER_DAY, ArrayLayout, Cells, FrameLayout, PandasLayout, SparseLayout
from .table import Table

MAX_DECIMALS = 12  # of decimal.Decimal: what a float can distinguish
_NESTED = (list, dict, set, tuple, frozenset, np.ndarray, pd.Series, pd.DataFrame)


def _numbers(
    cell_type: str, values: np.ndarray, name: Any, missing: np.ndarray | None = None
) -> Cells:
    """Cells of numbers; NaN is missing, and so are the cells of a mask."""
    single = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    exact = values if values.dtype.kind in "iu" and values.dtype.itemsize == 8 else None
    values = np.asarray(values, dtype=np.float64)
    if exact is not None and not (np.abs(values) >= 2**53).any():
        exact = None
    if missing is not None and missing.any():
        values = np.where(missing, np.nan, values)
    if np.isinf(values).any():
        raise ValueError(
            f"Input X contains infinity or a value too large for dtype('float64') in column "
            f"{name!r}. Replace it by a finite number, or by NaN if it is not known."
        )
    return Cells(cell_type, values, np.isnan(values), exact=exact, single=single)


def _time(values: np.ndarray) -> Cells:
    """`values` is a datetime64 or timedelta64 array with a unit."""
    if np.datetime_data(values.dtype)[0] not in TICKS_PER_DAY:  # years, months, weeks, generic
        values = values.astype(values.dtype.kind + "8[s]")
    unit = np.datetime_data(values.dtype)[0]
    duration = values.dtype.kind == "m"
    return Cells("time", values.astype(np.int64), np.isnat(values), unit=unit, duration=duration)


def _labels(values: Any, levels: Any = None, ordered: bool = False) -> Cells:
    """Codes into levels; without ``levels``, `values` are the labels themselves."""
    if levels is None:
        values, levels = pd.factorize(values, use_na_sentinel=True)
    codes = np.asarray(values, dtype=np.int64)
    return Cells("label", codes, codes < 0, tuple(levels), ordered=ordered)


def _object_cells(values: np.ndarray, name: Any, allow_nested: bool, as_label: bool) -> Cells:
    """Cells of a column without a type of its own, by its values, unless they are levels."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    missing = pd.isna(values)
    if missing.all():  # NaT alone is inferred as a datetime, of which there is no example
        kind = "empty"
    if as_label and kind != "mixed":
        return _object_labels(values)
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"):
        cell_type = kind if kind in ("integer", "boolean") else "float"
        cells = _numbers(cell_type, _plain_objects(values, missing, kind), name, missing)
        return replace(cells, prototype=_prototype(kind, values[~missing]))
    if kind in ("date", "datetime", "datetime64"):
        times = [None if m else _naive(v) for v, m in zip(values, missing, strict=True)]
        cells = _time(np.array(times, dtype="M8[D]" if kind == "date" else "M8[us]"))
        prototype = _prototype(kind, values[~missing])
        return replace(cells, prototype=prototype, zone=getattr(prototype, "tzinfo", None))
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
        # The cells of an untyped array may be any objects: such an object is a level.
        warnings.warn(
            f"Column {name!r} holds nested objects, such as {cell!r}; its cells are treated as "
            "levels of a category.",
            UserWarning,
            stacklevel=caller_stacklevel(),
        )
        keys = np.array([None if m else repr(v) for v, m in zip(values, missing, strict=True)])
        cells = _labels(keys)
        first = {repr(v): v for v in values[::-1]}
        return Cells("label", cells.values, cells.missing, tuple(first[k] for k in cells.levels))
    return _object_labels(values)


def _plain_objects(values: np.ndarray, missing: np.ndarray, kind: str) -> np.ndarray:
    """Integers as int64 or uint64 where they fit, 0 where missing; other numbers as floats."""
    if kind == "integer":
        filled = np.where(missing, 0, values)
        for dtype in (np.int64, np.uint64):
            try:
                return filled.astype(dtype)
            except OverflowError:
                continue
    return np.where(missing, np.nan, values).astype(np.float64)


def _object_labels(values: np.ndarray) -> Cells:
    """Labels of any type; where both occur, True and 1 are two levels."""
    types = {type(v) for v in values}
    if types & {bool, np.bool_} and types & {int, float}:
        missing = pd.isna(values)
        keys = [None if m else (type(v), v) for v, m in zip(values, missing, strict=True)]
        boxed = np.empty(len(keys), dtype=object)
        boxed[:] = keys
        cells = _labels(boxed)
        return replace(cells, levels=tuple(level for _, level in cells.levels))
    return _labels(values)


def _naive(value: Any) -> Any:
    """A date or datetime without its zone, in UTC."""
    if getattr(value, "tzinfo", None) is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def _prototype(kind: str, values: np.ndarray) -> Any:
    if kind == "decimal":
        places = min(v.as_tuple().exponent for v in values)
        return decimal.Decimal(0).scaleb(max(places, -MAX_DECIMALS))
    if kind == "date":
        return datetime.date.min
    if kind.startswith("datetime"):
        stamp = (
            pd.Timestamp(0)
            if isinstance(values[0], pd.Timestamp)
            else datetime.datetime(1970, 1, 1)
        )
        return stamp.replace(tzinfo=getattr(values[0], "tzinfo", None))
    return {"integer": 0, "boolean": False}.get(kind, 0.0)


def read_table(X: Any) -> Table:
    """Any supported container as a :class:`Table`; errors in the style of scikit-learn."""
    if isinstance(X, Table):
        return X
    if isinstance(X, pd.DataFrame):
        return _read_pandas(X)
    if sparse.issparse(X):
        X = check_array(X, accept_sparse=["csr", "csc", "coo", "lil", "dok", "bsr", "dia"],
                        ensure_all_finite=False, ensure_min_samples=0)  # fmt: skip
        return _read_sparse(X)
    if nw.dependencies.is_into_dataframe(X):
        return _read_narwhals(nw.from_native(X, eager_only=True))
    return _read_array(X)


def _read_sparse(X: Any) -> Table:
    columns, cell_type = X.tocsc(), _array_type(X.dtype)
    return Table(
        [f"x{j}" for j in range(X.shape[1])], X.shape[0], SparseLayout(X),
        lambda j, as_label: _numbers(cell_type, columns[:, [j]].toarray().ravel(), f"x{j}"),
        lambda rows: _read_sparse(columns[rows]),
    )  # fmt: skip


def _refuse_duplicates(names: list) -> None:
    duplicates = sorted({str(n) for n in names if names.count(n) > 1})
    if duplicates:
        raise ValueError(f"Column names must be unique, but these occur twice: {duplicates}.")


def _array_type(dtype: np.dtype) -> str:
    return {"i": "integer", "u": "integer", "b": "boolean"}.get(dtype.kind, "float")


def _read_array(X: Any) -> Table:
    if hasattr(X, "collect"):
        raise TypeError(f"X is a lazy {type(X).__name__}; pass X.collect().")
    if hasattr(X, "__dask_graph__") and hasattr(X, "columns"):  # an array of it has lost its types
        raise TypeError(
            f"X is a lazy {type(X).__name__} of Dask; pass X.compute(), or answer its partitions: "
            "X.map_partitions(estimator.score_samples). To fit it in batches, pass fit "
            "lambda: (part.compute() for part in X.partitions)."
        )
    if isinstance(X, (list, tuple)) and any(isinstance(row, dict) for row in X):
        raise TypeError("X is a list of dicts; pass pandas.DataFrame(X), which has named columns.")
    if not hasattr(X, "dtype") and not hasattr(X, "__array__") and not hasattr(X, "shape"):
        as_read = np.asarray(X)  # a list of rows: numpy would turn numbers next to text into text
        X = np.asarray(X, dtype=object) if as_read.dtype.kind in "US" else as_read
    if isinstance(X, np.ndarray) and X.dtype.kind in "mM" and X.ndim == 2:
        array = X
    else:
        array = check_array(X, dtype=None, ensure_all_finite=False, ensure_min_samples=0)
    return _of_array(array)


def _of_array(array: np.ndarray) -> Table:
    kind = array.dtype.kind

    def read(j: int, as_label: bool) -> Cells:
        values = array[:, j]
        if kind in "OUS":
            return _object_cells(values.astype(object), f"x{j}", True, as_label)
        if kind in "mM":
            return _time(values)
        return _numbers(_array_type(array.dtype), values, f"x{j}")

    names = [f"x{j}" for j in range(array.shape[1])]
    return Table(names, array.shape[0], ArrayLayout(array.dtype), read,
                 lambda rows: _of_array(array[rows]))  # fmt: skip


def _read_pandas(X: pd.DataFrame) -> Table:
    names = list(X.columns)
    _refuse_duplicates(names)

    def read(j: int, as_label: bool) -> Cells:
        series, name = X.iloc[:, j], names[j]
        dtype = series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return _labels(series.cat.codes, dtype.categories, bool(dtype.ordered))
        if isinstance(dtype, pd.DatetimeTZDtype):
            utc = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
            return replace(_time(utc), zone=dtype.tz)
        if dtype.kind in "mM":
            if isinstance(dtype, np.dtype):
                return _time(series.to_numpy())
            values = series.astype(object).to_numpy()  # Arrow-backed, maybe in a zone
            return replace(_object_cells(values, name, False, False), prototype=None)
        if dtype.kind == "c":
            raise ValueError(f"Complex data not supported: column {name!r} has dtype {dtype}.")
        if dtype.kind in "iufb":
            cell_type = _array_type(dtype)
            if series.hasnans and dtype.kind in "iu" and not isinstance(dtype, pd.SparseDtype):
                missing = series.isna().to_numpy()  # float64 could not hold every integer
                filled = series.mask(missing, 0).to_numpy(dtype=f"{dtype.kind}8")
                return _numbers(cell_type, filled, name, missing)
            if series.hasnans or isinstance(dtype, pd.SparseDtype):
                return _numbers(cell_type, series.to_numpy(dtype=np.float64, na_value=np.nan), name)
            return _numbers(cell_type, np.asarray(series.to_numpy()), name)
        if isinstance(dtype, pd.StringDtype):
            return _labels(series)
        return _object_cells(series.astype(object).to_numpy(), name, False, as_label)

    return Table(names, len(X), PandasLayout(X), read, lambda rows: _read_pandas(X.iloc[rows]))


def _read_narwhals(X: nw.DataFrame) -> Table:
    names = X.columns
    _refuse_duplicates(names)
    if not (X.implementation.is_polars() or X.implementation.is_pyarrow()):
        raise TypeError(
            f"X is a frame of {X.implementation}; pandas, polars and pyarrow are supported. "
            "Convert it with its own to_pandas() or to_arrow()."
        )

    def read(j: int, as_label: bool) -> Cells:
        series, name = X[names[j]], names[j]
        dtype: Any = series.dtype
        if dtype.is_numeric():
            cell_type = "integer" if dtype.is_integer() else "float"
            return _numbers(cell_type, *_plain(series, name))
        if dtype == nw.Boolean:
            return _numbers("boolean", *_plain(series.cast(nw.Int8), name))
        if dtype in (nw.Datetime, nw.Date, nw.Duration, nw.Time):
            return _narwhals_time(series)
        if dtype == nw.Enum:
            levels = list(dtype.categories)
            labels = pd.Categorical(series.cast(nw.String).to_list(), categories=levels)
            return _labels(labels.codes, levels, ordered=True)
        if dtype.is_nested():
            raise TypeError(
                f"Column {name!r} holds nested objects of type {dtype}; a cell must be a string, "
                "a number, a boolean, a date or missing. Unpack it into columns of its own."
            )
        if X.implementation.is_pyarrow() and dtype == nw.String and series.null_count() < len(X):
            return _arrow_texts(series.to_native())
        values = np.empty(len(series), dtype=object)
        values[:] = series.to_list()
        return _object_cells(values, name, False, as_label)

    return Table(names, len(X), FrameLayout(X), read, lambda rows: _read_narwhals(X[rows]))


def _arrow_texts(texts: Any) -> Cells:
    """Labels of a column of texts of Arrow, with a Python object for each level alone.

    The levels are in the order of their first cells, as of :func:`pandas.factorize`.
    """
    encoded = texts.dictionary_encode().combine_chunks()
    encoded = encoded.chunk(0) if hasattr(encoded, "chunk") else encoded
    return _labels(encoded.indices.fill_null(-1).to_numpy(), encoded.dictionary.to_pylist())


def _plain(series: nw.Series, name: Any) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """Numbers, 0 where missing, the name, and the mask of missing values, where there are some."""
    if series.dtype == nw.Decimal:
        series = series.cast(nw.Float64)
    if not series.null_count():
        return np.asarray(series.to_numpy()), name, None
    missing = np.asarray(series.is_null().to_numpy())
    return np.asarray(series.fill_null(0).to_numpy()), name, missing


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
    return Cells(
        "time",
        np.asarray(ticks, dtype=np.int64),
        np.asarray(missing),
        unit=unit,
        duration=dtype == nw.Duration,
        zone=dtype.time_zone if dtype == nw.Datetime else None,
    )
