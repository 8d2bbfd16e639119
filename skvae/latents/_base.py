"""The contract between a latent family and the rest: noise in, :class:`Draw` out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skvae._component import Component
from skvae.priors import Prior, PriorModule

MOMENT_DRAWS = 64


@dataclass
class Draw:
    """Latent codes with their log-densities: all that an objective needs.

    Attributes
    ----------
    z : Tensor of shape (n_samples, n_rows, n_components)
    log_pz, log_qz : Tensor of shape (n_samples, n_rows)
        log p(z) and log q(z | x).
    kl : Tensor of shape (n_rows, n_parts) or None
        KL(q(z | x) ‖ p(z)) where it has a closed form, in parts (dimensions) that add up.
    penalty : Tensor of shape (n_rows,) or None
        What the family subtracts from the bound of its own (a commitment, say).
    path_log_qz : callable or None
        log q(z | x) once more, with the parameters of q held fixed: its gradient flows along the
        path through z alone (Roeder, Wu & Duvenaud 2017, arXiv:1703.09194).
    """

    z: Tensor
    log_pz: Tensor
    log_qz: Tensor
    kl: Tensor | None = None
    penalty: Tensor | None = None
    path_log_qz: Callable[[], Tensor] | None = None


@dataclass
class LinearPosterior:
    """The posterior of the closed-form start: N(weight · x + bias, exp(log_var)).

    Attributes
    ----------
    weight : Tensor of shape (n_components, n_inputs)
    bias : Tensor of shape (n_components,)
    log_var : Tensor of shape (n_components,)
        With all cells seen.
    missing : Tensor of shape (n_components, n_inputs)
        What a missing cell adds to ``log_var``: non-zero for the inputs that flag it.
    """

    weight: Tensor
    bias: Tensor
    log_var: Tensor
    missing: Tensor


class LatentModule(nn.Module, ABC):
    """q(z | x) with its learned parameters."""

    n_noise: int  # standard normal numbers that one draw of one row needs

    @abstractmethod
    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        """Draws of q(z | x).

        Parameters
        ----------
        h : Tensor of shape (n_rows, n_hidden)
            What the encoder says of each row. Its first columns are the encoder's inputs.
        noise : Tensor of shape (n_samples, n_rows or 1, n_noise)
            Standard normal base noise, pseudo- or quasi-random.
        prior : PriorModule
        """

    @abstractmethod
    def embed(self, h: Tensor) -> Tensor:
        """The deterministic embedding that ``transform`` returns, (n_rows, n_components)."""

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each (n_rows, n_components).

        By draws, for families that know no closed form.
        """
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((MOMENT_DRAWS, 1, self.n_noise), generator=generator).to(h)
        z = self.draw(h, noise, prior).z
        return z.mean(0), z.var(0).clamp(min=1e-12).log()

    @abstractmethod
    def start(self, posterior: LinearPosterior) -> None:
        """Set the parameters so that q(z | x) is the given linear posterior."""


class Latent(ABC, Component):
    """A latent family: hyper-parameters only."""

    def check_prior(self, prior: Prior) -> None:
        """Raise a ValueError that says why the family cannot go with a prior."""

    @abstractmethod
    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        """The module for an encoder that gives `n_hidden` numbers a row."""
