"""The likelihood of numbers whose distribution given z has several modes."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._nn.densities import LOG_2PI, inverse_softplus
from skvae._validation import an_int

from ._base import Columns, FittedColumn, Likelihood, Residual, standard_normal
from ._levels import draw_level
from .normal import MIN_SCALE, Normal


class NormalMixture(Likelihood):
    r"""Mixture of M Gaussians, all of whose parameters depend on z (a mixture density network),

    .. math:: p(x_j|z) = \sum_{m=1}^M \pi_m(z)\, N(x_j; \mu_m(z), \sigma_m(z)^2).

    Parameters
    ----------
    n_modes : int, default=3
        Number M of components, at least 2.

    Notes
    -----
    Scales have the same lower bound as in :class:`Normal`. At the start of training the means of
    the components are half a standard deviation apart.

    References
    ----------
    Bishop (1994), Mixture Density Networks.

    Examples
    --------
    >>> from skvae import NormalMixture
    >>> NormalMixture(n_modes=5)
    NormalMixture(n_modes=5)
    """

    _constraints: ClassVar = {"n_modes": an_int(2)}

    def __init__(self, n_modes: int = 3) -> None:
        self.n_modes = n_modes

    def n_outputs(self, column: FittedColumn) -> int:
        return 3 * self.n_modes

    def _components(self, outputs: Tensor, columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
        """log π, μ and σ, each (..., n_columns, n_modes)."""
        logits, location, raw = outputs.chunk(3, dim=-1)
        floor = Normal.resolution_factor * columns.resolution + MIN_SCALE
        return torch.log_softmax(logits, -1), location, floor.unsqueeze(-1) + F.softplus(raw)

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        log_proportions, location, scale = self._components(outputs, columns)
        squared = ((x.unsqueeze(-1) - location) / scale).square()
        each = -0.5 * (squared + LOG_2PI) - torch.log(scale)
        return torch.logsumexp(log_proportions + each, dim=-1)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        log_proportions, location, scale = self._components(outputs, columns)
        which = draw_level(log_proportions, generator).unsqueeze(-1)
        location, scale = location.gather(-1, which), scale.gather(-1, which)
        return (location + scale * standard_normal(location, generator)).squeeze(-1)

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        log_proportions, location, _ = self._components(outputs, columns)
        return (log_proportions.exp() * location).sum(-1)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        m = self.n_modes
        offset = 0.5 * (np.arange(m) - (m - 1) / 2)
        scale = max(residual.std / math.sqrt(1 + offset.var()), 1e-2)
        bias, gain = np.zeros(3 * m), np.zeros((3 * m, 1))
        bias[m : 2 * m], gain[m : 2 * m] = scale * offset, 1.0
        bias[2 * m :] = inverse_softplus(scale)
        return bias, gain
