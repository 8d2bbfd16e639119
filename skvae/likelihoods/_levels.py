"""Softmax over levels, bins or atoms: what the families that have one share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ._base import uniform

MIN_NOISE, MAX_NOISE = 0.2, 0.95


def pick(each: Tensor, index: Tensor) -> Tensor:
    """each[..., index], where the axes before the last broadcast: one z may serve every row."""
    return torch.take_along_dim(each, _along(each, index), dim=-1).squeeze(-1)


def add_at(each: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Add to each[..., index], in place."""
    return each.scatter_add_(-1, _along(each, index).expand_as(value), value)


def _along(each: Tensor, index: Tensor) -> Tensor:
    return index.reshape(*[1] * (each.ndim - index.ndim - 1), *index.shape, 1)


def draw_level(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A level for each softmax over the last axis, by the largest of Gumbel-perturbed logits."""
    gumbel = -torch.log(-torch.log(uniform(logits, generator)))
    return (logits + gumbel).argmax(dim=-1)


def discriminant(
    centers: np.ndarray, shares: np.ndarray, noise: float, within: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Logits of the levels of a number, linear in its linear prediction ŷ.

    With y = ŷ + ε, Var ε = σ² and Var y = 1, the prediction at a level whose values have mean y_l
    and variance w (Fisher's, the same for all) is N(r y_l, V) with r = 1 − σ², V = r σ² + r² w,
    and by Bayes' rule

    .. math:: \log P(l | ŷ) = \log p_l - r^2 y_l^2 / 2V + (r y_l / V)\, ŷ + \text{const}.

    Returns
    -------
    bias, slope : ndarray of shape (n_levels,)
    """
    sigma = np.clip(noise, MIN_NOISE, MAX_NOISE)
    r = 1 - sigma**2
    variance = r * sigma**2 + r**2 * within
    bias = np.log(np.maximum(shares, 1e-12)) - (r * centers) ** 2 / (2 * variance)
    return bias, r * centers / variance
