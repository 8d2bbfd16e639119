"""How many latent dimensions: by the linear model that the rows allow, or by held-out density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from skvae._inference.importance import InferenceSettings
from skvae._inference.log_density import log_density
from skvae._model.initialization import observed_features
from skvae._model.linear_choice import SIZES as LINEAR_SIZES
from skvae._model.linear_choice import choose_linear_start
from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._nn.networks import Inputs
from skvae._training.budget import Budget
from skvae._training.loop import MIN_HELD_OUT, NoMonitor, Split, train
from skvae._training.weights import draw_in_proportion
from skvae.latents import Latent

from .mode import FitContext

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
WIDE = 32  # features from which more than 16 components are considered
ROWS_PER_COMPONENT, MAX_LINEAR_ROWS = 100, 2000
PROPORTION = 0.25  # of the steps of the full training that each candidate is given
FRACTION = 0.2  # of the rows to hold out, where training holds out none
N_DRAWS = 16
MIN_GAIN = 0.02  # nats per column that a larger size must add
PATIENCE = 2  # sizes without progress after which larger ones are not tried


def default_n_components(schema: Schema, rows: Rows, split: Split, seed: int) -> int:
    """Three quarters of the features up to 16, unless a linear model has reason for another size.

    There are fewer components if a linear model with so many would be too large for the rows, and
    more if there are many columns and a larger linear model is clearly better.
    """
    default, d = schema.n_components(None), schema.n_features
    is_wide = d > WIDE
    if default == 1 or (len(rows) >= ROWS_PER_COMPONENT * default and not is_wide):
        return default
    generator = torch.Generator().manual_seed(seed)
    index = draw_in_proportion(split.train, split.weights, generator)
    index = index[torch.randperm(len(index), generator=generator)[:MAX_LINEAR_ROWS]]
    inputs = Inputs(len(schema.numeric), schema.categorical_columns, generator)
    _, x, seen = observed_features(rows.take(index), inputs)
    most = d // 2 if is_wide else default
    sizes = sorted({default, *(size for size in LINEAR_SIZES if size <= most)})
    return choose_linear_start(x, seen, sizes, default).n_components


def trial_scores(
    model: VAE, rows: Rows, split: Split, held_out: Rows, context: FitContext, budget: Budget
) -> np.ndarray:
    """Log-density of rows held out under a model that is trained shortly, on the device.

    It is trained without the loss of neighborhoods, which costs time and does not count here; with
    it, and with up to three components alone, sizes would not compare.

    Raises
    ------
    KeyboardInterrupt
        If training is interrupted: then there is no model to keep.
    """
    device = context.device
    generator = torch.Generator(device).manual_seed(context.seed)
    # A copy: where time is limited, training shortens it.
    objective = context.components.objective.without_neighborhoods()
    there = rows.to(device), split.to(device), objective, budget.share(1)
    run = train([model.to(device)], *there, generator, NoMonitor(), {}, context.checkpoint)
    if run.is_interrupted:
        raise KeyboardInterrupt
    return log_density(model.cpu(), held_out, InferenceSettings(N_DRAWS)).score


def choose_n_components(
    start: Callable[[int], VAE],
    most: int,
    latent: Latent,
    rows: Rows,
    split: Split,
    context: FitContext,
    budget: Budget,
) -> int:
    """The smallest size that is within one standard error, or 0.02 nats per column, of the best.

    Models of growing size are trained shortly on the same rows, on the device of the estimator.
    They are compared by the importance-weighted bound on the log-density of the rows held out,
    row by row (the one-standard-error rule of Breiman et al. 1984).

    Parameters
    ----------
    start : callable
        The untrained model with a number of components.
    most : int
        The largest size to try.
    latent : Latent
        The family, which may not have every size.

    Raises
    ------
    KeyboardInterrupt
        If the search is interrupted: then there is no model to keep.
    """
    sizes = latent.sizes([size for size in SIZES if size < most] + [most])
    if len(sizes) == 1:
        return sizes[0]
    split = split if len(split.held_out) else _with_held_out(split, context.seed)
    if len(split.held_out) < MIN_HELD_OUT:
        return min(sizes, key=lambda size: abs(size - max(1, most // 2)))
    n_steps = max(50, round(PROPORTION * budget.n_steps))
    short = replace(budget.share(2), n_steps=n_steps, patience=None)  # half of the time, if limited
    held_out = rows.take(split.held_out)
    tried: dict[int, np.ndarray] = {}
    for k in sizes:
        tried[k] = trial_scores(start(k), rows, split, held_out, context, short)
        best = max(tried, key=lambda size: float(tried[size].mean()))
        if list(tried).index(best) < len(tried) - PATIENCE or not short.seconds_left:
            break
    for k, bound in tried.items():
        gap = tried[best] - bound
        error = float(gap.std(ddof=1)) / math.sqrt(len(gap))
        if float(gap.mean()) <= max(error, MIN_GAIN * rows.n_columns):
            return k
    return best


def _with_held_out(split: Split, seed: int) -> Split:
    """A split of the rows trained on; repetitions of a row stay together."""
    rows = torch.unique(split.train)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(split.train, rows[order[: int(FRACTION * len(rows))]])
    weights = None if split.weights is None else split.weights[~held]
    return Split(split.train[~held], weights, split.train[held])
