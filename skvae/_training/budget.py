"""How long to train: the number of steps, the learning rate, and when to stop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

EVALUATION_DRAWS, EVALUATED = 4, 2000  # draws of a row, fewer where there are many rows
WARMUP = 0.05  # proportion of the steps in which the learning rate rises


def default_steps(n_rows: int) -> int:
    """The default budget: enough steps for a small table, enough epochs for a large one."""
    return round(12 * n_rows**0.6)


def evaluation_draws(n_rows: int) -> int:
    """Draws for each row held out: their mean over the rows is what counts."""
    return max(1, min(EVALUATION_DRAWS, EVALUATED // max(1, n_rows)))


@dataclass
class Budget:
    """How long to train, and when to stop."""

    n_steps: int
    batch_size: int
    learning_rate: float
    schedule: bool = True  # rise and fall of the learning rate; False: constant
    warms_up: bool = True  # whether the objective may; False if the run continues another
    patience: int | None = None  # evaluations without progress; None: no early stopping
    tol: float = 1e-4
    n_planned: int | None = None  # steps after which training ends early; None: none does
    # Largest proportion of the cells of a row that is masked for the encoder.
    mask_ratio: float = 0.0
    deadline: float | None = None  # on the monotonic clock; None: there is none
    averages: bool = False  # whether the weights are the mean of those of late steps

    @property
    def last_step(self) -> int:
        """The number of steps after which training ends."""
        return self.n_steps if self.n_planned is None else min(self.n_planned, self.n_steps)

    @property
    def seconds_left(self) -> float:
        """Until the deadline; at least 0."""
        if self.deadline is None:
            return math.inf
        return max(0.0, self.deadline - time.monotonic())

    def share(self, n_runs: int) -> Budget:
        """The budget of one of several runs that follow each other."""
        if self.deadline is None:
            return replace(self)
        return replace(self, deadline=time.monotonic() + self.seconds_left / n_runs)

    def fit_to_time(self, n_done: int, seconds: float) -> None:
        """Take fewer steps, if at the speed of those that are done there is no time for all.

        The learning rate follows the new number, so that it still falls to 0 at the end.
        """
        if self.deadline is not None:
            affordable = n_done + int(self.seconds_left * n_done / max(seconds, 1e-9))
            self.n_steps = min(self.n_steps, affordable)

    def progress(self, step: int) -> float:
        """Proportion of the run that is done, as the objective sees it."""
        return step / self.n_steps if self.warms_up else 1.0


def learning_rate(step: int, budget: Budget) -> float:
    """Linear rise, then half a cosine down to zero."""
    if not budget.schedule:
        return budget.learning_rate
    rise = max(1, round(WARMUP * budget.n_steps))
    if step < rise:
        return budget.learning_rate * (step + 1) / rise
    progress = (step - rise) / max(1, budget.n_steps - rise)
    return budget.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
