"""Likelihoods of counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import Columns, FittedColumn, Likelihood, Residual

MIN_LOG_RATE, MAX_LOG_RATE = -12.0, 20.0
MAX_COUNT = 1_000_000  # above it the terms of log p cancel in single precision


class _Count(Likelihood):
    """Families of counts with mean exp(o_j(z))."""

    kinds = frozenset({"integer"})
    target = "count"
    is_mass = True

    def check(self, column: FittedColumn) -> None:
        least = column.minimum + column.origin
        if least < 0:
            raise ValueError(
                f"{self!r} describes counts, which are not negative, but column "
                f"{column.name!r} holds {least:g}. Choose likelihood='discretized_logistic'."
            )
        most = column.maximum + column.origin
        if most > MAX_COUNT:
            raise ValueError(
                f"{self!r} describes counts up to {MAX_COUNT:,}, but column {column.name!r} holds "
                f"{most:g}. Choose likelihood='discretized_logistic'."
            )

    def supports(self, x: np.ndarray) -> np.ndarray:
        return x >= 0

    def n_outputs(self, column: FittedColumn) -> int:
        return 1

    def rate(self, outputs: Tensor) -> Tensor:
        """The mean of each cell."""
        return outputs[..., 0].clamp(MIN_LOG_RATE, MAX_LOG_RATE).exp()

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        return self.rate(outputs)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        # The gain is d log rate / dy at the mean, for a log-normal rate with the observed mean and
        # variance of the counts.
        counts = column.quantiles + float(column.origin)
        mean = max(counts.mean(), 1e-3)
        variance = np.log1p(counts.var() / mean**2)
        n = self.n_outputs(column) + self.n_constants(column)
        bias, gain = np.zeros(n), np.zeros((n, 1))
        bias[0] = np.log(mean) - variance * max(1 - residual.std**2, 0) / 2
        gain[0] = np.sqrt(variance)
        return bias, gain


class Poisson(_Count):
    r"""Poisson, :math:`P(x_j = k|z) = \lambda_j(z)^k e^{-\lambda_j(z)} / k!`.

    References
    ----------
    Nazábal et al. (2020), Handling Incomplete Heterogeneous Data using VAEs, arXiv:1807.03653.

    Examples
    --------
    >>> from skvae import Poisson, VAETransformer
    >>> VAETransformer(likelihood={"visits": Poisson()})
    VAETransformer(likelihood={'visits': Poisson()})
    """

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        rate = self.rate(outputs)
        return x * rate.log() - rate - torch.lgamma(x + 1)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        return poisson(self.rate(outputs), generator)


class NegativeBinomial(_Count):
    r"""Negative binomial: overdispersed counts, with variance :math:`\lambda + \lambda^2 / r`,

    .. math:: P(x_j = k|z) = \frac{\Gamma(k + r_j)}{k!\,\Gamma(r_j)}
        \Bigl(\frac{r_j}{r_j + \lambda_j(z)}\Bigr)^{r_j}
        \Bigl(\frac{\lambda_j(z)}{r_j + \lambda_j(z)}\Bigr)^k,

    with mean :math:`\lambda_j(z)` and a dispersion :math:`r_j` that is learned for each column.

    References
    ----------
    Lopez et al. (2018), Deep generative modeling for single-cell transcriptomics, Nature Methods
    15.

    Examples
    --------
    >>> from skvae import NegativeBinomial, VAETransformer
    >>> VAETransformer(likelihood={"visits": NegativeBinomial()})
    VAETransformer(likelihood={'visits': NegativeBinomial()})
    """

    def n_constants(self, column: FittedColumn) -> int:
        return 1

    def dispersion(self, columns: Columns) -> Tensor:
        """r of each column, shape (n_columns,)."""
        return 1e-3 + F.softplus(columns.constants[:, 0])

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        rate, r = self.rate(outputs), self.dispersion(columns)
        log_choose = torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1)
        return log_choose - r * torch.log1p(rate / r) + x * (rate.log() - torch.log(r + rate))

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        # A Poisson variable with a gamma-distributed rate is negative binomial. The operator is
        # private: public functions that draw from gamma distributions take no generator.
        rate, r = self.rate(outputs), self.dispersion(columns)
        gamma = torch._standard_gamma(r.expand(rate.shape).to(generator.device), generator)
        return poisson(rate / r * gamma.to(rate.device), generator)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = super().initialize(column, residual)
        bias[1] = 5.0  # nearly Poisson: the overdispersion is learned
        return bias, gain


def poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from Poisson distributions; the generator may be on another device."""
    return torch.poisson(rate.to(generator.device), generator=generator).to(rate.device)
