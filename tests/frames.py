"""Tables for the tests: every dtype that a user may bring, with and without missing values."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa


def pandas_frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """One column of every pandas dtype, each with a signal that a model can find."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    words = np.array(["ash", "birch", "cedar", "oak"])[np.digitize(z, [-1, 0, 1])]
    days = pd.Timestamp("2020-03-01") + pd.to_timedelta((20 * z).round().astype(int), unit="D")
    frame = pd.DataFrame({
        "float64": z + rng.normal(size=n),
        "float32": (z - rng.normal(size=n)).astype(np.float32),
        "cents": (10 * z).round(2),
        "whole_float": (10 * z).round(),
        "int64": (10 * z).round().astype(np.int64),
        "int8": (5 * z).round().astype(np.int8),
        "uint8": (np.abs(z) * 20).astype(np.uint8),
        "Int64": pd.array((z * 7).round(), dtype="Int64"),
        "UInt16": pd.array(np.abs(z * 7).round(), dtype="UInt16"),
        "Float64": pd.array(z * 3, dtype="Float64"),
        "bool": z > 0,
        "boolean": pd.array(z > 0.5, dtype="boolean"),
        "object": words.astype(object),
        "string": pd.array(words, dtype="string"),
        "category": pd.Categorical(words, categories=["oak", "ash", "birch", "cedar", "never"]),
        "ordered": pd.Categorical(words, categories=["ash", "birch", "cedar", "oak"], ordered=True),
        "number_category": pd.Categorical(np.digitize(z, [0])),
        "interval": pd.cut(z, [-9, -1, 0, 1, 9]),
        "period": pd.PeriodIndex(days, freq="M"),
        "datetime": days,
        "seconds": (pd.Timestamp("2020-01-01") + pd.to_timedelta(1e6 * z, unit="s")).floor("s"),
        "zoned": days.tz_localize("Europe/Paris"),
        "timedelta": pd.to_timedelta((3600 * z).round(), unit="s"),
        "object_int": pd.Series((3 * z).round().astype(int).tolist(), dtype=object),
        "object_bool": pd.Series((z > 0).tolist(), dtype=object),
        "decimal": [decimal.Decimal(f"{v:.2f}") for v in z],
        "date": [datetime.date(2021, 5, 1) + datetime.timedelta(days=int(9 * v)) for v in z],
        "stamp": pd.Series(
            [datetime.datetime(2021, 5, 1, int(5 * abs(v))) for v in z], dtype=object
        ),
        "mixed": pd.Series([1 if v > 0 else "one" for v in z], dtype=object),
        "constant": 3.5,
        "constant_word": "same",
        "empty": np.nan,
        "empty_object": pd.Series([None] * n, dtype=object),
        "identifier": [f"id{i:05d}" for i in rng.permutation(n)],
    })  # fmt: skip
    frame.loc[frame.index[:2], "mixed"] = [2.5, "two"]
    return frame


NULLABLE = [
    "float64", "float32", "cents", "whole_float", "Int64", "UInt16", "Float64", "boolean",
    "object", "string", "category", "ordered", "interval", "period", "datetime", "zoned",
    "timedelta", "object_int", "object_bool", "decimal", "date", "stamp", "mixed", "identifier",
]  # fmt: skip


def with_missing_cells(frame: pd.DataFrame, rate: float = 0.15, seed: int = 1) -> pd.DataFrame:
    """The frame with missing cells in every column that can hold them; one row is all missing."""
    rng = np.random.default_rng(seed)
    frame = frame.copy()
    for name in NULLABLE:
        missing = rng.random(len(frame)) < rate
        missing[5] = True
        frame[name] = frame[name].mask(missing)
    return frame


def polars_frame(n: int = 60, has_missing: bool = False, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    words = np.array(["ash", "birch", "cedar", "oak"])[np.digitize(z, [-1, 0, 1])].tolist()
    day = datetime.date(2021, 5, 1)
    noon = datetime.datetime(2021, 5, 1, 12)
    frame = pl.DataFrame({
        "float": z,
        "float32": pl.Series(z, dtype=pl.Float32),
        "int": pl.Series((9 * z).round(), dtype=pl.Int32),
        "uint": pl.Series(np.abs(9 * z).round(), dtype=pl.UInt8),
        "bool": (z > 0).tolist(),
        "string": words,
        "categorical": pl.Series(words, dtype=pl.Categorical),
        "enum": pl.Series(words, dtype=pl.Enum(["oak", "cedar", "birch", "ash", "never"])),
        "date": [day + datetime.timedelta(days=int(9 * v)) for v in z],
        "datetime": [noon + datetime.timedelta(seconds=int(9000 * v)) for v in z],
        "zoned": pl.Series([noon + datetime.timedelta(hours=int(9 * v)) for v in z])
        .dt.replace_time_zone("UTC"),
        "milli": pl.Series([noon + datetime.timedelta(hours=int(9 * v)) for v in z],
                           dtype=pl.Datetime("ms")),
        "duration": [datetime.timedelta(minutes=int(90 * v)) for v in z],
        "time": [datetime.time(12 + int(np.clip(3 * v, -11, 11)), 30) for v in z],
        "decimal": pl.Series([decimal.Decimal(f"{v:.2f}") for v in z], dtype=pl.Decimal(10, 2)),
        "null": pl.Series([None] * n, dtype=pl.Float64),
    })  # fmt: skip
    if has_missing:
        keep = pl.Series(rng.random(n) > 0.15)
        frame = frame.with_columns(pl.when(keep).then(pl.all()).name.keep())
    return frame


def arrow_table(n: int = 60, has_missing: bool = False) -> pa.Table:
    table = polars_frame(n, has_missing).to_arrow()
    words = pa.array(table.column("string").to_pylist())
    return table.drop_columns(["enum", "categorical"]).append_column(
        "dictionary", words.dictionary_encode()
    )
