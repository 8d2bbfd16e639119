"""The Bernoulli likelihood of booleans."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import Columns, FittedColumn, Likelihood, Residual, uniform


class Bernoulli(Likelihood):
    r"""Bernoulli, :math:`P(x_j = 1|z) = s(o_j(z))`, where :math:`s` is the logistic function.

    Examples
    --------
    >>> from skvae.likelihoods import Bernoulli
    >>> Bernoulli()
    Bernoulli()
    """

    kinds = frozenset({"boolean"})
    is_mass = True

    def n_outputs(self, column: FittedColumn) -> int:
        return 1

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        return F.logsigmoid(sign(x) * outputs[..., 0])

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        logit = outputs[..., 0]
        return torch.sigmoid(logit) - uniform(logit, generator)

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        return outputs[..., 0]

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        p = torch.sigmoid(outputs[..., 0])
        return torch.stack([1 - p, p], dim=-1)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        p = column.probability
        return np.array([np.log(p / (1 - p))]), np.array([[1 / max(p * (1 - p), 0.01) ** 0.5]])


def sign(x: Tensor) -> Tensor:
    """1 for True, which is the positive scaled value, and −1 for False."""
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)
