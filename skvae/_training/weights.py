"""Sample weights, the held-out split, and seeds: which rows are trained on, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skvae._nn.noise import weighted_indices

from .loop import MIN_HELD_OUT, Split

MAX_REPETITIONS = 10_000_000  # rows that integer weights may stand for, before they are drawn


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights as float64 of shape (n_rows,)."""
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, dtype=np.float64)
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
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all are zero.")
    if (weights != np.round(weights)).any():  # shares: only their ratios mean something
        weights = weights * ((weights > 0).sum() / weights.sum())
    return weights


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, q: Any) -> np.ndarray:
    """Quantiles, where a row of weight 3 stands three times."""
    if (weights == np.round(weights)).all() and weights.sum() <= MAX_REPETITIONS:
        return np.quantile(np.repeat(values, weights.astype(np.int64)), q)
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    at = np.searchsorted(cumulated, np.asarray(q) * cumulated[-1])
    return np.asarray(values[order][np.minimum(at, len(values) - 1)])


def set_aside(
    rows: np.ndarray, fraction: float | None, seed: int, goes_on: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows to calibrate by: of the same rows always the same."""
    n = 0 if fraction is None else int(fraction * len(rows))
    if fraction is None or (n < 1 and goes_on):  # a batch of few rows keeps none out
        return rows, rows[:0]
    if n < 1 or len(rows) - n < 2:
        raise ValueError(
            f"calibration_fraction={fraction} of n_samples={len(rows)} keeps {n} rows out and "
            f"leaves {len(rows) - n} to train on; at least 1 and 2 are needed. Fit more rows, or "
            "choose another fraction."
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[np.sort(order[n:])], rows[order[:n]]


def split_rows(weights: np.ndarray, fraction: float, generator: torch.Generator) -> Split:
    """Rows to train on with their weights, and rows to hold out.

    Integer weights become repetitions, which are split as rows of their own; with other weights
    the held-out rows are drawn in proportion.
    """
    whole = bool((weights == np.round(weights)).all()) and weights.sum() <= MAX_REPETITIONS
    rows, real = torch.arange(len(weights)), torch.from_numpy(weights)
    if whole:
        rows = torch.repeat_interleave(rows, real.long())
    n_held = int(fraction * len(rows))
    if n_held < MIN_HELD_OUT:
        return Split(rows, None if whole else real, rows[:0])
    order = torch.randperm(len(rows), generator=generator)
    held = torch.zeros(len(rows), dtype=torch.bool)
    held[order[:n_held]] = True
    if whole:
        return Split(rows[~held], None, rows[held])
    return Split(rows[~held], real[~held], drawn(rows[held], real[held], generator))


def drawn(
    rows: torch.Tensor, weights: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    """As many rows, drawn in proportion to their weights."""
    if weights is None:
        return rows
    return rows[weighted_indices(torch.cumsum(weights, 0), len(rows), generator)]


def distinct(patterns: torch.Tensor, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """One row of each pattern that is trained on, and the summed weight of its rows."""
    weight = torch.ones(len(split.train)) if split.weights is None else split.weights
    found, index = torch.unique(patterns[split.train], return_inverse=True)
    first = torch.full((len(found),), len(patterns)).scatter_reduce(
        0, index, split.train, reduce="amin"
    )
    return first, torch.zeros(len(found)).index_add(0, index, weight.float())


def random_seed(random_state: Any) -> int:
    """A seed; None takes fresh entropy and leaves numpy's global stream alone."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
