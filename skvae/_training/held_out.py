"""Bounds of the rows held out, and the weights that are best for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae.objectives import Objective

from .budget import evaluation_draws

if TYPE_CHECKING:
    from .loop import Run


class BestWeights:
    """The weights with the best held-out bound, once the objective has warmed up."""

    def __init__(self, run: Run, rows: Tensor, generator: torch.Generator) -> None:
        self.run, self.rows = run, rows
        self.noise_state = generator.get_state()  # the same draws at every evaluation
        self.weights: list[Tensor] | None = None
        n_models = len(run.stack)
        self.bound = torch.full((n_models,), -math.inf, dtype=torch.float64)
        self.n_stale = torch.zeros(n_models, dtype=torch.long)
        self.start: list[Tensor] | None = None
        if len(rows) and run.budget.warms_up and run.objective.warmup == 0:
            self.start, self.start_bounds = run.flat.copy(), self._row_bounds()
            self.update(1.0)
        elif len(rows) and not run.budget.warms_up:  # it continues a run
            self.update(1.0)

    def update(self, progress: float) -> float:
        """Evaluate the weights as they are, and keep those that are the best; the mean bound."""
        bound = self.run.workers.agree(self.run.evaluate(self.rows, self.noise_state))
        if progress >= self.run.objective.warmup:
            progressed = bound > self.bound + self.run.budget.tol
            self.n_stale = torch.where(progressed, 0, self.n_stale + 1)
            if self.weights is None:
                self.weights = self.run.flat.copy()
            self.run.flat.keep(self.weights, bound > self.bound)
            self.bound = torch.maximum(bound, self.bound)
        return float(bound.mean())

    def is_stale(self) -> bool:
        patience = self.run.budget.patience
        return patience is not None and bool((self.n_stale >= patience).all())

    def restore(self) -> bool:
        """Set the best weights, or those of the start, if training is not clearly better than it.

        Returns
        -------
        is_start : bool
            Whether they are those of the start, of all models.
        """
        if self.weights is None:
            return False
        self.run.flat.restore(self.weights)
        if self.start is None:
            return False
        gains = self._row_bounds() - self.start_bounds
        is_start = torch.tensor([not gain_is_clear(gain) for gain in gains])
        if bool(is_start.all()):
            self.run.flat.restore(self.start)
        return bool(is_start.all())

    def _row_bounds(self) -> Tensor:
        """The bound of each row held out, for each model: (M, n)."""
        rows = self.run.data.take(self.rows)
        settings = self.run.objective, rows, evaluation_draws(len(rows)), self.noise_state
        bounds = torch.stack([row_bounds(model, *settings) for model in self.run.models])
        if self.run.neighborhood is not None:
            bounds = bounds - self.run.neighborhood.losses(self.rows)
        return bounds


@torch.no_grad()
def row_bounds(
    model: VAE, objective: Objective, rows: Rows, n_draws: int, noise_state: Tensor
) -> Tensor:
    """The bound of each row, in nats and in the units of the table, with given noise: (n,)."""
    device = rows.values.device
    generator = torch.Generator(device)
    generator.set_state(noise_state)
    n_draws = max(objective.n_samples, n_draws)
    found = []
    for chunk in rows.chunks(model.chunk_size(n_draws, most=2048)):
        shape = n_draws, len(chunk), model.latent.n_noise
        noise = torch.randn(shape, generator=generator, device=device)
        log_px, draw = model(chunk, noise, objective.detach_z)
        bound = objective.bound(log_px, draw, 1.0)
        found.append(bound.double() + chunk.log_measure)
    return torch.cat(found).cpu()


def gain_is_clear(gain: Tensor) -> bool:
    """Whether the mean gain of some rows is more than one standard error."""
    return float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain))
