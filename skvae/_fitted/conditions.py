"""Given cells: whether the model gives them a probability, and how they are written."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY, Cells
from skvae._table.numeric_column import NumericColumn
from skvae._validation import caller_stacklevel, did_you_mean
from skvae.likelihoods import Likelihood


def check_possible(cells: Cells, column: Column, likelihood: Likelihood | None) -> Cells:
    """The cells as the type of the column.

    Raises
    ------
    ValueError
        If the model gives one of the cells no probability.
    """
    cells = column.coerce(cells)
    seen = ~cells.missing
    if isinstance(column, ConstantColumn):
        always = "the same" if column.type == "time" else column.value
        ever = "never had a value" if column.value is None else f"was always {always}"
        wrong = seen & ~column.is_value(cells) if column.value is not None else seen
        return _refuse(cells, wrong, column, f"the column {ever} in fit")
    if isinstance(column, CategoricalColumn):
        wrong = seen & (column.find(cells) == len(column.levels))
        value = _first(cells, wrong)
        known = ", ".join(map(repr, column.levels[:10])) + (" …" if len(column.levels) > 10 else "")
        hint = did_you_mean(str(value), column.levels)
        return _refuse(cells, wrong, column, f"its levels are {known}{'.' if hint else ''}{hint}")
    assert isinstance(column, NumericColumn)
    if column.kind == "datetime":
        return cells
    values = np.where(seen, cells.values, 0.0)
    if column.kind == "boolean":
        return _refuse(cells, seen & ~np.isin(values, (0, 1)), column, "it is true or false")
    if column.kind == "integer":
        _refuse(cells, seen & (values != np.round(values)), column, "it holds integers")
    if likelihood is not None:
        wrong = seen & ~likelihood.supports(values)
        _refuse(cells, wrong, column, f"its likelihood, {likelihood!r}, gives it probability zero")
    return cells


def warn_outside(cells: Cells, column: Column) -> None:
    """Warn of numbers and dates outside the bounds of the fitted ones.

    The model has a density there, a low one, which a score shows and a drawn row does not.
    """
    if not isinstance(column, NumericColumn) or column.kind == "boolean":
        return
    outside = column.outside(cells)
    if outside.any():
        low, high = (_first(column.ends, np.arange(2) == end) for end in range(2))
        warnings.warn(
            f"'given' sets column {column.name!r} to {_first(cells, outside)!r}, which is outside "
            f"the fitted values, from {low!r} to {high!r}: the other cells of these rows are "
            "extrapolated. Pass values between the two for rows like the fitted ones.",
            UserWarning,
            stacklevel=caller_stacklevel(),
        )


def _first(cells: Cells, which: np.ndarray) -> Any:
    if not which.any():
        return None
    value = cells.exact_values[which][0]
    if cells.type == "time":
        return str(np.array(value).astype(f"{'m' if cells.duration else 'M'}8[{cells.unit}]"))
    if cells.type == "label":
        return cells.levels[value]
    return int(value) if cells.type == "integer" and value == np.round(value) else value.item()


def _refuse(cells: Cells, wrong: np.ndarray, column: Column, why: str) -> Cells:
    if wrong.any():
        raise ValueError(
            f"'given' sets column {column.name!r} to {_first(cells, wrong)!r}, but {why}"
            f"{'' if why.endswith('?') else '.'} Leave the cell out, or pass a value that occurs "
            "in the model."
        )
    return cells


def merge(column: Column, given: Cells, drawn: Cells) -> Cells:
    """The drawn cells, with the given ones in their places."""
    if given.missing.all() or isinstance(column, ConstantColumn):
        return drawn
    given = column.coerce(given)
    values = given.exact_values
    if isinstance(column, CategoricalColumn):
        values = column.find(given)
    elif given.type == "time":
        here, there = TICKS_PER_DAY[given.unit or drawn.unit], TICKS_PER_DAY[drawn.unit]
        values = values * (there // here) if there >= here else values // (here // there)
    elif drawn.values.dtype.kind in "iu":
        values = np.where(given.missing, np.zeros((), values.dtype), values)
        values = values.astype(drawn.values.dtype)
    return replace(
        drawn,
        values=np.where(given.missing, drawn.values, values),
        missing=drawn.missing & given.missing,
    )
