"""Densities of diagonal Gaussians and of mixtures of them, and numerical helpers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .tracing import is_traced

LOG_2PI = math.log(2 * math.pi)
BLOCK_SIZE = 2**16  # elements of a block of z × components; larger tensors do not fit the cache


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, exp(log_var)) of each dimension."""
    return -0.5 * ((z - mean).square() * (-log_var).exp() + log_var + LOG_2PI)


def log_normals(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; μ_m, diag σ_m²) for z of shape (n, k) and M Gaussians: (n, M)."""
    constant, weight = _as_product(mean, log_var)
    return torch.addmm(constant, torch.cat([z, z.square()], dim=-1), weight)


def log_mixture(z: Tensor, log_proportions: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log Σ_m π_m N(z; μ_m, diag σ_m²) for z of shape (..., k), in blocks that fit the cache."""
    constant, weight = _as_product(mean, log_var)
    constant = constant + log_proportions
    flat = z.reshape(-1, z.shape[-1])
    size = max(16, BLOCK_SIZE // len(mean))
    blocks = [
        _log_sum_exp(torch.addmm(constant, torch.cat([b, b.square()], -1), weight))
        for b in ([flat] if is_traced() else flat.split(size))
    ]
    return torch.cat(blocks).view(z.shape[:-1])


def shifted_exp(each: Tensor) -> tuple[Tensor, Tensor]:
    """exp(each − maximum), and the maximum, over the last axis.

    Terms below e^−60 of the maximum are raised to that value. The sum does not change in single
    precision, and denormal numbers, with which arithmetic is about ten times slower, are avoided.
    """
    top = each.detach().amax(-1, keepdim=True)
    return (each - top).clamp(min=-60.0).exp_(), top


def inverse_softplus(value: float | np.ndarray) -> np.ndarray:
    """The number whose softplus, log(1 + exp(·)), is `value`."""
    return np.asarray(value + np.log(-np.expm1(-np.asarray(value))))


def _log_sum_exp(each: Tensor) -> Tensor:
    if each.dtype == torch.float64:  # denormal numbers are rare
        return torch.logsumexp(each, dim=-1)
    terms, top = shifted_exp(each)
    return terms.sum(-1).log() + top.squeeze(-1)


def _as_product(mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Constant and weight of log N = constant + (z, z²) · weight."""
    precision = torch.exp(-log_var)
    constant = -0.5 * (mean.square() * precision + log_var + LOG_2PI).sum(-1)
    return constant, torch.cat([mean * precision, -0.5 * precision], dim=-1).T
