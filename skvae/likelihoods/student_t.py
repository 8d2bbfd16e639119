"""Student's t likelihood: the default of continuous columns."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ._base import Columns, FittedColumn, Residual, Standardized, uniform
from .normal import MIN_SCALE

RANGE = 30.0  # of the degrees of freedom: with 31 it differs from a Gaussian by .0005 nats


class StudentT(Standardized):
    r"""Student's t, robust to outliers because of its heavy tails,

    .. math:: p(x_j|z) = \frac{\Gamma(\frac{\nu_j+1}2)}{\Gamma(\frac{\nu_j}2)
        \sqrt{\pi\nu_j}\,\sigma_j} \Bigl(1 + \frac{(x_j - \mu_j(z))^2}{\nu_j\sigma_j^2}
        \Bigr)^{-(\nu_j+1)/2},

    with degrees of freedom :math:`1 < \nu_j < 31` learned for each column. They are bounded so that
    the tails stay heavy where no fitted value is far from the others: an outlier among new rows
    then costs tens or hundreds of nats, not thousands.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`.
    min_scale : float, default=1e-3
        Lower bound of a learned :math:`\sigma`, as in :class:`Normal`.

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

    resolution_factor = 0.3
    unit_std = 1.2  # the scale 1/1.2 at ν = 4 is closest to a standard normal

    def __init__(self, scale: str | float = "conditional", *, min_scale: float = MIN_SCALE) -> None:
        self.scale = scale
        self.min_scale = min_scale

    def n_constants(self, column: FittedColumn) -> int:
        return super().n_constants(column) + 1

    def degrees_of_freedom(self, columns: Columns) -> Tensor:
        """ν of each column, between 1 and the maximum, shape (…, n_columns)."""
        return 1 + RANGE * torch.sigmoid(columns.constants[..., -1] - math.log(RANGE))

    def degrees_of_freedom_derivative(self, nu: Tensor) -> Tensor:
        """The derivative of ν with respect to the constant of the column."""
        return (nu - 1) * (1 - (nu - 1) / RANGE)

    def standard(self, r: Tensor, columns: Columns) -> Tensor:
        nu = self.degrees_of_freedom(columns)
        return log_normalizer(nu) - (nu + 1) / 2 * torch.log1p(r.square() / nu)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        # Bailey (1994): √(ν (U^(−2/ν) − 1)) cos(2πV) is Student's t for uniform U and V
        location, scale = self.location_scale(outputs, columns)
        nu = self.degrees_of_freedom(columns)
        u, v = uniform(location, generator), uniform(location, generator)
        t = torch.sqrt(nu * torch.expm1(-2 / nu * torch.log1p(-u))) * torch.cos(2 * math.pi * v)
        return location + scale * t

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = super().initialize(column, residual)
        excess = min(residual.degrees_of_freedom - 1, 0.95 * RANGE)
        bias[-1] = np.log(excess / (1 - excess / RANGE))
        return bias, gain

    def initial_scale(self, residual: Residual) -> float:
        return residual.std * residual.scale


def log_normalizer(nu: Tensor) -> Tensor:
    """Logarithm of the constant factor of the density with ν degrees of freedom at scale 1."""
    half = (nu + 1) / 2
    return torch.lgamma(half) - torch.lgamma(nu / 2) - 0.5 * torch.log(math.pi * nu)
