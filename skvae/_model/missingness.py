r"""Missing cells that say something: a likelihood of the missing mask, and masks as they were seen.

By default a missing cell says nothing beyond its not being there (missing at random). Of a column
whose missing cells are informative, the chance to be missing is learned,

.. math:: P(m_j = 1 | z) = s(a_j + b_j \cdot E[x_j | z]),

with :math:`s` the logistic function: it goes by the value that the decoder expects in the very
cell (of levels, by the probability of each). So values that hide because they are high are known
to be high, after not-MIWAE (Ipsen, Mattei & Frellsen 2021, arXiv:2006.12871), where the chance
goes by a draw of the value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_PATTERNS = 2000


class Missingness(nn.Module):
    """log P(m_j | z) of the informative columns of a group.

    Attributes
    ----------
    informative : Tensor of bool of shape (d,)
    bias : Tensor of shape (d,)
        a_j, started at the share of missing cells.
    slope : Tensor of shape (d, n_levels) or (d, 1)
        b_j, in scaled units; started at zero.
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

    def log_prob(self, mean: Tensor, missing: Tensor, hidden: Tensor | None) -> Tensor:
        """log P(m_j | z) of each cell, (..., d): 0 where nobody looked."""
        logit = self.logit(mean)
        metrics = F.logsigmoid(torch.where(missing, logit, -logit))
        silent = ~self.informative if hidden is None else hidden | ~self.informative
        return metrics.masked_fill(silent, 0.0)


class Patterns:
    """Which cells of a row were missing, as often as it was so.

    Attributes
    ----------
    missing : ndarray of bool of shape (n_patterns, n_features)
    shares : ndarray of shape (n_patterns,)
    """

    def __init__(self, missing: np.ndarray, weights: np.ndarray) -> None:
        packed, index = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
        total = np.bincount(index.ravel(), weights=weights)
        if len(packed) > MAX_PATTERNS:  # a sample, each drawn as often as it is there
            steps = (np.arange(MAX_PATTERNS) + 0.5) / MAX_PATTERNS * total.sum()
            kept, counts = np.unique(np.searchsorted(np.cumsum(total), steps), return_counts=True)
            packed, total = packed[kept], counts
        self.missing = np.unpackbits(packed, axis=1, count=missing.shape[1]).astype(bool)
        self.shares = total / total.sum()

    def sample(self, n_samples: int, rng: Any) -> np.ndarray:
        """Patterns at random, (n_samples, n_features)."""
        return self.missing[rng.choice(len(self.shares), size=n_samples, p=self.shares)]
