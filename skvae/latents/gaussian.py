"""The diagonal Gaussian posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._nn.densities import LOG_2PI, log_normal, log_normals
from skvae._nn.draw import Draw
from skvae._nn.networks import Linear
from skvae.priors import PriorModule

from ._base import Latent, LatentModule, LinearPosterior

MAX_LOG_VAR, MIN_LOG_VAR = 4.0, -20.0


class Gaussian(Latent):
    r"""Diagonal Gaussian posterior, :math:`q(z|x) = N(z; \mu(x), \mathrm{diag}\,\sigma(x)^2)`.

    Draws are reparameterized, :math:`z = \mu(x) + \sigma(x) \epsilon` with
    :math:`\epsilon \sim N(0, I)`.

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.
    Rezende, Mohamed & Wierstra (2014), Stochastic Backpropagation, arXiv:1401.4082.

    Examples
    --------
    >>> from skvae.latents import Gaussian
    >>> Gaussian()
    Gaussian()
    """

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        return GaussianModule(n_components, n_hidden, generator)


class GaussianModule(LatentModule):
    """N(μ(x), diag σ(x)²), also the base of flows."""

    n_moment_draws = 1
    supports_shared_codes = True
    supports_linearization = True
    supports_vmap = True
    supports_reordering = True

    def __init__(self, n_components: int, n_hidden: int, generator: torch.Generator) -> None:
        super().__init__([n_components])
        self.head = Linear(n_hidden, 2 * n_components, generator)

    def posterior(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """μ(x) and log σ(x)²."""
        return self.split(self.head(h))

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² from the outputs of the head."""
        mean, log_var = outputs.chunk(2, dim=-1)
        return mean, log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        mean, log_var = self.posterior(h)
        z = mean + torch.exp(0.5 * log_var) * noise
        return Draw(
            z,
            log_pz=lambda: prior.log_prob(z),
            log_qz=lambda: -0.5 * (noise.square() + log_var + LOG_2PI).sum(-1),
            kl=prior.kl(mean, log_var),
            path_log_qz=lambda: log_normal(z, mean.detach(), log_var.detach()).sum(-1),
        )

    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        mean, log_var = self.posterior(h)
        if z.shape[1] == 1 and not z.requires_grad:  # the same codes for every row: one product
            return log_normals(z[:, 0], mean, log_var)
        return log_normal(z, mean, log_var).sum(-1)

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        return self.posterior(h)

    @torch.no_grad()
    def reorder(self, order: Tensor, sign: Tensor) -> None:
        rows, signs = torch.cat([order, len(order) + order]), torch.cat([sign, sign.abs()])
        self.head.weight.copy_(self.head.weight[rows] * signs.unsqueeze(1))
        self.head.bias.copy_(self.head.bias[rows] * signs)

    @torch.no_grad()
    def initialize(self, posterior: LinearPosterior) -> None:
        k, n_inputs = posterior.weight.shape
        self.head.weight.zero_()
        self.head.bias.zero_()
        self.head.weight[:k, :n_inputs] = posterior.weight
        self.head.weight[k:, :n_inputs] = posterior.missing
        self.head.bias[:k] = posterior.bias
        self.head.bias[k:] = posterior.log_var
