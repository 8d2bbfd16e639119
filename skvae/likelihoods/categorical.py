"""The categorical likelihood."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skvae._table.columns import MAX_INDICATORS, indicator_spread

from ._base import Columns, FittedColumn, Likelihood, Residual
from ._levels import draw_level, pick


class Categorical(Likelihood):
    r"""Softmax over levels, :math:`P(x_j = l|z) = \exp(o_{jl}) / \sum_m \exp(o_{jm})`.

    The outputs of columns with fewer levels than others are padded; padding has no mass.

    Examples
    --------
    >>> from skvae.likelihoods import Categorical
    >>> Categorical().target
    'code'
    """

    kinds = frozenset({"categorical", "ordered"})
    target = "code"
    is_mass = True

    def n_outputs(self, column: FittedColumn) -> int:
        return int(column.n_codes)

    def logits(self, outputs: Tensor, columns: Columns) -> Tensor:
        """The outputs, −∞ where they are padding."""
        if columns.level_mask is None:  # all columns of the group have as many levels
            return outputs
        return outputs.masked_fill(~columns.level_mask, -torch.inf)

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        logits = self.logits(outputs, columns)
        return pick(logits, x) - torch.logsumexp(logits, dim=-1)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        return draw_level(self.logits(outputs, columns), generator)

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        return self.logits(outputs, columns).argmax(dim=-1)

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        return torch.softmax(self.logits(outputs, columns), dim=-1)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        # The softmax is linearized at the frequencies p: the coefficient of the feature
        # (1[l] − p_l) / d_l in logit l is 1 / d_l.
        bias = np.log(np.maximum(column.frequencies, 1e-12))
        if len(bias) > MAX_INDICATORS:
            return bias, np.zeros((len(bias), 0))
        return bias, np.diag(1 / indicator_spread(column.frequencies))
