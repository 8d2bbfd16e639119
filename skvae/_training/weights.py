"""Sample weights, the held-out split, and seeds: which rows are trained on, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skvae._model.rows import Rows, patterns
from skvae._nn.noise import weighted_indices
from skvae._table.weighted import MAX_REPETITIONS

from .loop import MAX_HELD_OUT, MIN_HELD_OUT, Split

MIN_COPIED = 30  # distinct rows of which equal ones may be copies


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights as float64 of shape (n_rows,)."""
    if sample_weight is None:
        return np.ones(n_rows)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sample_weight must hold one number a row, shape ({n_rows},). Got {sample_weight!r} "
            "instead."
        ) from error
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but X has {n_rows} rows; pass one number "
            f"a row, shape ({n_rows},)."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise ValueError(
            f"sample_weight must be finite and not negative, but holds {bad}; drop such rows or "
            "give them weight 0."
        )
    if n_rows and not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all are zero.")
    if (weights != np.round(weights)).any():  # only their ratios are meaningful
        weights = weights * ((weights > 0).sum() / weights.sum())
    return weights


def split_calibration(
    rows: np.ndarray, fraction: float | None, seed: int, continued: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows to calibrate with: the same for the same rows and seed.

    Raises
    ------
    ValueError
        If one of the two would have too few rows.
    """
    n = 0 if fraction is None else int(fraction * len(rows))
    if fraction is None or (n < 1 and continued):  # a batch of few rows holds none out
        return rows, rows[:0]
    if n < 1 or len(rows) - n < 2:
        raise ValueError(
            f"calibration_fraction={fraction} of n_samples={len(rows)} holds {n} rows out and "
            f"leaves {len(rows) - n} to train on; at least 1 and 2 are needed. Fit more rows, or "
            "choose another fraction."
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[np.sort(order[n:])], rows[order[:n]]


def split_rows(
    rows: Rows, weights: np.ndarray, fraction: float, generator: torch.Generator
) -> Split:
    """Rows to train on with their weights, and rows to hold out.

    A row is held out with all its repetitions, so that no row that decides when to stop is trained
    on. In a table of few patterns single repetitions are held out.
    Integer weights are repetitions; with other weights the rows held out are drawn in proportion
    to them. No more rows are held out than are evaluated.

    Parameters
    ----------
    rows : Rows
        In canonical order: equal rows are neighbors.
    weights : ndarray of shape (n_rows,)
    """
    whole = bool((weights == np.round(weights)).all()) and weights.sum() <= MAX_REPETITIONS
    index, real = torch.arange(len(weights)), torch.from_numpy(weights)
    if whole:
        index = torch.repeat_interleave(index, real.long())
    n_held = min(int(fraction * len(index)), MAX_HELD_OUT)
    if n_held < MIN_HELD_OUT:
        return Split(index, None if whole else real, index[:0])
    pattern = patterns(rows)
    n_patterns = int(pattern[-1]) + 1
    first = torch.cat([torch.ones(1, dtype=torch.long), pattern.diff()]).nonzero().squeeze(1)
    weight = torch.zeros(n_patterns, dtype=real.dtype).index_add(0, pattern, real)
    by_pattern = fraction * n_patterns >= MIN_HELD_OUT and are_copies(rows.take(first), weight)
    unit = pattern[index] if by_pattern else torch.arange(len(index))
    order = torch.randperm(int(unit[-1]) + 1, generator=generator)
    size = torch.bincount(unit)[order].cumsum(0)
    held = torch.isin(unit, order[: int((size <= n_held).sum())])
    if whole:
        return Split(index[~held], None, index[held])
    held_out = draw_in_proportion(index[held], real[held], generator)
    return Split(index[~held], real[~held], held_out)


def are_copies(distinct: Rows, weight: torch.Tensor) -> bool:
    """Whether equal rows are copies of one observation: some number tells most rows apart.

    In a table of few patterns, as of a few categorical columns, equal rows are what the table
    consists of: they are observations of their own. To hold out a whole pattern there costs
    density, .75 nats for 150 patterns of four columns, and it may make up much of the table.

    Parameters
    ----------
    distinct : Rows
        The different rows.
    weight : Tensor of shape (n_distinct,)
        The summed weight of the rows that equal each.
    """
    if not bool((weight > 1).any()):
        return True
    n = len(distinct)
    effective = float(weight.sum() ** 2 / weight.square().sum())
    if n < MIN_COPIED or effective < n / 2:
        return False
    return any(2 * len(torch.unique(column)) >= n for column in distinct.values.T)


def draw_in_proportion(
    rows: torch.Tensor, weights: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    """As many rows, drawn in proportion to their weights."""
    if weights is None:
        return rows
    return rows[weighted_indices(torch.cumsum(weights, 0), len(rows), generator)]


def random_seed(random_state: Any) -> int:
    """A seed; None draws one from numpy's global stream, as in scikit-learn.

    This is the only use of a global stream: a notebook that calls ``np.random.seed`` alone gets
    the same results again.
    """
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
