"""Whether the columns of two fits are the same to the networks."""

from __future__ import annotations

import numpy as np

from skvae._component import identity
from skvae._table.columns import CategoricalColumn, Column, ConstantColumn, level_key
from skvae._table.layouts import TICKS_PER_DAY
from skvae._table.numeric_column import NumericColumn

from .schema import Group, Schema

WITHIN = 0.1  # scaled units, or of a number that is larger than 1
INNER = slice(4, -4)  # of the 129 quantiles: extremes differ from sample to sample


def agree(first: Schema, second: Schema) -> bool:
    """Whether networks that were trained on rows of the first schema can take those of the second.

    They have the same columns, likelihoods, levels and atoms, and numbers are scaled about alike.
    """
    return (
        first.order == second.order
        and len(first.groups) == len(second.groups)
        and all(map(_are_same_group, first.groups, second.groups))
        and all(map(_are_same_column, first.columns, second.columns))
    )


def _are_same_group(first: Group, second: Group) -> bool:
    if first.positions != second.positions:
        return False
    if identity(first.likelihood) != identity(second.likelihood):
        return False
    for a, b in zip(first.columns, second.columns, strict=True):
        likelihood = first.likelihood
        if likelihood.n_outputs(a) != likelihood.n_outputs(b):
            return False
        if not _are_near(likelihood.grid(a), likelihood.grid(b)):
            return False
    return True


def _are_same_column(first: Column, second: Column) -> bool:
    if type(first) is not type(second) or first.kind != second.kind:
        return False
    if np.isnan(first.missing_rate) != np.isnan(second.missing_rate):
        return False
    if isinstance(first, CategoricalColumn) and isinstance(second, CategoricalColumn):
        return _codes(first) == _codes(second)
    if isinstance(first, NumericColumn) and isinstance(second, NumericColumn):
        return _are_same_numbers(first, second)
    if isinstance(first, ConstantColumn) and isinstance(second, ConstantColumn):
        return level_key(first.value) == level_key(second.value)
    return False


def _codes(column: CategoricalColumn) -> tuple[bool, dict]:
    """The codes of the levels that are not pooled."""
    pooled = set(column.pooled.tolist())
    pairs = enumerate(zip(column.levels, column.codes.tolist(), strict=True))
    return column.pools, {level_key(v): code for i, (v, code) in pairs if i not in pooled}


def _are_same_numbers(first: NumericColumn, second: NumericColumn) -> bool:
    if type(first.map_of_rest) is not type(second.map_of_rest):
        return False
    if (first.lattices is None) != (second.lattices is None):
        return False
    shift = _from_origin(first, second)
    points = second.quantiles[INNER]
    return _are_near(first.map.forward(points + shift), second.map.forward(points)) and _are_near(
        first.map.forward(first.atoms), second.map.forward(second.atoms)
    )


def _from_origin(first: NumericColumn, second: NumericColumn) -> float:
    """How much later the second column begins to count, in its own numbers."""
    if first.kind != "datetime":
        return float(second.origin - first.origin)
    return second.origin / TICKS_PER_DAY[second.unit] - first.origin / TICKS_PER_DAY[first.unit]


def _are_near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=WITHIN, atol=WITHIN))
