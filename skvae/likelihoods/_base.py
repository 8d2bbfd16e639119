"""The contract of a likelihood, and what the families with a location and a scale share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._component import Component
from skvae._validation import a_real, is_real

# From weights of the cells: slopes of Σ weight · log p in the outputs and in the constants
Pullback = Callable[[Tensor], tuple[Tensor, Tensor]]


class Likelihood(ABC, Component):
    """What a family of p(x_j | z) has to say.

    Attributes
    ----------
    kinds : frozenset of str
        Kinds of column it can describe.
    target : {"value", "interval", "count", "code", "atoms", "atoms_interval"}
        How a cell reaches ``log_prob``: as one scaled number; as lower edge and width of its
        rounding cell (last axis of size 2); as a number that counts, not scaled; as the code of a
        level; as the scaled number, or the interval, followed by the number of its atom (0: none).
    is_mass : bool
        Whether ``log_prob`` is the log of a probability (True) or of a density (False).
    supports_vmap : bool
        Whether ``log_prob`` is a plain function of tensors, fit for ``torch.func.vmap``.
    transform : str or None
        The numeric map that the family asks for, in place of the column's.
    """

    kinds: frozenset[str] = frozenset({"continuous", "datetime", "integer"})
    target: str = "value"
    is_mass: bool = False
    transform: str | None = None
    supports_vmap: bool = True

    def check(self, column: Any) -> None:
        """Raise a ValueError that says why the family cannot describe a fitted column."""

    def supports(self, x: np.ndarray) -> np.ndarray:
        """Which numbers, in the units of the table, can occur at all."""
        return np.ones(len(x), dtype=bool)

    def atoms(self, column: Any) -> np.ndarray:
        """Values of a column, in its own units and sorted, that are told apart from all others."""
        return np.empty(0)

    @abstractmethod
    def n_outputs(self, column: Any) -> int:
        """How many functions of z the decoder learns for a column."""

    def n_constants(self, column: Any) -> int:
        """How many numbers, the same for every z, are learned: ``columns.constants``."""
        return 0

    def grid(self, column: Any) -> np.ndarray:
        """Fixed numbers that the family knows of a column: ``columns.grid``, padded with +inf.

        Shape (n_rows, n_entries), the same number of rows for every column.
        """
        return np.zeros((0, 0))

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor: ...

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        """``log_prob`` with its vector-Jacobian product written out, for speed, if a family likes.

        Training asks for it in place of automatic differentiation if ``is_written_out``. Several
        models may be asked at once: all shapes have an axis for them in front then,
        ``columns.constants`` has (M, 1, 1, n_columns, n_constants), and x (M, 1, n, …).

        Returns
        -------
        log_prob : Tensor of shape (K, n, n_columns)
        pullback : callable
            From weights of the cells, which broadcast to those, to the slopes of the sum of
            weight times log_prob: in the outputs, and in the constants, of the shapes of these.
            It is called once at most, and may use up what it holds.
        """
        raise NotImplementedError

    @property
    def is_written_out(self) -> bool:
        """Whether there is a ``vjp``, and no class below says log p in a way of its own."""
        written_out = self._owner("vjp") is not Likelihood
        return written_out and self._covers("vjp", "log_prob", "location_scale")

    def _owner(self, name: str) -> type:
        """The class that a method comes from."""
        return next((c for c in type(self).__mro__ if name in vars(c)), object)

    def _covers(self, slopes: str, *said: str) -> bool:
        """Whether the slopes come from the class that says the latter, or from one below it."""
        return all(issubclass(self._owner(slopes), self._owner(name)) for name in said)

    @abstractmethod
    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor: ...

    @abstractmethod
    def point(self, outputs: Tensor, columns: Any) -> Tensor: ...

    def mean(self, outputs: Tensor, columns: Any) -> Tensor:
        """Expected value of each cell, (..., n_columns); of levels and booleans the probabilities.

        Probabilities have one axis more: (..., n_columns, n_levels).
        """
        return self.point(outputs, columns)

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
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

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        """Noise of the columns at the start, from what the linear prediction leaves."""
        return residual


class LocationScale(Likelihood):
    r"""Families with a location μ_j(z) and a scale σ_j.

    A learned scale is σ = floor + softplus(o), with o the second output, or the first constant.
    """

    _constraints: ClassVar = {
        "min_scale": a_real("(0, inf)", above=0),
        "scale": (
            "'conditional', 'column', 'shared' or a positive number",
            lambda v: v in ("conditional", "column", "shared") or is_real(v, above=0),
        ),
    }
    resolution_share: float  # of the column's resolution, which a learned scale does not fall below
    min_scale: float  # what is added to it, in scaled units
    unit_std: float = 1.0  # standard deviation of the family at scale 1, where training starts
    scale: str | float

    def n_outputs(self, column: Any) -> int:
        return 2 if self.scale == "conditional" else 1

    def n_constants(self, column: Any) -> int:
        return int(self.scale in ("column", "shared"))

    def location_scale(self, outputs: Tensor, columns: Any) -> tuple[Tensor, Tensor]:
        """μ and σ of each cell."""
        if self.scale == "conditional":
            # Apart, not side by side: softplus of numbers in a row takes an eighth of the time.
            location, raw = outputs.movedim(-1, 0).contiguous().unbind(0)
            return location, self._floor(columns.resolution) + F.softplus(raw)
        location = outputs[..., 0]
        if not isinstance(self.scale, str):
            return location, torch.full_like(columns.resolution, float(self.scale))
        floor = self._floor(columns.resolution)
        raw = columns.constants[..., 0]
        if self.scale == "shared":
            return location, floor.min() + F.softplus(raw.mean(-1, keepdim=True))
        return location, floor + F.softplus(raw)

    def slopes(
        self, outputs: Tensor, columns: Any, of_location: Tensor, of_scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Slopes in outputs and constants from those in μ and σ, which may be overwritten."""
        of_outputs, of_constants = of_location.unsqueeze(-1), torch.zeros_like(columns.constants)
        if self.scale == "conditional":  # the slope of softplus is the logistic function
            of_raw = of_scale.mul_(torch.sigmoid(outputs[..., 1]))
            of_outputs = torch.stack([of_location, of_raw], dim=-1)
        elif self.scale == "column":
            raw = columns.constants[..., 0]
            of_constants[..., 0] = of_scale.sum_to_size(raw.shape) * torch.sigmoid(raw)
        elif self.scale == "shared":
            raw = columns.constants[..., 0].mean(-1, keepdim=True)
            total = of_scale.sum_to_size(raw.shape)
            of_constants[..., 0] = total * torch.sigmoid(raw) / of_scale.shape[-1]
        return of_outputs, of_constants

    def _floor(self, resolution: Any) -> Any:
        return self.resolution_share * resolution + self.min_scale

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        return outputs[..., 0]

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        n = self.n_outputs(column) + self.n_constants(column)
        bias, gain = np.zeros(n), np.zeros((n, 1))
        gain[0] = 1.0
        if isinstance(self.scale, str):
            scale = max(noise / self.unit_std - self._floor(column.scaled_resolution), 1e-3)
            bias[1] = scale + np.log(-np.expm1(-scale))  # inverse of softplus
        return bias, gain

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        if not isinstance(self.scale, str):
            return np.full_like(residual, self.scale * self.unit_std)
        if self.scale == "shared":
            return np.full_like(residual, np.sqrt(np.mean(residual**2)))
        return residual


