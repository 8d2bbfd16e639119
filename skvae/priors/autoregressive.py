"""A learned prior over integer codes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skvae._nn.noise import multinomial
from skvae._nn.zuko import masked_mlp
from skvae._validation import as_layers, layers

from ._base import Prior, PriorModule

N_EMBEDDED = 8  # dimensions of the embedding of a code


class Autoregressive(Prior):
    r"""Autoregressive categorical distributions over integer codes,

    .. math:: p(c) = \prod_i p(c_i | c_1, \ldots, c_{i-1}).

    A masked network computes all factors at once. It is learned with the model, and is initialized
    at the frequencies of the codes. It is the prior of the latent families with integer codes,
    ``Quantized`` and ``FiniteScalar``.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(128,)
        Hidden layers of the network.

    References
    ----------
    Germain et al. (2015), MADE, arXiv:1502.03509. van den Oord et al. (2017), Neural Discrete
    Representation Learning, arXiv:1711.00937 (an autoregressive prior over codes).

    Examples
    --------
    >>> from skvae.priors import Autoregressive
    >>> Autoregressive(hidden_layer_sizes=(64,))
    Autoregressive(hidden_layer_sizes=(64,))
    """

    over_codes = True
    _constraints: ClassVar = {"hidden_layer_sizes": layers()}

    def __init__(self, hidden_layer_sizes: Any = (128,)) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes

    def build(
        self, n_components: int, generator: torch.Generator, *, n_codes: int = 2
    ) -> PriorModule:
        sizes = as_layers(self.hidden_layer_sizes)
        return AutoregressiveModule(n_components, n_codes, sizes, generator)


class AutoregressiveModule(PriorModule):
    """p(c) for integer codes of shape (..., n_positions)."""

    def __init__(
        self, n_positions: int, n_codes: int, sizes: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.n_positions, self.n_codes = n_positions, n_codes
        self.width = n_positions * n_codes + sum(sizes)
        self.log_frequency = nn.Parameter(torch.zeros(n_positions, n_codes))
        shape = (n_positions, n_codes, N_EMBEDDED)
        self.embedding = nn.Parameter(torch.randn(shape, generator=generator))
        self.network = None
        if n_positions > 1:
            before = torch.ones(n_positions, n_positions, dtype=torch.bool).tril(-1)
            before = before.repeat_interleave(n_codes, 0).repeat_interleave(N_EMBEDDED, 1)
            self.network = masked_mlp(before, sizes, generator)

    def log_proportions(self, codes: Tensor) -> Tensor:
        """log p(c_i = c | c_1, …, c_{i−1}) of every code c, (..., n_positions, n_codes)."""
        logits = self.log_frequency
        if self.network is not None:
            position = torch.arange(self.n_positions, device=codes.device)
            encoded = self.network(self.embedding[position, codes].flatten(-2))
            logits = logits + encoded.unflatten(-1, (self.n_positions, self.n_codes))
        return torch.log_softmax(logits, dim=-1).expand(*codes.shape, -1)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_proportions(z).gather(-1, z.unsqueeze(-1)).squeeze(-1).sum(-1)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        shape, device = (n_samples, self.n_positions), self.log_frequency.device
        codes = torch.zeros(shape, dtype=torch.long, device=device)
        for i in range(self.n_positions):
            proportions = self.log_proportions(codes)[:, i].exp()
            codes[:, i] = multinomial(proportions, 1, generator).squeeze(1)
        return codes

    @torch.no_grad()
    def initialize_codes(self, codes: Tensor) -> None:
        """Set the frequencies to those of the codes of some rows, (n_rows, n_positions)."""
        counts = nn.functional.one_hot(codes, self.n_codes).sum(0) + 1.0
        self.log_frequency.copy_((counts / counts.sum(-1, keepdim=True)).log())
