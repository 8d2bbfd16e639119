"""Paths in the latent space: between rows, along one unit, and what changes along them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.layouts import objects

QUANTILES = (0.02, 0.98)  # of a unit, over draws from the prior, between which it moves
N_PRIOR_DRAWS = 2000


def line(model: VAE, start: Tensor, end: Tensor, n_steps: int) -> Tensor:
    """Codes on the straight lines between two sets of codes, (n * n_steps, k).

    Raises
    ------
    ValueError
        If both sets have several codes, but not equally many.
    """
    if len(start) != len(end) and 1 not in (len(start), len(end)):
        raise ValueError(
            f"A has {len(start)} rows and B has {len(end)}; interpolate needs as many of both, or "
            "one row on one side."
        )
    start, end = torch.broadcast_tensors(start, end)
    weight = torch.linspace(0, 1, n_steps, dtype=start.dtype).reshape(1, -1, 1)
    z = torch.lerp(start.unsqueeze(1), end.unsqueeze(1), weight).flatten(0, 1)
    return model.latent.snap(z)


@torch.no_grad()
def move_unit(model: VAE, z: Tensor, unit: int, n_steps: int) -> Tensor:
    """Codes with one unit moved over its range under the prior, (n * n_steps, k).

    Layers below that of the unit follow to their conditional means.
    """
    latent = model.latent
    column = latent.shown[unit]
    layer = next(i for i, part in enumerate(latent.slices()) if column < part.stop)
    moved = z.repeat_interleave(n_steps, 0)
    low, high = np.quantile(_prior_draws(model)[:, column].numpy(), QUANTILES)
    moved[:, column] = torch.from_numpy(np.linspace(low, high, n_steps)).repeat(len(z))
    return latent.snap(latent.fill(moved, range(layer)))


def effects(model: VAE, schema: Schema, unit: int, n_steps: int) -> pd.DataFrame:
    """How far each column moves along a unit, and what is expected at both ends."""
    center = _prior_draws(model).mean(0, keepdim=True)
    path = move_unit(model, center, unit, n_steps)
    low, high = ([cell[0] for cell in _expected(model, schema, z)] for z in (path[:1], path[-1:]))
    names = [column.name for column in schema.columns]
    has_levels = [column.kind in ("boolean", "categorical", "ordered") for column in schema.columns]
    units = np.where(has_levels, "probability", "deviations")
    data = {
        "effect": _sizes(model, schema, path), "unit": units, "low": low, "high": high,
    }  # fmt: skip
    return pd.DataFrame(data, index=names)


def _prior_draws(model: VAE) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model.latent.sample(N_PRIOR_DRAWS, model.prior, generator)


@torch.no_grad()
def _expected(model: VAE, schema: Schema, z: Tensor) -> list[list]:
    """What the decoder expects, column by column."""
    values, codes = model.decode(z)
    return [objects(cells) for cells in schema.cells(values.numpy(), codes.numpy())]


@torch.no_grad()
def _sizes(model: VAE, schema: Schema, z: Tensor) -> np.ndarray:
    """How far each column moves along a path, (n_columns,)."""
    numbers, levels = [np.zeros(0)], [np.zeros(0)]
    for group, outputs in model.outputs(z):
        mean = group.likelihood.mean(group.split(outputs), group)
        if mean.ndim == 3 and group.likelihood.target != "code":
            mean = mean[..., 1]  # the probability of True
        if mean.ndim == 3:
            levels.append(0.5 * (mean - mean[0]).abs().sum(-1).amax(0).numpy())
        else:
            sign = torch.where(mean[-1] < mean[0], -1.0, 1.0)
            numbers.append((sign * (mean.amax(0) - mean.amin(0))).numpy())
    sizes = np.zeros(len(schema.columns))
    sizes[schema.order] = np.concatenate(numbers + levels)
    return sizes
