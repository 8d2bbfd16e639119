"""Priors p(z): one class per family.

A prior is a value; ``build`` makes the module that holds what is learned. To add one: write one
class and its module, put it into :data:`PRIORS`, and add a row to ``tests/components.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ._component import Component

__all__ = ["Prior", "StandardNormal"]

LOG_2PI = math.log(2 * math.pi)


class PriorModule(nn.Module, ABC):
    """p(z) with its learned parameters, if any."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) for z of shape (..., n_components)."""

    @abstractmethod
    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of shape (n_samples, n_components)."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mean, exp(log_var)) ‖ p) per row where it has a closed form, else None."""
        return None


class Prior(ABC, Component):
    """A family of priors."""

    @abstractmethod
    def build(self, n_components: int) -> PriorModule:
        """The module for a latent space of `n_components` dimensions."""


class StandardNormal(Prior):
    r"""The textbook prior, :math:`p(z) = N(0, I)`.

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

    def build(self, n_components: int) -> PriorModule:
        return _StandardNormalModule(n_components)


class _StandardNormalModule(PriorModule):
    origin: Tensor

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(n_components))

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + LOG_2PI).sum(-1)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        shape = (n_samples, len(self.origin))
        return torch.randn(shape, generator=generator, dtype=self.origin.dtype)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(-1)


PRIORS: dict[str, type[Prior]] = {"standard_normal": StandardNormal}
AUTO = "standard_normal"
