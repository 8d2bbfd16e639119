"""Missing cells of a container filled with others; the seen cells stay as they are."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse


def fill(X: Any, source: Any, missing: np.ndarray, dtype: Any = None) -> Any:
    """X with its missing cells taken from `source`.

    Parameters
    ----------
    X : table of shape (n_samples, n_features)
    source : table
        In a container of the same kind; its cells are cast to the dtypes of X. A column of X
        without a single cell, whose dtype says nothing, is taken whole.
    missing : ndarray of bool of shape (n_samples, n_features)
    dtype : dtype or None
        As what an array, or a list of rows, was read.

    Returns
    -------
    filled : table
        A new one; X is left alone.
    """
    if isinstance(X, pd.DataFrame):
        columns = [_filled(X.iloc[:, j], source.iloc[:, j].set_axis(X.index), missing[:, j])
                   for j in range(X.shape[1])]  # fmt: skip
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
        new = [v for v in source[missing].dropna().unique() if v not in dtype.categories]
        column = column.cat.add_categories(new)
    column = column.copy()
    column.iloc[np.flatnonzero(missing)] = source[missing].astype(object).to_list()
    return column


def _fill_narwhals(X: Any, source: Any, missing: np.ndarray) -> Any:
    """polars and pyarrow."""
    if nw.dependencies.is_polars_dataframe(X):
        import polars as pl

        columns = [
            values.cast(column.dtype).zip_with(pl.Series(hole), column) if hole.any() else column
            for column, values, hole in zip(X, source, missing.T, strict=True)
        ]
        return pl.DataFrame(columns)
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays = []
    for field, column, values, hole in zip(
        X.schema, X.columns, source.columns, missing.T, strict=True
    ):
        if hole.any() and pa.types.is_dictionary(field.type):
            plain = [c.cast(field.type.value_type) for c in (values, column)]
            filled = pc.if_else(pa.array(hole), *plain).combine_chunks()
            column = filled.dictionary_encode().cast(field.type)
        elif hole.any():
            column = pc.if_else(pa.array(hole), values.cast(field.type), column)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=X.schema)


def without(X: Any, columns: np.ndarray, zeros: bool) -> Any:
    """X without some columns that are empty; or with zeros in them, where they hold numbers."""
    kept = np.setdiff1d(np.arange(X.shape[1]), columns)
    if isinstance(X, pd.DataFrame):
        if not zeros:
            return X.iloc[:, kept]
        numeric = [X.columns[j] for j in columns if pd.api.types.is_numeric_dtype(X.dtypes.iloc[j])]
        return X.fillna(dict.fromkeys(numeric, 0))
    if nw.dependencies.is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        if not zeros:
            return frame.select([frame.columns[j] for j in kept]).to_native()
        numeric = [frame.columns[j] for j in columns if frame[frame.columns[j]].dtype.is_numeric()]
        zero = [nw.lit(0).cast(frame[name].dtype).alias(name) for name in numeric]
        return frame.with_columns(*zero).to_native()
    if not zeros:
        return X[:, kept]
    dense = X.toarray() if sparse.issparse(X) else X
    if dense.dtype.kind == "f":
        dense[:, columns] = 0
    return type(X)(dense) if sparse.issparse(X) else dense


def beside(X: Any, flags: np.ndarray, names: list[str]) -> Any:
    """X with boolean columns appended."""
    if isinstance(X, pd.DataFrame):
        return pd.concat([X, pd.DataFrame(flags, columns=names, index=X.index)], axis=1)
    if nw.dependencies.is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        backend = nw.get_native_namespace(X)
        flags_ = [nw.new_series(n, f.tolist(), nw.Boolean(), backend=backend)
                  for n, f in zip(names, flags.T, strict=True)]  # fmt: skip
        return frame.with_columns(*flags_).to_native()
    if sparse.issparse(X):
        return type(X)(sparse.hstack([X, flags])).asformat(X.format)
    return np.hstack([X, flags.astype(X.dtype)])
