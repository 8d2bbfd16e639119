"""The Gaussian likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._nn.densities import LOG_2PI

from ._base import Columns, Standardized, standard_normal

MIN_SCALE = 1e-3


class Normal(Standardized):
    r"""Gaussian, :math:`p(x_j|z) = N(x_j; \mu_j(z), \sigma_j^2)`.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        The observation noise :math:`\sigma`. "conditional": a function of z for each column.
        "column": one learned number for each column, as in factor analysis. "shared": one learned
        number for all columns, as in probabilistic PCA. A float: a fixed number, in units of the
        scaled column (its standard deviation, unless the column is heavy-tailed). With a fixed
        :math:`\sigma = 1` the loss is half the squared error plus the KL term, up to a constant.
    min_scale : float, default=1e-3
        Lower bound of a learned scale, in units of the scaled column; 0.3 times the resolution of
        the column (the standard deviation of rounding errors) is added to it. It keeps the density
        bounded on repeated or rounded values. A large bound, such as 0.5, smooths the density:
        this often ranks outliers better, but the densities are less accurate.

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.
    Tipping & Bishop (1999), Probabilistic Principal Component Analysis.

    Examples
    --------
    >>> from skvae import Normal, VAETransformer
    >>> VAETransformer(likelihood=Normal(scale="shared"))
    VAETransformer(likelihood=Normal(scale='shared'))
    """

    resolution_factor = 0.3

    def __init__(self, scale: str | float = "conditional", *, min_scale: float = MIN_SCALE) -> None:
        self.scale = scale
        self.min_scale = min_scale

    def standard(self, r: Tensor, columns: Columns) -> Tensor:
        return -0.5 * (r.square() + LOG_2PI)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * standard_normal(location, generator)
