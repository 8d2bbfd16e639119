"""Codecs of the values and dtypes of pandas, polars and Arrow, and of the layouts of tables."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import sparse

from skvae._table.layouts import ArrayLayout, FrameLayout, PandasLayout, SparseLayout

from .tree import Codec, FileError, Reader, Writer
from .values import exactly, guarded, simple

SPARSE = {f"{form}_{kind}": getattr(sparse, f"{form}_{kind}")
          for form in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
          for kind in ("matrix", "array")}  # fmt: skip
UNITS = ("s", "ms", "us", "ns")

# ------------------------------------------------------------------------- pandas: values


def _write_timestamp(value: pd.Timestamp, writer: Writer, place: str) -> dict[str, Any]:
    zone = None if value.tzinfo is None else writer.write(value.tzinfo, place)
    return {"ticks": int(value.tz_localize(None).asm8.astype(np.int64)) if zone is None
            else int(value.tz_convert("UTC").tz_localize(None).asm8.astype(np.int64)),
            "unit": value.unit, "zone": zone}  # fmt: skip


def _read_timestamp(reader: Reader, ticks: Any, unit: Any, zone: Any) -> pd.Timestamp:
    if unit not in UNITS:
        raise FileError(f"{unit!r} is no unit of time")
    naive = guarded(lambda: pd.Timestamp(np.datetime64(ticks, unit)).as_unit(unit))
    return naive if zone is None else guarded(lambda: naive.tz_localize("UTC").tz_convert(zone))


def _read_timedelta(ticks: Any, unit: Any) -> pd.Timedelta:
    if unit not in UNITS:
        raise FileError(f"{unit!r} is no unit of time")
    return pd.Timedelta(np.timedelta64(ticks, unit)).as_unit(unit)


def _write_interval(value: pd.Interval, writer: Writer, place: str) -> dict[str, Any]:
    return {"left": writer.write(value.left, place), "right": writer.write(value.right, place),
            "closed": value.closed}  # fmt: skip


# ------------------------------------------------------------------- pandas: dtypes, indexes


def _write_index(value: pd.Index, writer: Writer, place: str) -> dict[str, Any]:
    if isinstance(value, pd.RangeIndex):
        ends = [value.start, value.stop, value.step]
        return {"kind": "range", "range": ends, "names": [writer.write(value.name, place)]}
    names = [writer.write(name, place) for name in value.names]
    items = [writer.write(item, place) for item in value.tolist()]
    if isinstance(value, pd.MultiIndex):
        return {"kind": "multi", "names": names, "items": items}
    return {"kind": "index", "names": names, "items": items,
            "dtype": writer.write(value.dtype, place)}  # fmt: skip


def _read_index(
    reader: Reader, kind: Any, names: Any, items: Any = None, range: Any = None, dtype: Any = None
) -> pd.Index:
    def index() -> pd.Index:
        if kind == "range":
            return pd.RangeIndex(*range, name=names[0])
        if kind == "multi":
            return pd.MultiIndex.from_tuples(items, names=names)
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return pd.Index(values, dtype=dtype, name=names[0])

    return guarded(index)


def _write_extension(dtype: Any, writer: Writer, place: str) -> dict[str, Any]:
    def write(value: Any) -> Any:
        return writer.write(value, place)

    if isinstance(dtype, pd.CategoricalDtype):
        categories = None if dtype.categories is None else write(dtype.categories)
        return {"kind": "category", "categories": categories, "ordered": dtype.ordered}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"kind": "datetime", "unit": dtype.unit, "zone": write(dtype.tz)}
    if isinstance(dtype, pd.StringDtype):
        is_nan = dtype.na_value is not pd.NA
        return {"kind": "string", "storage": dtype.storage, "is_nan": is_nan}
    if isinstance(dtype, pd.SparseDtype):
        return {"kind": "sparse", "subtype": write(dtype.subtype), "fill": write(dtype.fill_value)}
    if isinstance(dtype, pd.ArrowDtype):
        return {"kind": "arrow", "arrow": write(dtype.pyarrow_dtype)}
    if isinstance(dtype, pd.IntervalDtype):
        return {"kind": "interval", "subtype": write(dtype.subtype), "closed": dtype.closed}
    if isinstance(dtype, pd.PeriodDtype):
        return {"kind": "period", "freq": str(dtype)[len("period[") : -1]}
    if dtype.name in MASKED:
        return {"kind": "masked", "name": dtype.name}
    raise TypeError(
        f"{place} has the dtype {dtype!r}, which a .skvae file cannot hold. Convert the column to "
        "a dtype of pandas or numpy before fit, or use pickle."
    )


MASKED = {
    *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    "Float32", "Float64", "boolean",
}  # fmt: skip


def _read_extension(reader: Reader, kind: Any, **fields: Any) -> Any:
    def dtype() -> Any:
        if kind == "category":
            return pd.CategoricalDtype(fields["categories"], fields["ordered"])
        if kind == "datetime":
            return pd.DatetimeTZDtype(fields["unit"], fields["zone"])
        if kind == "string":
            return _string_dtype(fields["storage"], bool(fields["is_nan"]))
        if kind == "sparse":
            return pd.SparseDtype(fields["subtype"], fields["fill"])
        if kind == "arrow":
            return pd.ArrowDtype(fields["arrow"])
        if kind == "interval":
            return pd.IntervalDtype(fields["subtype"], fields["closed"])
        if kind == "period":
            return pd.PeriodDtype(fields["freq"])
        if kind == "masked" and fields["name"] in MASKED:
            return pd.api.types.pandas_dtype(fields["name"])
        raise FileError(f"{kind!r} is no dtype of pandas")

    return guarded(dtype)


def _string_dtype(storage: str, is_nan: bool) -> Any:
    """pandas 2.2 has no string dtype with NaN: there it is the one with NA."""
    if not is_nan:
        return pd.StringDtype(storage)
    try:
        return pd.StringDtype(storage, na_value=np.nan)
    except TypeError:
        return np.dtype(object)


# -------------------------------------------------------------------------- Arrow and polars


def _write_arrow(type: Any, writer: Writer, place: str) -> dict[str, Any]:
    import pyarrow as pa

    t = pa.types
    if t.is_timestamp(type):
        return {"kind": "timestamp", "args": [type.unit, type.tz]}
    if t.is_duration(type):
        return {"kind": "duration", "args": [type.unit]}
    if t.is_time(type):
        return {"kind": f"time{type.bit_width}", "args": [type.unit]}
    if t.is_decimal(type):
        return {"kind": f"decimal{type.bit_width}", "args": [type.precision, type.scale]}
    if t.is_fixed_size_binary(type):
        return {"kind": "binary", "args": [type.byte_width]}
    if t.is_dictionary(type):
        parts = [writer.write(part, place) for part in (type.index_type, type.value_type)]
        return {"kind": "dictionary", "args": [*parts, type.ordered]}
    name = str(type).partition("[")[0]  # of date32[day]
    name = ARROW_NAMES.get(name, name)
    if name not in ARROW:
        raise TypeError(f"{place} has the type {type} of Arrow, which a .skvae file cannot hold.")
    return {"kind": name, "args": []}


ARROW = {
    "null", "bool_", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16", "float32", "float64", "string", "large_string", "string_view", "binary",
    "large_binary", "binary_view", "date32", "date64", "timestamp", "duration", "time32", "time64",
    "decimal32", "decimal64", "decimal128", "decimal256", "dictionary",
}  # fmt: skip


ARROW_NAMES = {"bool": "bool_", "halffloat": "float16", "float": "float32", "double": "float64"}


def _read_arrow(reader: Reader, kind: Any, args: Any) -> Any:
    if kind not in ARROW:
        raise FileError(f"{kind!r} is no type of Arrow")
    pa = needed("pyarrow")
    return guarded(lambda: getattr(pa, kind)(*args))


def needed(name: str) -> Any:
    """A package that wrote the table; it need not be installed where the file is loaded."""
    try:
        return __import__(name)
    except ImportError as error:
        raise ImportError(
            f"The model was fitted to a table of {name}, which is not installed. Install it to "
            "load the model: its new rows and imputed tables are tables of that library."
        ) from error


def _write_polars(dtype: Any, writer: Writer, place: str) -> dict[str, Any]:
    import polars as pl

    name = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    args: list = []
    if dtype == pl.Datetime:
        args = [dtype.time_unit, dtype.time_zone]
    elif dtype == pl.Duration:
        args = [dtype.time_unit]
    elif dtype == pl.Decimal:
        args = [dtype.precision, dtype.scale]
    elif dtype == pl.Enum:
        args = [dtype.categories.to_list()]
    if name not in POLARS:
        raise TypeError(f"{place} has the dtype {dtype} of polars, which a .skvae file cannot hold")
    return {"kind": name, "args": args}


POLARS = {
    "Boolean", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64, 128)),
    "Float16", "Float32", "Float64", "Decimal", "String", "Utf8", "Categorical", "Enum", "Date",
    "Datetime", "Duration", "Time", "Null", "Object", "Binary",
}  # fmt: skip


def _read_polars(reader: Reader, kind: Any, args: Any) -> Any:
    if kind not in POLARS:
        raise FileError(f"{kind!r} is no dtype of polars")
    pl = needed("polars")
    return guarded(lambda: getattr(pl, kind)(*args) if args else getattr(pl, kind)())


def _is_polars_dtype(value: Any) -> bool:
    module = type(value).__module__ if not isinstance(value, type) else value.__module__
    return module.partition(".")[0] == "polars" and hasattr(value, "is_numeric")


def _is_arrow_type(value: Any) -> bool:
    return type(value).__module__ == "pyarrow.lib" and type(value).__name__.endswith("Type")


# ------------------------------------------------------------------------------------ layouts


def _write_frame_layout(value: FrameLayout, writer: Writer, place: str) -> dict[str, Any]:
    names = nw.from_native(value.empty, eager_only=True).columns
    schema = value.empty.schema
    dtypes = list(schema.values()) if value.container == "polars" else list(schema.types)
    nullable = [] if value.container == "polars" else [schema.field(j).nullable
                                                      for j in range(len(names))]  # fmt: skip
    return {"container": value.container, "names": names, "nullable": nullable,
            "dtypes": [writer.write(dtype, f"{place}.{name}")
                       for name, dtype in zip(names, dtypes, strict=True)]}  # fmt: skip


def _read_frame_layout(
    reader: Reader, container: Any, names: Any, dtypes: Any, nullable: Any
) -> FrameLayout:
    def layout() -> FrameLayout:
        if container == "polars":
            empty = needed("polars").DataFrame(schema=dict(zip(names, dtypes, strict=True)))
        elif container == "pyarrow":
            pa = needed("pyarrow")
            fields = [pa.field(*each) for each in zip(names, dtypes, nullable, strict=True)]
            empty = pa.schema(fields).empty_table()
        else:
            raise FileError(f"{container!r} is no container of tables")
        return FrameLayout(nw.from_native(empty, eager_only=True))

    return guarded(layout)


def _bare(kind: Any, **fields: Any) -> Any:
    """A layout with the given attributes: its constructor would ask for a table."""
    layout = kind.__new__(kind)
    vars(layout).update(fields)
    return layout


def _read_pandas_layout(reader: Reader, columns: Any, dtypes: Any) -> PandasLayout:
    if not isinstance(columns, pd.Index) or not isinstance(dtypes, list):
        raise FileError("the columns of a pandas table are not legal")
    if len(columns) != len(dtypes) or not all(map(_is_pandas_dtype, dtypes)):
        raise FileError("the dtypes of a pandas table are not legal")
    return _bare(PandasLayout, columns=columns, dtypes=dtypes)


def _is_pandas_dtype(value: Any) -> bool:
    return isinstance(value, (np.dtype, pd.api.extensions.ExtensionDtype))


def _read_array_layout(reader: Reader, dtype: Any) -> ArrayLayout:
    if not isinstance(dtype, np.dtype):
        raise FileError("the dtype of an array is not legal")
    return ArrayLayout(dtype)


def _read_sparse_layout(reader: Reader, dtype: Any, make: Any, format: Any) -> SparseLayout:
    if not isinstance(dtype, np.dtype) or make not in SPARSE or f"{format}_" not in f"{make}":
        raise FileError("the class of a sparse table is not legal")
    return _bare(SparseLayout, dtype=dtype, make=SPARSE[make], format=format)


FRAMES: dict[str, Codec] = {
    "pandas.NA": Codec(lambda v: v is pd.NA, lambda v, w, p: {}, lambda reader: pd.NA),
    "pandas.NaT": Codec(lambda v: v is pd.NaT, lambda v, w, p: {}, lambda reader: pd.NaT),
    "pandas.Timestamp": Codec(exactly(pd.Timestamp), _write_timestamp, _read_timestamp),
    "pandas.Timedelta": Codec(
        exactly(pd.Timedelta),
        lambda v, w, p: {"ticks": int(v.asm8.astype(np.int64)), "unit": v.unit},
        lambda reader, ticks, unit: guarded(_read_timedelta, ticks, unit)),
    "pandas.Interval": Codec(
        exactly(pd.Interval), _write_interval,
        lambda reader, left, right, closed: guarded(pd.Interval, left, right, closed)),
    "pandas.Period": simple(pd.Period, lambda v: [v.ordinal, v.freqstr],
                            lambda v: pd.Period(ordinal=v[0], freq=v[1])),
    "pandas.Index": Codec(lambda v: isinstance(v, pd.Index), _write_index, _read_index),
    "pandas.dtype": Codec(lambda v: isinstance(v, pd.api.extensions.ExtensionDtype),
                          _write_extension, _read_extension),
    "arrow.type": Codec(_is_arrow_type, _write_arrow, _read_arrow),
    "polars.dtype": Codec(_is_polars_dtype, _write_polars, _read_polars),
    "SparseLayout": Codec(
        exactly(SparseLayout),
        lambda v, w, p: {"dtype": w.write(v.dtype, p), "make": v.make.__name__,
                         "format": v.format}, _read_sparse_layout),
    "ArrayLayout": Codec(exactly(ArrayLayout), lambda v, w, p: {"dtype": w.write(v.dtype, p)},
                         _read_array_layout),
    "PandasLayout": Codec(
        exactly(PandasLayout),
        lambda v, w, p: {"columns": w.write(v.columns, p), "dtypes": w.write(v.dtypes, p)},
        _read_pandas_layout),
    "FrameLayout": Codec(exactly(FrameLayout), _write_frame_layout, _read_frame_layout),
}  # fmt: skip
