"""Data frames of pandas, polars and pyarrow that are batches of one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

Schema = dict[str, Any]  # from the names of columns to types of narwhals


def as_frame(batch: Any) -> nw.DataFrame:
    """A batch as a frame of narwhals; record batches of pyarrow are tables of one batch.

    Raises
    ------
    TypeError
        If it is no data frame.
    """
    if type(batch).__module__.partition(".")[0] == "pyarrow" and hasattr(batch, "num_rows"):
        import pyarrow as pa

        if isinstance(batch, pa.RecordBatch):
            batch = pa.Table.from_batches([batch])
    if not nw.dependencies.is_into_dataframe(batch):
        raise TypeError(
            f"a batch is a {type(batch).__name__}, but must be a data frame of pandas, polars or "
            "pyarrow"
        )
    return nw.from_native(batch, eager_only=True)


def schema_of(frame: nw.DataFrame) -> Schema:
    """The types of the columns; ordered categories of pandas are a part of the type."""
    schema: Schema = dict(frame.schema)
    if frame.implementation.is_pandas():
        native = frame.to_native()
        for name, dtype in zip(native.columns, native.dtypes, strict=True):
            if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
                schema[name] = dtype
    return schema


def matched(frame: nw.DataFrame, schema: Schema) -> nw.DataFrame:
    """The frame with the columns of a schema, in its order.

    Raises
    ------
    ValueError
        If a column is missing, new, or of another type; one without a value may have any type.
    """
    own = schema_of(frame)
    if own == schema and list(own) == list(schema):
        return frame
    check_names(list(own), list(schema))
    for name, dtype in schema.items():
        if own[name] != dtype:
            if frame[name].null_count() < len(frame):
                raise ValueError(different_type(name, own[name], dtype))
            frame = frame.with_columns(_empty(frame, name, dtype))
    return frame.select(list(schema))


def check_names(names: list, expected: list) -> None:
    """Raise if a column is missing or new."""
    given, known = set(names), set(expected)
    missing = [name for name in expected if name not in given]
    new = [name for name in names if name not in known]
    if missing or new:
        raise ValueError(
            "The columns differ from those read first:"
            + (f" {missing} are missing" if missing else "")
            + (" and" if missing and new else "")
            + (f" {new} are new" if new else "")
            + ". All parts of X must have the same columns, in any order."
        )


def different_type(name: Any, found: Any, expected: Any) -> str:
    """The message about a column that does not have the same type in all parts."""
    return (
        f"Column {name!r} has the type {found} here, but {expected} in the part that was read "
        "first. Convert it, so that all parts of X have one type; integers with missing values "
        "need a type that holds both, as Int64 of pandas."
    )


def _empty(frame: nw.DataFrame, name: Any, dtype: Any) -> nw.Expr:
    """A column without a value, of the type that it has elsewhere."""
    if isinstance(dtype, pd.CategoricalDtype):
        raise ValueError(different_type(name, frame.schema[name], dtype))
    try:
        return frame.select(nw.col(name).cast(dtype))[name]
    except Exception as error:  # each library has its own; as integers of numpy hold no NaN
        raise ValueError(different_type(name, frame.schema[name], dtype)) from error


def concatenate(frames: Sequence[nw.DataFrame]) -> nw.DataFrame:
    """Frames of one schema, one below the other."""
    if len(frames) == 1:
        return frames[0]
    if frames[0].implementation.is_pandas():
        return nw.from_native(_concatenate_pandas([f.to_native() for f in frames]), eager_only=True)
    return nw.concat(list(frames))


def _concatenate_pandas(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Frames of pandas; the categories of each column are those of all frames."""
    for name in frames[0].columns:
        dtypes = [frame[name].dtype for frame in frames]
        if isinstance(dtypes[0], pd.CategoricalDtype) and any(d != dtypes[0] for d in dtypes):
            union = pd.api.types.union_categoricals([frame[name] for frame in frames])
            dtype = pd.CategoricalDtype(union.categories, ordered=dtypes[0].ordered)
            frames = [frame.astype({name: dtype}) for frame in frames]
    return pd.concat(frames, ignore_index=True)


def take(frame: nw.DataFrame, rows: np.ndarray) -> nw.DataFrame:
    """Some rows, as a frame that does not hold on to the others."""
    return frame[rows]


def row_size(frame: nw.DataFrame) -> float:
    """Bytes that a row takes."""
    return float(frame.estimated_size()) / max(1, len(frame))
