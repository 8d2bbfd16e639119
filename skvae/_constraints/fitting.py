"""Constraints that are declared: what they need to know of the fitted table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skvae._table.columns import Column
from skvae._validation import check_columns, check_parameters
from skvae.constraints import (
    Constraint,
    Determined,
    FixedCombinations,
    Inequality,
    Sum,
    Unique,
)

from .combinations import FittedCombinations, FittedUnique
from .relations import FittedInequality, FittedSum, Relation, order_of_change
from .values import Values, is_number, kind_of_order

ReadTable = Callable[[], Values]


def fit_constraint(
    constraint: Constraint, columns: Sequence[Column], read: ReadTable | None, parameter: str
) -> Relation:
    """A declared constraint with what it needs to know.

    Parameters
    ----------
    read : callable or None
        Gives the values of the fitted table. None: it is not there any more.
    parameter : str
        Where the constraint was declared, for messages.

    Raises
    ------
    ValueError
        If the constraint names no fitted columns, or columns of another kind, or the table does
        not show what it needs to know.
    """
    check_parameters(constraint)
    names = [column.name for column in columns]
    check_columns(constraint.names, names, f"{parameter}: {constraint!r}")
    places = tuple(names.index(name) for name in constraint.names)
    own = [columns[j] for j in places]
    if isinstance(constraint, Inequality):
        return _inequality(constraint, places, own)
    if isinstance(constraint, Sum):
        return _sum(constraint, places, own)
    if isinstance(constraint, Unique):
        return FittedUnique(constraint, places)
    assert isinstance(constraint, (FixedCombinations, Determined))
    if read is None:
        raise ValueError(
            f"{constraint!r} needs the combinations of the fitted table, which a fitted model does "
            "not keep. Pass it to the constructor, constraints=[…], and fit again."
        )
    return fit_combinations(constraint, places, read())


def _refuse(constraint: Constraint, column: Column, wanted: str) -> None:
    raise ValueError(
        f"{constraint!r} is for {wanted}, but column {column.name!r} is {column.kind}. Convert the "
        "column before fit, or leave the constraint out."
    )


def _inequality(constraint: Inequality, places: tuple, own: list[Column]) -> Relation:
    low, high = (kind_of_order(column) for column in own)
    for column, kind in zip(own, (low, high), strict=True):
        if kind is None or column.kind == "constant":
            _refuse(constraint, column, "columns of numbers, dates or durations")
    if low != high:
        raise ValueError(
            f"{constraint!r} compares a {low} with a {high}. Convert one of the columns before fit."
        )
    return FittedInequality(constraint, places)


def coefficients_of(constraint: Sum) -> np.ndarray:
    """−1 for the total, then those of the parts.

    Raises
    ------
    ValueError
        If they are not as many as the parts.
    """
    given: Any = constraint.coefficients
    if given is None:
        given = {}
    if isinstance(given, dict):
        check_columns(list(given), list(constraint.parts), f"coefficients of {constraint!r}")
        given = [given.get(part, 1.0) for part in constraint.parts]
    if len(given) != len(constraint.parts):
        raise ValueError(
            f"The 'coefficients' parameter of Sum must have one number for each of the "
            f"{len(constraint.parts)} parts. Got {given!r} instead."
        )
    return np.array([-1.0, *given])


def _sum(constraint: Sum, places: tuple, own: list[Column]) -> Relation:
    coefficients = coefficients_of(constraint)
    times = [column for column in own if column.type == "time"]
    for column in own:
        if not is_number(column) and not (
            column.type in ("time", "boolean") and column.kind != "constant"
        ):
            _refuse(constraint, column, "columns of numbers, or of dates and durations")
    if times:
        signs = [c for c, column in zip(coefficients, own, strict=True) if not column.duration]
        is_legal = len(times) == len(own) and sum(signs) == 0 and not constraint.constant
        if not is_legal or (np.abs(coefficients) != 1).any():
            raise ValueError(
                f"{constraint!r} has dates or durations, of which a date is the sum of a date and "
                "durations, or equal to another one, with coefficients of 1. Convert other "
                "columns to numbers before fit."
            )
    whole = [column for column in own if len(getattr(column, "known_integers", ()))]
    is_whole = (coefficients == np.round(coefficients)).all() and constraint.constant % 1 == 0
    if whole and (not is_whole or any(column.kind == "continuous" for column in own)):
        raise ValueError(
            f"{constraint!r} has integers beyond 2⁵³, in column {whole[0].name!r}, which are added "
            "to integers alone. Convert the column to floats before fit."
        )
    order = order_of_change(own, coefficients)
    return FittedSum(constraint, places, coefficients, order)


def fit_combinations(constraint: Any, places: tuple, values: Values) -> Relation:
    """The combinations that occur in a table.

    Raises
    ------
    ValueError
        If there is none, or a column is no function of the others.
    """
    if values.missing[:, places].any(1).all():
        raise ValueError(
            f"{constraint!r}: in every row of X one of its columns is missing, so that no "
            "combination is known. Leave the constraint out."
        )
    fitted = FittedCombinations.of(constraint, places, values)
    if not fitted.is_legal():
        by, column = constraint.by, constraint.column
        raise ValueError(
            f"{constraint!r}: column {column!r} is no function of {by}: {fitted.n_arguments()} "
            f"values of these have {len(fitted.counts)} combinations with it. Correct the rows "
            f"that contradict each other, or pass FixedCombinations({[*by, column]!r})."
        )
    return fitted


ORDER: tuple = ((FixedCombinations, Determined), Sum, Inequality, Unique)


def in_order(relations: Sequence[Relation]) -> list[Relation]:
    """The relations in the order in which rows are repaired.

    Combinations before sums, sums before inequalities, of which those between higher columns come
    first; functions after those that give their arguments.
    """
    groups: list[list[Relation]] = [[] for _ in ORDER]
    for relation in relations:
        rank = next(i for i, kinds in enumerate(ORDER) if isinstance(relation.constraint, kinds))
        groups[rank].append(relation)
    groups[0] = _sorted(groups[0], lambda r: r.places[:-1], lambda r: r.places[-1:])
    groups[1] = _sorted(groups[1], _rest, _computed)
    groups[2] = _sorted(groups[2], lambda r: r.places[1:], lambda r: r.places[:1])
    return [relation for group in groups for relation in group]


def _rest(relation: Any) -> tuple:
    return tuple(j for i, j in enumerate(relation.places) if i != relation.order[0])


def _computed(relation: Any) -> tuple:
    return (relation.places[relation.order[0]],)


def _sorted(
    relations: list[Relation],
    needs: Callable[[Relation], tuple],
    sets: Callable[[Relation], tuple],
) -> list[Relation]:
    """Relations after those that set the columns they need; circles in the order of the list."""
    left, done = list(relations), list[Relation]()
    while left:
        ready = [
            r for r in left if not any(o is not r and set(sets(o)) & set(needs(r)) for o in left)
        ]
        done += ready or left[:1]
        left = [r for r in left if not any(r is d for d in done)]
    return done
