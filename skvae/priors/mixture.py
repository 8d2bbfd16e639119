"""A learned mixture of Gaussians."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from skvae._nn.clusters import k_means
from skvae._nn.densities import log_mixture
from skvae._nn.noise import multinomial, normal
from skvae._validation import an_int

from ._base import MixtureOfGaussians, Prior, PriorModule

MIN_LOG_VAR, MAX_LOG_VAR = -10.0, 5.0
ROWS_PER_COMPONENT = 50
MAX_START_ROWS = 5000
MIN_PROPORTION = 0.5  # of the variance of the aggregated posterior, for a component at the start


class Mixture(Prior):
    r"""Mixture of M diagonal Gaussians, learned with the model,

    .. math:: p(z) = \sum_{m=1}^M \pi_m\, N(z; \mu_m, \mathrm{diag}\,\sigma_m^2).

    It is initialized by k-means on the posterior means of the untrained model: each component has
    the mean and the variance of the posteriors in its cluster, and at least half of the variance
    of all posteriors.

    Parameters
    ----------
    n_components : int, default=50
        Number M of components; on small tables there is at most one for every 50 rows.

    References
    ----------
    Dilokthanakul et al. (2016), Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders, arXiv:1611.02648. Tomczak & Welling (2018), VAE with a VampPrior,
    arXiv:1705.07120.

    Examples
    --------
    >>> from skvae.priors import Mixture
    >>> Mixture(n_components=10)
    Mixture(n_components=10)
    """

    _constraints: ClassVar = {"n_components": an_int(1)}

    def __init__(self, n_components: int = 50) -> None:
        self.n_components = n_components

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        return MixtureModule(self.n_components, n_components)


class MixtureModule(PriorModule):
    n_posteriors = MAX_START_ROWS
    supports_reordering = True

    def __init__(self, n_clusters: int, n_components: int) -> None:
        super().__init__()
        self.n_clusters = n_clusters
        self.logits = nn.Parameter(torch.zeros(n_clusters))
        self.mean = nn.Parameter(torch.zeros(n_clusters, n_components))
        self.log_var = nn.Parameter(torch.zeros(n_clusters, n_components))

    def log_prob(self, z: Tensor) -> Tensor:
        mixture = self.as_mixture()
        return log_mixture(z, mixture.log_proportions, mixture.mean, mixture.log_var)

    def as_mixture(self) -> MixtureOfGaussians:
        log_var = self.log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)
        return MixtureOfGaussians(torch.log_softmax(self.logits, 0), self.mean, log_var)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        proportions = torch.softmax(self.logits, 0)
        m = multinomial(proportions, n_samples, generator)
        noise = normal((n_samples, self.mean.shape[1]), generator, self.mean)
        scale = (0.5 * self.log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)).exp()
        return self.mean[m] + scale[m] * noise

    @torch.no_grad()
    def reorder(self, order: Tensor, sign: Tensor) -> None:
        self.mean.copy_(self.mean[:, order] * sign)
        self.log_var.copy_(self.log_var[:, order])

    @torch.no_grad()
    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        mean, log_var = mean[:MAX_START_ROWS].cpu(), log_var[:MAX_START_ROWS].cpu()
        most = max(1, min(self.n_clusters, len(mean) // ROWS_PER_COMPONENT))
        means, labels = k_means(mean.numpy(), most, generator.initial_seed() % 2**32)
        label, n_clusters = torch.from_numpy(labels).long(), len(means)
        one_hot = nn.functional.one_hot(label, n_clusters).to(mean.dtype)
        count = one_hot.sum(0)
        center = (one_hot.T @ mean) / count[:, None]
        second = (one_hot.T @ (mean.square() + log_var.exp())) / count[:, None]
        self.logits = nn.Parameter(count.log())
        self.mean = nn.Parameter(center)
        # Components as narrow as clusters of equal rows would hold the posteriors where they are.
        total = mean.var(0, correction=0) + log_var.exp().mean(0)
        variance = torch.maximum(second - center.square(), MIN_PROPORTION * total)
        self.log_var = nn.Parameter(variance.clamp(min=1e-6).log())
