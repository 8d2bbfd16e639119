"""Codes from a fixed grid: finite scalar quantisation."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from skvae._validation import an_int

from ._base import LatentModule
from ._codes import TEMPERATURE, CodeLatent, CodeModule

REACH = 2.5  # of the grid, in deviations of a standard normal unit


class FiniteScalar(CodeLatent):
    r"""Finite scalar quantisation: each component is one of a few evenly spaced levels.

    .. math:: e_i(x) = r \tanh(a_i(x) / r), \quad
        q(c_i|x) \propto \exp(-(e_i(x) - v_c)^2 / 2 T s_i^2), \quad z_i = v_{c_i},

    with levels :math:`v_c` from −r to r = 2.5. The gradient of z goes straight through to e.
    Nothing of the levels is learned, so none can die; the prior over them is.

    Parameters
    ----------
    n_levels : int, default=32
        Levels of a component.
    temperature : float, default=4.0
        T: how far from the nearest level training looks. 0: the nearest level alone, as in the
        paper; the bound is then that of a q without width, and scores propose with T = 1.

    References
    ----------
    Mentzer et al. (2023), Finite Scalar Quantization: VQ-VAE Made Simple, arXiv:2309.15505.
    Takida et al. (2022), SQ-VAE, arXiv:2205.07547 (codes drawn, not the nearest alone).

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
        levels = torch.linspace(-REACH, REACH, self.n_levels).reshape(1, -1, 1)
        codebook = levels.repeat(n_components, 1, 1)
        return _FiniteScalarModule(codebook, n_hidden, self.temperature, generator)


class _FiniteScalarModule(CodeModule):
    def encodings(self, h: Tensor) -> Tensor:
        return self.split(REACH * torch.tanh(self.head(h) / REACH))
