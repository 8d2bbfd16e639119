"""``n_components="auto"``: how many latent dimensions, by held-out density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ._model import VAE
from ._noise import quasi_normal
from ._schema import Rows
from ._training import MIN_HELD_OUT, Budget, Split, train
from .objectives import Objective

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
SHARE = 0.25  # of the steps of the full training that each size is given
FRACTION = 0.2  # of the rows to hold out, where training holds out none
N_DRAWS = 16
WORTH = 0.02  # nats per column that a larger size must add
PATIENCE = 2  # sizes without progress after which larger ones are not tried


def choose_n_components(
    start: Callable[..., VAE],
    most: int,
    data: Rows,
    split: Split,
    objective: Objective,
    budget: Budget,
    seed: int,
) -> int:
    """The smallest size that is within one standard error, or 0.02 nats per column, of the best.

    Models of growing size are trained shortly on the same rows; what counts is the importance-
    weighted bound on the log-density of the rows held out, pair by pair (the one-standard-error
    rule of Breiman et al. 1984).

    Parameters
    ----------
    start : callable
        The untrained model of `n_components_` dimensions.
    most : int
        The largest size to try.
    """
    split = split if len(split.held_out) else _with_held_out(split, seed)
    if len(split.held_out) < MIN_HELD_OUT:
        return min(most, max(1, most // 2))
    short = replace(budget, n_steps=max(50, round(SHARE * budget.n_steps)), patience=None)
    tried: dict[int, Tensor] = {}
    for k in [size for size in SIZES if size < most] + [most]:
        generator = torch.Generator().manual_seed(seed)
        model = start(n_components_=k)
        train([model], data, split, objective, short, generator, lambda _: False, {})
        tried[k] = _bound(model, data.take(split.held_out))
        best = max(tried, key=lambda size: float(tried[size].mean()))
        if list(tried).index(best) < len(tried) - PATIENCE:
            break
    for k, bound in tried.items():
        gap = tried[best] - bound
        error = float(gap.std()) / math.sqrt(len(gap))
        if float(gap.mean()) <= max(error, WORTH * data.n_columns):
            return k
    return best


def _with_held_out(split: Split, seed: int) -> Split:
    order = torch.randperm(len(split.train), generator=torch.Generator().manual_seed(seed))
    held, rest = order.tensor_split([int(FRACTION * len(order))])
    weights = None if split.weights is None else split.weights[rest]
    return Split(split.train[rest], weights, split.train[held])


@torch.no_grad()
def _bound(model: VAE, rows: Rows) -> Tensor:
    """L_K of each row, but for the measure."""
    noise = quasi_normal(N_DRAWS, model.latent.n_noise).to(rows.values.dtype)
    chunks = rows.chunks(model.chunk_size(N_DRAWS, most=4096))
    return torch.cat([torch.logsumexp(model.log_weights(c, noise), 0) for c in chunks])
