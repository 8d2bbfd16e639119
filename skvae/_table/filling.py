"""Filling: the missing cells of a container from another one; observed cells stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse

from .casting import in_zone, to_category, to_dictionary, to_integers, with_categories


def fill(X: Any, source: Any, missing: np.ndarray, dtype: Any = None) -> Any:
    """X with its missing cells taken from `source`.

    Parameters
    ----------
    X : table of shape (n_samples, n_features)
    source : table
        In a container of the same kind; its cells are cast to the dtypes of X. A column of X
        without a single value, whose dtype is not informative, is taken whole.
    missing : ndarray of bool of shape (n_samples, n_features)
    dtype : dtype or None
        The dtype as which an array, or a list of rows, was read.

    Returns
    -------
    filled : table
        A new table; X is not changed.
    """
    if isinstance(X, pd.DataFrame):
        columns = []
        for j, name in enumerate(X.columns):
            with _explained(name, X.dtypes.iloc[j]):
                cells = source.iloc[:, j].set_axis(X.index)
                columns.append(_filled(X.iloc[:, j], cells, missing[:, j]))
        return pd.concat(dict(enumerate(columns)), axis=1).set_axis(X.columns, axis=1)
    if sparse.issparse(X):
        filled = X.toarray()
        filled[missing] = source.toarray()[missing]
        return type(X)(filled).asformat(X.format)
    if nw.dependencies.is_into_dataframe(X):
        return _fill_narwhals(X, source, missing)
    filled = np.array(X, dtype=dtype)
    if missing.any():
        filled[missing] = source[missing]
    return filled


@contextmanager
def _explained(name: Any, dtype: Any) -> Iterator[None]:
    """Say which column cannot hold what was fitted, whatever the container raises."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"Missing cells of column {name!r}, which is {dtype}, cannot be filled with what was "
            f"fitted: {error}. Convert it to the type that it had in fit."
        ) from error


def _filled(column: pd.Series, source: pd.Series, missing: np.ndarray) -> pd.Series:
    dtype = column.dtype
    if not missing.any():
        return column
    if missing.all():
        return source
    if isinstance(dtype, pd.SparseDtype):
        dense = column.sparse.to_dense(), pd.Series(source.to_numpy(), index=source.index)
        return _filled(*dense, missing).astype(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        column = column.astype(with_categories(dtype, source[missing].dropna().unique()))
    column = column.copy()
    column.iloc[np.flatnonzero(missing)] = _cast(source[missing], column.dtype).array
    return column


def _cast(values: pd.Series, dtype: Any) -> pd.Series:
    """Values as another dtype of their kind: rounded to integers, moved between time zones."""
    if values.dtype == dtype:
        return values
    if pd.api.types.is_integer_dtype(dtype) and pd.api.types.is_float_dtype(values.dtype):
        plain = np.dtype(f"{dtype.kind}{dtype.itemsize}")
        return pd.Series(to_integers(values.to_numpy(), plain), index=values.index).astype(dtype)
    if pd.api.types.is_datetime64_any_dtype(dtype) and hasattr(values, "dt"):
        if values.dt.tz is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        zone = getattr(dtype, "tz", None)
        if zone is not None:
            values = in_zone(values, zone)
    if isinstance(dtype, pd.CategoricalDtype):
        return to_category(values, dtype)
    return values.astype(dtype)


def _fill_narwhals(X: Any, source: Any, missing: np.ndarray) -> Any:
    """polars and pyarrow."""
    if nw.dependencies.is_polars_dataframe(X):
        import polars as pl

        def rounded(values: Any, column: Any) -> Any:
            both = values.dtype.is_float() and column.dtype.is_integer()
            return values.round() if both else values

        columns = []
        for column, values, empty in zip(X, source, missing.T, strict=True):
            with _explained(column.name, column.dtype):
                if not empty.all():
                    cast = rounded(values, column).cast(column.dtype)
                    values = cast.zip_with(pl.Series(empty), column)
                columns.append(values)
        return pl.DataFrame(dict(zip(X.columns, columns, strict=True)))
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays, fields = [], list(X.schema)
    for j, (column, values, empty) in enumerate(
        zip(X.columns, source.columns, missing.T, strict=True)
    ):
        field = fields[j]
        with _explained(field.name, field.type):
            if empty.all():
                column, fields[j] = values, source.schema.field(j)
            elif empty.any() and pa.types.is_dictionary(field.type):
                plain = [c.cast(field.type.value_type) for c in (values, column)]
                filled = pc.if_else(pa.array(empty), *plain).combine_chunks()
                column = to_dictionary(filled, field.type)
            elif empty.any():
                if pa.types.is_floating(values.type) and pa.types.is_integer(field.type):
                    values = pc.round(values)
                column = pc.if_else(pa.array(empty), values.cast(field.type), column)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, X.schema.metadata))


def drop_columns(X: Any, columns: np.ndarray) -> Any:
    """X without some of its columns."""
    kept = np.setdiff1d(np.arange(X.shape[1]), columns)
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, kept]
    if nw.dependencies.is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        return frame.select([frame.columns[j] for j in kept]).to_native()
    return X[:, kept]


def zeros_like_columns(X: Any, columns: np.ndarray, dtype: Any) -> Any:
    """A table like X with zeros in those of the columns that hold numbers; of an array, in all."""
    if isinstance(X, pd.DataFrame):
        kinds = {j: X.dtypes.iloc[j] for j in columns}
        zeros = {j: pd.Series(0, X.index, dtype=t) for j, t in kinds.items()
                 if pd.api.types.is_numeric_dtype(t)}  # fmt: skip
        parts = {j: zeros.get(j, X.iloc[:, j]) for j in range(X.shape[1])}
        return pd.concat(parts, axis=1).set_axis(X.columns, axis=1)
    if nw.dependencies.is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        names = [frame.columns[j] for j in columns]
        numeric = [n for n in names if frame[n].dtype.is_float() or frame[n].dtype.is_integer()]
        zeros_ = [nw.lit(0).cast(frame[n].dtype).alias(n) for n in numeric]
        return frame.with_columns(*zeros_).to_native()
    return type(X)(X.shape, dtype=X.dtype) if sparse.issparse(X) else np.zeros(X.shape, dtype)


def append_indicators(X: Any, flags: np.ndarray, names: list[str]) -> Any:
    """X with boolean columns appended."""
    if isinstance(X, pd.DataFrame):
        return pd.concat([X, pd.DataFrame(flags, columns=names, index=X.index)], axis=1)
    if nw.dependencies.is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        backend = nw.get_native_namespace(X)
        flags_ = [nw.new_series(n, f.tolist(), nw.Boolean(), backend=backend)
                  for n, f in zip(names, flags.T, strict=True)]  # fmt: skip
        if flags_ and not frame.columns:  # without columns a polars frame has no rows either
            return nw.from_dict({flag.name: flag for flag in flags_}, backend=backend).to_native()
        return frame.with_columns(*flags_).to_native()
    if sparse.issparse(X):
        return type(X)(sparse.hstack([X, flags])).asformat(X.format)
    return np.hstack([X, flags.astype(X.dtype if X.dtype.kind in "fiub" else object)])
