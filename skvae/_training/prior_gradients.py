r"""Analytic gradients of the divergence KL(q(z | x) ‖ p(z)) for Gaussian posteriors.

:data:`PRIOR_GRADIENTS` has a class for each prior whose gradient is written by hand. With
:math:`z = \mu + \sigma\epsilon` it computes the divergence of each row, the gradients of a multiple
of their sum with respect to μ, log σ² and the draws z, and adds that of the parameters of the
prior. The entries are for exactly these modules; for other priors the bound is differentiated by
autograd.

Shapes are those of one model. For M stacked models all tensors have a leading axis of size M.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skvae._nn.densities import LOG_2PI
from skvae.priors import PriorModule
from skvae.priors.aggregated import AggregatedModule
from skvae.priors.diffusion import DiffusionModule
from skvae.priors.mixture import MAX_LOG_VAR, MIN_LOG_VAR, MixtureModule
from skvae.priors.standard_normal import StandardNormalModule

Pairs = dict[nn.Parameter, tuple[Tensor, Tensor]]  # values and gradient of parameters


@dataclass(frozen=True)
class Posterior:
    """q(z | x) of n rows with K draws.

    Attributes
    ----------
    mean, log_var : Tensor of shape (n, k)
    noise, z : Tensor of shape (K, n, k)
        Standard normal draws ε, and z = μ + σ ε.
    """

    mean: Tensor
    log_var: Tensor
    noise: Tensor
    z: Tensor


@dataclass(frozen=True)
class Divergence:
    """KL(q ‖ p) of each row, (n,), and gradients of a multiple of the sum.

    The gradient with respect to z is in addition to those of the mean and the variance that do not
    act through z; None: there is none.
    """

    kl: Tensor
    grad_mean: Tensor | None
    grad_log_var: Tensor
    grad_z: Tensor | None


class PriorGradient(ABC):
    """The divergence from one prior, and its gradient."""

    @abstractmethod
    def __init__(self, module: Any, pairs: Pairs) -> None:
        """Keep the values and gradients of the parameters of the module."""

    @abstractmethod
    def divergence(self, q: Posterior, weight: float, *, freeze: bool) -> Divergence:
        """The divergence of each row, and the gradients of `weight` times their sum.

        Parameters
        ----------
        q : Posterior
        weight : float
        freeze : bool
            Whether the gradient of the parameters of the prior is left out.
        """


class StandardNormalGradient(PriorGradient):
    r"""KL = ½ Σ (μ² + σ² − log σ² − 1)."""

    def __init__(self, module: StandardNormalModule, pairs: Pairs) -> None:
        pass  # it has no parameters

    def divergence(self, q: Posterior, weight: float, *, freeze: bool) -> Divergence:
        var = q.log_var.exp()
        kl = 0.5 * (q.mean.square() + var - q.log_var - 1).sum(-1)
        return Divergence(kl, q.mean * weight, (var - 1) * (0.5 * weight), None)


class MixtureGradient(PriorGradient):
    r"""KL ≈ 1/K Σ_k log q(z_k | x) − log Σ_m π_m N(z_k; μ_m, σ_m²).

    With the posterior probabilities :math:`r_m` of the components,
    :math:`\partial_z \log p = \sum_m r_m (\mu_m - z) / \sigma_m^2`, and log q depends on σ alone
    through its normalizing constant, since z − μ = σ ε.
    """

    def __init__(self, module: MixtureModule, pairs: Pairs) -> None:
        self.logits, self.mean, self.log_var = (
            pairs[parameter] for parameter in (module.logits, module.mean, module.log_var)
        )

    def divergence(self, q: Posterior, weight: float, *, freeze: bool) -> Divergence:
        K, n, k = q.noise.shape[-3:]
        mean, raw = self.mean[0], self.log_var[0]
        log_var = raw.clamp(MIN_LOG_VAR, MAX_LOG_VAR)
        precision = (-log_var).exp()
        scaled_mean = mean * precision
        log_proportions = torch.log_softmax(self.logits[0], -1)
        constant = log_proportions - 0.5 * (mean * scaled_mean + log_var + LOG_2PI).sum(-1)
        z = q.z.flatten(-3, -2)
        moments = torch.cat([z, z.square()], dim=-1)
        each = moments @ torch.cat([scaled_mean, -0.5 * precision], dim=-1).mT + constant.unsqueeze(
            -2
        )
        log_pz = torch.logsumexp(each, dim=-1, keepdim=True)
        r = (each - log_pz).clamp_(min=-60.0).exp_()
        share = weight / K
        first, second = (r @ torch.cat([precision, scaled_mean], dim=-1)).split(k, -1)
        grad_z = (z * first - second).mul_(share).unflatten(-2, (K, n))
        if not freeze:
            total = r.sum(-2)
            sum_z, sum_squares = (r.mT @ moments).split(k, -1)
            total_k = total.unsqueeze(-1)
            squares = sum_squares - 2 * mean * sum_z + mean.square() * total_k
            proportions = log_proportions.exp()
            self.logits[1].add_(total - K * n * proportions, alpha=-share)
            self.mean[1].add_((sum_z - mean * total_k) * precision, alpha=-share)
            grad_log_var = (squares * precision - total_k).masked_fill_(log_var != raw, 0.0)
            self.log_var[1].add_(grad_log_var, alpha=-0.5 * share)
        log_q = -0.5 * (q.noise.square() + q.log_var.unsqueeze(-3) + LOG_2PI).sum(-1)
        kl = (log_q - log_pz.squeeze(-1).unflatten(-1, (K, n))).mean(-2)
        return Divergence(kl, None, torch.full_like(q.log_var, -0.5 * weight), grad_z)


PRIOR_GRADIENTS: dict[type[PriorModule], type[PriorGradient]] = {
    StandardNormalModule: StandardNormalGradient,
    MixtureModule: MixtureGradient,
}


def trained_prior(module: PriorModule) -> PriorModule:
    """The prior during training: of one that is set after training, its guard."""
    if type(module) is AggregatedModule or type(module) is DiffusionModule:
        return module.guard
    return module


def has_prior_gradient(module: PriorModule) -> bool:
    """Whether there is an analytic gradient for exactly this prior."""
    return type(trained_prior(module)) in PRIOR_GRADIENTS


def prior_gradient(module: PriorModule, pairs: Pairs) -> PriorGradient:
    """The analytic gradient of a prior, with the values and gradients of its parameters."""
    module = trained_prior(module)
    return PRIOR_GRADIENTS[type(module)](module, pairs)
