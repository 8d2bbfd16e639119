"""The standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._nn.densities import LOG_2PI
from skvae._nn.noise import normal

from ._base import MixtureOfGaussians, Prior, PriorModule


class StandardNormal(Prior):
    r"""Standard normal prior, :math:`p(z) = N(0, I)`.

    Its divergence from a diagonal Gaussian posterior is

    .. math:: KL = \tfrac12 \sum_i (\mu_i^2 + \sigma_i^2 - \log\sigma_i^2 - 1).

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114, appendix B.

    Examples
    --------
    >>> from skvae.priors import StandardNormal
    >>> StandardNormal()
    StandardNormal()
    """

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        return StandardNormalModule(n_components)


class StandardNormalModule(PriorModule):
    supports_reordering = True
    origin: Tensor

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(n_components))

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + LOG_2PI).sum(-1)

    def as_mixture(self) -> MixtureOfGaussians:
        one = self.origin.unsqueeze(0)
        return MixtureOfGaussians(one.new_zeros(1), one, torch.zeros_like(one))

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        """The density is the same for all orders and signs of the dimensions."""

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        return normal((n_samples, len(self.origin)), generator, self.origin)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return 0.5 * (mean.square() + log_var.exp() - log_var - 1)
