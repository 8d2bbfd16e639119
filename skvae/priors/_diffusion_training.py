r"""Training of the velocity of a diffusion from posteriors.

For the posterior N(m, S) of a row, :math:`z_\phi` has the distribution
:math:`N(\cos\phi\, m, \cos^2\phi\, S + \sin^2\phi)`, and the mean of the velocity given z and the
row is known. It replaces the velocity of a draw as the target of the network, which has the same
minimizer and less variance. The weighted loss

.. math:: L_w = \int_0^{\pi/2} w(\phi)\, E \|v_\theta(z_\phi, \phi) - v\|^2\, d\phi

is with :math:`w = \cot\phi` the evidence lower bound of the diffusion, but for a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._nn.noise import quasi_normal, weighted_indices
from skvae._nn.optimizer import Adam
from skvae._nn.velocity import QUARTER, Clock, Velocity, initial_parameters

WEIGHTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "likelihood": lambda angle: torch.cos(angle) / torch.sin(angle).clamp(min=1e-6),
    "velocity": torch.ones_like,
    "uniform": lambda angle: torch.cos(angle).square(),
}
SCHEDULES = "learned", "cosine"
N_BINS = 32  # of the density of the times
UNIFORM = 0.2  # its least part that is uniform
MEMORY = 0.99  # of the running mean of the squared loss in each bin
N_TIMES, ROWS_EACH = 32, 16  # of a step
STEPS_PER_ROW, LEAST_STEPS, MOST_STEPS = 2, 300, 4000
LEARNING_RATE = 1e-2
WARMUP = 50  # steps
AVERAGING = 0.995  # of the parameters over the steps
EVALUATED_TIMES, EVALUATION_INTERVAL = 16, 100
PATIENCE = 12  # evaluations without progress


@dataclass(frozen=True)
class Posteriors:
    """Gaussian posteriors of rows in standardized coordinates.

    Attributes
    ----------
    mean : Tensor of shape (n, k)
    axes : Tensor of shape (n, k, k)
        Orthogonal; the columns are the principal axes of each covariance.
    var : Tensor of shape (n, k)
        Variances along these.
    weight : Tensor of shape (n,)
    """

    mean: Tensor
    axes: Tensor
    var: Tensor
    weight: Tensor

    def take(self, index: Tensor) -> Posteriors:
        return Posteriors(*(t[index] for t in (self.mean, self.axes, self.var, self.weight)))

    def __len__(self) -> int:
        return len(self.mean)

    def diffused(self, angle: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z at the angle of each row, and the mean velocity given it, each (n, k)."""
        cosine, sine = torch.cos(angle).unsqueeze(-1), torch.sin(angle).unsqueeze(-1)
        spread = (cosine.square() * self.var + sine.square()).sqrt()
        along = torch.stack([spread * noise, (1 - self.var) / spread * noise], dim=-1)
        deviation, pull = (self.axes @ along).unbind(-1)
        return cosine * self.mean + deviation, sine * (cosine * pull - self.mean)

    def draw(self, noise: Tensor) -> Tensor:
        """Codes, (n, k)."""
        return self.mean + (self.axes @ (self.var.sqrt() * noise).unsqueeze(-1)).squeeze(-1)


