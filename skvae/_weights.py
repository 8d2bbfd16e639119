"""Sample weights, the held-out split, and seeds: which rows are trained on, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from ._training import MIN_HELD_OUT, Split

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
    return weights


def split_rows(
    weights: np.ndarray, distinct: np.ndarray, fraction: float, generator: torch.Generator
) -> Split:
    """Rows to train on with their weights, and rows to hold out; equal rows stay together.

    Integer weights become repetitions; with others the held-out rows are drawn in proportion.
    """
    whole = bool((weights == np.round(weights)).all()) and weights.sum() <= MAX_REPETITIONS
    held = np.zeros(len(weights), dtype=bool)
    total = weights.sum() if whole else len(weights)
    if total * fraction >= MIN_HELD_OUT:
        order = torch.randperm(int(distinct[-1]) + 1, generator=generator).numpy()
        mass = np.bincount(distinct, weights=weights)[order]
        chosen = order[np.cumsum(mass) <= fraction * weights.sum()]
        held = np.isin(distinct, chosen)
    rows = torch.arange(len(weights))
    if whole:
        times = torch.from_numpy(weights.astype(np.int64))
        repeated = torch.repeat_interleave(rows, times)
        in_train = torch.from_numpy(~held)[repeated]
        return Split(repeated[in_train], None, repeated[~in_train])
    weights_of = torch.from_numpy(weights)
    held_out = rows[held]
    held_out = drawn(held_out, weights_of[held], generator) if len(held_out) else held_out
    return Split(rows[~held], weights_of[~held], held_out)


def drawn(
    rows: torch.Tensor, weights: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    """As many rows, drawn in proportion to their weights."""
    if weights is None:
        return rows
    cumulated = torch.cumsum(weights, 0)
    u = torch.rand(len(rows), generator=generator, dtype=torch.float64) * cumulated[-1]
    return rows[torch.searchsorted(cumulated, u).clamp(max=len(rows) - 1)]


def random_seed(random_state: Any) -> int:
    """A seed; None takes fresh entropy and leaves numpy's global stream alone."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
