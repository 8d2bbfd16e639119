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

__all__ = ["Bernoulli", "Categorical", "DiscretizedLogistic", "Likelihood", "LocationScale",
           "Normal", "StudentT"]  # fmt: skip

LOG_2PI = math.log(2 * math.pi)


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


class LocationScale(Likelihood):
    r"""Families with a location μ_j(z) and a scale σ_j.

    ``outputs`` holds the location, then the raw scale o where it is learned, then the numbers of
    the family. A learned scale is σ = floor + softplus(o).
    """

    parameter_constraints: ClassVar = {
        "scale": (
            "'conditional', 'column', 'shared' or a positive number",
            lambda v: v in ("conditional", "column", "shared") or is_real(v, above=0),
        )
    }
    floor: tuple[float, float]  # share of the column's resolution, and in scaled units
    unit_std: float = 1.0  # standard deviation of the family at scale 1, where training starts
    scale: str | float

    def n_outputs(self, column: Any) -> int:
        return 2 if self.scale == "conditional" else 1

    def n_constants(self, column: Any) -> int:
        return int(self.scale in ("column", "shared"))

    def location_scale(self, outputs: Tensor, columns: Any) -> tuple[Tensor, Tensor]:
        """μ and σ of each cell."""
        location = outputs[..., 0]
        if not isinstance(self.scale, str):
            return location, torch.full_like(columns.resolution, float(self.scale))
        raw, floor = outputs[..., 1], self._floor(columns.resolution)
        if self.scale == "shared":
            return location, floor.min() + F.softplus(raw.mean(dim=-1, keepdim=True))
        return location, floor + F.softplus(raw)

    def _floor(self, resolution: Any) -> Any:
        return self.floor[0] * resolution + self.floor[1]

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        n = self.n_outputs(column) + self.n_constants(column)
        bias, gain = np.zeros(n), np.zeros((n, 1))
        gain[0] = 1.0
        if isinstance(self.scale, str):
            scale = max(noise / self.unit_std - self._floor(column.scaled_resolution), 1e-3)
            bias[1] = scale + np.log(-np.expm1(-scale))  # inverse of softplus
        return bias, gain

    def start_noise(self, residual: np.ndarray) -> np.ndarray:
        if not isinstance(self.scale, str):
            return np.full_like(residual, self.scale * self.unit_std)
        if self.scale == "shared":
            return np.full_like(residual, np.sqrt(np.mean(residual**2)))
        return residual


class Normal(LocationScale):
    r"""Gaussian, :math:`p(x_j|z) = N(x_j; \mu_j(z), \sigma_j^2)`.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        The observation noise :math:`\sigma`. A function of z for each column; one learned number
        for each column, as in factor analysis; one learned number for all columns, as in
        probabilistic PCA; or a fixed number, in units of the scaled column (its standard
        deviation, unless the column is heavy-tailed). With a fixed :math:`\sigma = 1` the loss
        is half the squared error plus the KL term, up to a constant.

    Notes
    -----
    A learned scale does not fall below 0.3 times the resolution of the column (the standard
    deviation of rounding) plus 1e-3, so that the density cannot run away on repeated or rounded
    values.

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.
    Tipping & Bishop (1999), Probabilistic Principal Component Analysis.

    Examples
    --------
    >>> from skvae import Normal, VAETransformer
    >>> VAETransformer(likelihood=Normal(scale="shared"))
    VAETransformer(likelihood=Normal(scale='shared'))
    """

    floor = (0.3, 1e-3)

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return -0.5 * (((x - location) / scale) ** 2 + LOG_2PI) - torch.log(scale)

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * _randn(location, generator)


