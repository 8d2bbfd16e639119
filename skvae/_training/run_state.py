"""All that changes between two steps of a run, so that a run can go on where it was cut off."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .batches import Batches, State
from .held_out import BestWeights

if TYPE_CHECKING:
    from .loop import Result, Run


class Round:
    """Some steps, after which the rows held out are evaluated.

    Attributes
    ----------
    length, n_done : int
        The number of steps, and how many of them are done.
    totals : Tensor of shape (3,)
        The sums of the metrics of these.
    """

    def __init__(self, length: int, device: torch.device) -> None:
        self.length, self.n_done = length, 0
        self.totals = torch.zeros(3, device=device, dtype=torch.float64)


@dataclass
class RunState:
    """How far a run has come.

    Attributes
    ----------
    run : Run
        Its weights, moments and generator.
    best : BestWeights
    source : Batches
        The place in the rows.
    result : Result
        The history of the rounds that have ended.
    good : list of Tensor
        The weights after the last round that ended well.
    repairs : int
        How often the present round was begun again.
    round : Round or None
        The present round; None between two of them.
    started : float
        The time at which the run began, on the monotonic clock.
    """

    run: Run
    best: BestWeights
    source: Batches
    result: Result
    good: list[Tensor]
    repairs: int = 0
    round: Round | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The time that the run has taken."""
        return time.monotonic() - self.started

    def arrays(self) -> State:
        """The state as arrays, by name; it is taken after a step of a round."""
        run, best, budget = self.run, self.best, self.run.budget
        assert self.round is not None
        tensors = {
            "generator": run.generator.get_state(), "noise": best.noise_state,
            "bound": best.bound, "n_stale": best.n_stale, "totals": self.round.totals,
            **{f"adam.{name}": getattr(run.optimizer, name) for name in ("mean", "square")},
        }  # fmt: skip
        lists = {"weights": run.flat.copy(), "good": self.good}
        if best.weights is not None:
            lists["best"] = best.weights
        if best.start is not None:
            lists["start"] = [*best.start, best.start_bounds]
        for name, each in lists.items():
            tensors.update({f"{name}.{i}": tensor for i, tensor in enumerate(each)})
        numbers = {
            "n_steps": self.result.n_steps, "adam.n_steps": run.optimizer.n_steps,
            "budget": budget.n_steps, "repairs": self.repairs, "length": self.round.length,
            "n_done": self.round.n_done, "rate": run.rate, "seconds": self.seconds,
        }  # fmt: skip
        place = {f"place.{name}": array for name, array in self.source.state().items()}
        if run.neighborhood is not None:
            place.update(run.neighborhood.rows.state("neighborhood"))
        history = {f"history.{name}": each for name, each in self.result.history.items()}
        return {
            **place,
            **{name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()},
            **{name: np.asarray(number) for name, number in {**numbers, **history}.items()},
        }

    def restore(self, state: State) -> None:
        """Set the state to that of arrays."""
        run, best, budget = self.run, self.best, self.run.budget

        def tensors(name: str) -> list[Tensor]:
            """A list of tensors, empty if there is none."""
            places = range(len(state))
            found = (state[f"{name}.{i}"] for i in places if f"{name}.{i}" in state)
            return [torch.from_numpy(array).to(run.device) for array in found]

        run.flat.restore(tensors("weights"))
        run.optimizer.restore(
            {name: state[f"adam.{name}"] for name in ("mean", "square", "n_steps")}
        )
        run.generator.set_state(torch.from_numpy(state["generator"]))
        run.rate = float(state["rate"])
        best.noise_state = torch.from_numpy(state["noise"])
        best.bound, best.n_stale = (torch.from_numpy(state[name]) for name in ("bound", "n_stale"))
        best.weights = tensors("best") or None
        if best.start is not None:
            *best.start, bounds = tensors("start")
            best.start_bounds = bounds.cpu()
        place = {n.removeprefix("place."): a for n, a in state.items() if n.startswith("place.")}
        self.source.restore(place)
        if run.neighborhood is not None:
            run.neighborhood.rows.restore(state, "neighborhood")
        for name in self.result.history:
            self.result.history[name] = state[f"history.{name}"].tolist()
        self.result.n_steps = int(state["n_steps"])
        self.good, self.repairs = tensors("good"), int(state["repairs"])
        self.round = Round(int(state["length"]), run.device)
        self.round.n_done = int(state["n_done"])
        self.round.totals.copy_(torch.from_numpy(state["totals"]))
        budget.n_steps = int(state["budget"])
        self.started -= float(state["seconds"])
        if budget.deadline is not None:
            budget.deadline -= float(state["seconds"])


def final_arrays(run: Run, result: Result) -> State:
    """What is left of a run that has ended."""
    tensors = {f"weights.{i}": tensor for i, tensor in enumerate(run.flat.copy())}
    tensors["generator"] = run.generator.get_state()
    return {
        **{name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()},
        **{f"history.{name}": np.asarray(each) for name, each in result.history.items()},
        "n_steps": np.asarray(result.n_steps),
        "is_start": np.asarray(result.is_start),
    }


def has_ended(state: State) -> bool:
    """Whether the state is that of a run that has ended."""
    return "is_start" in state


def restore_ended(run: Run, result: Result, state: State) -> Result:
    """Set weights, generator and result to those of a run that has ended; the result."""
    weights = [torch.from_numpy(state[f"weights.{i}"]) for i in range(len(run.flat.copy()))]
    run.flat.restore(weights)
    run.generator.set_state(torch.from_numpy(state["generator"]))
    result.history = {
        name.removeprefix("history."): array.tolist()
        for name, array in state.items()
        if name.startswith("history.")
    }
    result.n_steps, result.is_start = int(state["n_steps"]), bool(state["is_start"])
    return result
