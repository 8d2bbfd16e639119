r"""Likelihoods p(x_j | z): one class per family.

A likelihood is a value, in the manner of a Gaussian-process kernel: it holds hyper-parameters
only. The decoder hands it ``outputs``, a tensor of shape (..., n_columns, n_outputs) for all the
columns that share it, and ``columns``, what is known of them (:class:`skvae._model.ColumnGroup`:
``resolution`` of shape (n_columns,), ``level_mask`` of shape (n_columns, n_levels)). It answers
with

- ``log_prob(x, outputs, columns)``: log p(x_j | z) of each cell, shape (..., n_columns);
- ``sample(outputs, columns, generator)``: a draw of each cell;
- ``point(outputs, columns)``: the value that ``inverse_transform`` returns, a mean or a mode.

Numbers are in the scaled units of the column (:mod:`skvae._scaling`), levels are codes.

To add a family: write one class, put it into :data:`LIKELIHOODS`, and add a row to
``tests/components.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn import functional as F

from ._columns import MAX_INDICATORS
from ._validation import is_real

__all__ = ["Bernoulli", "Categorical", "DiscretizedLogistic", "Likelihood", "Normal"]

LOG_2PI = math.log(2 * math.pi)
LOGISTIC_STD = math.pi / math.sqrt(3)  # standard deviation of the logistic with scale 1


class Likelihood(ABC, BaseEstimator):
    """What a family of p(x_j | z) has to say.

    Attributes
    ----------
    kinds : frozenset of str
        Kinds of column it can describe.
    target : {"value", "interval", "code"}
        How a cell reaches ``log_prob``: as one scaled number; as lower edge and width of its
        rounding cell (last axis of size 2); or as the code of a level.
    is_mass : bool
        Whether ``log_prob`` is the log of a probability (True) or of a density (False).
    """

    kinds: frozenset[str] = frozenset({"continuous", "datetime", "integer"})
    target: str = "value"
    is_mass: bool = False

    @abstractmethod
    def n_outputs(self, column: Any) -> int:
        """How many functions of z the decoder learns for a column."""

    def n_constants(self, column: Any) -> int:
        """How many numbers, the same for every z, are learned for a column.

        They come after the functions of z on the last axis of ``outputs``.
        """
        return 0

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor: ...

    @abstractmethod
    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor: ...

    @abstractmethod
    def point(self, outputs: Tensor, columns: Any) -> Tensor: ...

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Where the closed-form start puts the decoder: outputs = bias + gain · features.

        ``features`` is the linear prediction of the column's encoded features, `noise` the
        standard deviation that it leaves. The default leaves the outputs at zero.

        Returns
        -------
        bias : ndarray of shape (n_outputs + n_constants,)
        gain : ndarray of shape (n_outputs + n_constants, n_features)
            One feature a number, one a level; columns with very many levels have none, and only
            the bias counts.
        """
        n = self.n_outputs(column) + self.n_constants(column)
        return np.zeros(n), np.zeros((n, getattr(column, "n_codes", 1)))

    def start_noise(self, residual: np.ndarray) -> np.ndarray:
        """Noise of the columns at the start, from what the linear prediction leaves."""
        return residual


def _softplus_inverse(y: float) -> float:
    return float(y + np.log(-np.expm1(-y)))


class Normal(Likelihood):
    r"""Gaussian, :math:`p(x_j|z) = N(x_j; \mu_j(z), \sigma_j(z)^2)`.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        The observation noise :math:`\sigma`. A function of z for each column; one learned number
        for each column, as in factor analysis; one learned number for all columns, as in
        probabilistic PCA; or a fixed number, in units of the scaled column (its standard
        deviation, unless the column is heavy-tailed). With a fixed :math:`\sigma = 1` the loss
        is half the squared error plus the KL term.

    Notes
    -----
    A learned scale is :math:`\sigma = \text{floor} + \text{softplus}(o)`, where the floor is the
    larger of 0.3 times the resolution of the column (the standard deviation of rounding) and
    1e-3, so that the density cannot run away on repeated or rounded values.

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.
    Tipping & Bishop (1999), Probabilistic Principal Component Analysis.

    Examples
    --------
    >>> from skvae.likelihoods import Normal
    >>> Normal(scale="shared")
    Normal(scale='shared')
    """

    parameter_constraints: ClassVar = {
        "scale": (
            "'conditional', 'column', 'shared' or a positive number",
            lambda v: v in ("conditional", "column", "shared") or is_real(v, above=0),
        )
    }

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def _learned(self) -> bool:
        return isinstance(self.scale, str)

    def n_outputs(self, column: Any) -> int:
        return 2 if self.scale == "conditional" else 1

    def n_constants(self, column: Any) -> int:
        return int(self.scale in ("column", "shared"))

    def location_scale(self, outputs: Tensor, columns: Any) -> tuple[Tensor, Tensor]:
        location = outputs[..., 0]
        if not self._learned():
            return location, torch.full_like(columns.resolution, float(self.scale))
        raw = outputs[..., 1]
        if self.scale == "shared":
            raw = raw.mean(dim=-1, keepdim=True)
            return location, 1e-3 + F.softplus(raw)
        return location, self._floor(columns.resolution) + F.softplus(raw)

    @staticmethod
    def _floor(resolution: Any) -> Any:
        return 0.3 * resolution + 1e-3

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return -0.5 * (((x - location) / scale) ** 2 + LOG_2PI) - torch.log(scale)

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        noise = torch.randn(location.shape, generator=generator, dtype=location.dtype)
        return location + scale * noise

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        if not self._learned():
            return np.zeros(1), np.ones((1, 1))
        floor = 1e-3 if self.scale == "shared" else self._floor(column.scaled_resolution)
        raw = _softplus_inverse(max(noise - floor, 1e-3))
        return np.array([0.0, raw]), np.array([[1.0], [0.0]])

    def start_noise(self, residual: np.ndarray) -> np.ndarray:
        if not self._learned():
            return np.full_like(residual, float(self.scale))
        if self.scale == "shared":
            return np.full_like(residual, np.sqrt(np.mean(residual**2)))
        return residual


