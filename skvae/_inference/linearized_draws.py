r"""Draws from the linearized posterior of each row, as many as its estimate needs.

The draws of a row are doubled until the standard error of its log-density,

.. math:: \sqrt{1 / \text{ESS} - 1 / K} \quad \text{(delta method)},

is small or no more are allowed. A row whose first draws are worth little is linearized again, at
the mean of its posterior as other draws estimate it. All decisions are made by the row alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._nn.noise import quasi_normal

from .importance import (
    MIN_EFFECTIVE_DRAWS,
    REFINE_SCRAMBLING,
    EncodedRows,
    Estimate,
    InferenceSettings,
)
from .linearization import Linearization, LinearizedPosterior

FIRST_DRAWS = 16
TOLERANCE = 0.15  # nats: standard error of a log-density, below which no draws are added
N_REPEATS, DECIDING_DRAWS = 3, 32  # times that a row may be linearized again, and draws for each
MIN_GAIN = 0.05  # nats that it must add


class LinearizedDraws:
    """Estimates of log p(x) by draws whose number follows the row.

    Attributes
    ----------
    chunk_size : int
        Rows of a call.
    """

    chunk_size = 4096

    def __init__(
        self, linearization: Linearization, settings: InferenceSettings, n_scramblings: int
    ) -> None:
        self.linearization, self.n_samples = linearization, settings.n_samples
        size = self.n_samples, linearization.n_noise
        self.device = linearization.model.device
        self.scramblings = [quasi_normal(*size, s).to(self.device) for s in range(n_scramblings)]

    def estimate(self, encoded: EncodedRows, with_cells: bool = False) -> Estimate:
        """log p(x) under each scrambling; with the expectations of log p(x_j | z)."""
        n, (first, *others) = len(encoded), rounds(self.n_samples)
        sums = [Sums(n, self.device) for _ in self.scramblings]
        if with_cells:
            sums[0].cells = self.scramblings[0].new_zeros(n, encoded.rows.n_columns)
        for index in torch.arange(n, device=self.device).split(self.linearization.chunk_size):
            posterior = self.linearization.posterior(encoded.take(index))
            self._add(sums, posterior, encoded.rows, index, first)
        # The few rows that need more are gathered, which is worth another linearization.
        ess = sums[0].ess
        is_weak, is_poor = ess < min(MIN_EFFECTIVE_DRAWS, first.stop), ~is_accurate(ess, first.stop)
        for some in (is_weak, is_poor & ~is_weak):
            for index in chunks(torch.nonzero(some).squeeze(1), self.linearization.chunk_size):
                rows = encoded.rows.take(index)
                posterior = self.linearization.posterior(encoded.take(index))
                if some is is_weak:
                    changed = linearize_again(self.linearization, posterior, rows)
                    for each in sums:
                        each.forget(index[changed])
                    self._add(sums, posterior.take(changed), encoded.rows, index[changed], first)
                active = torch.arange(len(index), device=self.device)
                for draws in others:
                    active = active[~is_accurate(sums[0].ess[index[active]], draws.start)]
                    self._add(sums, posterior.take(active), encoded.rows, index[active], draws)
        scores = torch.stack([each.log_mean for each in sums])
        return Estimate(scores, sums[0].ess, sums[0].cells)

    def _add(
        self,
        sums: list[Sums],
        posterior: LinearizedPosterior,
        rows: Rows,
        index: Tensor,
        draws: slice,
    ) -> None:
        """Add some draws from the posteriors of some rows to the sums of each scrambling."""
        if not len(index):
            return
        there = rows.take(index)
        for noise, each in zip(self.scramblings, sums, strict=True):
            _, log_w, cells = self.linearization.draw(posterior, there, noise[draws])
            each.add(index, log_w, cells)


def chunks(index: Tensor, size: int) -> Iterator[Tensor]:
    """At most `size` positions at once; of none there is no chunk."""
    return iter(index.split(size) if len(index) else ())


class Sums:
    """Sums over the draws of each row.

    Attributes
    ----------
    total, squares : Tensor of shape (n_rows,)
        log Σ w and log Σ w².
    n_draws : Tensor of shape (n_rows,)
    cells : Tensor of shape (n_rows, n_columns) or None
        Weighted means of log p(x_j | z).
    """

    def __init__(self, n_rows: int, device: torch.device | None = None) -> None:
        self.total = torch.full((n_rows,), -torch.inf, dtype=torch.float64, device=device)
        self.squares = self.total.clone()
        self.n_draws = self.total.new_zeros(n_rows, dtype=torch.long)
        self.cells: Tensor | None = None

    def add(self, index: Tensor, log_w: Tensor, cells: Tensor) -> None:
        """Further draws of the rows at some positions: weights (K, n), cells (K, n, n_columns)."""
        total = torch.logaddexp(self.total[index], torch.logsumexp(log_w, 0))
        if self.cells is not None:
            share = torch.exp(self.total[index] - total).nan_to_num(0.0).unsqueeze(-1)
            weights = torch.exp(log_w - total).unsqueeze(-1)
            weighted = torch.where(weights > 0, weights * cells, 0.0)  # 0 if no draw has a weight
            self.cells[index] = share * self.cells[index] + weighted.sum(0)
        self.total[index] = total
        squares = torch.logsumexp(2 * log_w, 0)
        self.squares[index] = torch.logaddexp(self.squares[index], squares)
        self.n_draws[index] += len(log_w)

    def forget(self, index: Tensor) -> None:
        """Start again for some rows."""
        self.total[index] = self.squares[index] = -torch.inf
        self.n_draws[index] = 0

    @property
    def log_mean(self) -> Tensor:
        return self.total - self.n_draws.log()

    @property
    def ess(self) -> Tensor:
        """(Σ w)² / Σ w²; 0 where the weights are no numbers."""
        return torch.exp(2 * self.total - self.squares).nan_to_num(0.0)


def rounds(n_samples: int) -> list[slice]:
    """The draws of each round: 16, 16, 32, 64 and so on, up to the most."""
    stops = [0, min(FIRST_DRAWS, n_samples)]
    while stops[-1] < n_samples:
        stops.append(min(2 * stops[-1], n_samples))
    return [slice(*pair) for pair in pairwise(stops)]


def is_accurate(ess: Tensor, n_draws: int) -> Tensor:
    """Whether the standard error of log p(x) is within the tolerance."""
    return 1 / ess - 1 / n_draws < TOLERANCE**2


def linearize_again(
    linearization: Linearization, posterior: LinearizedPosterior, rows: Rows
) -> Tensor:
    """Linearize rows again where that raises their estimates; positions of the changed ones.

    The draws that decide are not those that score: a proposal that was fitted to its own draws
    would overstate the density.
    """
    noise = quasi_normal(DECIDING_DRAWS, linearization.n_noise, REFINE_SCRAMBLING)
    noise = noise.to(rows.values.device)
    candidate, every = posterior, torch.arange(len(rows), device=noise.device)
    is_changed = torch.zeros_like(every, dtype=torch.bool)
    best = noise.new_full((len(rows),), torch.nan)
    for step in range(N_REPEATS + 1):
        z, log_w, _ = linearization.draw(candidate, rows, noise, under_mixture=True)
        value = torch.logsumexp(log_w, 0)
        better = value > best + MIN_GAIN
        posterior.put(every[better], candidate.take(every[better]))
        is_changed |= better
        best = torch.where(better | (step == 0), value, best)
        if step < N_REPEATS:
            mean = (torch.softmax(log_w, 0).unsqueeze(-1) * z).sum(0)
            candidate = linearization.at(rows, mean)
    return every[is_changed]
