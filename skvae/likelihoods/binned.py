"""The histogram likelihood."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from skvae._table.columns import MAX_REPEATED, MIN_WIDTH
from skvae._validation import an_int, one_of

from ._base import Columns, FittedColumn, Likelihood, Residual, uniform
from ._levels import discriminant, draw_level, pick, positions
from .atoms import ROWS_PER_LEVEL


class Binned(Likelihood):
    r"""Histogram over quantile bins, with exponential tails outside,

    .. math:: p(x_j|z) = \sum_b \pi_b(z)\, f_b(x_j),

    with proportions :math:`\pi(z)` by softmax, for densities of any shape. A value that is often
    repeated gets a bin of its own, as wide as the resolution of the column; a column with few
    different values has a bin for each of them.

    Parameters
    ----------
    n_bins : int, default=24
        Number of bins between the extreme values. There are fewer if quantiles coincide, and more
        if values are repeated.
    within : {"uniform", "linear"}, default="uniform"
        Shape of :math:`f_b`: constant on a bin, or a triangle over two neighboring bins, which
        makes the density continuous.

    Notes
    -----
    Bins are at least about 0.0025 scaled units wide. The tails are exponential with scale ½.

    References
    ----------
    van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel Recurrent Neural Networks,
    arXiv:1601.06759 (softmax over the values of a number).

    Examples
    --------
    >>> from skvae import Binned
    >>> Binned(n_bins=12)
    Binned(n_bins=12)
    """

    _constraints: ClassVar = {"n_bins": an_int(2), "within": one_of("uniform", "linear")}
    tail = 0.5

    def __init__(self, n_bins: int = 24, *, within: str = "uniform") -> None:
        self.n_bins = n_bins
        self.within = within

    def edges(self, column: FittedColumn) -> np.ndarray:
        """Edges of the bins in scaled units, shape (n_edges,)."""
        few = column.n_distinct <= min(self.n_bins, MAX_REPEATED, column.weight / ROWS_PER_LEVEL)
        repeated = column.repeated[(column.shares >= 1 / self.n_bins) | few]
        half = np.maximum(column.cell_width(repeated), MIN_WIDTH) / 2
        repeated = column.map.forward(repeated)
        steps = np.linspace(0, len(column.quantiles) - 1, self.n_bins + 1).round().astype(int)
        # Edges lie between rounded values, so that each bin is a union of rounding cells.
        ends = column.quantiles[steps] - column.resolution / 2
        edges = column.map.forward(np.append(ends[:-1], ends[-1] + column.resolution))
        near = np.abs(edges[:, None] - repeated) < half + MIN_WIDTH
        edges = np.concatenate([edges[~near.any(1)], repeated - half, repeated + half])
        edges = np.unique(edges)
        keep = np.concatenate([[True], np.diff(edges) > 0.9 * MIN_WIDTH])
        edges = edges[keep]
        return edges if len(edges) > 1 else edges[0] + np.array([-0.5, 0.5]) * MIN_WIDTH

    def grid(self, column: FittedColumn) -> np.ndarray:
        return self.edges(column)[None]

    def n_outputs(self, column: FittedColumn) -> int:
        # The tails come first, so that the padding is at the end.
        return 2 + len(self.edges(column)) - (self.within == "uniform")

    def _log_proportions(self, outputs: Tensor, columns: Columns) -> Tensor:
        if columns.level_mask is not None:
            outputs = outputs.masked_fill(~columns.level_mask, -torch.inf)
        return torch.log_softmax(outputs, dim=-1)

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        log_proportions, edges = self._log_proportions(outputs, columns), columns.grid[:, 0]
        last = torch.isfinite(edges).sum(-1) - 1
        low, high = edges[:, 0], edges[positions(edges), last]
        at = (x.unsqueeze(-1) >= edges).sum(-1) - 1
        bin_ = torch.minimum(at.clamp(min=0), last - 1)
        columns_ = positions(edges)
        left, right = edges[columns_, bin_], edges[columns_, bin_ + 1]
        inside = self._inside(x, log_proportions, bin_, left, right, edges)
        below = log_proportions[..., 0] - np.log(self.tail) - (low - x).clamp(min=0) / self.tail
        above = log_proportions[..., 1] - np.log(self.tail) - (x - high).clamp(min=0) / self.tail
        return torch.where(x < low, below, torch.where(x > high, above, inside))

    def _inside(
        self, x: Tensor, log_proportions: Tensor, bin_: Tensor, left: Tensor, right: Tensor,
        edges: Tensor,
    ) -> Tensor:  # fmt: skip
        """The logarithm of the density between the extreme edges."""

        def log_proportion(index: Tensor) -> Tensor:
            return pick(log_proportions, index + 2)

        if self.within == "uniform":
            return log_proportion(bin_) - torch.log(right - left)
        t = ((x - left) / (right - left)).clamp(1e-6, 1 - 1e-6)
        height = torch.log(_heights(edges))
        columns_ = positions(edges)
        first, second = height[columns_, bin_], height[columns_, bin_ + 1]
        return torch.logaddexp(
            log_proportion(bin_) + first + torch.log1p(-t),
            log_proportion(bin_ + 1) + second + torch.log(t),
        )

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        log_proportions, edges = self._log_proportions(outputs, columns), columns.grid[:, 0]
        which = draw_level(log_proportions, generator)
        u, side = uniform(which.to(edges), generator), uniform(which.to(edges), generator)
        index = (which - 2).clamp(min=0)
        every, columns_ = edges.shape[1] - 1, positions(edges)
        last = torch.isfinite(edges).sum(-1) - 1
        here = edges[columns_, index]
        after = edges[columns_, torch.minimum((index + 1).clamp(max=every), last)]
        if self.within == "uniform":
            x = here + u * (after - here)
        else:  # a triangle: a side in proportion to its width, on which the density is linear
            before = edges[columns_, (index - 1).clamp(min=0)]
            is_right = side * (after - before) < after - here
            x = here + torch.where(is_right, after - here, before - here) * (1 - torch.sqrt(u))
        tail = -self.tail * torch.log(u)
        x = torch.where(which == 0, edges[:, 0] - tail, x)
        return torch.where(which == 1, edges[columns_, last] + tail, x)

    def point(self, outputs: Tensor, columns: Columns) -> Tensor:
        """The mean; if one bin has more than half of the mass, its center."""
        middles = self._middles(columns.grid[:, 0])
        best, which = self._log_proportions(outputs, columns)[..., 2:].exp().max(-1)
        middle = middles[positions(middles), which]
        return torch.where(best > 0.5, middle, self.mean(outputs, columns))

    def mean(self, outputs: Tensor, columns: Columns) -> Tensor:
        proportions, edges = self._log_proportions(outputs, columns).exp(), columns.grid[:, 0]
        last = torch.isfinite(edges).sum(-1) - 1
        low, high = edges[:, 0], edges[positions(edges), last]
        mean = (proportions[..., 2:] * self._centers(edges)).sum(-1)
        below = proportions[..., 0] * (low - self.tail)
        return mean + below + proportions[..., 1] * (high + self.tail)

    def _middles(self, edges: Tensor) -> Tensor:
        """The middle of each bin or triangle, (n_columns, n_bins)."""
        middles = edges if self.within == "linear" else (edges[:, 1:] + edges[:, :-1]) / 2
        return torch.where(torch.isfinite(middles), middles, 0.0)

    def _centers(self, edges: Tensor) -> Tensor:
        """The mean of f_b of each bin, (n_columns, n_bins)."""
        if self.within == "uniform":
            return self._middles(edges)
        before = torch.cat([edges[:, :1], edges[:, :-1]], dim=1)
        after = torch.cat([edges[:, 1:], edges[:, -1:]], dim=1)
        after = torch.where(torch.isfinite(after), after, edges)
        centers = (before + edges + after) / 3
        return torch.where(torch.isfinite(edges), centers, 0.0)

    def initialize(self, column: FittedColumn, residual: Residual) -> tuple[np.ndarray, np.ndarray]:
        edges = self.edges(column)
        cumulated = np.interp(edges, column.map.forward(column.quantiles),
                              np.linspace(0, 1, len(column.quantiles)))  # fmt: skip
        proportions, centers = np.diff(cumulated), (edges[1:] + edges[:-1]) / 2
        for value, own in zip(column.map.forward(column.repeated), column.shares, strict=True):
            inside = (edges[:-1] <= value) & (value <= edges[1:])
            proportions[inside] = np.maximum(proportions[inside], own / max(inside.sum(), 1))
        if self.within == "linear":
            proportions = np.convolve(proportions, [0.5, 0.5])
            centers = edges
        least = 0.5 / column.weight
        proportions = np.concatenate([[least, least], np.maximum(proportions, least)])
        centers = np.concatenate([[edges[0], edges[-1]], centers])
        bias, gain = discriminant(centers, proportions / proportions.sum(), residual.std)
        return bias, gain[:, None]


def _heights(edges: Tensor) -> Tensor:
    """Heights of the triangles of area one over the edges, shape (n_columns, n_edges)."""
    before = torch.cat([edges[:, :1], edges[:, :-1]], dim=1)
    finite = torch.isfinite(edges)
    after = torch.cat([edges[:, 1:], edges[:, -1:]], dim=1)
    after = torch.where(torch.isfinite(after), after, edges)
    return torch.where(finite, 2 / (after - before).clamp(min=1e-12), 1.0)
