"""The contract of a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skvae._component import Component


@dataclass(frozen=True)
class MixtureOfGaussians:
    """Σ_m π_m N(z; μ_m, diag σ_m²).

    Attributes
    ----------
    log_proportions : Tensor of shape (n_mixture,)
    mean, log_var : Tensor of shape (n_mixture, n_components)
    """

    log_proportions: Tensor
    mean: Tensor
    log_var: Tensor

    def take(self, index: Tensor) -> MixtureOfGaussians:
        """The components at the given positions."""
        parts = (self.log_proportions, self.mean, self.log_var)
        return MixtureOfGaussians(*(part[index] for part in parts))

    def double(self) -> MixtureOfGaussians:
        """In double precision."""
        parts = (self.log_proportions, self.mean, self.log_var)
        return MixtureOfGaussians(*(part.double() for part in parts))

    @classmethod
    def weighted(
        cls, log_weights: Sequence[Tensor], mixtures: Sequence[MixtureOfGaussians]
    ) -> MixtureOfGaussians:
        """The mixture of several, with the logarithms of their weights."""
        pairs = zip(log_weights, mixtures, strict=True)
        return cls(
            torch.cat([log_w + each.log_proportions for log_w, each in pairs]),
            torch.cat([each.mean for each in mixtures]),
            torch.cat([each.log_var for each in mixtures]),
        )


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

    def as_mixture(self) -> MixtureOfGaussians | None:
        """p(z) as a mixture of Gaussians; None: it is none.

        Where it is one, importance sampling has better proposals
        (:mod:`skvae._inference.linearization`).
        """
        return None

    def near_mixture(self) -> MixtureOfGaussians | None:
        """A mixture of Gaussians that is near p(z), or is p(z); None: none is known.

        Proposals of importance sampling start from it, and are weighted by p(z) itself.
        """
        return self.as_mixture()

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
