"""Checkpoints: the state of training in a file, from which a fit that was cut off goes on.

A fit is a sequence of runs of the training loop: the short ones that choose between candidates,
then that of the model. The file holds the weights of the runs that have ended and the full state of
the present one. Everything before and between the runs is computed anew, and comes out the same,
since all randomness is that of `random_state`. The file is written beside its place and renamed;
the one before it is kept.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skvae._files.container import as_bytes, read_file
from skvae._files.tree import FileError
from skvae._model.rows import Rows
from skvae._validation import caller_stacklevel

from .batches import State

Tensors = Sequence[torch.Tensor | None]


class Checkpoint:
    """The file of one call of fit.

    Parameters
    ----------
    path : path
    every : float
        Seconds between two writes, at least.
    parameters : dict of str to str
        What must be equal for the fit to go on, by the name that errors use.

    Raises
    ------
    ValueError
        If the file is of a fit with other parameters, is damaged or is no checkpoint.
    """

    def __init__(self, path: Path, every: float, parameters: Mapping[str, str]) -> None:
        self.path, self.every, self.parameters = path, every, dict(parameters)
        self.states: list[State] = []  # of the runs, the present one included
        self.tables: list[str] = []  # the digests of their tables
        self.n_begun = 0
        self._is_broken = False  # whether a write has failed
        self._next = time.monotonic() + every
        self._read()

    @property
    def previous(self) -> Path:
        """The checkpoint before."""
        return self.path.with_name(self.path.name + ".previous")

    def begin(self, data: Rows, split: Tensors, fingerprint: str) -> State:
        """Begin the next run: the state from which it goes on, empty if it is a new one.

        Parameters
        ----------
        data : Rows
        split : tensors
            Rows to train on and to hold out.
        fingerprint : str
            Of a source of further rows; empty: there is none.

        Raises
        ------
        ValueError
            If the checkpoint is of another table.
        """
        table = digest(data, split, fingerprint)
        i, self.n_begun = self.n_begun, self.n_begun + 1
        if i == len(self.states):
            self.states.append({})
            self.tables.append(table)
        elif table != self.tables[i]:
            raise self._refusal("is of a fit to another table, or with other sample weights")
        return self.states[i]

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next

    def write(self, state: Callable[[], State]) -> None:
        """Write the state of the present run; a warning if that is not possible."""
        self.states[self.n_begun - 1] = state()
        part = self.path.with_name(self.path.name + ".part")
        try:
            with part.open("wb") as file:
                file.write(self._content())
                file.flush()
                os.fsync(file.fileno())
            if self.path.exists():
                self.path.replace(self.previous)
            part.replace(self.path)
            self._is_broken = False
        except OSError as error:
            self._warn(error)
        self._next = time.monotonic() + self.every

    def _content(self) -> bytes:
        tree = {"checkpoint": self.parameters, "tables": self.tables}
        arrays = {
            f"{i}.{name}": array
            for i, state in enumerate(self.states)
            for name, array in state.items()
        }
        return as_bytes(tree, arrays)

    def _warn(self, error: OSError) -> None:
        """Warn once for each time that writing begins to fail."""
        if not self._is_broken:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} cannot be written ({error}); training goes on "
                "without it, and tries again later.",
                UserWarning,
                stacklevel=caller_stacklevel(),
            )
        self._is_broken = True

    def _read(self) -> None:
        """Read the file, or the one before it, if there is one."""
        faults = []
        for path in (self.path, self.previous):
            try:
                tree, arrays = read_file(path)
            except FileNotFoundError:
                continue
            except (FileError, OSError) as error:
                faults.append(error)
                continue
            self._take(tree, arrays)
            if faults:
                warnings.warn(
                    f"The checkpoint {str(self.path)!r} is damaged: {faults[0]}. The fit goes on "
                    f"from the one before, {str(path)!r}.",
                    UserWarning,
                    stacklevel=caller_stacklevel(),
                )
            return
        if faults:
            raise self._refusal(f"cannot be read: {faults[0]}")

    def _take(self, tree: Any, arrays: Mapping[str, np.ndarray]) -> None:
        parameters = tree.get("checkpoint") if isinstance(tree, dict) else None
        if not isinstance(parameters, dict):
            raise self._refusal("is a saved estimator, not a checkpoint")
        for name, value in self.parameters.items():
            if parameters.get(name) != value:
                raise self._refusal(
                    f"is of a fit with {name}={parameters.get(name)}, and this one has "
                    f"{name}={value}"
                )
        self.tables = list(tree["tables"])
        self.states = [{} for _ in self.tables]
        for name, array in arrays.items():
            i, _, name = name.partition(".")
            self.states[int(i)][name] = array

    def _refusal(self, fault: str) -> ValueError:
        return ValueError(
            f"checkpoint={str(self.path)!r} {fault}. Fit as before to go on from it, choose "
            f"another path, or remove it and {self.previous.name!r} to start anew."
        )


def digest(data: Rows, split: Tensors, fingerprint: str) -> str:
    """What tells the rows of a run, and the split into those to train on and to hold out."""
    found = hashlib.sha256(fingerprint.encode())
    for tensor in (*data.fields(), *split):
        if tensor is not None:
            found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.cpu().contiguous().numpy().reshape(-1).view(np.uint8))
    return found.hexdigest()


class NoCheckpoint:
    """Training that leaves no checkpoint."""

    is_due = False

    def begin(self, data: Rows, split: Tensors, fingerprint: str) -> State:
        """A new run."""
        return {}

    def write(self, state: Callable[[], State]) -> None:
        """Nothing to write."""
