"""Casts for writing and for filling: integers, time zones, categories, dictionaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd


def to_integers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Integers by rounding, inside the range of the type; NaN becomes 0.

    float(2**63 - 1) rounds up, so the comparison is one of integers.
    """
    if values.dtype.kind in "iu":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    values = np.where(np.isnan(values), 0, values)
    rounded = np.clip(np.round(values), float(info.min), float(info.max))
    top = rounded >= float(info.max)
    return np.where(top, info.max, np.where(top, 0, rounded).astype(dtype))


def in_zone(values: pd.Series, zone: Any) -> pd.Series:
    """Naive times in UTC as times of a zone."""
    return values.dt.tz_localize("UTC").dt.tz_convert(zone)


def with_categories(dtype: pd.CategoricalDtype, levels: Iterable[Any]) -> pd.CategoricalDtype:
    """The dtype, with the levels that it lacks as further categories."""
    new = [level for level in levels if level not in dtype.categories]
    if not new:
        return dtype
    return pd.CategoricalDtype(dtype.categories.append(pd.Index(new)), dtype.ordered)


def to_category(values: pd.Series, dtype: pd.CategoricalDtype) -> pd.Series:
    """Levels as a categorical; those that are not categories become missing."""
    return pd.Series(pd.Categorical(values.to_numpy(dtype=object), dtype=dtype), index=values.index)


def to_dictionary(values: Any, dtype: Any) -> Any:
    """An Arrow array as one of a dictionary type."""
    return values.dictionary_encode().cast(dtype)


def localized(cells: Any, zone: Any) -> Any:
    """Naive times as local times of a zone, in ticks of UTC.

    Of two times with the same name at the end of daylight saving time the first is taken; a time
    that the clock skips is the next one that exists.
    """
    missing = cells.missing
    times = cells.values.astype(f"M8[{cells.unit}]")
    times[missing] = np.array("NaT", dtype=times.dtype)
    local = pd.Series(times).dt.tz_localize(
        zone, ambiguous=np.ones(len(times), dtype=bool), nonexistent="shift_forward"
    )
    utc = local.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    unit = np.datetime_data(utc.dtype)[0]
    return replace(cells, values=utc.astype(np.int64), unit=unit, zone=zone)
