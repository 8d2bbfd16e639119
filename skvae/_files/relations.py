"""Whether the constraints of a file agree with its columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvae._constraints.combinations import FittedCombinations, FittedUnique
from skvae._constraints.fitting import fit_constraint
from skvae._constraints.relations import FittedInequality, FittedSum, Relation
from skvae._model.schema import Schema
from skvae._table.columns import CategoricalColumn
from skvae.constraints import Determined, FixedCombinations, Inequality, Sum, Unique

CLASSES: dict[type, Any] = {
    FittedInequality: Inequality,
    FittedSum: Sum,
    FittedUnique: Unique,
    FittedCombinations: (FixedCombinations, Determined),
}


def are_relations(relations: Any, schema: Schema) -> bool:
    """Whether a value is a list of constraints between columns of a schema."""
    return isinstance(relations, list) and all(_is_relation(each, schema) for each in relations)


def _is_relation(relation: Any, schema: Schema) -> bool:
    if type(relation) not in CLASSES or not isinstance(
        relation.constraint, CLASSES[type(relation)]
    ):
        return False
    names = [column.name for column in schema.columns]
    if tuple(names.index(name) for name in relation.constraint.names) != relation.places:
        return False
    if isinstance(relation, FittedCombinations):
        return _is_table(relation, schema)
    made: Relation = fit_constraint(relation.constraint, schema.columns, None, "constraints")
    if isinstance(relation, FittedSum):
        assert isinstance(made, FittedSum)
        order = relation.order
        is_order = len(order) > 0 and set(order) <= set(range(len(relation.places)))
        return is_order and bool(np.array_equal(made.coefficients, relation.coefficients))
    return True


def _is_table(relation: FittedCombinations, schema: Schema) -> bool:
    """Whether the combinations have legal values, and tell one from another."""
    n, n_keys = len(relation.places), relation.n_keys
    shapes = {each.shape for each in (*relation.table, relation.counts, relation.known)}
    if len(relation.table) != n or not n - 1 <= n_keys <= n or n_keys < 1 or len(shapes) != 1:
        return False
    if not (np.isfinite(relation.counts) & (relation.counts > 0)).all():
        return False
    for j, values in zip(relation.places, relation.table, strict=True):
        column = schema.columns[j]
        if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            return False
        if isinstance(column, CategoricalColumn) and not (
            values.dtype.kind == "i" and values.min() >= 0 and values.max() < len(column.levels)
        ):
            return False
    return relation.known.dtype == bool and relation.is_legal()
