"""``numeric_transform="auto"``: whether columns with abrupt ends have the quantile map."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.reading import Table
from skvae._training.budget import Budget, default_steps
from skvae._training.loop import Split

from .choosing import PROPORTION, trial_scores
from .mode import FitContext

MAX_TRIAL_ROWS, MIN_TRIAL_ROWS, MAX_TESTED = 3000, 200, 500


def choose_schema(
    candidates: tuple[Schema, Schema],
    start: Callable[[Schema, Rows, Split], VAE],
    table: Table,
    weights: np.ndarray,
    context: FitContext,
    batch_size: int,
    learning_rate: float,
    max_iter: int | None,
) -> Schema:
    """The schema under which a shortly trained model gives held-out rows the higher density.

    The marginal distribution of a column is better described by one of its maps; but where other
    columns explain it, the other map can be better.

    Parameters
    ----------
    candidates : two Schema
        With the quantile map where the marginal distribution asks for it, and without. The second
        is chosen where there are too few rows to compare them.
    start : callable
        The untrained model of a schema, rows and a split.
    """
    generator = torch.Generator().manual_seed(context.seed)
    n = min(table.n_rows, MAX_TRIAL_ROWS)
    if n < MIN_TRIAL_ROWS:
        return candidates[1]
    some = np.sort(torch.randperm(table.n_rows, generator=generator)[:n].numpy())
    table, weight = table.take(some), torch.from_numpy(weights[some])
    order = torch.randperm(n, generator=generator)
    n_held = min(n // 5, MAX_TESTED)
    held, kept = order[:n_held], order[n_held:]
    split = Split(kept, None if bool((weight == 1).all()) else weight[kept], held[:0])
    size = min(batch_size, len(kept))
    n_steps = default_steps(n)
    if max_iter is not None:  # a short fit has short trials
        n_steps = min(n_steps, max_iter * math.ceil(len(kept) / size))
    budget = Budget(max(50, round(PROPORTION * n_steps)), size, learning_rate)
    scores = []
    for schema in candidates:
        rows = schema.encode(table, torch.float32)
        model = start(schema, rows, split)
        score = trial_scores(model, rows, split, rows.take(held), context, budget)
        scores.append(float(np.average(score, weights=weight[held].numpy())))
    return candidates[int(scores[1] >= scores[0])]