class StudentT(LocationScale):
    r"""Student's t, a Gaussian with tails that forgive a surprising value,

    .. math:: p(x_j|z) = \frac{\Gamma(\frac{\nu_j+1}2)}{\Gamma(\frac{\nu_j}2)
        \sqrt{\pi\nu_j}\,\sigma_j} \Big(1 + \frac{(x_j - \mu_j(z))^2}{\nu_j\sigma_j^2}
        \Big)^{-(\nu_j+1)/2},

    with degrees of freedom :math:`\nu_j > 1` learned for each column.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`.

    References
    ----------
    Lange, Little & Taylor (1989), Robust Statistical Modeling Using the t Distribution.
    Takahashi et al. (2018), Student-t Variational Autoencoder for Robust Density Estimation.

    Examples
    --------
    >>> from skvae import StudentT, VAETransformer
    >>> VAETransformer(likelihood={"income": StudentT(scale="column")})
    VAETransformer(likelihood={'income': StudentT(scale='column')})
    """

    floor = (0.3, 1e-3)
    unit_std = 1.2  # the scale 1/1.2 at ν = 4 is closest to a standard normal

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def n_constants(self, column: Any) -> int:
        return super().n_constants(column) + 1

    def degrees_of_freedom(self, outputs: Tensor) -> Tensor:
        """ν of each column, shape (n_columns,): the last constant, the same for every row."""
        return 1 + torch.exp(outputs[(0,) * (outputs.ndim - 2)][:, -1])

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        nu = self.degrees_of_freedom(outputs)
        half = (nu + 1) / 2
        log_norm = torch.lgamma(half) - torch.lgamma(nu / 2) - 0.5 * torch.log(math.pi * nu)
        squared = ((x - location) / scale).square()
        return log_norm - torch.log(scale) - half * torch.log1p(squared / nu)

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        # Bailey (1994): √(ν (U^(−2/ν) − 1)) cos(2πV) is Student's t for uniform U and V
        location, scale = self.location_scale(outputs, columns)
        nu = self.degrees_of_freedom(outputs)
        u, v = _rand(location, generator), _rand(location, generator)
        t = torch.sqrt(nu * torch.expm1(-2 / nu * torch.log1p(-u))) * torch.cos(2 * math.pi * v)
        return location + scale * t

    def start(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = super().start(column, noise)
        bias[-1] = np.log(3.0)  # ν = 4
        return bias, gain


class DiscretizedLogistic(LocationScale):
    r"""Probability mass of an integer: a logistic density summed over its rounding cell,

    .. math:: P(x_j = k|z) = s((k^+ - \mu_j(z))/\sigma_j(z)) - s((k^- - \mu_j(z))/\sigma_j(z)),

    with :math:`s` the logistic function and :math:`k^\pm` the scaled images of k ± ½. It sums to
    one over the integers, whatever the scaling of the column.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`; the standard deviation is 1.81 times as large.

    References
    ----------
    Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow,
    arXiv:1606.04934. Salimans et al. (2017), PixelCNN++, arXiv:1701.05517.

    Examples
    --------
    >>> from skvae import DiscretizedLogistic
    >>> DiscretizedLogistic().is_mass
    True
    """

    target = "interval"
    is_mass = True
    floor = (0.05, 1e-4)
    unit_std = math.pi / math.sqrt(3)

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        lower, width = x.unbind(-1)
        below, above = (lower - location) / scale, (lower + width - location) / scale
        # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)), without cancellation
        log_width = torch.log(-torch.expm1(-width / scale))
        return F.logsigmoid(above) + F.logsigmoid(-below) + log_width

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * torch.logit(_rand(location, generator))


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
        return torch.sigmoid(logit) - _rand(logit, generator)

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
        gumbel = -torch.log(-torch.log(_rand(outputs, generator)))  # its argmax is a draw
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


def _randn(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _rand(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws, kept off 0 and 1."""
    u = torch.rand(like.shape, generator=generator, dtype=like.dtype)
    return u.clamp(1e-16, 1 - 1e-16)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "normal": Normal,
    "student_t": StudentT,
    "discretized_logistic": DiscretizedLogistic,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}

AUTO = {
    "continuous": "student_t",
    "datetime": "student_t",
    "integer": "discretized_logistic",
    "boolean": "bernoulli",
    "categorical": "categorical",
    "ordered": "categorical",
}
