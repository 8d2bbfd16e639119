"""Fitting a column: cells and their weights → statistics → the fitted column.

Everything is computed from the distinct values and their summed weights, so that the order of the
rows does not matter and an integer weight is a repetition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .atom_map import with_remote_atoms
from .columns import (
    MAX_LISTED,
    MAX_REPEATED,
    CategoricalColumn,
    Column,
    ConstantColumn,
    level_order,
)
from .lattices import Lattices, decimal_lattices, time_lattices
from .layouts import TICKS_PER_DAY, Cells
from .numeric_column import NumericColumn, NumericSummary, as_stored, decimals_of
from .scaling import Map
from .spikes import is_body, spikes
from .transforms import ALL_TRANSFORMS
from .weighted import quantiles_of_sorted

N_QUANTILES = 129


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column, sorted, and their summed weights."""

    values: np.ndarray
    weights: np.ndarray


def summarize_column(
    name: Any,
    cells: Cells,
    weights: np.ndarray,
    categorical: bool,
    missing_rate: float = math.nan,
    **pooling: Any,
) -> tuple[Column | NumericSummary, Distinct]:
    """The statistics of a column, and its distinct values.

    Columns of levels and constant columns are complete. A column of numbers is a
    :class:`NumericSummary`, from which :func:`build_numeric` builds the column once its likelihood
    is chosen.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        Positive.
    """
    base = {
        "name": name,
        "type": cells.type,
        "unit": cells.unit,
        "duration": cells.duration,
        "zone": cells.zone,
        "prototype": cells.prototype,
        "missing_rate": missing_rate,
    }
    seen = ~cells.missing
    values, index = np.unique(cells.exact_values[seen], return_inverse=True)
    counts = np.bincount(index, weights=weights[seen], minlength=len(values))
    base["weight"] = float(counts.sum())
    distinct = Distinct(values, counts)
    if len(values) <= 1:
        value = None if len(values) == 0 else values[0]
        if value is not None and cells.type == "label":
            value = cells.levels[value]
        return ConstantColumn(**base, value=value), distinct
    if cells.type == "label" or (categorical and cells.type != "time"):
        if cells.type == "label":
            levels = [cells.levels[v] for v in values]
        else:
            python_type = {"integer": int, "boolean": bool}.get(cells.type, float)
            levels = [python_type(v) for v in values.tolist()]
        base["type"] = "label"
        return _fit_categorical(base, levels, counts, cells, **pooling), distinct
    return _summarize_numbers(base, values, counts, cells.single)


def build_numeric(
    summary: NumericSummary,
    distinct: Distinct,
    transform: str,
    *,
    is_mass: bool = True,
    target: str = "value",
    atoms: np.ndarray | None = None,
    has_lattices: bool = False,
) -> NumericColumn:
    """The column of numbers with its map, for the likelihood that was chosen.

    Parameters
    ----------
    transform : str
        Name of the map, in :data:`skvae._table.transforms.ALL_TRANSFORMS`.
    is_mass, target, atoms
        Attributes of the likelihood, and its atoms for this column.
    has_lattices : bool
        Whether to look for lattices, to which most of the values are rounded.
    """
    of_summary = {each.name: getattr(summary, each.name) for each in fields(summary)}
    atoms = np.empty(0) if atoms is None else atoms
    is_rest = _is_rest(distinct.values, atoms)
    rest, weights = distinct.values[is_rest], distinct.weights[is_rest]
    column = NumericColumn(
        **of_summary,
        map=_fit_map(rest, weights, transform, summary.name, summary.kind),
        is_mass=is_mass,
        target=target,
        atoms=as_stored(atoms),
        low=float(rest[0]),
        high=float(rest[-1]),
    )
    if has_lattices and target != "count" and not np.isin(rest, atoms).any():
        column = replace(column, lattices=lattices_of(summary, rest, weights))
    if not len(atoms):
        return column
    half = column.cell_width(atoms) / 2
    return replace(column, map=with_remote_atoms(column.map, atoms, half, rest))


def lattices_of(
    summary: NumericSummary, values: np.ndarray, weights: np.ndarray
) -> Lattices | None:
    """The lattices of the values of a column that are no atoms."""
    if summary.kind == "datetime":
        per_day = TICKS_PER_DAY[summary.unit]
        return time_lattices(values, weights, summary.origin, summary.step, per_day)
    if summary.kind not in ("continuous", "integer") or summary.decimals is None or summary.origin:
        return None
    is_integer = summary.kind == "integer"
    return decimal_lattices(values, weights, summary.decimals, summary.step, is_integer=is_integer)


