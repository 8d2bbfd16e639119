"""Functions of the families with a softmax over levels, bins or atoms."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ._base import uniform

MIN_NOISE, MAX_NOISE = 0.2, 0.95


def pick(each: Tensor, index: Tensor) -> Tensor:
    """each[..., index], where the axes before the last broadcast."""
    return torch.take_along_dim(each, aligned(each, index), dim=-1).squeeze(-1)


def aligned(each: Tensor, index: Tensor) -> Tensor:
    """The index with as many axes as `each`, the last of size 1."""
    return index.reshape(*[1] * (each.ndim - index.ndim - 1), *index.shape, 1)


def positions(each: Tensor) -> Tensor:
    """0, 1, … along the first axis, on the device of the tensor."""
    return torch.arange(len(each), device=each.device)


def draw_level(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from each softmax over the last axis: the Gumbel-max trick."""
    gumbel = -torch.log(-torch.log(uniform(logits, generator)))
    return (logits + gumbel).argmax(dim=-1)


def discriminant(
    centers: np.ndarray, proportions: np.ndarray, noise: float, within: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Logits of the levels of a number as linear functions of its linear prediction ŷ.

    With y = ŷ + ε, Var ε = σ² and Var y = 1, the prediction for a level whose values have mean y_l
    and variance w (the same for all levels, as in linear discriminant analysis) is distributed as
    N(r y_l, V) with r = 1 − σ² and V = r σ² + r² w. By Bayes' rule

    .. math:: \log P(l | ŷ) = \log p_l - r^2 y_l^2 / 2V + (r y_l / V)\, ŷ + \text{const}.

    Parameters
    ----------
    centers : ndarray of shape (n_levels,)
        Means y_l of the levels, in scaled units.
    proportions : ndarray of shape (n_levels,)
        Prior probabilities p_l of the levels.
    noise : float
        σ, the standard deviation of the residual.
    within : float, default=0.0
        w, the variance within a level.

    Returns
    -------
    bias, gain : ndarray of shape (n_levels,)
    """
    sigma = np.clip(noise, MIN_NOISE, MAX_NOISE)
    r = 1 - sigma**2
    variance = r * sigma**2 + r**2 * within
    bias = np.log(np.maximum(proportions, 1e-12)) - (r * centers) ** 2 / (2 * variance)
    return bias, r * centers / variance
