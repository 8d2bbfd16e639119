"""The contract of a likelihood, and the base classes of families with a location and a scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._component import Component
from skvae._nn import noise
from skvae._nn.densities import inverse_softplus
from skvae._table.scaling import Map
from skvae._validation import a_real, is_real


class Columns(Protocol):
    """The columns of a group, as the densities see them: d columns with one likelihood.

    Attributes
    ----------
    constants : Tensor of shape (d, n_constants)
        Numbers that are learned for each column and are the same for every z. During the training
        of M stacked models the shape may be (M, 1, 1, d, n_constants).
    resolution : Tensor of shape (d,)
        Smallest step between two values of a column, in scaled units.
    grid : Tensor of shape (d, n_rows, n_entries)
        The fixed numbers of :meth:`Likelihood.grid`, padded with +inf.
    level_mask : Tensor of shape (d, n_outputs) or None
        Which outputs belong to the column and are not padding. None: all of them.
    """

    @property
    def constants(self) -> Tensor: ...
    @property
    def resolution(self) -> Tensor: ...
    @property
    def grid(self) -> Tensor: ...
    @property
    def level_mask(self) -> Tensor | None: ...


@dataclass(frozen=True)
class Residual:
    """Residuals of the linear prediction of a column, at the start of training.

    Attributes
    ----------
    std : float
        Standard deviation, in scaled units.
    degrees_of_freedom, scale : float
        Student's t that is closest to the residuals divided by `std`.
    """

    std: float
    degrees_of_freedom: float = 4.0
    scale: float = 1 / 1.2  # closest to a standard normal at ν = 4


class FittedColumn(Protocol):
    """The statistics of one fitted column that likelihoods use (:mod:`skvae._table.columns`).

    Columns of numbers have those from `map` to `probability`, columns of levels the last three.
    """

    name: Any
    kind: str
    weight: float  # sum of the sample weights of the observed cells
    map: Map
    origin: int
    minimum: float
    maximum: float
    resolution: float
    decimals: int | None
    step: int
    n_distinct: int
    repeated: np.ndarray
    shares: np.ndarray
    is_spike: np.ndarray
    has_codes: bool
    quantiles: np.ndarray
    probability: float
    pools: bool

    @property
    def scaled_resolution(self) -> float: ...
    def cell_width(self, values: np.ndarray) -> np.ndarray: ...
    @property
    def n_codes(self) -> int: ...
    @property
    def frequencies(self) -> np.ndarray: ...


class Likelihood(ABC, Component):
    """A family of distributions p(x_j | z) of the cells of a column.

    Attributes
    ----------
    kinds : frozenset of str
        Kinds of column that the family can describe.
    target : {"value", "interval", "count", "code", "atoms", "atoms_interval"}
        Form in which ``log_prob`` receives a cell. "value": one scaled number. "interval": lower
        edge and width of the rounding cell, in a last axis of size 2. "count": an integer that is
        not scaled. "code": the code of a level. "atoms" and "atoms_interval": the scaled number or
        the interval, followed by the number of the atom of the cell (0: none).
    is_mass : bool
        Whether ``log_prob`` is the logarithm of a probability (True) or of a density (False).
    supports_vmap : bool
        Whether ``log_prob`` can be used with ``torch.func.vmap``: it has no data-dependent control
        flow and no side effects.
    transform : str or None
        The transform of the numbers that the family needs, in place of that of the column.
    """

    kinds: frozenset[str] = frozenset({"continuous", "datetime", "integer"})
    target: str = "value"
    is_mass: bool = False
    transform: str | None = None
    supports_vmap: bool = True

    def check(self, column: FittedColumn) -> None:
        """Check that the family can describe a fitted column.

        Parameters
        ----------
        column : FittedColumn
            A column whose kind is among ``kinds``.

        Raises
        ------
        ValueError
            If it cannot; the message gives the reason and an alternative.
        """

    def supports(self, x: np.ndarray) -> np.ndarray:
        """Which numbers are in the support of the family.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Numbers in the units of the table.

        Returns
        -------
        supported : ndarray of bool, shape (n,)
        """
        return np.ones(len(x), dtype=bool)

    def atoms(self, column: FittedColumn) -> np.ndarray:
        """Values of a column that have a probability mass of their own.

        Returns
        -------
        values : ndarray of shape (n_atoms,)
            Sorted, in the units of the column.
        """
        return np.empty(0)

    @abstractmethod
    def n_outputs(self, column: FittedColumn) -> int:
        """Number of outputs of the decoder, functions of z, that a column needs."""

    def n_constants(self, column: FittedColumn) -> int:
        """Number of learned numbers that do not depend on z: ``columns.constants``."""
        return 0

    def grid(self, column: FittedColumn) -> np.ndarray:
        """Fixed numbers of a column that the densities use, such as the edges of bins.

        Returns
        -------
        grid : ndarray of shape (n_rows, n_entries)
            The number of rows is the same for every column. The grids of the columns of a group
            are padded with +inf and stacked as ``columns.grid``.
        """
        return np.zeros((0, 0))

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        """log p(x_j | z) of each cell.

        Parameters
        ----------
        x : Tensor of shape (n_rows, n_columns) or (n_rows, n_columns, n_numbers)
            The cells, in the form that ``target`` names.
        outputs : Tensor of shape (..., n_rows, n_columns, n_outputs)
            Outputs of the decoder. The leading axes hold the draws of z; x and outputs broadcast.
        columns : Columns

        Returns
        -------
        log_prob : Tensor of shape (..., n_rows, n_columns)
        """

    @abstractmethod
    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        """A draw of each cell from p(x_j | z).

        Parameters
        ----------
        outputs : Tensor of shape (..., n_columns, n_outputs)
        columns : Columns
        generator : torch.Generator

        Returns
        -------
        x : Tensor of shape (..., n_columns)
            Scaled numbers, counts, or codes of levels.
        """

    @abstractmethod
    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        """The value of each cell that ``inverse_transform`` returns, a mean, median or mode.

        Parameters
        ----------
        outputs : Tensor of shape (..., n_columns, n_outputs)
        columns : Columns

        Returns
        -------
        x : Tensor of shape (..., n_columns)
            Scaled numbers, counts, or codes of levels.
        """

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        """Expected value of each cell; for levels and booleans the probabilities of the levels.

        Parameters
        ----------
        outputs : Tensor of shape (..., n_columns, n_outputs)
        columns : Columns

        Returns
        -------
        mean : Tensor of shape (..., n_columns) or (..., n_columns, n_levels)
        """
        return self.point(outputs, columns)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        """Initial values of the decoder for a column: outputs = bias + gain · features.

        By default all outputs are zero.

        Parameters
        ----------
        column : FittedColumn
        residual : Residual
            What the linear prediction of the column leaves.

        Returns
        -------
        bias : ndarray of shape (n_outputs + n_constants,)
        gain : ndarray of shape (n_outputs + n_constants, n_features)
            One feature for a number, the linear prediction of its scaled value; for levels one
            feature per level. Columns with very many levels have no features.
        """
        n = self.n_outputs(column) + self.n_constants(column)
        return np.zeros(n), np.zeros((n, getattr(column, "n_codes", 1)))

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        """Standard deviations of the noise at the start of training.

        Parameters
        ----------
        residual : ndarray of shape (n_columns,)
            Standard deviations of the residuals of the linear prediction.

        Returns
        -------
        noise : ndarray of shape (n_columns,)
        """
        return residual


class LocationScale(Likelihood):
    r"""Families with a location μ_j(z) and a scale σ_j.

    A learned scale is :math:`\sigma = \text{floor} + \text{softplus}(o)`, where o is the second
    output (``scale="conditional"``) or the first constant.

    Attributes
    ----------
    resolution_factor : float
        The floor of a learned scale, relative to the resolution of the column.
    min_scale : float
        A number in scaled units that is added to this floor.
    unit_std : float
        Standard deviation of the family at scale 1, as it is at the start of training.
    """

    _constraints: ClassVar = {
        "min_scale": a_real("(0, inf)", above=0),
        "scale": (
            "'conditional', 'column', 'shared' or a positive number",
            lambda v: (
                v in ("conditional", "column", "shared")
                if isinstance(v, str)
                else is_real(v, above=0)
            ),
        ),
    }
    resolution_factor: float
    min_scale: float
    unit_std: float = 1.0
    scale: str | float

    def n_outputs(self, column: FittedColumn) -> int:
        return 2 if self.scale == "conditional" else 1

    def n_constants(self, column: FittedColumn) -> int:
        return int(self.scale in ("column", "shared"))

    def location_scale(self, outputs: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        """μ and σ of each cell, which broadcast to shape (..., n_columns)."""
        if self.scale == "conditional":
            # softplus takes an eighth of the time if its argument is contiguous.
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

    def _floor(self, resolution: Any) -> Any:
        return self.resolution_factor * resolution + self.min_scale

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        return outputs[..., 0]

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        n = self.n_outputs(column) + self.n_constants(column)
        bias, gain = np.zeros(n), np.zeros((n, 1))
        gain[0] = 1.0
        if isinstance(self.scale, str):
            scale = self.initial_scale(residual) - self._floor(column.scaled_resolution)
            bias[1] = inverse_softplus(max(scale, 1e-3))
        return bias, gain

    def initial_scale(self, residual: Residual) -> float:
        """σ at the start of training."""
        return residual.std / self.unit_std

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        if not isinstance(self.scale, str):
            return np.full_like(residual, self.scale * self.unit_std)
        if self.scale == "shared":
            return np.full_like(residual, np.sqrt(np.mean(residual**2)))
        return residual


class Standardized(LocationScale):
    r"""Families with one standard density f of the standardized residual,

    .. math:: \log p(x_j|z) = \log f(r) - \log\sigma_j, \quad r = (x_j - \mu_j) / \sigma_j.
    """

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return self.standard((x - location) / scale, columns) - torch.log(scale)

    @abstractmethod
    def standard(self, r: Tensor, columns: Columns) -> Tensor:
        """log f(r).

        Parameters
        ----------
        r : Tensor of shape (..., n_columns)
            Standardized residuals.
        columns : Columns

        Returns
        -------
        log_density : Tensor of shape (..., n_columns)
        """


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal draws of the shape and dtype of a tensor."""
    return noise.normal(like.shape, generator, like)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws from the open interval (0, 1)."""
    u = noise.uniform(like.shape, generator, like)
    return u.clamp(1e-16, 1 - 1e-16)