class Times:
    """The density of the times τ in training: constant in each of some bins.

    The loss does not depend on it, but the variance of its estimate does. A learned one is in
    proportion to the root of the mean squared loss at each time, for which the variance is least.
    """

    def __init__(self, schedule: str, clock: Clock) -> None:
        self.learned = schedule == "learned"
        edges = torch.linspace(0, 1, N_BINS + 1)
        self.squares = torch.ones(N_BINS)
        self.density = torch.ones(N_BINS)
        if schedule == "cosine":
            self.density = clock.angle(edges).diff() * (N_BINS / QUARTER)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times and their densities, (n,); one in each of n parts of equal probability."""
        u = (torch.arange(n) + torch.rand(1, generator=generator)) / n
        cumulated = torch.cat([torch.zeros(1), self.density.cumsum(0)]) / N_BINS
        b = (torch.searchsorted(cumulated, u, right=True) - 1).clamp(0, N_BINS - 1)
        tau = (b + (u - cumulated[b]) * N_BINS / self.density[b]) / N_BINS
        return tau.clamp(0, 1), self.density[b]

    def update(self, tau: Tensor, loss: Tensor) -> None:
        """Follow the losses, (n, n_rows), at some times."""
        if not self.learned:
            return
        b = (tau * N_BINS).long().clamp(max=N_BINS - 1)
        count = torch.bincount(b, minlength=N_BINS)
        mean = torch.zeros(N_BINS).index_add(0, b, loss.square().mean(1)) / count.clamp(min=1)
        found = torch.where(count > 0, mean, self.squares)
        self.squares.lerp_(found, 1 - MEMORY)
        root = self.squares.sqrt()
        self.density = UNIFORM + (1 - UNIFORM) * root / root.mean().clamp(min=1e-12)


def losses(
    velocity: Velocity, rows: Posteriors, tau: Tensor, noise: Tensor, weighting: str
) -> Tensor:
    """The weighted squared error of each row, by unit of τ: (n_times, n / n_times).

    The first rows are for the first of the times, (n_times,), and so on.
    """
    angle = velocity.clock.angle(tau)
    z, target = rows.diffused(angle.repeat_interleave(len(rows) // len(tau)), noise)
    z, target = (each.unflatten(0, (len(tau), -1)) for each in (z, target))
    weight = WEIGHTINGS[weighting](angle) * velocity.clock.speed(tau)
    return weight.unsqueeze(1) * (velocity.at(tau)(z) - target).square().sum(-1)


@dataclass(frozen=True)
class TrainingSettings:
    """What the network is and how it is trained: parameters of ``Diffusion``."""

    n_hidden: int
    prediction: str
    weighting: str
    schedule: str
    n_steps: int | None


def default_steps(n_rows: int) -> int:
    """Enough for a small table, and enough for the network on a large one."""
    return round(min(MOST_STEPS, max(LEAST_STEPS, STEPS_PER_ROW * n_rows)))


def train(
    rows: Posteriors,
    held_out: Posteriors,
    clock: Clock,
    settings: TrainingSettings,
    share: float,
    generator: torch.Generator,
    start: Tensor | None = None,
) -> Tensor:
    """The parameters with the least loss of the rows held out, an average over the steps.

    `share` is that of the steps and of the learning rate. `start` are parameters to continue with.
    """
    k, n_hidden = rows.mean.shape[1], settings.n_hidden
    parameters = initial_parameters(k, n_hidden, generator) if start is None else start.clone()
    average, optimizer = parameters.clone(), Adam(parameters)
    times, cumulated = Times(settings.schedule, clock), rows.weight.cumsum(0)
    n_steps = math.ceil(share * (settings.n_steps or default_steps(len(rows))))

    def velocity(values: Tensor) -> Velocity:
        return Velocity(values, k, n_hidden, clock, settings.prediction)

    evaluation = Evaluation(held_out, settings.weighting)
    best, best_loss, stale = average.clone(), evaluation.loss(velocity(average)), 0
    for step in range(n_steps):
        some = rows.take(weighted_indices(cumulated, N_TIMES * ROWS_EACH, generator))
        tau, density = times.draw(N_TIMES, generator)
        noise = torch.randn(some.mean.shape, generator=generator)
        with torch.enable_grad():
            leaf = parameters.detach().requires_grad_()
            each = losses(velocity(leaf), some, tau, noise, settings.weighting)
            (gradient,) = torch.autograd.grad((each / density.unsqueeze(1)).mean(), leaf)
        times.update(tau, each.detach())
        optimizer.step(gradient, share * _rate(step, n_steps))
        average.lerp_(parameters, 1 - min(AVERAGING, (1 + step) / (10 + step)))
        if (step + 1) % EVALUATION_INTERVAL == 0 or step + 1 == n_steps:
            loss, stale = evaluation.loss(velocity(average)), stale + 1
            if loss < best_loss:
                best, best_loss, stale = average.clone(), loss, 0
            if stale >= PATIENCE:
                break
    return best


def _rate(step: int, n_steps: int) -> float:
    """Linear rise, then half a cosine down to zero."""
    falling = 0.5 * (1 + math.cos(math.pi * step / n_steps))
    return LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * falling


class Evaluation:
    """The loss of rows at fixed times and with fixed noise."""

    def __init__(self, rows: Posteriors, weighting: str) -> None:
        n, k = rows.mean.shape
        self.weighting = weighting
        place = torch.arange(n).repeat(EVALUATED_TIMES)
        self.rows = rows.take(place)
        self.tau = (torch.arange(EVALUATED_TIMES) + 0.5) / EVALUATED_TIMES
        self.noise = quasi_normal(len(place), k).squeeze(1).float()
        self.weight = self.rows.weight.view(EVALUATED_TIMES, -1)

    @torch.no_grad()
    def loss(self, velocity: Velocity) -> float:
        each = losses(velocity, self.rows, self.tau, self.noise, self.weighting)
        return float((self.weight * each).sum() / self.weight.sum())
