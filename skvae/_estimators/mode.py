"""What a call of fit or partial_fit does, and what it has resolved before it starts."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from skvae._training.checkpoint import Checkpoint, NoCheckpoint
from skvae._training.weights import random_seed
from skvae._validation import check_device, check_parameters
from skvae._version import __version__

from .components import Components
from .parameters import VAEParameters

# Parameters that may differ in the fit that goes on from a checkpoint.
NOT_OF_TRAINING = ("checkpoint", "checkpoint_every", "verbose", "max_time")


class Mode(Enum):
    """What a call of fit or partial_fit does."""

    NEW = "new"  # fit: a new model
    WARM_START = "warm start"  # fit: train the fitted model further
    FIRST_PASS = "first pass"  # partial_fit: a new model, one pass over the rows
    NEXT_PASS = "next pass"  # partial_fit: one more pass of the fitted model, over more rows

    @classmethod
    def of(cls, estimator: VAEParameters, *, one_pass: bool) -> Mode:
        is_fitted = not vars(estimator).keys().isdisjoint(("fitted_model_", "_unfinished"))
        if one_pass:
            return cls.NEXT_PASS if is_fitted else cls.FIRST_PASS
        return cls.WARM_START if is_fitted and estimator.warm_start else cls.NEW

    @property
    def is_new(self) -> bool:
        """Whether the model is built, not taken over."""
        return self in (Mode.NEW, Mode.FIRST_PASS)

    @property
    def is_one_pass(self) -> bool:
        """Whether each row is seen once, at a constant learning rate, and none is held out."""
        return self in (Mode.FIRST_PASS, Mode.NEXT_PASS)


@dataclass
class FitContext:
    """What a call of fit or partial_fit has resolved before it reads the table.

    Attributes
    ----------
    mode : Mode
    components : Components
        Resolved from names.
    device : torch.device
        On which the models are trained.
    seed : int
    generator : torch.Generator
        The only source of randomness of the call.
    checkpoint : Checkpoint or NoCheckpoint
        Where the state of training is written.
    """

    mode: Mode
    components: Components
    device: torch.device
    seed: int
    generator: torch.Generator
    checkpoint: Checkpoint | NoCheckpoint

    @classmethod
    def of(cls, estimator: VAEParameters, mode: Mode) -> FitContext:
        check_parameters(estimator)
        device = check_device(estimator.device)
        components = Components.of(estimator)
        seed = seed_of(estimator, mode)
        if not mode.is_new:  # noise that differs from that of the steps before
            seed += int(sum(estimator.history_["step"][-1:]))
        generator = torch.Generator().manual_seed(seed)
        return cls(mode, components, device, seed, generator, checkpoint_of(estimator, mode))


def seed_of(estimator: VAEParameters, mode: Mode) -> int:
    """The seed of a call; with a checkpoint the same at every call.

    Raises
    ------
    ValueError
        If there is a checkpoint, and `random_state` gives other numbers at every call.
    """
    state = estimator.random_state
    if not _has_checkpoint(estimator, mode) or isinstance(state, numbers.Integral):
        return random_seed(state)
    if state is None:
        return 0
    raise ValueError(
        "With checkpoint, random_state must be an integer or None, since a fit that goes on has to "
        f"draw what it drew before. Got random_state={state!r} instead."
    )


def checkpoint_of(estimator: VAEParameters, mode: Mode) -> Checkpoint | NoCheckpoint:
    """The checkpoint of a call of fit that builds a new model.

    Raises
    ------
    ValueError
        If it cannot be, or is of another fit.
    """
    if not _has_checkpoint(estimator, mode):
        return NoCheckpoint()
    path = Path(estimator.checkpoint)
    if path.is_dir() or not path.parent.is_dir():
        fault = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise ValueError(f"checkpoint must be the path of a file, but {str(path)!r} {fault}.")
    return Checkpoint(path, estimator.checkpoint_every, identity_of(estimator))


def identity_of(estimator: Any) -> dict[str, str]:
    """What must be equal in a fit that goes on from a checkpoint, by name."""
    parameters: dict[str, Any] = {"skvae": __version__, "estimator": type(estimator).__name__}
    params = estimator.get_params(deep=False)
    parameters.update({name: params[name] for name in params if name not in NOT_OF_TRAINING})
    return {name: repr(value) for name, value in parameters.items()}


def _has_checkpoint(estimator: VAEParameters, mode: Mode) -> bool:
    return mode is Mode.NEW and estimator.checkpoint is not None
