"""The textbook likelihood of a number."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._base import Standardised, standard_normal

LOG_2PI = math.log(2 * math.pi)
MIN_SCALE = 1e-3


class Normal(Standardised):
    r"""Gaussian, :math:`p(x_j|z) = N(x_j; \mu_j(z), \sigma_j^2)`.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        The observation noise :math:`\sigma`. A function of z for each column; one learned number
        for each column, as in factor analysis; one learned number for all columns, as in
        probabilistic PCA; or a fixed number, in units of the scaled column (its standard
        deviation, unless the column is heavy-tailed). With a fixed :math:`\sigma = 1` the loss
        is half the squared error plus the KL term, up to a constant.
    min_scale : float, default=1e-3
        What a learned scale does not fall below, in units of the scaled column, beside 0.3 times
        the resolution of the column (the standard deviation of rounding): so the density cannot
        run away on repeated or rounded values. A large one, such as 0.5, looks at rows coarsely:
        for ranking anomalies that is often better, for densities worse.

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

    resolution_share = 0.3

    def __init__(self, scale: str | float = "conditional", *, min_scale: float = MIN_SCALE) -> None:
        self.scale = scale
        self.min_scale = min_scale

    def standard(self, r: Tensor, columns: Any) -> Tensor:
        return -0.5 * (r.square() + LOG_2PI)

    def standard_with_slopes(self, r: Tensor, columns: Any) -> tuple[Tensor, Tensor, None]:
        return self.standard(r, columns), -r, None

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * standard_normal(location, generator)
