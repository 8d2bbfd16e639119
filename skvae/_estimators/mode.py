"""What a call of fit or partial_fit does, and what it has resolved before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch

from skvae._training.weights import random_seed
from skvae._validation import check_device, check_parameters

from .components import Components
from .parameters import VAEParameters


class Mode(Enum):
    """What a call of fit or partial_fit does."""

    NEW = "new"  # fit: a new model
    WARM_START = "warm start"  # fit: train the fitted model further
    FIRST_PASS = "first pass"  # partial_fit: a new model, one pass over the rows
    NEXT_PASS = "next pass"  # partial_fit: one more pass of the fitted model, over more rows

    @classmethod
    def of(cls, estimator: VAEParameters, *, one_pass: bool) -> Mode:
        is_fitted = hasattr(estimator, "fitted_model_")
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
    """

    mode: Mode
    components: Components
    device: torch.device
    seed: int
    generator: torch.Generator

    @classmethod
    def of(cls, estimator: VAEParameters, mode: Mode) -> FitContext:
        check_parameters(estimator)
        device = check_device(estimator.device)
        components = Components.of(estimator)
        seed = random_seed(estimator.random_state)
        if not mode.is_new:  # noise that differs from that of the steps before
            seed += int(sum(estimator.history_["step"][-1:]))
        return cls(mode, components, device, seed, torch.Generator().manual_seed(seed))
