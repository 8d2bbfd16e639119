"""How long to train on few rows: cross-validation in place of rows that are held out once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae.objectives import Objective

from .batches import Split, TableBatches
from .budget import Budget
from .held_out import gain_is_clear, row_bounds
from .loop import Run
from .run_state import Round

ROUNDS = 25  # evaluations in a full run
MAX_FOLDS = 5
MAX_TIMED_STEPS = 25  # between two looks at the clock, where time is limited
N_DRAWS = 8  # of z for each row


@dataclass(frozen=True)
class Curve:
    """Held-out bounds of the rows after some numbers of steps.

    Attributes
    ----------
    steps : list of int
        The first is 0, the start of training.
    bounds : Tensor of shape (n_evaluations, n_rows)
    """

    steps: list[int]
    bounds: Tensor

    def best(self, first: float) -> int:
        """The number of steps with the best mean bound, from `first` on.

        If 0 is among them, training must be better than its start by more than one standard error
        of the difference (the one-standard-error rule of Breiman et al. 1984).
        """
        allowed = [i for i, step in enumerate(self.steps) if step >= first]
        if not allowed:
            return self.steps[-1]
        mean = self.bounds.mean(1)
        best = max(allowed, key=lambda i: float(mean[i]))
        if allowed[0] == 0 and not gain_is_clear(self.bounds[best] - self.bounds[0]):
            return 0
        return self.steps[best]


def folds(split: Split, generator: torch.Generator) -> list[Split]:
    """Splits in which each row is held out once, but for a remainder; all of one size."""
    n = len(split.train)
    n_folds = min(MAX_FOLDS, n // 2)
    order = torch.randperm(n, generator=generator)
    parts = []
    for held in order[: n - n % n_folds].view(n_folds, -1):
        kept = torch.ones(n, dtype=torch.bool)
        kept[held] = False
        weights = None if split.weights is None else split.weights[kept]
        parts.append(Split(split.train[kept], weights, split.train[held]))
    return parts


def held_out_curve(
    models: Sequence[VAE],
    data: Rows,
    splits: Sequence[Split],
    objective: Objective,
    budget: Budget,
    generator: torch.Generator,
) -> Curve:
    """Train one model on each fold, and evaluate it on the rows held out as it is trained.

    Parameters
    ----------
    models : sequence of VAE
        Untrained models of one shape, each at a start that has not seen its rows held out.
    data : Rows
    splits : sequence of Split
        One for each model.
    """
    together = objective.supports_vmap and models[0].supports_vmap
    groups = [range(len(models))] if together else [[i] for i in range(len(models))]
    curves = [
        _curve([models[i] for i in group], data, [splits[i] for i in group], objective, budget,
               generator)
        for group in groups
    ]  # fmt: skip
    n = min(len(curve.steps) for curve in curves)
    return Curve(curves[0].steps[:n], torch.cat([curve.bounds[:n] for curve in curves], dim=1))


def _curve(
    models: Sequence[VAE],
    data: Rows,
    splits: Sequence[Split],
    objective: Objective,
    budget: Budget,
    generator: torch.Generator,
) -> Curve:
    run = Run(models, data, objective, budget, generator)
    source = TableBatches(data, splits, budget.batch_size, generator)
    noise_state = generator.get_state()

    def bounds() -> Tensor:
        each = zip(models, splits, strict=True)
        return torch.cat([
            row_bounds(model, objective, data.take(split.held_out), N_DRAWS, noise_state)
            for model, split in each
        ])  # fmt: skip

    steps, found, n_stale = [0], [bounds()], 0
    length = max(1, math.ceil(budget.n_steps / ROUNDS))
    if budget.deadline is not None:
        length = min(length, MAX_TIMED_STEPS)
    while steps[-1] < budget.n_steps and budget.seconds_left > 0:
        n = min(length, budget.n_steps - steps[-1])
        terms = run.take_steps(source, steps[-1], Round(n, run.device))
        if not all(map(math.isfinite, terms)) or not run.is_finite():
            break
        steps.append(steps[-1] + n)
        found.append(bounds())
        if budget.progress(steps[-1]) >= objective.warmup:
            best = max(float(each.mean()) for each in found[:-1])
            n_stale = 0 if float(found[-1].mean()) > best else n_stale + 1
        if budget.patience is not None and n_stale >= budget.patience:
            break
    return Curve(steps, torch.stack(found))
