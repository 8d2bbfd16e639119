"""The proportional odds likelihood of ordered levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._nn.densities import inverse_softplus
from skvae._table.columns import MAX_INDICATORS, indicator_spread

from ._base import Columns, FittedColumn, Likelihood, Residual, uniform
from ._levels import pick

MIN_GAP = 1e-3


class Ordinal(Likelihood):
    r"""Proportional odds model of ordered levels,

    .. math:: P(x_j \le l | z) = s(\theta_{jl} - o_j(z)),

    where :math:`s` is the logistic function and the thresholds
    :math:`\theta_{j1} < \theta_{j2} < \ldots` of each column are learned. It needs one function of
    z for a column, where :class:`Categorical` needs one for each level.

    References
    ----------
    McCullagh (1980), Regression Models for Ordinal Data.

    Examples
    --------
    >>> from skvae import Ordinal, VAETransformer
    >>> VAETransformer(likelihood={"grade": Ordinal()})
    VAETransformer(likelihood={'grade': Ordinal()})
    """

    kinds = frozenset({"ordered"})
    target = "code"
    is_mass = True

    def check(self, column: FittedColumn) -> None:
        if column.pools:
            raise ValueError(
                f"Rare levels of column {column.name!r} were pooled, and a pool has no place in "
                "their order. Set min_frequency=None and max_categories=None, or choose "
                "likelihood='categorical'."
            )

    def n_outputs(self, column: FittedColumn) -> int:
        return 1

    def n_constants(self, column: FittedColumn) -> int:
        return int(column.n_codes) - 1

    def thresholds(self, columns: Columns) -> Tensor:
        """θ of each column, shape (n_columns, n_levels − 1)."""
        first, gaps = columns.constants[..., :1], columns.constants[..., 1:]
        steps = torch.cat([first, MIN_GAP + F.softplus(gaps)], dim=-1)
        return torch.cumsum(steps, dim=-1)

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        return Edges.of(self.thresholds(columns), x, outputs[..., 0]).log_mass()

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        location = outputs[..., 0]
        return self._level(location + torch.logit(uniform(location, generator)), columns)

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        """The median."""
        return self._level(outputs[..., 0], columns)

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        below = torch.sigmoid(self.thresholds(columns) - outputs[..., :1])
        return torch.diff(F.pad(F.pad(below, (0, 1), value=1.0), (1, 0)), dim=-1)

    def _level(self, position: Tensor, columns: Columns) -> Tensor:
        return (position.unsqueeze(-1) > self.thresholds(columns)).sum(-1)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        proportions = np.maximum(column.frequencies, 1e-4)
        cumulated = np.cumsum(proportions / proportions.sum())[:-1].clip(1e-6, 1 - 1e-6)
        thresholds = np.log(cumulated / (1 - cumulated))
        gaps = np.maximum(np.diff(thresholds) - MIN_GAP, 1e-3)
        bias = np.concatenate([[0.0], thresholds[:1], inverse_softplus(gaps)])
        if column.n_codes > MAX_INDICATORS:
            return bias, np.zeros((len(bias), 0))
        # The centered rank of a level predicts the output; a feature is (1[l] − p_l) / d_l.
        rank = np.arange(column.n_codes) - proportions @ np.arange(column.n_codes)
        spread = max(np.sqrt(proportions @ rank**2), 1e-3)
        gain = np.zeros((len(bias), column.n_codes))
        gain[0] = 1.8 * rank / spread * indicator_spread(column.frequencies)
        return bias, gain


@dataclass(frozen=True)
class Edges:
    """The thresholds around each cell, relative to its location; what is not there is finite.

    Attributes
    ----------
    lower, upper : Tensor of shape (n_rows, n_columns)
        Positions of the thresholds.
    has_lower, has_upper, is_inner : Tensor of shape (n_rows, n_columns)
        Whether the level has a lower edge, an upper edge, and both.
    below, above : Tensor of shape (..., n_rows, n_columns)
        θ − o at both edges.
    gap : Tensor of shape (..., n_rows, n_columns)
        Distance between the edges; 1 where there is one edge only.
    """

    lower: Tensor
    upper: Tensor
    has_lower: Tensor
    has_upper: Tensor
    is_inner: Tensor
    below: Tensor
    above: Tensor
    gap: Tensor

    @classmethod
    def of(cls, thresholds: Tensor, x: Tensor, location: Tensor) -> Edges:
        last = thresholds.shape[-1]
        lower, upper = (x - 1).clamp(min=0), x.clamp(max=last - 1)
        has_lower, has_upper = x > 0, x < last
        is_inner = has_lower & has_upper
        each = thresholds.expand(*location.shape, last)
        low, high = pick(each, lower), pick(each, upper)
        gap = torch.where(is_inner, high - low, 1.0)
        return cls(
            lower, upper, has_lower, has_upper, is_inner, low - location, high - location, gap
        )

    def log_mass(self) -> Tensor:
        """log P(x | z) of each cell."""
        # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)); the first and the last level have one edge only.
        below = torch.where(self.has_lower, F.logsigmoid(-self.below), 0.0)
        above = torch.where(self.has_upper, F.logsigmoid(self.above), 0.0)
        log_gap = torch.where(self.is_inner, torch.log(-torch.expm1(-self.gap)), 0.0)
        return below + above + log_gap
