"""Columns of every kind, drawn from a seed."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable

import numpy as np
import pandas as pd

WORDS = np.array(["ash", "birch", "", "Eiche 🌳", "a long, quoted 'level'\n", "nan"])
DAY = np.datetime64("2020-03-01")


def _words(rng, n, k=4):
    return WORDS[rng.integers(0, k, n)].astype(object)


def _days(rng, n, unit="D", spread=400):
    return (DAY + rng.integers(-spread, spread, n)).astype(f"M8[{unit}]")


def _with(rng, values, special, share=0.3):
    """Some values replaced by special ones."""
    is_special = rng.random(len(values)) < share
    return np.where(is_special, rng.choice(special, len(values)), values)


def _heavy(rng, n):
    return np.clip(rng.standard_cauchy(n) ** 3, -1e300, 1e300)


def _extreme(rng, n):
    largest = np.finfo(float).max
    return _with(rng, rng.normal(size=n), [largest, -largest, 5e-324, -5e-324, -0.0, 0.0])


# Numbers that an array of floats can hold.
FLOATS: dict[str, Callable] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "cents": lambda rng, n: (10 * rng.normal(size=n)).round(2),
    "heavy tails": _heavy,
    "log normal": lambda rng, n: np.exp(5 * rng.normal(size=n)),
    "offset": lambda rng, n: 1e15 + rng.normal(size=n),
    "huge": lambda rng, n: 1e300 * rng.normal(size=n),
    "subnormal": lambda rng, n: 1e-310 * rng.normal(size=n),
    "extreme": _extreme,
    "positive zero and negative": lambda rng, n: _with(rng, rng.normal(size=n), [0.0, -0.0]),
    "sentinel": lambda rng, n: _with(rng, 50 + 9 * rng.normal(size=n), [-999.0, 99999.0], 0.1),
    "few values": lambda rng, n: rng.choice([0.1, 0.5, 7.25], n),
    "two values": lambda rng, n: rng.choice([1.0, 1.0 + 2**-52], n),
    "one other": lambda rng, n: (np.arange(n) == n // 2).astype(float),
    "constant": lambda rng, n: np.full(n, 3.5),
    "constant zero": lambda rng, n: np.zeros(n),
    "empty": lambda rng, n: np.full(n, np.nan),
    "int64": lambda rng, n: rng.integers(-9, 9, n),
    "int8": lambda rng, n: rng.integers(-128, 128, n).astype(np.int8),
    "counts": lambda rng, n: rng.poisson(3, n),
    "bool": lambda rng, n: rng.random(n) < 0.3,
    "constant bool": lambda rng, n: np.ones(n, dtype=bool),
}  # fmt: skip
# Columns that frames of pandas, polars and pyarrow all can hold.
PLAIN: dict[str, Callable] = {
    **FLOATS,
    "huge integers": lambda rng, n: 2**60 + rng.integers(-(2**20), 2**20, n),
    "extreme integers": lambda rng, n: rng.choice([-(2**63), 2**63 - 1, 0, 1], n),
    "uint64": lambda rng, n: np.uint64(2**63) + rng.integers(0, 2**62, n).astype(np.uint64),
    "strings": lambda rng, n: pd.array(_words(rng, n), dtype="string"),
    "category": lambda rng, n: pd.Categorical(_words(rng, n, 3), categories=WORDS),
    "datetime": lambda rng, n: _days(rng, n, "ns"),
    "seconds": lambda rng, n: _days(rng, n, "s") + rng.integers(0, 86400, n),
    "zoned": lambda rng, n: pd.DatetimeIndex(_days(rng, n, "ns")).tz_localize("UTC"),
    "timedelta": lambda rng, n: rng.integers(-(10**6), 10**6, n).astype("m8[s]").astype("m8[us]"),
    "identifier": lambda rng, n: pd.array([f"id{i}" for i in rng.permutation(n)], dtype="string"),
    "constant word": lambda rng, n: pd.array(["same"] * n, dtype="string"),
    "constant day": lambda rng, n: np.full(n, DAY).astype("M8[ns]"),
}
PANDAS: dict[str, Callable] = {
    **PLAIN,
    "Int64": lambda rng, n: pd.array(rng.integers(-9, 9, n), dtype="Int64"),
    "UInt8": lambda rng, n: pd.array(rng.integers(0, 255, n), dtype="UInt8"),
    "Float64": lambda rng, n: pd.array(rng.normal(size=n), dtype="Float64"),
    "boolean": lambda rng, n: pd.array(rng.random(n) < 0.5, dtype="boolean"),
    "objects": _words,
    "ordered": lambda rng, n: pd.Categorical(_words(rng, n, 6), categories=WORDS, ordered=True),
    "number category": lambda rng, n: pd.Categorical(rng.integers(0, 3, n)),
    "interval": lambda rng, n: pd.cut(rng.normal(size=n), [-9, -1, 0, 1, 9]),
    "period": lambda rng, n: pd.PeriodIndex(_days(rng, n, "ns"), freq="M"),
    "Paris": lambda rng, n: pd.DatetimeIndex(_days(rng, n, "us")).tz_localize("UTC").tz_convert(
        "Europe/Paris"),
    "far dates": lambda rng, n: rng.choice(
        np.array(["1700-01-01", "2000-02-29", "2199-12-31"], dtype="M8[ns]"), n),
    "object integers": lambda rng, n: pd.Series(rng.integers(-9, 9, n).tolist(), dtype=object),
    "object booleans": lambda rng, n: pd.Series((rng.random(n) < 0.5).tolist(), dtype=object),
    "decimal": lambda rng, n: [decimal.Decimal(f"{v:.2f}") for v in rng.normal(size=n)],
    "date": lambda rng, n: pd.Series(
        [datetime.date(2021, 5, 1) + datetime.timedelta(int(d)) for d in rng.integers(0, 99, n)],
        dtype=object),
    "mixed objects": lambda rng, n: pd.Series(
        [[1, "one", 2.5, True][i] for i in rng.integers(0, 4, n)], dtype=object),
    "empty objects": lambda rng, n: pd.Series([None] * n, dtype=object),
    "empty category": lambda rng, n: pd.Categorical([None] * n, categories=["a", "b"]),
    "empty datetime": lambda rng, n: np.full(n, np.datetime64("NaT"), dtype="M8[ns]"),
}  # fmt: skip


def column(kind: str, seed: int, n: int) -> pd.Series:
    """A column of a kind."""
    return pd.Series(PANDAS[kind](np.random.default_rng(seed), n))


def can_be_missing(series: pd.Series) -> bool:
    """Whether the dtype holds missing values."""
    return not (isinstance(series.dtype, np.dtype) and series.dtype.kind in "iub")
