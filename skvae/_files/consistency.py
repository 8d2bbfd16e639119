"""Whether the fields of what a file holds agree with each other."""

from __future__ import annotations

import numpy as np

from skvae._model.discriminant import Discriminant
from skvae._model.missingness import Patterns
from skvae._table.atom_map import AtomMap
from skvae._table.columns import CategoricalColumn
from skvae._table.lattices import Lattices
from skvae._table.numeric_column import NumericColumn
from skvae._table.scaling import LogMap, NumericMap, PowerMap, QuantileMap

MAPS = (NumericMap, PowerMap, QuantileMap, LogMap, AtomMap)


def are_increasing(*arrays: np.ndarray) -> bool:
    return all(a.ndim == 1 and bool((np.diff(a) > 0).all()) for a in arrays)


def is_numeric(column: NumericColumn) -> bool:
    """Whether the statistics of a column of numbers agree with each other."""
    lengths = len(column.repeated), len(column.shares), len(column.is_spike)
    known = len(column.known_integers)
    return (
        isinstance(column.map, MAPS)
        and column.kind in ("continuous", "integer", "boolean", "datetime")
        and column.minimum <= column.maximum
        and len(set(lengths)) == 1
        and known in (0, len(column.known))
        and bool(np.isfinite(column.known).all() and np.isfinite(column.atoms).all())
        and bool((np.diff(column.known) >= 0).all() and (np.diff(column.atoms) >= 0).all())
    )


def is_categorical(column: CategoricalColumn) -> bool:
    """Whether levels, counts and codes are as many, and the codes are 0, 1, 2, …"""
    n, codes = len(column.levels), column.codes
    return (
        n > 0
        and column.counts.shape == codes.shape == (n,)
        and codes.dtype.kind == "i"
        and codes.min() >= 0
        and codes.max() < n
        and len(np.unique(codes)) == codes.max() + 1
        and bool(np.isfinite(column.counts).all() and (column.counts >= 0).all())
        and float(column.counts.sum()) > 0
    )


def is_quantile_map(value: QuantileMap) -> bool:
    n = len(value.knots)
    return (
        n > 1
        and value.scores.shape == (n,)
        and value.derivatives.shape == (n + 1,)
        and are_increasing(value.knots, value.scores)
        and bool((value.derivatives > 0).all())
    )


def are_lattices(value: Lattices) -> bool:
    arrays = np.stack([value.spacing, value.offset, value.share])
    numbers = value.start, value.unit, value.reference
    return (
        arrays.ndim == 2
        and arrays.shape[1] > 0
        and bool(np.isfinite(arrays).all() and np.isfinite(numbers).all())
        and min(value.unit, value.reference) > 0
        and bool((value.spacing >= 1).all() and (value.share >= 0).all())
        and abs(float(value.share.sum()) - 1) < 1e-6
    )


def is_atom_map(value: AtomMap) -> bool:
    same = value.remote.shape == value.near.shape == value.half.shape
    return same and isinstance(value.inner, MAPS) and are_increasing(value.remote, value.near)


def is_discriminant(value: Discriminant) -> bool:
    shape = value.directions.shape
    return (
        value.missing.dtype == bool
        and value.missing.shape == (*shape[:1], *value.columns.shape)
        and value.offsets.shape == shape[:1]
        and value.center.shape == shape[1:]
    )


def are_patterns(value: Patterns) -> bool:
    shape = value.missing.shape
    is_mask = value.missing.dtype == bool and len(shape) == 2
    return is_mask and value.weights.shape == shape[:1] and bool((value.weights >= 0).all())