def _is_rest(values: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Which distinct values are described by the map: those that are no atoms.

    If there are none, or one, the atoms that are not far from the others.
    """
    is_rest = ~np.isin(values, atoms)
    # Integers that float64 does not tell apart are one number here.
    return is_rest if len(np.unique(values[is_rest])) > 1 else is_body(values)


def _summarize_numbers(
    base: dict, values: np.ndarray, counts: np.ndarray, single: bool
) -> tuple[NumericSummary, Distinct]:
    origin, kind = 0, {"float": "continuous", "time": "datetime"}.get(base["type"], base["type"])
    as_read = values
    if kind == "datetime":
        origin, decimals = int(values[0]), None
        step = int(np.gcd.reduce(np.diff(values).view(np.uint64)))  # spans may exceed int64
        values = (values - origin).view(np.uint64) / TICKS_PER_DAY[base["unit"]]
        resolution = step / TICKS_PER_DAY[base["unit"]]
    else:
        if kind == "integer" and values.dtype.kind in "iu":
            origin = int(values[0])
            values = (values - values[0]).astype(np.uint64)
        values = values.astype(np.float64)
        gaps = np.diff(values)
        resolution = float(gaps[gaps > 0].min())
        decimals = decimals_of(values, single) if kind == "continuous" else 0
        step = _step(values, decimals)
    is_spike, is_code = spikes(values, counts)
    n_remembered = MAX_LISTED if len(values) <= MAX_LISTED else MAX_REPEATED
    frequent = np.sort(np.lexsort([-counts, ~is_spike])[:n_remembered])
    known = np.union1d(frequent, [0, len(values) - 1])
    whole = as_read[known] if kind == "datetime" or origin else np.empty(0, dtype=np.int64)
    summary = NumericSummary(
        **base,
        kind=kind,
        origin=origin,
        minimum=float(values[0]),
        maximum=float(values[-1]),
        resolution=resolution,
        decimals=decimals,
        step=step,
        n_distinct=len(values),
        repeated=values[frequent],
        known=values[known],
        known_integers=as_stored(whole),
        shares=counts[frequent] / counts.sum(),
        is_spike=is_spike[frequent],
        has_codes=bool(is_code.any()),
        quantiles=quantiles_of_sorted(values, counts, np.linspace(0, 1, N_QUANTILES)),
        probability=float(counts[-1] / counts.sum()) if kind == "boolean" else 0.5,
        single=single,
    )
    return summary, Distinct(values, counts)


def _fit_map(values: np.ndarray, counts: np.ndarray, transform: str, name: Any, kind: str) -> Map:
    if transform == "log" and kind != "continuous":
        raise ValueError(
            f"Column {name!r} is {kind}, but numeric_transform='log' is for continuous columns. "
            "Choose 'power', or make the column one of floats."
        )
    try:
        return ALL_TRANSFORMS[transform](values, counts)
    except ValueError as error:
        raise ValueError(f"Column {name!r}: {error}") from error


def _step(values: np.ndarray, decimals: int | None) -> int:
    """The greatest common divisor of all differences, in units of the last decimal."""
    if decimals is None or (values[-1] - values[0]) * 10.0**decimals >= 2**53:
        return 1
    return int(np.gcd.reduce(np.round((values - values[0]) * 10.0**decimals).astype(np.int64)))


def _fit_categorical(
    base: dict,
    levels: list,
    counts: np.ndarray,
    cells: Cells,
    max_categories: int | None,
    min_frequency: int | float | None,
    handle_unknown: str,
) -> CategoricalColumn:
    if not cells.ordered:
        order = level_order(levels)
        levels, counts = [levels[i] for i in order], counts[order]
    limit = min_frequency or 0
    if isinstance(limit, float):
        limit = limit * counts.sum()
    rare = counts < limit
    if max_categories is not None and (~rare).sum() + rare.any() > max_categories:
        by_count = np.argsort(-counts, kind="stable")
        rare[by_count[max_categories - 1 :]] = True
    codes = np.cumsum(~rare) - 1
    codes[rare] = (~rare).sum()
    return CategoricalColumn(
        **base,
        kind="ordered" if cells.ordered else "categorical",
        levels=tuple(levels),
        counts=counts,
        codes=codes,
        pools=bool(rare.any()),
        ordered=cells.ordered,
        handle_unknown=handle_unknown,
    )