class DiscretizedLogistic(Likelihood):
    r"""Probability mass of an integer: a logistic density summed over its rounding cell,

    .. math:: P(x_j = k|z) = s((k^+ - \mu_j(z))/\sigma_j(z)) - s((k^- - \mu_j(z))/\sigma_j(z)),

    with :math:`s` the logistic function and :math:`k^\pm` the scaled images of k ± ½. It sums to
    one over the integers, whatever the scaling of the column.

    References
    ----------
    Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow,
    arXiv:1606.04934. Salimans et al. (2017), PixelCNN++, arXiv:1701.05517.

    Examples
    --------
    >>> from skvae.likelihoods import DiscretizedLogistic
    >>> DiscretizedLogistic().is_mass
    True
    """

    target = "interval"
    is_mass = True

    def n_outputs(self, column: Any) -> int:
        return 2

    def location_scale(self, outputs: Tensor, columns: Any) -> tuple[Tensor, Tensor]:
        floor = self._floor(columns.resolution)
        return outputs[..., 0], floor + F.softplus(outputs[..., 1])

    @staticmethod
    def _floor(resolution: Any) -> Any:
        return 0.05 * resolution + 1e-4

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        lower, width = x.unbind(-1)
        below, above = (lower - location) / scale, (lower + width - location) / scale
        # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)), without cancellation
        log_width = torch.log(-torch.expm1(-width / scale))
        return F.logsigmoid(above) + F.logsigmoid(-below) + log_width

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        u = torch.rand(location.shape, generator=generator, dtype=location.dtype)
        return location + scale * torch.logit(u, eps=1e-12)

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        floor = self._floor(column.scaled_resolution)
        raw = _softplus_inverse(max(noise / LOGISTIC_STD - floor, 1e-3))
        return np.array([0.0, raw]), np.array([[1.0], [0.0]])


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
        sign = torch.where(x > 0, 1.0, -1.0).to(outputs.dtype)  # True is the positive scaled value
        return F.logsigmoid(sign * outputs[..., 0])

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        logit = outputs[..., 0]
        u = torch.rand(logit.shape, generator=generator, dtype=logit.dtype)
        return torch.sigmoid(logit) - u

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        p = column.probability
        return np.array([np.log(p / (1 - p))]), np.array([[1 / max(p * (1 - p), 0.01) ** 0.5]])


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
        chosen = logits.gather(-1, x.expand(logits.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        return chosen - torch.logsumexp(logits, dim=-1)

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        u = torch.rand(outputs.shape, generator=generator, dtype=outputs.dtype)
        gumbel = -torch.log(-torch.log(u.clamp(1e-30, 1 - 1e-16)))
        return (self._logits(outputs, columns) + gumbel).argmax(dim=-1)

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return self._logits(outputs, columns).argmax(dim=-1)

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        # Softmax, linearised at the shares p: feature (1[l] − p_l) / d_l gives logit log p_l + f/d_l
        bias = np.log(np.maximum(column.frequencies, 1e-12))
        if len(bias) > MAX_INDICATORS:
            return bias, np.zeros((len(bias), 0))
        return bias, np.diag(1 / indicator_spread(column.frequencies))


def indicator_spread(frequencies: np.ndarray) -> np.ndarray:
    """d_l = √p_l, bounded below: the scale of a level's indicator as an encoded feature."""
    return np.sqrt(np.maximum(frequencies, 0.01))


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "normal": Normal,
    "discretized_logistic": DiscretizedLogistic,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}

AUTO = {
    "continuous": "normal",
    "datetime": "normal",
    "integer": "discretized_logistic",
    "boolean": "bernoulli",
    "categorical": "categorical",
    "ordered": "categorical",
}
