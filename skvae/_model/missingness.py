r"""Informative missing values: a likelihood of the missing mask, and the masks of a table.

By default a missing value is not informative (missing at random). For a column whose missing values
are informative, the probability of a missing value is learned,

.. math:: P(m_j = 1 | z) = s(a_j + b_j \cdot E[x_j | z]),

with :math:`s` the logistic function: it depends on the value that the decoder expects in the cell
(for levels, on the probability of each). So values that are missing because they are high are
imputed as high, after not-MIWAE (Ipsen, Mattei & Frellsen 2021, arXiv:2006.12871), where the
probability depends on a draw of the value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .discriminant import Discriminant

MAX_PATTERNS = 2000


class Missingness(nn.Module):
    """log P(m_j | z) of the informative columns of a group.

    Attributes
    ----------
    informative : Tensor of bool of shape (d,)
    bias : Tensor of shape (d,)
        a_j, initialized by the proportion of missing values.
    slope : Tensor of shape (d, n_levels) or (d, 1)
        b_j, in scaled units; initialized at zero.
    """

    informative: Tensor

    def __init__(self, rates: np.ndarray, n_levels: int | None, counts: bool) -> None:
        super().__init__()
        self.n_levels, self.counts = n_levels, counts  # None: the cells are numbers
        self.register_buffer("informative", torch.from_numpy(~np.isnan(rates)))
        rates = np.where(np.isnan(rates), 0.5, rates).clip(1e-4, 1 - 1e-4)
        self.bias = nn.Parameter(torch.tensor(np.log(rates / (1 - rates)), dtype=torch.float32))
        self.slope = nn.Parameter(torch.zeros(len(rates), n_levels or 1))

    def logit(self, mean: Tensor) -> Tensor:
        """Log-odds of being missing, (..., d)."""
        if self.n_levels is None:
            mean = torch.log1p(mean) if self.counts else mean
            return self.bias + self.slope[:, 0] * mean
        return self.bias + (self.slope * mean).sum(-1)

    def log_prob(self, mean: Tensor, missing: Tensor, marginalized: Tensor | None) -> Tensor:
        """log P(m_j | z) of each cell, (..., d): 0 where it is marginalized."""
        logit = self.logit(mean)
        log_p = F.logsigmoid(torch.where(missing, logit, -logit))
        ignored = ~self.informative if marginalized is None else marginalized | ~self.informative
        return log_p.masked_fill(ignored, 0.0)


@dataclass(frozen=True, eq=False)
class Patterns:
    """Which cells of a row were missing, and how often.

    Attributes
    ----------
    missing : ndarray of bool of shape (n_patterns, n_features)
    weights : ndarray of shape (n_patterns,)
    discriminant : Discriminant or None
        What the cells of a row tell about its pattern.
    """

    missing: np.ndarray
    weights: np.ndarray
    discriminant: Discriminant | None = None

    @classmethod
    def of(cls, missing: np.ndarray, weights: np.ndarray) -> Patterns:
        """The distinct patterns of some rows; of very many a sample."""
        packed, index = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
        total = np.bincount(index.ravel(), weights=weights)
        if len(packed) > MAX_PATTERNS:  # in proportion to their weights
            steps = (np.arange(MAX_PATTERNS) + 0.5) / MAX_PATTERNS * total.sum()
            kept, counts = np.unique(np.searchsorted(np.cumsum(total), steps), return_counts=True)
            packed, total = packed[kept], counts * (total.sum() / MAX_PATTERNS)
        return cls(np.unpackbits(packed, axis=1, count=missing.shape[1]).astype(bool), total)

    def updated(self, missing: np.ndarray, weights: np.ndarray) -> Patterns:
        """The patterns after more rows."""
        both = np.concatenate([self.missing, missing])
        updated = Patterns.of(both, np.concatenate([self.weights, weights]))
        return replace(updated, discriminant=self.discriminant)

    def sample(self, features: np.ndarray, rng: Any) -> np.ndarray:
        """A pattern for each row of encoded features, at random: (n_rows, n_features)."""
        p, n = self.weights / self.weights.sum(), len(features)
        if self.discriminant is None:
            return self.missing[rng.choice(len(p), size=n, p=p)]
        number = self.discriminant.classes(self.missing)
        log_ratio = self.discriminant.log_ratio(features)
        share = np.bincount(number, p, log_ratio.shape[1])
        with np.errstate(divide="ignore"):  # a pattern may have left the sample of very many
            log_p = log_ratio + np.log(share)
        cumulated = np.cumsum(np.exp(log_p - log_p.max(1, keepdims=True)), axis=1)
        drawn = (rng.random((n, 1)) * cumulated[:, -1:] > cumulated).sum(1)
        found = np.empty(n, dtype=int)
        for each in np.unique(drawn):  # the patterns that are not told apart, by their shares
            rows, members = np.flatnonzero(drawn == each), np.flatnonzero(number == each)
            found[rows] = rng.choice(members, size=len(rows), p=p[members] / p[members].sum())
        return self.missing[found]
