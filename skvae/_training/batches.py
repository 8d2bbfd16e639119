"""Where the rows of each step come from: an encoded table, or a source that is read again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._nn.noise import weighted_indices

from .workers import Workers

State = dict[str, np.ndarray]


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


class Batches(Protocol):
    """Batches without end: rows for each of some models, one after the other."""

    def __next__(self) -> Rows: ...

    def state(self) -> State:
        """The place in the rows, as arrays."""
        ...

    def restore(self, state: State) -> None:
        """Go to a place in the rows."""
        ...

    def close(self) -> None:
        """No more batches are needed."""


class BatchSource(Protocol):
    """A source of more rows than are in memory.

    Attributes
    ----------
    n_rows : int
        Rows of a pass.
    fingerprint : str
    workers : Workers
        The processes that train on rows of the source.
    """

    n_rows: int
    fingerprint: str
    workers: Workers

    def batches(
        self, n_models: int, size: int, generator: torch.Generator, device: torch.device
    ) -> Batches:
        """Batches for some models that are trained together."""
        ...


class Order:
    """Index tensors without end: permutations of the rows, or draws in proportion to weights.

    Attributes
    ----------
    order : Tensor
        The rows of the present pass.
    position : int
        How many of them were given.
    """

    def __init__(self, split: Split, size: int, generator: torch.Generator) -> None:
        self.rows, self.size, self.generator = split.train, size, generator
        self.cumulated = None if split.weights is None else torch.cumsum(split.weights, 0)
        self.order, self.position = split.train[:0], 0

    def __next__(self) -> Tensor:
        if self.position >= len(self.order):
            self.order, self.position = self.rows[self._next_pass()], 0
        batch = self.order[self.position : self.position + self.size]
        self.position += len(batch)
        return batch

    def state(self, name: str) -> State:
        """The place as arrays, whose names begin with a name."""
        return {f"{name}.order": self.order.cpu().numpy(),
                f"{name}.position": np.array(self.position)}  # fmt: skip

    def restore(self, state: State, name: str) -> None:
        """Go to a place."""
        self.order = torch.from_numpy(state[f"{name}.order"]).to(self.rows.device)
        self.position = int(state[f"{name}.position"])

    def _next_pass(self) -> Tensor:
        n = len(self.rows)
        if self.cumulated is not None:
            return weighted_indices(self.cumulated, n, self.generator)
        return torch.randperm(n, generator=self.generator, device=self.rows.device)


class TableBatches:
    """Batches of an encoded table; each model sees the rows of its split in an order of its own."""

    def __init__(
        self, data: Rows, splits: Sequence[Split], size: int, generator: torch.Generator
    ) -> None:
        self.data = data
        self.orders = [Order(split, size, generator) for split in splits]

    def __next__(self) -> Rows:
        return self.data.take(torch.cat([next(order) for order in self.orders]))

    def state(self) -> State:
        states = [order.state(str(i)) for i, order in enumerate(self.orders)]
        return {name: array for state in states for name, array in state.items()}

    def restore(self, state: State) -> None:
        for i, order in enumerate(self.orders):
            order.restore(state, str(i))

    def close(self) -> None:
        pass


class RepeatedBatches:
    """Batches that come out the same each time they are made: a place is the number of batches.

    Parameters
    ----------
    make : callable
        Makes the batches from the first on.
    """

    def __init__(self, make: Callable[[], Generator[Rows, None, None]]) -> None:
        self.batches, self.n_given = make(), 0

    def __next__(self) -> Rows:
        self.n_given += 1
        return next(self.batches)

    def state(self) -> State:
        return {"n_given": np.array(self.n_given)}

    def restore(self, state: State) -> None:
        """Read up to the place."""
        while self.n_given < int(state["n_given"]):
            next(self)

    def close(self) -> None:
        self.batches.close()
