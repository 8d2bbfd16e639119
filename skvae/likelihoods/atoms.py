"""A smooth density with point masses at repeated values."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skvae._table.columns import MAX_LISTED
from skvae._validation import is_int, is_real

from ._base import Columns, FittedColumn, Likelihood, LocationScale, Residual
from ._levels import discriminant, draw_level, pick, positions
from .student_t import StudentT

ROWS_PER_LEVEL = 10
MIN_COUNT = 5.0  # cells that have the value of an atom


class Atoms(Likelihood):
    r"""Mixture of point masses at repeated values (atoms) and a smooth density (slab),

    .. math:: p(x_j|z) = \pi_0(z)\, p_\text{slab}(x_j|z)
        + \sum_a \pi_a(z)\, \frac{1[x_j = a]}{w_a},

    with proportions :math:`\pi(z)` by softmax. It describes zero-inflated amounts, values censored
    at a limit, and numbers with few different values, where every value is an atom. In a
    continuous column the density of an atom is its mass divided by the width :math:`w_a` of its
    rounding cell, the resolution of the column; for integers :math:`w_a = 1`.

    Parameters
    ----------
    slab : LocationScale, default=None
        Likelihood of the other values. None: ``StudentT()``. With ``DiscretizedLogistic()`` the
        mixture is a probability mass, for integers.
    max_levels : int, default=24
        In a column with at most this many different values, which occur ten times on average, all
        values are atoms. At most 256.
    min_share : float or None, default=None
        In other columns, a value is an atom if at least this proportion of the cells has it. None:
        if it stands out, because 3 % of the cells have it and it is four times as frequent as the
        values around it, or because it is rarer but more prominent, or because it is repeated far
        from all others, as codes are. If none stands out, all values that occur five times are
        atoms, in a column of more than 256 different values the 64 most frequent ones at most.

    Notes
    -----
    The width of a cell is at least 0.0025 scaled units, so that in a column of floats with
    negligible resolution the density of an atom is not above that of a Gaussian with the smallest
    scale.

    References
    ----------
    Mitchell & Beauchamp (1988), Bayesian Variable Selection in Linear Regression (spike and
    slab). Lambert (1992), Zero-Inflated Poisson Regression.

    Examples
    --------
    >>> from skvae import Atoms, StudentT
    >>> Atoms(slab=StudentT(scale="column"))
    Atoms(slab=StudentT(scale='column'))
    """

    kinds = frozenset({"continuous", "datetime", "integer"})
    _constraints: ClassVar = {
        "slab": ("None, or Normal(), StudentT() or DiscretizedLogistic()",
                 lambda v: v is None or (isinstance(v, LocationScale) and v.transform is None)),
        "max_levels": (
            f"an int in the range [0, {MAX_LISTED}]",
            lambda v: is_int(v, least=0) and v <= MAX_LISTED,
        ),
        "min_share": (
            "None or a number in the range (0, 1]",
            lambda v: v is None or is_real(v, above=0, most=1),
        ),
    }  # fmt: skip

    def __init__(
        self, slab: Any = None, *, max_levels: int = 24, min_share: float | None = None
    ) -> None:
        self.slab = slab
        self.max_levels = max_levels
        self.min_share = min_share

    @property
    def slab_likelihood(self) -> LocationScale:
        """The likelihood of the slab, with its default resolved."""
        return StudentT() if self.slab is None else self.slab

    @property
    def target(self) -> str:  # type: ignore[override]
        return "atoms_interval" if self.slab_likelihood.target == "interval" else "atoms"

    @property
    def is_mass(self) -> bool:  # type: ignore[override]
        return self.slab_likelihood.is_mass

    def atoms(self, column: FittedColumn) -> np.ndarray:
        return self.values(column)[0]

    def values(self, column: FittedColumn) -> tuple[np.ndarray, np.ndarray]:
        """The atoms of a column, in its own units, and their proportions of the cells."""
        is_atom = self.stands_out(column)
        if self.min_share is not None and not self._are_few(column):
            is_atom = column.shares >= self.min_share
        elif not is_atom.any():
            is_atom = column.shares * column.weight >= MIN_COUNT
        return column.repeated[is_atom], column.shares[is_atom]

    def stands_out(self, column: FittedColumn) -> np.ndarray:
        """Which of the frequent values of a column are atoms if the user has not chosen."""
        if self._are_few(column):
            return np.ones(len(column.repeated), dtype=bool)
        return np.asarray(column.is_spike, dtype=bool)

    def _are_few(self, column: FittedColumn) -> bool:
        """Whether every value is an atom."""
        return column.n_distinct <= min(self.max_levels, column.weight / ROWS_PER_LEVEL)

    def check(self, column: FittedColumn) -> None:
        if self.is_mass and column.kind != "integer":
            raise ValueError(
                f"{self!r} is a probability mass, for integers, but column {column.name!r} is "
                f"{column.kind}. Choose likelihood=Atoms()."
            )
        if not len(self.values(column)[0]):
            asked = f"makes up min_share={self.min_share} of the cells"
            advice = "Lower min_share, or choose"
            if self.min_share is None:
                asked, advice = f"occurs {MIN_COUNT:.0f} times", "Choose"
            raise ValueError(
                f"{self!r} needs a repeated value, but no value of column {column.name!r} "
                f"{asked}: the most frequent of {column.n_distinct} values makes up "
                f"{column.shares.max():.2g}. {advice} likelihood={self.slab_likelihood!r}."
            )

    def n_outputs(self, column: FittedColumn) -> int:
        return self.slab_likelihood.n_outputs(column) + len(self.values(column)[0])

    def n_constants(self, column: FittedColumn) -> int:
        return self.slab_likelihood.n_constants(column)

    def grid(self, column: FittedColumn) -> np.ndarray:
        """Scaled positions of the atoms, and the logarithm of the width of their cells."""
        values = self.atoms(column)
        positions, width = column.map.forward(values), column.cell_width(values)
        return np.stack([positions, np.zeros_like(width) if self.is_mass else np.log(width)])

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        slab, log_proportions = self.split(outputs, columns)
        smooth, atom = self.targets(x)
        log_slab = log_proportions[..., 0] + self.slab_likelihood.log_prob(smooth, slab, columns)
        return self.with_atoms(log_slab, log_proportions, atom, columns)[0]

    def targets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The target of the slab, and the number of the atom of each cell (0: none)."""
        smooth = x[..., :-1]
        return smooth.squeeze(-1) if self.target == "atoms" else smooth, x[..., -1].long()

    def with_atoms(
        self, log_slab: Tensor, log_proportions: Tensor, atom: Tensor, columns: Columns
    ) -> tuple[Tensor, Tensor]:
        """log p of each cell, and the log-odds of its atom against the slab; −∞ without atom."""
        column = positions(columns.grid)
        log_width = columns.grid[column, 1, (atom - 1).clamp(min=0)]
        log_atom = (pick(log_proportions, atom) - log_width).masked_fill(atom == 0, -torch.inf)
        return torch.logaddexp(log_slab, log_atom), log_atom - log_slab

    def split(self, outputs: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        """The outputs of the slab, and the log-proportions of the slab and of each atom."""
        n = outputs.shape[-1] - columns.grid.shape[-1]
        logits = outputs[..., n:]
        if columns.level_mask is not None:
            logits = logits.masked_fill(~columns.level_mask[:, n:], -torch.inf)
        logits = torch.cat([torch.zeros_like(logits[..., :1]), logits], dim=-1)
        return outputs[..., :n], logits - torch.logsumexp(logits, dim=-1, keepdim=True)

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        slab, log_proportions = self.split(outputs, columns)
        which = draw_level(log_proportions, generator)
        smooth = self.slab_likelihood.sample(slab, columns, generator)
        return torch.where(which == 0, smooth, self._position(which, columns))

    def _position(self, which: Tensor, columns: Columns) -> Tensor:
        """Scaled values of the atoms of the given numbers, counted from 1."""
        return columns.grid[positions(columns.grid), 0, (which - 1).clamp(min=0)]

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        """The mean; where the atoms have more than half of the mass, the atom nearest to it."""
        _, log_proportions = self.split(outputs, columns)
        proportions, positions = log_proportions.exp(), columns.grid[:, 0]
        mean = self.mean(outputs, columns)
        distance = (mean.unsqueeze(-1) - positions).abs()
        nearest = self._position(distance.argmin(-1) + 1, columns)
        return torch.where(proportions[..., 0] > 0.5, mean, nearest)

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        slab, log_proportions = self.split(outputs, columns)
        proportions, positions = log_proportions.exp(), columns.grid[:, 0]
        finite = torch.where(torch.isfinite(positions), positions, 0.0)
        slab_mean = proportions[..., 0] * self.slab_likelihood.mean(slab, columns)
        return slab_mean + (proportions[..., 1:] * finite).sum(-1)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = self.slab_likelihood.initialize(column, residual)
        values, proportions = self.values(column)
        y = column.map.forward(values)
        rest = max(1 - proportions.sum(), 0.5 / column.weight)
        middle = np.clip(-(proportions @ y) / rest, -3, 3) if rest > 0.01 else 0.0
        within = np.clip(1 - proportions @ y**2 - rest * middle**2, 0, 1)
        centers, every = np.append(middle, y), np.append(rest, proportions)
        log_prior, atom_gain = discriminant(centers, every, residual.std, within)
        n = self.slab_likelihood.n_outputs(column)
        # The logit of the slab is 0: those of the atoms are relative to it.
        bias = np.concatenate([bias[:n], log_prior[1:] - log_prior[0], bias[n:]])
        gain = np.concatenate([gain[:n], (atom_gain[1:] - atom_gain[0])[:, None], gain[n:]])
        return bias, gain

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        return self.slab_likelihood.initial_noise(residual)
