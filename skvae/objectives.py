"""Objectives: log-densities → a bound on log p(x) for each row.

To add one: write one class, put it into :data:`OBJECTIVES`, and add a row to
``tests/components.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from ._component import Component
from ._validation import a_real, an_int
from .latents import Draw

__all__ = ["ELBO", "Objective"]


class Objective(ABC, Component):
    """What training maximises."""

    n_samples: int  # draws of z for each row and step
    warmup: float = 0.0  # share of the training after which the objective is what it is to be

    @abstractmethod
    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        """The bound of each row, shape (n_rows,).

        Parameters
        ----------
        log_px : Tensor of shape (n_samples, n_rows)
            log p(x | z).
        draw : Draw
            z with its log-densities.
        progress : float
            Share of the training done, in [0, 1]; 1 asks for the objective without warm-up.
        """


def divergence(draw: Draw) -> Tensor:
    """KL(q(z | x) ‖ p(z)) of each row: in closed form where known, else over the draws."""
    return draw.kl if draw.kl is not None else (draw.log_qz - draw.log_pz).mean(0)


class ELBO(Objective):
    r"""Evidence lower bound,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) \le \log p(x)
        \text{ for } \beta \ge 1.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL term. Above 1 the code is pressed to be simple (β-VAE), below 1
        reconstruction comes first.
    warmup : float, default=0.0
        Share of the training, in [0, 1], over which the weight rises linearly from 0 to `beta`.
    n_samples : int, default=1
        Draws of z for each row and step.

    References
    ----------
    Kingma & Welling (2014), arXiv:1312.6114. Higgins et al. (2017), beta-VAE, ICLR.
    Sønderby et al. (2016), Ladder Variational Autoencoders, arXiv:1602.02282 (warm-up).

    Examples
    --------
    >>> from skvae import ELBO
    >>> ELBO(beta=4.0)
    ELBO(beta=4.0)
    """

    parameter_constraints: ClassVar = {
        "beta": a_real("[0, inf)", least=0),
        "warmup": a_real("[0, 1]", least=0, most=1),
        "n_samples": an_int(1),
    }

    def __init__(self, beta: float = 1.0, *, warmup: float = 0.0, n_samples: int = 1) -> None:
        self.beta = beta
        self.warmup = warmup
        self.n_samples = n_samples

    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        beta = self.beta * min(1.0, progress / self.warmup) if self.warmup > 0 else self.beta
        return log_px.mean(0) - beta * divergence(draw)


OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO}
