"""Rows that keep constraints: cells that follow from others, choices, new draws, projections."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from skvae._validation import caller_stacklevel

from .combinations import FittedCombinations, FittedUnique
from .relations import LevelScores, Relation
from .values import Values

N_REDRAWS = (1, 3, 8)  # of a row given its code, at once
N_PROJECTIONS = 6  # rounds in which all constraints repair a row, each what others left
N_RENEWALS = 20  # of the code of a row that cannot be repaired
N_UNIQUE = 100  # rounds in which rows that repeat others are drawn again

# From rows to new values: draws for their codes, or values for other codes.
Redraw = Callable[[np.ndarray], Values]


def keep(
    values: Values,
    relations: Sequence[Relation],
    scores: LevelScores,
    rng: np.random.Generator | None = None,
    redraw: Redraw | None = None,
    renew: Redraw | None = None,
) -> None:
    """Change rows, in place, so that they keep constraints.

    Without `redraw` what is changed in a row does not depend on the other rows.

    Parameters
    ----------
    relations : sequence of Relation
        In the order of :func:`skvae._constraints.fitting.in_order`.
    scores : callable
        Log-probabilities of levels, to choose the combinations of rows by.
    rng : Generator or None
        Draws combinations by their probabilities; None: the most probable ones are taken.
    redraw : callable or None
        Draws rows again. None: they are projected.
    renew : callable or None
        Decodes rows, that no repair helped, from other codes.

    Raises
    ------
    ValueError
        If rows cannot keep constraints that were declared, or given cells contradict one.
    """
    rows = np.arange(values.n_rows)
    bad = _kept(values, relations, rows, scores, rng, redraw)
    for _ in range(N_RENEWALS):
        if not len(bad) or renew is None or values.held[bad].any():
            break
        values.set_rows(bad, renew(bad))
        bad = _kept(values, relations, bad, scores, rng, redraw)
    _complain(values, relations, bad)
    for relation in relations:
        if isinstance(relation, FittedUnique) and redraw is not None:
            _make_unique(values, relation, relations, scores, rng, redraw, renew or redraw)


def _kept(
    values: Values,
    relations: Sequence[Relation],
    rows: np.ndarray,
    scores: LevelScores,
    rng: np.random.Generator | None,
    redraw: Redraw | None,
) -> np.ndarray:
    """Repair some rows; those that could not be repaired."""
    _complete(values, relations, rows, scores, rng)
    rows = rows[_broken(values, relations, rows)]
    for n in N_REDRAWS:
        if redraw is not None and len(rows):
            rows = _drawn_again(values, relations, rows, scores, rng, redraw, n)
    touched = np.zeros_like(values.missing)
    for _ in range(N_PROJECTIONS):
        if not len(rows):
            break
        for relation in relations:
            if isinstance(relation, FittedCombinations):
                relation.apply(values, rows, rng)
            wrong = rows[relation.broken(values, rows)]
            relation.project(values, wrong, touched, scores, rng)
        rows = rows[_broken(values, relations, rows)]
    return rows


def _complete(
    values: Values,
    relations: Sequence[Relation],
    rows: np.ndarray,
    scores: LevelScores,
    rng: np.random.Generator | None,
) -> None:
    """Compute what follows from other cells, and choose combinations."""
    touched = np.zeros_like(values.missing)
    for relation in relations:
        relation.apply(values, rows, rng)
        if isinstance(relation, FittedCombinations):
            wrong = rows[relation.broken(values, rows)]
            relation.project(values, wrong, touched, scores, rng)


def _drawn_again(
    values: Values,
    relations: Sequence[Relation],
    rows: np.ndarray,
    scores: LevelScores,
    rng: np.random.Generator | None,
    redraw: Redraw,
    n: int,
) -> np.ndarray:
    """Replace rows by the first of n draws that keeps all constraints; rows without one."""
    repeated = np.repeat(rows, n)
    trials, every = values.take(repeated), np.arange(len(repeated))
    trials.set_rows(every, redraw(repeated))
    _complete(trials, relations, every, lambda j, at: scores(j, repeated[at]), rng)
    keeps = ~_broken(trials, relations, every).reshape(-1, n)
    first, some = keeps.argmax(1) + np.arange(len(rows)) * n, keeps.any(1)
    values.set_rows(rows[some], trials.take(first[some]))
    return rows[~some]


def _broken(values: Values, relations: Sequence[Relation], rows: np.ndarray) -> np.ndarray:
    wrong = np.zeros(len(rows), dtype=bool)
    for relation in relations:
        wrong |= relation.broken(values, rows)
    return wrong


def _make_unique(
    values: Values,
    unique: FittedUnique,
    relations: Sequence[Relation],
    scores: LevelScores,
    rng: np.random.Generator | None,
    redraw: Redraw,
    renew: Redraw,
) -> None:
    """Draw rows again that repeat others."""
    for _ in range(N_UNIQUE):
        rows = np.flatnonzero(unique.repeated(values))
        if not len(rows):
            return
        free = ~values.held[rows].any(1)
        for some, draw in ((rows[free], renew), (rows[~free], redraw)):
            if len(some):
                values.set_rows(some, draw(some))
        _complain(values, relations, _kept(values, relations, rows, scores, rng, redraw))
    rows = np.flatnonzero(unique.repeated(values))
    if len(rows):
        raise ValueError(
            f"{len(rows)} of {values.n_rows} drawn rows repeat others in the columns of "
            f"{unique.constraint!r} after {N_UNIQUE} draws. Ask for fewer rows, or name more "
            "columns, so that there are more different rows than are drawn."
        )


def _complain(values: Values, relations: Sequence[Relation], rows: np.ndarray) -> None:
    """An error, or for constraints that were found a warning, about rows that break some."""
    if not len(rows):
        return
    for relation in relations:
        wrong = rows[relation.broken(values, rows)]
        if not len(wrong):
            continue
        held = values.held[wrong].any(1)
        if held.any():
            i = wrong[held][0]
            raise ValueError(
                f"The cells of 'given' contradict {relation.constraint!r} in {held.sum()} of "
                f"{values.n_rows} rows to draw, the first of them row {i}. Change or leave out "
                "cells of its columns, or pass constraints=None to draw without constraints."
            )
        message = (
            f"{len(wrong)} of {values.n_rows} rows break {relation.constraint!r} after "
            "repair: the other constraints, or the bounds of the columns, leave no room for it."
        )
        if not relation.found:
            raise ValueError(
                f"{message} Check that the constraints agree with each other and with the fitted "
                "table, or leave one out."
            )
        warnings.warn(
            f"{message} Pass constraints=None to draw without constraints, or list those to keep.",
            UserWarning,
            stacklevel=caller_stacklevel(),
        )
