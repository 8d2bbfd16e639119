"""The one training loop.

The encoded table is a few tensors on the device; a batch is a slice of a permutation; parameters
and gradients live in one flat buffer each, so a step of Adam is one call, for one model or for
several at once. Nothing is read back from the device between two evaluations of the held-out bound.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.optimizer import Adam
from skvae._validation import caller_stacklevel
from skvae.objectives import ELBO, Objective

from .analytic_gradients import AnalyticGradients, has_analytic_gradients
from .averaging import Average
from .batches import Batches, BatchSource, Split, TableBatches
from .budget import Budget, evaluation_draws, learning_rate
from .checkpoint import Checkpoint, NoCheckpoint
from .held_out import BestWeights
from .masking import EVERY, masked_cells
from .neighborhood import Neighborhood
from .run_state import Round, RunState, final_arrays, has_ended, restore_ended
from .stacking import Stack
from .workers import OneWorker, Workers

MAX_GRADIENT_NORM = 100.0
HISTORY = ("step", "bound", "reconstruction", "kl")
ROUNDS = 50  # evaluations of the held-out bound in a full run
MIN_HELD_OUT, MAX_HELD_OUT = 10, 10_000
MAX_REPAIRS = 5
TIMED_STEPS = 10  # by which the speed is known, where time is limited


@dataclass
class Result:
    """What a run leaves."""

    models: Sequence[VAE]
    history: dict[str, list[float]] = field(default_factory=dict)
    n_steps: int = 0
    optimizer_state: dict = field(default_factory=dict)  # Adam's moments, to continue from
    is_interrupted: bool = False
    is_start: bool = False  # whether the weights are those before the first step

    def append(self, record: Sequence[float]) -> None:
        """Add a value to each series of the history."""
        for series, value in zip(self.history.values(), record, strict=True):
            series.append(value)


class Monitor(Protocol):
    """What is shown the rounds of training."""

    def before_round(self) -> None: ...

    def after_round(self, history: dict[str, list[float]], n_steps: int) -> bool:
        """True asks to stop."""
        ...


class NoMonitor:
    """A monitor that shows nothing."""

    def before_round(self) -> None:
        """Nothing to show."""

    def after_round(self, history: dict[str, list[float]], n_steps: int) -> bool:
        return False


def train(
    models: Sequence[VAE],
    data: Rows,
    split: Split,
    objective: Objective,
    budget: Budget,
    generator: torch.Generator,
    monitor: Monitor,
    optimizer_state: dict,
    checkpoint: Checkpoint | NoCheckpoint,
    stream: BatchSource | None = None,
) -> Result:
    """Train in place and leave the best weights, of each model its own.

    Parameters
    ----------
    models : sequence of VAE
        Models of one shape. Each sees the rows in an order of its own.
    data : Rows
        The encoded table, on the device of the models.
    split : Split
    monitor : Monitor
    optimizer_state : dict
        Adam's moments from the run that this one continues; empty: a new run.
    checkpoint : Checkpoint or NoCheckpoint
        Where the state is written; a run that was cut off goes on from there.
    stream : BatchSource or None
        Where the rows to train on come from; None: from `data`.
    """
    workers = OneWorker() if stream is None else stream.workers
    own = workers.noise(generator)
    run = Run(models, data, objective, budget, own, optimizer_state, workers)
    fingerprint = "" if stream is None else stream.fingerprint
    saved = checkpoint.begin(data, (split.train, split.weights, split.held_out), fingerprint)
    if has_ended(saved):
        return restore_ended(run, Result(models), saved)
    if len(models) == 1 and budget.n_planned is None:  # which is for the bound alone
        parts = models[0], data, split, budget.batch_size, objective, own
        run.neighborhood = Neighborhood.of(*parts)
    best = BestWeights(run, split.held_out[:MAX_HELD_OUT], generator)
    source = run.batches(split, stream)
    names = [*HISTORY, "validation_bound"] if len(best.rows) else HISTORY
    result = Result(models, {name: [] for name in names})
    state = RunState(run, best, source, result, run.flat.copy())

    def after_step() -> None:
        if checkpoint.is_due:
            checkpoint.write(state.arrays)

    try:
        if saved:
            state.restore(saved)
        while result.n_steps < budget.last_step and workers.agree(budget.seconds_left > 0):
            monitor.before_round()
            if state.round is None:
                n = round_length(budget, result.n_steps, len(best.rows))
                state.round = Round(n, run.device)
            terms = run.take_steps(source, result.n_steps, state.round, after_step)
            n, state.round = state.round.length, None
            if not all(map(math.isfinite, terms)) or not run.is_finite():
                state.repairs += 1
                run.repair(state.good, state.repairs)
                continue
            state.good, state.repairs = run.flat.copy(), 0
            result.n_steps += n
            budget.fit_to_time(result.n_steps, state.seconds)
            budget.n_steps = workers.agree(budget.n_steps)
            record = [result.n_steps, *terms]
            if len(best.rows):
                record.append(best.update(budget.progress(result.n_steps)))
            result.append(record)
            if monitor.after_round(result.history, budget.n_steps) or best.is_stale():
                break
    except KeyboardInterrupt:
        result.is_interrupted = True
        run.flat.restore(state.good)
    finally:
        source.close()
    if not result.n_steps:  # the weights are those of the start
        record = [0, *run.metrics(split.train[: 8 * budget.batch_size])]
        if len(best.rows):
            record.append(best.update(1.0))
        result.append(record)
    result.is_start = best.restore() or budget.last_step == 0
    if not result.is_interrupted:
        checkpoint.write(partial(final_arrays, run, result))
    result.optimizer_state = run.ending()
    return result


def round_length(budget: Budget, n_done: int, n_held_out: int) -> int:
    """Steps until the rows held out are evaluated: at least so many that are worth it."""
    worth = math.ceil(n_held_out * evaluation_draws(n_held_out) / (2 * budget.batch_size))
    n = max(1, math.ceil(budget.n_steps / ROUNDS), worth)
    if budget.deadline is not None and not n_done:
        n = min(n, TIMED_STEPS)
    return min(n, budget.last_step - n_done)


def train_all(
    models: Sequence[VAE],
    data: Rows,
    split: Split,
    objective: Objective,
    budget: Budget,
    generator: torch.Generator,
    monitor: Monitor,
    optimizer_states: Sequence[dict] | None = None,
    checkpoint: Checkpoint | NoCheckpoint | None = None,
    stream: BatchSource | None = None,
) -> list[Result]:
    """Train models of one shape: together, or one after the other where that is not supported.

    There is a result for each run; after an interruption no further run begins. The states of the
    optimizers are those of each run, or one for all.
    """
    together = objective.supports_vmap and models[0].supports_vmap
    together = together and not objective.neighbor_weight(len(models[0].latent.shown))
    runs = [models] if together else [[model] for model in models]
    states = list(optimizer_states or [{}])
    states = states * len(runs) if len(states) == 1 else states
    checkpoint = NoCheckpoint() if checkpoint is None else checkpoint
    results = []
    for i, (run, state) in enumerate(zip(runs, states, strict=True)):
        own = budget.share(len(runs) - i)
        rows = data, split, objective
        result = train(run, *rows, own, generator, monitor, state, checkpoint, stream)
        results.append(result)
        if result.is_interrupted:
            warn_of_interruption(result.n_steps, budget.n_steps)
            break
    return results


def warn_of_interruption(n_steps: int, n_planned: int) -> None:
    """Warn that the weights after some steps are kept."""
    warnings.warn(
        f"Training was interrupted after {n_steps} of {n_planned} steps; the best weights so far "
        "are kept. Call fit again with warm_start=True to continue.",
        ConvergenceWarning,
        stacklevel=caller_stacklevel(),
    )


class Run:
    """The steps of one run, with the optimizer's state."""

    def __init__(
        self,
        models: Sequence[VAE],
        data: Rows,
        objective: Objective,
        budget: Budget,
        generator: torch.Generator,
        optimizer_state: dict | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers: Workers = OneWorker() if workers is None else workers
        self.models, self.data, self.objective = models, data, objective
        self.budget, self.generator = budget, generator
        self.stack = Stack(models, objective)
        self.analytic_gradients = None
        self.neighborhood: Neighborhood | None = None  # as yet
        if isinstance(objective, ELBO) and has_analytic_gradients(self.stack, objective):
            self.analytic_gradients = AnalyticGradients(self.stack, objective)
        self.flat, self.device = self.stack.flat, self.stack.flat.values.device
        self.rate = 1.0  # halved at every repair
        self.optimizer = Adam(self.flat.values, optimizer_state)
        self.average: Average | None = None
        if budget.averages:
            self.average = Average(self.flat.values, optimizer_state or {})

    def _noise(self, *shape: int, generator: torch.Generator) -> Tensor:
        shape = (*shape, self.models[0].latent.n_noise)
        return torch.randn(shape, generator=generator, device=self.device)

    def batches(self, split: Split, stream: BatchSource | None) -> Batches:
        """The rows of each step, from the encoded table or from a source of more rows."""
        size, n_models = self.budget.batch_size, len(self.models)
        if stream is None:
            return TableBatches(self.data, [split] * n_models, size, self.generator)
        return stream.batches(n_models, size, self.generator, self.device)

    def take_steps(
        self,
        source: Batches,
        first: int,
        round_: Round,
        after_step: Callable[[], None] | None = None,
    ) -> list[float]:
        """The steps of a round; mean bound, reconstruction and KL in nats per row, in table units.

        Parameters
        ----------
        first : int
            Steps before the round.
        round_ : Round
            One that has begun goes on.
        """
        while round_.n_done < round_.length:
            round_.totals += self.step(next(source), first + round_.n_done)
            round_.n_done += 1
            if after_step is not None:
                after_step()
        return self.workers.average(round_.totals / round_.length).tolist()

    def step(self, batch: Rows, step: int) -> Tensor:
        """One gradient step."""
        self.flat.grad.zero_()
        if self.budget.mask_ratio and step % EVERY == 0:
            self._train_on_masked_rows(batch, step)
        metrics = self._add_gradient(batch, step)
        if self.neighborhood is not None:
            self.neighborhood.add_gradient(step)
        self.workers.average(self.flat.grad)
        norm = self.flat.grad.norm(dim=1, keepdim=True)
        self.flat.grad.mul_((MAX_GRADIENT_NORM / norm).clamp(max=1.0))
        self.optimizer.step(self.flat.grad, self.rate * learning_rate(step, self.budget))
        if self.average is not None:
            self.average.update()
        for model in self.models:
            model.latent.after_step(self.generator)
            self.workers.after_step(model)
        return metrics.mean(0)

    def _add_gradient(
        self, batch: Rows, step: int, scale: int = 1, *, freeze_generative: bool = False
    ) -> Tensor:
        """Add −`scale` times the gradient of each model's bound; the metrics of each model."""
        n_models = len(self.stack)
        shape = (n_models, self.objective.n_samples, len(batch) // n_models)
        noise = self._noise(*shape, generator=self.generator)
        progress = self.budget.progress(step)
        if self.analytic_gradients is not None:
            terms = batch, noise, progress, scale
            return self.analytic_gradients.add_gradient(*terms, freeze_generative=freeze_generative)
        losses, metrics = self.stack.terms(
            batch, noise, progress, freeze_generative=freeze_generative
        )
        (scale * losses.sum()).backward()
        return metrics

    def _train_on_masked_rows(self, batch: Rows, step: int) -> None:
        """Add the gradient of the encoder for masked rows, with the generative model fixed."""
        cells = masked_cells(batch, self.budget.mask_ratio, self.generator)
        self._add_gradient(batch.mask(cells), step, scale=EVERY, freeze_generative=True)

    @torch.no_grad()
    def metrics(self, rows: Tensor) -> list[float]:
        """Mean bound, reconstruction and KL of some rows, of all models."""
        noise = self._noise(self.objective.n_samples, len(rows), generator=self.generator)
        _losses, metrics = self.stack.terms(self.data.take(rows), noise, 1.0)
        return metrics.mean(0).tolist()

    def moments(self) -> dict:
        """The optimizer's state as arrays.

        So a fitted estimator can be loaded where there is no other device, and equal estimators
        have equal pickles.
        """
        return {
            name: value.cpu().numpy() if isinstance(value, Tensor) else value
            for name, value in self.optimizer.state.items()
        }

    def ending(self) -> dict:
        """The optimizer's state; a mean of the weights, if there is one, takes their place."""
        return self.moments() | ({} if self.average is None else self.average.ending())

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.flat.values).all())

    @torch.no_grad()
    def evaluate(self, rows: Tensor, noise_state: Tensor) -> Tensor:
        """The mean bounds of held-out rows, in nats per row in table units: (M,)."""
        generator = torch.Generator(device=self.device)
        generator.set_state(noise_state)
        total = torch.zeros(len(self.stack), device=self.device, dtype=torch.float64)
        n_draws = max(self.objective.n_samples, evaluation_draws(len(rows)))
        size = self.models[0].chunk_size(n_draws * len(self.stack), most=2048)
        for index in rows.split(size):
            noise = self._noise(n_draws, len(index), generator=generator)
            _losses, metrics = self.stack.terms(self.data.take(index), noise, 1.0)
            total += metrics[:, 0] * len(index)
        if self.neighborhood is not None:
            total -= self.neighborhood.losses(rows).sum()
        return (total / len(rows)).cpu()

    def repair(self, good: list[Tensor], repairs: int) -> None:
        """After a loss that is not finite: the last good weights, half the rate, or give up."""
        self.flat.restore(good)
        if repairs >= MAX_REPAIRS:
            raise FloatingPointError(
                f"The loss was not finite {repairs} times in a row of halved learning rates; "
                f"column {self._worst_column()} has the lowest log-density at the last finite "
                "weights. Give that column another likelihood, or lower learning_rate_init="
                f"{self.budget.learning_rate}."
            )
        self.rate /= 2
        self.optimizer = Adam(self.flat.values)

    @torch.no_grad()
    def _worst_column(self) -> str:
        rows = next(self.data.chunks(2048))
        noise = self._noise(1, len(rows), generator=self.generator)
        cells = [model.cells(model(rows, noise)[1].z, rows) for model in self.models]
        each = torch.cat(cells)
        worst = torch.where(torch.isfinite(each), each, -torch.inf).amin((0, 1)).argmin()
        return repr(self.models[0].names[int(worst)])
