"""Cells of several batches of one table: brought to one type, and put one below the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .columns import ColumnSummary, level_key
from .layouts import TICKS_PER_DAY, Cells

NUMBERS = ("boolean", "integer", "float")  # each is a case of the next
KINDS = {"float": "continuous", "time": "datetime", "label": "categorical"}  # in messages
EXACT_BELOW = 2.0**53  # in size: integers that float64 holds


def alike(first: Cells, second: Cells, name: Any) -> tuple[Cells, Cells]:
    """The cells of two batches of a column in one type: that of the first, if it holds all values.

    Whole numbers that are stored as floats, as pandas does where some are missing, are integers;
    with others, a column of integers becomes one of floats. A column that had no value has the type
    of the first one.

    Raises
    ------
    TypeError
        If one holds numbers and the other times, or levels.
    """
    if first.missing.all():
        return (_empty_like(second, first) if not second.missing.all() else first), second
    if second.missing.all():
        return first, _empty_like(first, second)
    kind = KINDS.get(first.type, first.type)
    own = ColumnSummary(name, first.type, first.unit, first.duration, first.zone, kind=kind)
    second = own.coerce(second)
    if first.type == "time":
        return _in_one_unit(first, second)
    if first.type == second.type:
        return first, second
    widest = max(first.type, _least_type(second), key=NUMBERS.index)
    return replace(first, type=widest), replace(second, type=widest)


def joined_cells(first: Cells, second: Cells) -> Cells:
    """The cells of two batches, in one type, one below the other."""
    like = second if first.missing.all() else first
    missing = np.concatenate([first.missing, second.missing])
    if like.type == "label":
        levels, codes = _joined_levels(first, second)
        return replace(like, values=codes, missing=missing | (codes < 0), levels=levels)
    exact = None
    if first.exact is not None or second.exact is not None:
        exact = joined_integers([_integers(first), _integers(second)])
    values = np.concatenate([first.values, second.values])
    single = all(cells.single for cells in (first, second) if not cells.missing.all())
    return replace(like, values=values, missing=missing, exact=exact, single=single)


def as_levels(cells: Cells) -> Cells:
    """Numbers as levels; other cells as they are."""
    if cells.type not in NUMBERS or cells.missing.all():
        return cells
    kind: Any = {"integer": int, "boolean": bool}.get(cells.type, float)
    levels, codes = np.unique(cells.exact_values[~cells.missing], return_inverse=True)
    values = np.full(len(cells.missing), -1)
    values[~cells.missing] = codes
    return Cells("label", values, cells.missing, tuple(map(kind, levels.tolist())),
                 prototype=cells.prototype)  # fmt: skip


def cell_hashes(cells: Cells) -> np.ndarray:
    """A number for each cell, equal for equal cells whatever batch they are of: uint64."""
    if cells.type == "label":
        each = [_hash_of(level) for level in cells.levels]
        return np.array([*each, 1], dtype=np.uint64)[cells.values]
    is_time = cells.type == "time"
    values = cells.days_since(0, cells.unit) if is_time else cells.values
    bits = (np.where(cells.missing, np.nan, values) + 0.0).view(np.uint64).copy()  # −0.0 is 0.0
    if cells.exact is not None:
        large = np.abs(cells.values) >= EXACT_BELOW
        bits[large] = cells.exact[large].astype(np.uint64)
    bits[cells.missing] = 1
    return bits


def joined_integers(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays one after the other; integers with and without a sign are not made floats."""
    if len({array.dtype for array in arrays}) > 1 and all(a.dtype.kind in "iu" for a in arrays):
        is_large = any(a.dtype.kind == "u" and len(a) and a.max() >= 2**63 for a in arrays)
        arrays = [array.astype(np.uint64 if is_large else np.int64) for array in arrays]
    return np.concatenate(arrays)


def _hash_of(level: Any) -> int:
    """The same in every process, as that of Python is not."""
    h = 0xCBF29CE484222325
    for byte in repr(level_key(level)).encode():  # FNV-1a
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    return h


def _empty_like(cells: Cells, empty: Cells) -> Cells:
    """Missing cells, of the type that others have."""
    n = len(empty.missing)
    blank: Any = np.nan if cells.type in NUMBERS else -1 if cells.type == "label" else 0
    values = np.full(n, blank, dtype=cells.values.dtype)
    return replace(cells, values=values, missing=np.ones(n, dtype=bool), levels=(), exact=None)


def _least_type(cells: Cells) -> str:
    """The narrowest type that holds the numbers."""
    x = cells.values[~cells.missing]
    if ((x == 0) | (x == 1)).all():
        return "boolean"
    return "integer" if (x == np.round(x)).all() else "float"


def _in_one_unit(first: Cells, second: Cells) -> tuple[Cells, Cells]:
    """Times in the finer unit, or where they are too far apart for it in the coarser one."""
    if first.unit == second.unit:
        return first, second
    units = sorted({first.unit, second.unit}, key=TICKS_PER_DAY.__getitem__)
    factor = TICKS_PER_DAY[units[1]] // TICKS_PER_DAY[units[0]]
    coarse = first if first.unit == units[0] else second
    largest = np.abs(coarse.values[~coarse.missing].astype(np.float64)).max()
    unit = units[1] if largest * factor < 2.0**62 else units[0]

    def converted(cells: Cells) -> Cells:
        if cells.unit == unit:
            return cells
        ticks = np.where(cells.missing, 0, cells.values)
        ticks = ticks * factor if unit == units[1] else ticks // factor
        return replace(cells, values=ticks, unit=unit)

    return converted(first), converted(second)


def _integers(cells: Cells) -> np.ndarray:
    if cells.exact is not None:
        return cells.exact
    return np.where(cells.missing, 0, cells.values).astype(np.int64)


def _joined_levels(first: Cells, second: Cells) -> tuple[tuple, np.ndarray]:
    """All levels, and the codes of all cells.

    Of an ordered column new levels have a place, if those of one batch hold the others in their
    order; else they are missing.
    """
    places = {level_key(level): i for i, level in enumerate(first.levels)}
    own = [level_key(level) for level in second.levels]
    levels, new = list(first.levels), [i for i, key in enumerate(own) if key not in places]
    if not new:
        codes = np.array([*(places[key] for key in own), -1])
        return first.levels, np.concatenate([first.values, codes[second.values]])
    if first.ordered:
        among = {key: i for i, key in enumerate(own)}
        kept = [among.get(key, -1) for key in places]
        if kept != sorted(kept) or -1 in kept:
            codes = np.array([*(places.get(key, -1) for key in own), -1])
            return first.levels, np.concatenate([first.values, codes[second.values]])
        return second.levels, np.concatenate([np.array([*kept, -1])[first.values], second.values])
    for i in new:
        places[own[i]] = len(levels)
        levels.append(second.levels[i])
    codes = np.array([*(places[key] for key in own), -1])
    return tuple(levels), np.concatenate([first.values, codes[second.values]])
