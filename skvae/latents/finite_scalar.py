"""Integer codes on a fixed grid: finite scalar quantization."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from skvae._validation import an_int

from ._base import LatentModule
from ._codes import TEMPERATURE, CodeLatent, CodeModule

BOUND = 2.5  # of the grid, in standard deviations of a standard normal variable


class FiniteScalar(CodeLatent):
    r"""Finite scalar quantization: each component is one of a few evenly spaced levels.

    .. math:: e_i(x) = r \tanh(a_i(x) / r), \quad
        q(c_i|x) \propto \exp(-(e_i(x) - v_c)^2 / 2 T s_i^2), \quad z_i = v_{c_i},

    with levels :math:`v_c` from −r to r = 2.5. The gradient of e is that of z (the straight-through
    estimator). The levels are fixed, so that there are no unused entries of a learned codebook; the
    prior over the codes is learned.

    Parameters
    ----------
    n_levels : int, default=32
        Number of levels of a component.
    temperature : float, default=4.0
        The temperature T of q, which determines how often other levels than the nearest are drawn
        in training. 0: always the nearest level, as in the paper; the bound is then that of a
        degenerate q, and importance sampling uses T = 1.

    References
    ----------
    Mentzer et al. (2023), Finite Scalar Quantization: VQ-VAE Made Simple, arXiv:2309.15505.
    Takida et al. (2022), SQ-VAE, arXiv:2205.07547 (random codes).

    Examples
    --------
    >>> from skvae.latents import FiniteScalar
    >>> FiniteScalar(n_levels=8)
    FiniteScalar(n_levels=8)
    """

    _constraints: ClassVar = {"n_levels": an_int(2), "temperature": TEMPERATURE}

    def __init__(self, n_levels: int = 32, *, temperature: float = 4.0) -> None:
        self.n_levels = n_levels
        self.temperature = temperature

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        levels = torch.linspace(-BOUND, BOUND, self.n_levels).reshape(1, -1, 1)
        codebook = levels.repeat(n_components, 1, 1)
        return _FiniteScalarModule(codebook, n_hidden, self.temperature, generator)


class _FiniteScalarModule(CodeModule):
    def encodings(self, h: Tensor) -> Tensor:
        return self.split(BOUND * torch.tanh(self.head(h) / BOUND))