class Standardised(LocationScale):
    r"""Families that are one curve, moved and stretched,

    .. math:: \log p(x_j|z) = \log f(r) - \log\sigma_j, \quad r = (x_j - \mu_j) / \sigma_j.
    """

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return self.standard((x - location) / scale, columns) - torch.log(scale)

    @abstractmethod
    def standard(self, r: Tensor, columns: Any) -> Tensor:
        """log f(r)."""

    def standard_with_slopes(self, r: Tensor, columns: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        """log f(r), ∂ log f / ∂r, and ∂ log f / ∂ the last constant where it shapes f.

        For ``vjp``: a family that lacks it is differentiated. The slopes are new tensors, which
        are overwritten.
        """
        raise NotImplementedError

    @property
    def is_written_out(self) -> bool:
        mine = self._covers("standard_with_slopes", "standard", "degrees_of_freedom")
        return super().is_written_out and (mine or self._owner("vjp") is not Standardised)

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        location, scale = self.location_scale(outputs, columns)
        r = (x - location) / scale
        log_f, of_r, of_shape = self.standard_with_slopes(r, columns)

        def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
            per_unit = weight / scale
            of_location = of_r.mul_(per_unit).neg_()
            of_scale = of_location * r - per_unit
            slopes = self.slopes(outputs, columns, of_location, of_scale)
            if of_shape is not None:
                of_constants = slopes[1]
                shape = of_constants[..., -1].shape
                of_constants[..., -1] = (weight * of_shape).sum_to_size(shape)
            return slopes

        return log_f - torch.log(scale), pullback


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws, kept off 0 and 1."""
    u = torch.rand(like.shape, generator=generator, dtype=like.dtype)
    return u.clamp(1e-16, 1 - 1e-16)
