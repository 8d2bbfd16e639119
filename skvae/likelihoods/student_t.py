"""A number with tails: the default of continuous columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._base import Standardised, uniform
from .normal import MIN_SCALE


class StudentT(Standardised):
    r"""Student's t, a Gaussian with tails that forgive a surprising value,

    .. math:: p(x_j|z) = \frac{\Gamma(\frac{\nu_j+1}2)}{\Gamma(\frac{\nu_j}2)
        \sqrt{\pi\nu_j}\,\sigma_j} \Big(1 + \frac{(x_j - \mu_j(z))^2}{\nu_j\sigma_j^2}
        \Big)^{-(\nu_j+1)/2},

    with degrees of freedom :math:`\nu_j > 1` learned for each column.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`.
    min_scale : float, default=1e-3
        What a learned :math:`\sigma` does not fall below, as in :class:`Normal`.

    References
    ----------
    Lange, Little & Taylor (1989), Robust Statistical Modeling Using the t Distribution.
    Takahashi et al. (2018), Student-t Variational Autoencoder for Robust Density Estimation.

    Examples
    --------
    >>> from skvae import StudentT, VAETransformer
    >>> VAETransformer(likelihood={"income": StudentT(scale="column")})
    VAETransformer(likelihood={'income': StudentT(scale='column')})
    """

    resolution_share = 0.3
    unit_std = 1.2  # the scale 1/1.2 at ν = 4 is closest to a standard normal

    def __init__(self, scale: str | float = "conditional", *, min_scale: float = MIN_SCALE) -> None:
        self.scale = scale
        self.min_scale = min_scale

    def n_constants(self, column: Any) -> int:
        return super().n_constants(column) + 1

    def degrees_of_freedom(self, columns: Any) -> Tensor:
        """ν of each column, shape (…, n_columns)."""
        return 1 + torch.exp(columns.constants[..., -1])

    def standard(self, r: Tensor, columns: Any) -> Tensor:
        nu = self.degrees_of_freedom(columns)
        return _log_norm(nu) - (nu + 1) / 2 * torch.log1p(r.square() / nu)

    def standard_with_slopes(self, r: Tensor, columns: Any) -> tuple[Tensor, Tensor, Tensor]:
        nu = self.degrees_of_freedom(columns)
        half, share = (nu + 1) / 2, r.square() / nu
        log_tail = torch.log1p(share)
        weight = 2 * half / nu / (1 + share)
        of_norm = torch.digamma(half) - torch.digamma(nu / 2) - 1 / nu
        of_nu = (share.mul_(weight).sub_(log_tail) + of_norm).mul_((nu - 1) / 2)
        # ν − 1 is the exponential of the constant
        return _log_norm(nu) - half * log_tail, weight.mul_(r).neg_(), of_nu

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        # Bailey (1994): √(ν (U^(−2/ν) − 1)) cos(2πV) is Student's t for uniform U and V
        location, scale = self.location_scale(outputs, columns)
        nu = self.degrees_of_freedom(columns)
        u, v = uniform(location, generator), uniform(location, generator)
        t = torch.sqrt(nu * torch.expm1(-2 / nu * torch.log1p(-u))) * torch.cos(2 * math.pi * v)
        return location + scale * t

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = super().initialize(column, noise)
        bias[-1] = np.log(3.0)  # ν = 4
        return bias, gain


def _log_norm(nu: Tensor) -> Tensor:
    half = (nu + 1) / 2
    return torch.lgamma(half) - torch.lgamma(nu / 2) - 0.5 * torch.log(math.pi * nu)
