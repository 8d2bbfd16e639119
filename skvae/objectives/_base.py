"""The contract of an objective: from log-densities to a bound on log p(x) for each row."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sklearn.base import clone
from torch import Tensor

from skvae._component import Component
from skvae._nn.draw import Draw
from skvae.likelihoods import Likelihood
from skvae.priors import Prior


class Objective(ABC, Component):
    """The function that training maximizes.

    Attributes
    ----------
    n_samples : int
        Draws of z for each row and gradient step.
    detach_z : bool
        Whether the gradient through z is stopped.
    supports_codes, supports_vmap : bool
        Whether it can be used with integer codes, and ``bound`` with ``torch.func.vmap``.
    warmup, trim : float
        Proportion of the training after which the objective has its final form; proportion of the
        rows, those with the lowest bounds, that are left out.
    n_neighbors : int
        The neighbors of each row in the loss of neighborhoods.
    likelihood : Likelihood or None
        The likelihood that ``likelihood="auto"`` stands for. None: it depends on the column.
    prior : Prior or None
        The same for ``prior="auto"``, in families whose default is an aggregated posterior.
    """

    n_samples: int
    detach_z: bool = False
    supports_codes: bool = False
    supports_vmap: bool = False
    warmup: float = 0.0
    trim: float = 0.0
    n_neighbors: int = 15
    likelihood: Likelihood | None = None
    prior: Prior | None = None

    @abstractmethod
    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        """The bound on log p(x) of each row.

        Parameters
        ----------
        log_px : Tensor of shape (n_samples, n_rows)
            log p(x | z).
        draw : Draw
            z with its log-densities.
        progress : float
            Proportion of the training that is done, in [0, 1]. With 1 there is no warm-up.

        Returns
        -------
        bound : Tensor of shape (n_rows,)
        """

    def neighbor_weight(self, n_components: int) -> float:
        """The weight of the loss of neighborhoods with so many components; 0: there is none."""
        return 0.0

    def without_neighborhoods(self) -> Objective:
        """The objective without the loss of neighborhoods, for models whose bounds are compared."""
        return self

    def with_warmup(self, warmup: float) -> Objective:
        """The objective with another warm-up.

        Parameters
        ----------
        warmup : float
            Proportion of the training, in [0, 1].

        Returns
        -------
        objective : Objective
            A copy with the parameter `warmup`, or the object itself if it has no such parameter.
        """
        if "warmup" not in self.get_params(deep=False):
            return self
        objective: Objective = clone(self)
        return objective.set_params(warmup=warmup)


def divergence(draw: Draw) -> Tensor:
    """KL(q(z | x) ‖ p(z)) of each row, in closed form if it is known, else by Monte Carlo."""
    return draw.kl.sum(-1) if draw.kl is not None else (draw.log_qz - draw.log_pz).mean(0)
