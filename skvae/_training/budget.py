"""How long to train: the number of steps, the learning rate, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    mask_ratio: float = (
        0.0  # largest proportion of the cells of a row that is masked for the encoder
    )

    @property
    def last_step(self) -> int:
        """The number of steps after which training ends."""
        return self.n_steps if self.n_planned is None else self.n_planned

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
