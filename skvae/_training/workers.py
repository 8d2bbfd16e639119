"""Processes that train one model together, each on rows of its own.

Every process has the same weights. In a step each computes the gradient of its batch, and all take
the step along the mean of the gradients: with W processes it is a step with a batch W times as
large. All parameters are one tensor, so that there is one exchange a step. What is decided between
steps, such as when to stop, is decided by the first process.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from skvae._model.vae import VAE


class Workers(Protocol):
    """The processes that train a model, as one of them sees them."""

    def noise(self, generator: torch.Generator) -> torch.Generator:
        """The generator of this process, from one that all have."""
        ...

    def average(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over the processes; it is changed in place."""
        ...

    def agree(self, value: Any) -> Any:
        """The number or tensor that the first process has."""
        ...

    def after_step(self, model: VAE) -> None:
        """A step has changed what is no parameter of the model."""
        ...


class OneWorker:
    """A process that trains alone."""

    def noise(self, generator: torch.Generator) -> torch.Generator:
        return generator

    def average(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, value: Any) -> Any:
        return value

    def after_step(self, model: VAE) -> None:
        """There is no other process to tell."""


class Group:
    """The processes of the default group of ``torch.distributed``, which has been initialized.

    Parameters
    ----------
    device : torch.device
        On which this process trains.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.rank, self.size = device, dist.get_rank(), dist.get_world_size()

    def noise(self, generator: torch.Generator) -> torch.Generator:
        return self.generator(generator.initial_seed(), 0)

    def generator(self, seed: int, n_steps: int) -> torch.Generator:
        """A generator that no other process has, and none that had done other steps."""
        entropy = [seed % 2**63, self.rank, n_steps]
        own = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        return torch.Generator(self.device).manual_seed(own % 2**63)

    def average(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor)
        return tensor.div_(self.size)

    def agree(self, value: Any) -> Any:
        tensor = torch.as_tensor(value, dtype=torch.float64).to(self.device, copy=True)
        dist.broadcast(tensor, src=0)
        return tensor.to(value) if isinstance(value, Tensor) else type(value)(tensor.item())

    def after_step(self, model: VAE) -> None:
        """Codebooks, which are moving averages of the rows seen, are those of the first process."""
        if model.latent.uses_data:
            for buffer in model.latent.buffers():
                dist.broadcast(buffer, src=0)
