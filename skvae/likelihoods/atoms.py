"""Values that a column repeats, beside a smooth density."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skvae._table.columns import MAX_REPEATED
from skvae._validation import a_real, is_int

from ._base import Likelihood, LocationScale, Pullback
from ._levels import add_at, discriminant, draw_level, pick
from .student_t import StudentT

ROWS_PER_LEVEL = 10
MIN_PROMINENCE = 4.0


class Atoms(Likelihood):
    r"""Point masses at repeated values (atoms), and a slab for everything else,

    .. math:: p(x_j|z) = \pi_0(z)\, p_\text{slab}(x_j|z)
        + \sum_a \pi_a(z)\, \frac{1[x_j = a]}{w_a},

    with shares :math:`\pi(z)` by softmax. It is for zero-inflated amounts, for values piled up at
    a limit, and for numbers with few values, where every value is an atom. In a continuous column
    an atom counts as its mass over the width :math:`w_a` of its cell, the resolution of the
    column; among integers :math:`w_a = 1`.

    Parameters
    ----------
    slab : LocationScale, default=None
        Family of the other values. None: ``StudentT()``. ``DiscretizedLogistic()`` makes the
        mixture a probability mass, for integers.
    max_levels : int, default=24
        Columns with at most so many different values, each seen ten times on average, have them
        all as atoms; at most 32.
    min_share : float, default=0.03
        Share of the cells from which a value of another column is an atom, if it is also four
        times as frequent as the values around it.

    Notes
    -----
    The width of a cell is at least 0.0025 scaled units: where a column of floats has no
    resolution to speak of, an atom scores no more than a Gaussian at its floor.

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
            f"an int in the range [0, {MAX_REPEATED}]",
            lambda v: is_int(v, least=0) and v <= MAX_REPEATED,
        ),
        "min_share": a_real("(0, 1]", above=0, most=1),
    }  # fmt: skip

    def __init__(self, slab: Any = None, *, max_levels: int = 24, min_share: float = 0.03) -> None:
        self.slab = slab
        self.max_levels = max_levels
        self.min_share = min_share

    @property
    def _slab(self) -> LocationScale:
        return StudentT() if self.slab is None else self.slab

    @property
    def target(self) -> str:  # type: ignore[override]
        return "atoms_interval" if self._slab.target == "interval" else "atoms"

    @property
    def is_mass(self) -> bool:  # type: ignore[override]
        return self._slab.is_mass

    @property
    def is_written_out(self) -> bool:
        return super().is_written_out and self._slab.is_written_out

    def atoms(self, column: Any) -> np.ndarray:
        return self.values(column)[0]

    def values(self, column: Any) -> tuple[np.ndarray, np.ndarray]:
        """The atoms of a column, in its own units, and their shares of the cells."""
        repeated, shares = column.repeated, column.shares
        if column.n_distinct <= min(self.max_levels, column.weight / ROWS_PER_LEVEL):
            return repeated, shares
        is_atom = (shares >= self.min_share) & (column.prominence >= MIN_PROMINENCE)
        return repeated[is_atom], shares[is_atom]

    def check(self, column: Any) -> None:
        if self.is_mass and column.kind != "integer":
            raise ValueError(
                f"{self!r} is a probability mass, for integers, but column {column.name!r} is "
                f"{column.kind}. Choose likelihood=Atoms()."
            )
        if not len(self.values(column)[0]):
            raise ValueError(
                f"{self!r} finds no value in column {column.name!r} that stands out and makes up "
                f"min_share={self.min_share} of the cells. Lower min_share, or choose "
                f"likelihood={self._slab!r}."
            )

    def n_outputs(self, column: Any) -> int:
        return self._slab.n_outputs(column) + len(self.values(column)[0])

    def n_constants(self, column: Any) -> int:
        return self._slab.n_constants(column)

    def grid(self, column: Any) -> np.ndarray:
        """Scaled positions of the atoms, and the logarithm of the width of their cells."""
        values = self.atoms(column)
        positions, width = column.map.forward(values), column.cell_width(values)
        return np.stack([positions, np.zeros_like(width) if self.is_mass else np.log(width)])

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        slab, log_proportions = self._split(outputs, columns)
        smooth, atom = self._targets(x)
        log_slab = log_proportions[..., 0] + self._slab.log_prob(smooth, slab, columns)
        return self._with_atoms(log_slab, log_proportions, atom, columns)[0]

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        slab, log_proportions = self._split(outputs, columns)
        smooth, atom = self._targets(x)
        log_smooth, of_slab = self._slab.vjp(smooth, slab, columns)
        log_slab = log_proportions[..., 0] + log_smooth
        cells, log_odds = self._with_atoms(log_slab, log_proportions, atom, columns)

        def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
            # The cell belongs to its atom with chance r, to the slab otherwise.
            of_atom = torch.sigmoid(log_odds).mul_(weight)
            of_smooth, of_constants = of_slab(weight - of_atom)
            slope = log_proportions.exp().mul_(-weight.expand(cells.shape).unsqueeze(-1))
            slope = add_at(slope, atom, of_atom.unsqueeze(-1))[..., 1:]
            return torch.cat([of_smooth, slope], dim=-1), of_constants

        return cells, pullback

    def _targets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the slab reads of a cell, and the number of its atom."""
        smooth = x[..., :-1]
        return smooth.squeeze(-1) if self.target == "atoms" else smooth, x[..., -1].long()

    def _with_atoms(
        self, log_slab: Tensor, log_proportions: Tensor, atom: Tensor, columns: Any
    ) -> tuple[Tensor, Tensor]:
        """log p of each cell, and the log-odds that it is its atom; −inf where it has none."""
        column = torch.arange(len(columns.grid), device=atom.device)
        log_width = columns.grid[column, 1, (atom - 1).clamp(min=0)]
        log_atom = (pick(log_proportions, atom) - log_width).masked_fill(atom == 0, -torch.inf)
        return torch.logaddexp(log_slab, log_atom), log_atom - log_slab

    def _split(self, outputs: Tensor, columns: Any) -> tuple[Tensor, Tensor]:
        """The slab's outputs, and the log-shares of the slab and of each atom."""
        n = self._slab.n_outputs(None)
        logits = outputs[..., n:]
        if columns.level_mask is not None:
            logits = logits.masked_fill(~columns.level_mask[:, n:], -torch.inf)
        logits = torch.cat([torch.zeros_like(logits[..., :1]), logits], dim=-1)
        return outputs[..., :n], logits - torch.logsumexp(logits, dim=-1, keepdim=True)

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        slab, log_proportions = self._split(outputs, columns)
        which = draw_level(log_proportions, generator)
        smooth = self._slab.sample(slab, columns, generator)
        return torch.where(which == 0, smooth, self._position(which, columns))

    def _position(self, which: Tensor, columns: Any) -> Tensor:
        """Scaled values of the atoms of the given numbers, counted from 1."""
        return columns.grid[torch.arange(len(columns.grid)), 0, (which - 1).clamp(min=0)]

    def point(self, outputs: Tensor, columns: Any) -> Tensor:
        """The mean; where atoms are the rule, the atom nearest to it."""
        _, log_proportions = self._split(outputs, columns)
        shares, positions = log_proportions.exp(), columns.grid[:, 0]
        mean = self.mean(outputs, columns)
        distance = (mean.unsqueeze(-1) - positions).abs()
        nearest = self._position(distance.argmin(-1) + 1, columns)
        return torch.where(shares[..., 0] > 0.5, mean, nearest)

    def mean(self, outputs: Tensor, columns: Any) -> Tensor:
        slab, log_proportions = self._split(outputs, columns)
        shares, positions = log_proportions.exp(), columns.grid[:, 0]
        finite = torch.where(torch.isfinite(positions), positions, 0.0)
        return shares[..., 0] * self._slab.mean(slab, columns) + (shares[..., 1:] * finite).sum(-1)

    def initialize(self, column: Any, noise: float) -> tuple[np.ndarray, np.ndarray]:
        bias, gain = self._slab.initialize(column, noise)
        values, shares = self.values(column)
        y = column.map.forward(values)
        rest = max(1 - shares.sum(), 0.5 / column.weight)
        middle = np.clip(-(shares @ y) / rest, -3, 3) if rest > 0.01 else 0.0
        within = np.clip(1 - shares @ y**2 - rest * middle**2, 0, 1)
        centers, every = np.append(middle, y), np.append(rest, shares)
        log_proportions, slope = discriminant(centers, every, noise, within)
        n = self._slab.n_outputs(column)
        bias = np.concatenate([bias[:n], log_proportions[1:] - log_proportions[0], bias[n:]])
        gain = np.concatenate([gain[:n], (slope[1:] - slope[0])[:, None], gain[n:]])
        return bias, gain

    def initial_noise(self, residual: np.ndarray) -> np.ndarray:
        return self._slab.initial_noise(residual)
