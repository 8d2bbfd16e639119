"""A boolean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import Likelihood, Pullback, uniform


class Bernoulli(Likelihood):
    r"""A boolean, :math:`P(x_j = 1|z) = s(o_j(z))` with :math:`s` the logistic function.

    Examples
    --------
    >>> from skvae.likelihoods import Bernoulli
    >>> Bernoulli()
    Bernoulli()
    """

    kinds = frozenset({"boolean"})
    is_mass = True

    def n_outputs(self, column: Any) -> int:
        return 1

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        return F.logsigmoid(_sign(x) * outputs[..., 0])

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        sign = _sign(x)
        signed = sign * outputs[..., 0]

        def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
            slope = torch.sigmoid(-signed).mul_(sign).mul_(weight)
            return slope.unsqueeze(-1), torch.zeros_like(columns.constants)

        return F.logsigmoid(signed), pullback

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        logit = outputs[..., 0]
        return torch.sigmoid(logit) - uniform(logit, generator)

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def mean(self, outputs: Tensor, columns: Any) -> Tensor:
        p = torch.sigmoid(outputs[..., 0])
        return torch.stack([1 - p, p], dim=-1)

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        p = column.probability
        return np.array([np.log(p / (1 - p))]), np.array([[1 / max(p * (1 - p), 0.01) ** 0.5]])


def _sign(x: Tensor) -> Tensor:
    """1 for True, which is the positive scaled value, and −1 for False."""
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)
