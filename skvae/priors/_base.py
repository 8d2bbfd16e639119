"""The contract of a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from skvae._component import Component


class PriorModule(nn.Module, ABC):
    """p(z) with its learned parameters.

    Attributes
    ----------
    width : int
        Number of elements that ``log_prob`` needs in memory for one z. It limits the number of
        rows that are evaluated at once.
    n_posteriors : int
        Number of rows whose posteriors ``initialize`` and ``finalize`` use at most. 0: they use
        none.
    supports_reordering : bool
        Whether ``reorder`` is implemented.
    supports_vmap : bool
        Whether ``log_prob`` and ``kl`` can be used with ``torch.func.vmap``.
    """

    width: int = 1
    n_posteriors: int = 0
    supports_reordering: bool = False
    supports_vmap: bool = True

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z).

        Parameters
        ----------
        z : Tensor of shape (..., n_components)

        Returns
        -------
        log_prob : Tensor of shape (...)
        """

    @abstractmethod
    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draws from p(z).

        Parameters
        ----------
        n_samples : int
        generator : torch.Generator

        Returns
        -------
        z : Tensor of shape (n_samples, n_components)
        """

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mean, exp(log_var)) ‖ p) in closed form.

        Parameters
        ----------
        mean, log_var : Tensor of shape (n_rows, n_components)

        Returns
        -------
        kl : Tensor of shape (n_rows, n_components) or None
            The terms of each dimension. None: there is no closed form.
        """
        return None

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        """Permute the dimensions of z and change their signs.

        Parameters
        ----------
        order : Tensor of shape (n_components,), int64
        sign : Tensor of shape (n_components,)
            1 or −1 for each dimension in the new order.

        Raises
        ------
        NotImplementedError
            If not ``supports_reordering``.
        """
        raise NotImplementedError

    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        """Set parameters from the posteriors N(mean, exp(log_var)) of the untrained model.

        Parameters
        ----------
        mean, log_var : Tensor of shape (n_rows, n_components)
        generator : torch.Generator
        """

    def finalize(
        self,
        mean: Tensor,
        log_var: Tensor,
        weight: Tensor,
        generator: torch.Generator,
        *,
        keys: Tensor | None = None,
        copies: bool = True,
        continued: bool = False,
    ) -> None:
        """Set parameters from the posteriors of the trained model.

        Parameters
        ----------
        mean, log_var : Tensor of shape (n_rows, n_components)
            Posteriors of distinct rows.
        weight : Tensor of shape (n_rows,)
            Sum of the sample weights of the rows with the contents of each row.
        generator : torch.Generator
        keys : Tensor of shape (n_rows,), int64, or None, default=None
            Hash of the contents of each row: equal rows have equal keys in all calls. If not all
            rows of a table are passed, it should be those with the smallest
            :func:`skvae._nn.noise.priority`. None: no row occurs in more than one call.
        copies : bool, default=True
            Whether equal rows are copies of one observation, and not several observations that
            are equal because the table has few different rows.
        continued : bool, default=False
            Whether the rows are added to those of earlier calls.
        """


class Prior(ABC, Component):
    """A family of priors.

    Attributes
    ----------
    over_codes : bool
        Whether p is over integer codes, not over vectors.
    """

    over_codes: bool = False

    @abstractmethod
    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        """The module for a latent space.

        Parameters
        ----------
        n_components : int
            Number of dimensions.
        generator : torch.Generator
            Source of the initial parameters.

        Returns
        -------
        module : PriorModule
        """
