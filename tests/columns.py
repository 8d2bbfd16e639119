"""Fitted columns, for tests."""

import numpy as np

from skvae._table.column_fitting import build_numeric, summarize_column
from skvae._table.numeric_column import NumericSummary

POOLING = {"max_categories": 100, "min_frequency": 2, "handle_unknown": "infrequent_if_exist"}


def column_of(name, cells, weights=None, categorical=False, likelihood=None, **options):
    """The fitted column of some cells, under a likelihood; None: under a mass of numbers."""
    transform = options.pop("transform", "auto")
    is_mass = options.pop("is_mass", True)
    weights = np.ones(len(cells.missing)) if weights is None else weights
    column, distinct = summarize_column(name, cells, weights, categorical, **{**POOLING, **options})
    if not isinstance(column, NumericSummary):
        return column
    if likelihood is None:
        return build_numeric(column, distinct, transform, is_mass=is_mass)
    return build_numeric(
        column,
        distinct,
        transform,
        is_mass=likelihood.is_mass,
        target=likelihood.target,
        atoms=likelihood.atoms(column),
    )
