"""The columns of a fitted estimator as it understood them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY
from skvae._table.numeric_column import NumericColumn

from .tables import table
from .text import Markup, counted, number, percent, shortened

HEADER = "Column", "Kind", "Values", "Missing", "Likelihood", "Why"
N_LEVELS, LEVEL_CHARACTERS = 3, 16  # levels that are named, and how long the names may be


def columns_table(model: Any, most: int) -> Markup:
    """The first `most` columns of a fitted model, and how many more there are.

    Parameters
    ----------
    model : BaseVAE
        Fitted.
    most : int
    """
    columns = model.schema_.columns
    missing = missing_shares(model)
    rows = [
        _row(column, share, model)
        for column, share in zip(columns[:most], missing[:most], strict=True)
    ]
    html = table(f"The {counted(len(columns), 'column')}", HEADER, rows, numeric={3})
    if len(columns) > most:
        html = Markup(f"{html}<p>and {counted(len(columns) - most, 'further column')}</p>\n")
    return html


def missing_shares(model: Any) -> np.ndarray:
    """The proportion of missing cells of each column in the fitted rows, (n_columns,)."""
    patterns = model.schema_.patterns
    return np.asarray(patterns.weights @ patterns.missing / patterns.weights.sum())


def n_rows(model: Any) -> float:
    """The fitted rows, counted with their weights."""
    return float(model.schema_.patterns.weights.sum())


def _row(column: Column, missing: float, model: Any) -> list[str]:
    likelihood = model.likelihood_.get(column.name)
    return [
        shortened(str(column.name)),
        column.kind,
        values_of(column),
        percent(missing) if missing else "none",
        "not in the model" if likelihood is None else shortened(repr(likelihood), 80),
        shortened(model.likelihood_reasons_.get(column.name, _constant_reason(column)), 100),
    ]


def _constant_reason(column: Column) -> str:
    return "no value" if column.weight == 0 else "one value"


def values_of(column: Column) -> str:
    """The range of numbers, the levels, the value of a constant."""
    if isinstance(column, ConstantColumn):
        return "none" if column.value is None else f"always {_constant(column)}"
    if isinstance(column, CategoricalColumn):
        return _levels(column)
    assert isinstance(column, NumericColumn)
    if column.kind == "boolean":
        return f"true in {percent(column.probability)}"
    low, high = (_number(column, value) for value in (column.minimum, column.maximum))
    return f"{low} to {high}"


def _constant(column: ConstantColumn) -> str:
    if column.type == "time":
        return _time(int(column.value), column)
    return shortened(number(column.value), LEVEL_CHARACTERS)


def _number(column: NumericColumn, value: float) -> str:
    """A value in the units of the table; those of the column count from its origin."""
    if column.type == "time":
        return _time(column.origin + round(value * TICKS_PER_DAY[column.unit]), column)
    return number(value + column.origin)


def _time(ticks: int, column: Column) -> str:
    if column.duration:
        return str(pd.Timedelta(np.array(ticks).astype(f"m8[{column.unit}]")[()]))
    return number(np.array(ticks).astype(f"M8[{column.unit}]")[()])


def _levels(column: CategoricalColumn) -> str:
    """How many levels, and the most frequent ones, or the first and last of ordered ones."""
    n, pooled = len(column.levels), len(column.pooled)
    if column.ordered and n > N_LEVELS:
        shown, joint = [column.levels[0], column.levels[-1]], " < \N{HORIZONTAL ELLIPSIS} < "
    elif column.ordered:
        shown, joint = list(column.levels), " < "
    else:
        order = np.argsort(-column.counts, kind="stable")[:N_LEVELS]
        shown, joint = [column.levels[i] for i in order], ", "
    names = joint.join(shortened(str(level), LEVEL_CHARACTERS) for level in shown)
    more = ", \N{HORIZONTAL ELLIPSIS}" if not column.ordered and n > N_LEVELS else ""
    rare = f"; {counted(pooled, 'rare one')} pooled" if pooled else ""
    return f"{counted(n, 'level')}: {names}{more}{rare}"
