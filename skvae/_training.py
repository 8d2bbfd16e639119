"""The one training loop.

The encoded table is a few tensors on the device; a batch is a slice of a permutation; parameters
and gradients live in one flat buffer each, so a step is one fused Adam call. Nothing is read back
from the device between two evaluations of the held-out bound.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ._masking import EVERY, hidden_cells
from ._model import VAE
from ._schema import Rows
from .latents import Draw
from .objectives import Objective, divergence

MAX_GRADIENT_NORM = 100.0
ROUNDS = 50  # evaluations of the held-out bound in a full run
MIN_HELD_OUT, MAX_HELD_OUT = 10, 10_000
EVALUATION_DRAWS = 4
MAX_REPAIRS = 5
WARMUP = 0.05  # share of the steps in which the learning rate rises


def default_steps(n_rows: int) -> int:
    """The default budget: enough steps for a small table, enough epochs for a large one."""
    return round(12 * n_rows**0.6)


@dataclass
class Budget:
    """How long to train, and when to stop."""

    n_steps: int
    batch_size: int
    learning_rate: float
    schedule: bool = True  # rise and fall of the learning rate; False: constant
    warms_up: bool = True  # whether the objective may; not if the run goes on from another
    patience: int | None = None  # evaluations without progress; None: no early stopping
    tol: float = 1e-4
    mask_ratio: float = 0.0  # largest share of a row's cells that is hidden from the encoder

    def progress(self, step: int) -> float:
        """Share of the run that is done, as the objective sees it."""
        return step / self.n_steps if self.warms_up else 1.0


@dataclass
class Split:
    """Which rows to train on, with their weights, and which to hold out.

    Attributes
    ----------
    train : Tensor of shape (n_train,)
        Indices of rows; a row of weight 3 stands three times.
    weights : Tensor of shape (n_train,) or None
        Real-valued weights: rows are drawn in proportion to them.
    held_out : Tensor
        Indices of the rows for early stopping; empty: none.
    """

    train: Tensor
    weights: Tensor | None
    held_out: Tensor

    def to(self, device: torch.device) -> Split:
        weights = None if self.weights is None else self.weights.to(device)
        return Split(self.train.to(device), weights, self.held_out.to(device))


@dataclass
class Result:
    """What a run leaves beside the weights."""

    history: dict[str, list[float]] = field(default_factory=dict)
    n_steps: int = 0
    optimizer_state: dict = field(default_factory=dict)  # Adam's moments, to go on from


class FlatParameters:
    """The parameters of a module as views of one tensor, and their gradients of another.

    Buffers are kept with them: what moves without a gradient is part of the best weights too.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        parameters = [p for p in module.parameters() if p.numel()]
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.grad = torch.zeros_like(self.values)
        start = 0
        for p in parameters:
            stop = start + p.numel()
            p.data = self.values[start:stop].view_as(p)
            p.grad = self.grad[start:stop].view_as(p)
            start = stop
        self.values.grad = self.grad
        self.buffers = list(module.buffers())

    def copy(self) -> list[Tensor]:
        return [tensor.clone() for tensor in (self.values, *self.buffers)]

    @torch.no_grad()
    def restore(self, copies: list[Tensor]) -> None:
        for tensor, kept in zip((self.values, *self.buffers), copies, strict=True):
            tensor.copy_(kept)


