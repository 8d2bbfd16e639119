"""One level out of several."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skvae._table.columns import MAX_INDICATORS, indicator_spread

from ._base import Likelihood, Pullback, uniform
from ._levels import add_at, pick


class Categorical(Likelihood):
    r"""Softmax over levels, :math:`P(x_j = l|z) = \exp(o_{jl}) / \sum_m \exp(o_{jm})`.

    Columns with fewer levels than the widest of the group are padded; the padding has no mass.

    Examples
    --------
    >>> from skvae.likelihoods import Categorical
    >>> Categorical().target
    'code'
    """

    kinds = frozenset({"categorical", "ordered"})
    target = "code"
    is_mass = True

    def n_outputs(self, column: Any) -> int:
        return int(column.n_codes)

    def _logits(self, outputs: Tensor, columns: Any) -> Tensor:
        if columns.level_mask is None:  # all columns of the group have as many levels
            return outputs
        return outputs.masked_fill(~columns.level_mask, -torch.inf)

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        logits = self._logits(outputs, columns)
        return pick(logits, x) - torch.logsumexp(logits, dim=-1)

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        logits = self._logits(outputs, columns)
        log_proportions = logits - torch.logsumexp(logits, dim=-1, keepdim=True)

        def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
            weight = weight.expand(log_proportions.shape[:-1]).unsqueeze(-1)
            slope = log_proportions.exp().mul_(-weight)  # weight (1[x] − P)
            return add_at(slope, x, weight), torch.zeros_like(columns.constants)

        return pick(log_proportions, x), pullback

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        gumbel = -torch.log(-torch.log(uniform(outputs, generator)))  # its argmax is a draw
        return (self._logits(outputs, columns) + gumbel).argmax(dim=-1)

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return self._logits(outputs, columns).argmax(dim=-1)

    def mean(self, outputs: Tensor, columns: Any) -> Tensor:
        return torch.softmax(self._logits(outputs, columns), dim=-1)

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        # Softmax, linearised at the shares p: the feature (1[l] − p_l)/d_l moves logit l by 1/d_l
        bias = np.log(np.maximum(column.frequencies, 1e-12))
        if len(bias) > MAX_INDICATORS:
            return bias, np.zeros((len(bias), 0))
        return bias, np.diag(1 / indicator_spread(column.frequencies))
