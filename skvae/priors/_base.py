"""The contract of a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from skvae._component import Component


class PriorModule(nn.Module, ABC):
    """p(z) with its learned parameters, if any.

    Attributes
    ----------
    width : int
        Numbers that ``log_prob`` needs at once for one z; chunks of rows are cut by it.
    n_posteriors : int
        Rows whose posteriors ``start`` and ``finish`` want to see, at most; 0: none.
    supports_reordering : bool
        Whether ``reorder`` is there.
    is_standard_normal : bool
        Whether it is N(0, I) in training.
    supports_vmap : bool
        Whether ``log_prob`` and ``kl`` are plain functions of tensors, fit for ``torch.func.vmap``.
    """

    width: int = 1
    n_posteriors: int = 0
    supports_reordering: bool = False
    is_standard_normal: bool = False
    supports_vmap: bool = True

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) for z of shape (..., n_components)."""

    @abstractmethod
    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of shape (n_samples, n_components)."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mean, exp(log_var)) ‖ p) where it has a closed form, else None.

        Shape (n_rows, n_components): one number a dimension.
        """
        return None

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        """Put the dimensions in an order, with signs."""
        raise NotImplementedError

    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        """Look at the posteriors of the untrained model, N(mean, exp(log_var)) a row."""

    def finalize(
        self, mean: Tensor, log_var: Tensor, weight: Tensor, generator: torch.Generator,
        *, goes_on: bool = False,
    ) -> None:  # fmt: skip
        """Look at the posteriors of the trained model, one for each different row.

        `weight` tells how often a row was there; if training goes on, these are more rows.
        """


class Prior(ABC, Component):
    """A family of priors."""

    over_codes: bool = False  # whether p is over integers, not over vectors

    @abstractmethod
    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        """The module for a latent space of `n_components` dimensions."""