def batches(split: Split, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Index tensors without end: permutations of the rows, or draws in proportion to weights."""
    rows, n, device = split.train, len(split.train), split.train.device
    cumulated = None if split.weights is None else torch.cumsum(split.weights, 0)
    while True:
        if cumulated is None:
            order = torch.randperm(n, generator=generator, device=device)
        else:
            u = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
            order = torch.searchsorted(cumulated, u * cumulated[-1]).clamp(max=n - 1)
        yield from rows[order].split(size)


def learning_rate(step: int, budget: Budget) -> float:
    """Linear rise, then half a cosine down to zero."""
    if not budget.schedule:
        return budget.learning_rate
    rise = max(1, round(WARMUP * budget.n_steps))
    if step < rise:
        return budget.learning_rate * (step + 1) / rise
    progress = (step - rise) / max(1, budget.n_steps - rise)
    return budget.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def train(
    model: VAE,
    data: Rows,
    split: Split,
    objective: Objective,
    budget: Budget,
    generator: torch.Generator,
    on_round: Callable[[dict[str, list[float]]], bool],
    optimizer_state: dict | None = None,
) -> Result:
    """Train in place and leave the best weights.

    Parameters
    ----------
    data : Rows
        The encoded table, on the device of the model.
    split : Split
    on_round : callable
        Is shown the history after every round; True asks to stop.
    optimizer_state : dict or None
        Adam's moments from the run that this one goes on from.
    """
    run = _Run(model, data, objective, budget, generator)
    if optimizer_state:
        run.optimizer.load_state_dict(copy.deepcopy(optimizer_state))
    best = _Best(run, split.held_out[:MAX_HELD_OUT], generator)
    source = batches(split, budget.batch_size, generator)
    # A round is long enough to be worth an evaluation.
    worth = math.ceil(len(best.rows) * EVALUATION_DRAWS / (2 * budget.batch_size))
    round_length = max(1, math.ceil(budget.n_steps / ROUNDS), worth)
    result = Result({name: [] for name in ("step", "bound", "reconstruction", "kl")})
    if len(best.rows):
        result.history["validation_bound"] = []
    good, repairs = run.flat.copy(), 0
    try:
        while result.n_steps < budget.n_steps:
            n = min(round_length, budget.n_steps - result.n_steps)
            terms = run.round(source, result.n_steps, n)
            if not all(map(math.isfinite, terms)) or not run.is_finite():
                repairs += 1
                run.repair(good, repairs)
                continue
            good = run.flat.copy()
            result.n_steps += n
            record = [result.n_steps, *terms]
            if len(best.rows):
                record.append(best.update(budget.progress(result.n_steps)))
            for series, value in zip(result.history.values(), record, strict=True):
                series.append(value)
            if on_round(result.history) or best.is_stale():
                break
    except KeyboardInterrupt:
        _warn_of_interruption(result.n_steps, budget.n_steps)
        run.flat.restore(good)
    best.restore()
    result.optimizer_state = run.optimizer.state_dict()
    return result


def _warn_of_interruption(n_steps: int, n_planned: int) -> None:
    warnings.warn(
        f"Training was interrupted after {n_steps} of {n_planned} steps; the best weights so far "
        "are kept. Call fit again with warm_start=True to go on.",
        ConvergenceWarning,
        stacklevel=5,
    )


class _Best:
    """The weights with the best held-out bound, once the objective has warmed up."""

    def __init__(self, run: _Run, rows: Tensor, generator: torch.Generator) -> None:
        self.run, self.rows = run, rows
        self.noise_state = generator.get_state()  # the same draws at every evaluation
        self.weights: list[Tensor] | None = None
        self.bound, self.n_stale = -math.inf, 0
        if len(rows) and run.budget.progress(0) >= run.objective.warmup:
            self.update(1.0)

    def update(self, progress: float) -> float:
        """Evaluate the weights as they are, and keep them if they are the best."""
        bound = self.run.evaluate(self.rows, self.noise_state)
        if progress < self.run.objective.warmup:
            return bound
        self.n_stale = 0 if bound > self.bound + self.run.budget.tol else self.n_stale + 1
        if bound > self.bound:
            self.bound, self.weights = bound, self.run.flat.copy()
        return bound

    def is_stale(self) -> bool:
        patience = self.run.budget.patience
        return patience is not None and self.n_stale >= patience

    def restore(self) -> None:
        if self.weights is not None:
            self.run.flat.restore(self.weights)


def describe(history: dict[str, list[float]], n_steps: int) -> str:
    step, *terms = ((name.replace("_", " "), series[-1]) for name, series in history.items())
    return f"step {step[1]} of {n_steps}: " + ", ".join(f"{n} {v:.3f}" for n, v in terms)


def continued(before: dict[str, list[float]], after: dict[str, list[float]]) -> dict:
    """The history of a model that was trained twice."""
    offset = sum(before["step"][-1:])
    after = {**after, "step": [offset + step for step in after["step"]]}
    n_before, n_after = len(before["step"]), len(after["step"])
    names = dict.fromkeys([*before, *after])
    return {
        name: before.get(name, [math.nan] * n_before) + after.get(name, [math.nan] * n_after)
        for name in names
    }


class _Run:
    """The steps of one run, with the optimiser's state."""

    def __init__(
        self,
        model: VAE,
        data: Rows,
        objective: Objective,
        budget: Budget,
        generator: torch.Generator,
    ) -> None:
        self.model, self.data, self.objective = model, data, objective
        self.budget, self.generator, self.flat = budget, generator, FlatParameters(model)
        self.generative = model.generative_parameters()
        self.rate = 1.0  # halved at every repair
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([self.flat.values], lr=self.budget.learning_rate, fused=True)

    def _noise(self, n_rows: int, n_samples: int, generator: torch.Generator) -> Tensor:
        shape = (n_samples, n_rows, self.model.latent.n_noise)
        return torch.randn(shape, generator=generator, device=self.flat.values.device)

    def round(self, source: Iterator, first: int, n_steps: int) -> list[float]:
        """`n_steps` steps; mean bound, reconstruction and KL in nats per row, in table units."""
        totals = torch.zeros(3, device=self.flat.values.device, dtype=torch.float64)
        for step in range(first, first + n_steps):
            totals += self.step(self.data.take(next(source)), step)
        return (totals / n_steps).tolist()

    def step(self, batch: Rows, step: int) -> Tensor:
        """One ascent of the bound."""
        self.flat.grad.zero_()
        if self.budget.mask_ratio and step % EVERY == 0:
            self._read_with_holes(batch, step)
        bound, log_px, draw = self._ascend(batch, step)
        self.flat.grad.mul_((MAX_GRADIENT_NORM / self.flat.grad.norm()).clamp(max=1.0))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * learning_rate(step, self.budget)
        self.optimizer.step()
        self.model.latent.after_step(self.generator)
        with torch.no_grad():
            measure = batch.log_measure.mean()
            return torch.stack([bound + measure, log_px.mean() + measure, divergence(draw).mean()])

    def _ascend(self, batch: Rows, step: int, by: int = 1) -> tuple[Tensor, Tensor, Draw]:
        """Add `by` times the gradient of the bound; the mean bound, log p(x | z) and the draw."""
        noise = self._noise(len(batch), self.objective.n_samples, self.generator)
        log_px, draw = self.model(batch, noise, self.objective.holds_z)
        bound = self.objective.bound(log_px, draw, self.budget.progress(step)).mean()
        loss = -bound if draw.penalty is None else draw.penalty.mean() - bound
        (by * loss).backward()
        return bound, log_px, draw

    def _read_with_holes(self, batch: Rows, step: int) -> None:
        """Add the encoder's gradient for rows with cells hidden, the generative model fixed."""
        cells = hidden_cells(batch, self.budget.mask_ratio, self.generator)
        for p in self.generative:
            p.requires_grad_(False)
        try:
            self._ascend(batch.hide(cells), step, by=EVERY)
        finally:
            for p in self.generative:
                p.requires_grad_(True)

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.flat.values).all())

    @torch.no_grad()
    def evaluate(self, rows: Tensor, noise_state: Tensor) -> float:
        """The mean bound of held-out rows, in nats per row in table units."""
        generator = torch.Generator(device=self.flat.values.device)
        generator.set_state(noise_state)
        total = torch.zeros((), device=self.flat.values.device, dtype=torch.float64)
        n_draws = max(self.objective.n_samples, EVALUATION_DRAWS)
        size = self.model.chunk_size(n_draws, most=2048)
        for index in rows.split(size):
            batch = self.data.take(index)
            log_px, draw = self.model(batch, self._noise(len(index), n_draws, generator))
            total += (self.objective.bound(log_px, draw, 1.0) + batch.log_measure).sum()
        return float(total) / len(rows)

    def repair(self, good: list[Tensor], repairs: int) -> None:
        """After a loss that is not finite: the last good weights, half the rate, or give up."""
        self.flat.restore(good)
        if repairs >= MAX_REPAIRS:
            raise FloatingPointError(
                f"The loss was not finite {repairs} times in a row of halved learning rates; "
                f"the likelihood of column {self._worst_column()} is where it comes from. Give "
                "that column another likelihood, or lower learning_rate_init="
                f"{self.budget.learning_rate}."
            )
        self.rate /= 2
        self.optimizer = self._optimizer()

    @torch.no_grad()
    def _worst_column(self) -> str:
        rows = next(self.data.chunks(2048))
        _log_px, draw = self.model(rows, self._noise(len(rows), 1, self.generator))
        cells = self.model.cells(draw.z, rows)
        worst = torch.where(torch.isfinite(cells), cells, -torch.inf).amin((0, 1)).argmin()
        return repr(self.model.names[int(worst)])
