"""Constraints between columns, as ``fit`` and ``sample`` take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from skvae._component import identity
from skvae._constraints.combinations import FittedCombinations
from skvae._constraints.fitting import fit_constraint, in_order
from skvae._constraints.relations import Relation
from skvae._constraints.search import find_relations
from skvae._constraints.values import Values
from skvae._fitted.fitted_model import FittedModel
from skvae._model.schema import Schema
from skvae._table.layouts import Cells
from skvae._table.reading import Table
from skvae.constraints import CONSTRAINTS, Constraint


def check_constraints(value: Any, owner: str, name: str) -> list:
    """The items of a parameter `constraints`: a name that stands for some, and constraints.

    Raises
    ------
    ValueError
        If it is not legal.
    """
    if value is None:
        return []
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    is_legal = not isinstance(value, Constraint)
    for item in items:
        if not (isinstance(item, Constraint) or (isinstance(item, str) and item == name)):
            is_legal, value = False, item
    if not is_legal:
        known = sorted(kind.__name__ for kind in CONSTRAINTS.values())
        raise ValueError(
            f"The 'constraints' parameter of {owner} must be None, {name!r}, or a list of "
            f"{name!r} and objects of skvae.constraints: {', '.join(known)}. Got {value!r} instead."
        )
    return items


def fit_relations(
    estimator: Any, schema: Schema, table: Table, order: np.ndarray, earlier: Sequence[Relation]
) -> list[Relation]:
    """The constraints of a fitted table, declared ones and those that are found.

    Parameters
    ----------
    order : ndarray of int
        The rows of the table in an order that depends on their contents alone.
    earlier : sequence of Relation
        Those of earlier tables, which are updated. With none, they are looked for.
    """
    owner = type(estimator).__name__
    items = check_constraints(getattr(estimator, "constraints", None), owner, "auto")
    if not items:
        return []

    columns = schema.columns

    def cells(j: int) -> Cells:
        own = columns[j].coerce(table.cells(j, columns[j].type == "label"))
        return own.take(order)

    @cache
    def read() -> Values:
        return Values.of_table(columns, len(order), cells)

    if earlier:
        return _of_stream(_updated(earlier, read()), schema, table.stream)
    declared = [fit_constraint(item, columns, read, "constraints")
                for item in items if isinstance(item, Constraint)]  # fmt: skip
    if not any(isinstance(item, str) for item in items):
        return _of_stream(in_order(declared), schema, table.stream)
    taken = {identity(relation.constraint) for relation in declared}
    found = find_relations(columns, read())
    relations = in_order([*declared, *(r for r in found if identity(r.constraint) not in taken)])
    return _of_stream(relations, schema, table.stream)


def _of_stream(relations: list[Relation], schema: Schema, stream: Any) -> list[Relation]:
    """Those that hold in all rows of a stream, of which the table is a sample."""
    columns = schema.columns
    if stream is None or not relations:
        return relations
    for table in stream.all_tables():
        cells = [c.coerce(table.cells(j, c.type == "label")) for j, c in enumerate(columns)]
        values = Values.of_table(columns, table.n_rows, cells.__getitem__)
        relations = _updated(relations, values)
    return relations


def _updated(relations: Sequence[Relation], values: Values) -> list[Relation]:
    """The relations after more rows; those that were found and that they break are left out."""
    updated = []
    for relation in relations:
        if not relation.found and not isinstance(relation, FittedCombinations):
            updated.append(relation)
            continue
        new = relation.updated(values)
        if new is not None:
            updated.append(new)
        elif not relation.found:
            raise ValueError(
                f"Rows of X contradict {relation.constraint!r}, which was declared: its column is "
                "no function of the others any more. Correct the rows, or fit again without it."
            )
    return updated


def relations_for(value: Any, fitted: FittedModel) -> list[Relation]:
    """The constraints of a call of ``sample``."""
    items = check_constraints(value, "sample", "fitted")
    if isinstance(value, str):
        return fitted.relations
    known = {identity(relation.constraint): relation for relation in fitted.relations}
    relations: dict[Any, Relation] = {}
    for item in items:
        if isinstance(item, str):
            relations |= known
            continue
        columns = fitted.schema.columns
        relation = known.get(identity(item)) or fit_constraint(item, columns, None, "constraints")
        relations[identity(item)] = replace(relation, found=False)
    return in_order(list(relations.values()))
