"""The textbook posterior: a diagonal Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skvae._networks import Linear
from skvae.priors import PriorModule

from ._base import Draw, Latent, LatentModule, LinearPosterior

LOG_2PI = math.log(2 * math.pi)
MAX_LOG_VAR, MIN_LOG_VAR = 4.0, -20.0


class Gaussian(Latent):
    r"""Diagonal Gaussian posterior, :math:`q(z|x) = N(z; \mu(x), \mathrm{diag}\,\sigma(x)^2)`.

    Draws are reparameterised, :math:`z = \mu(x) + \sigma(x) \epsilon` with
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
        return _GaussianModule(n_components, n_hidden, generator)


class _GaussianModule(LatentModule):
    def __init__(self, n_components: int, n_hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_noise = n_components
        self.head = Linear(n_hidden, 2 * n_components, generator)

    def posterior(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """μ(x) and log σ(x)²."""
        mean, log_var = self.head(h).chunk(2, dim=-1)
        return mean, log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        mean, log_var = self.posterior(h)
        z = mean + torch.exp(0.5 * log_var) * noise
        log_qz = -0.5 * (noise.square() + log_var + LOG_2PI).sum(-1)

        def path_log_qz() -> Tensor:
            fixed_mean, fixed_var = mean.detach(), log_var.detach()
            squared = (z - fixed_mean).square() * (-fixed_var).exp()
            return -0.5 * (squared + fixed_var + LOG_2PI).sum(-1)

        return Draw(z, prior.log_prob(z), log_qz, prior.kl(mean, log_var), path_log_qz=path_log_qz)

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        return self.posterior(h)

    def embed(self, h: Tensor) -> Tensor:
        return self.posterior(h)[0]

    @torch.no_grad()
    def start(self, posterior: LinearPosterior) -> None:
        k, n_inputs = posterior.weight.shape
        self.head.weight.zero_()
        self.head.bias.zero_()
        self.head.weight[:k, :n_inputs] = posterior.weight
        self.head.weight[k:, :n_inputs] = posterior.missing
        self.head.bias[:k] = posterior.bias
        self.head.bias[k:] = posterior.log_var
