"""Random numbers: quasi-random base noise, draws, and a hash that orders rows.

Draws are made on the device of the generator and moved to that of a tensor, so that a generator of
the CPU gives the same numbers to models on all devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

# Multipliers of splitmix64 (Steele, Lea & Flood 2014) as signed 64-bit integers.
MULTIPLIERS = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
INCREMENT = 0x9E3779B97F4A7C15 - 2**64


@lru_cache(maxsize=16)
def quasi_normal(n_samples: int, n_dims: int, scrambling: int = 0) -> Tensor:
    """Standard normal quasi-random points, the same for every row: (n_samples, 1, n_dims).

    With the same noise for every row, the result for a row does not depend on the other rows. The
    tensor is remembered: do not change it.
    """
    engine = SobolEngine(n_dims, scramble=True, seed=scrambling)
    u = engine.draw(n_samples, dtype=torch.float64)
    return torch.special.ndtri(u.clamp(2.0**-31, 1 - 2.0**-31)).unsqueeze(1)


def normal(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal draws of the dtype of a tensor, on its device."""
    own = generator.device
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=own).to(like.device)


def uniform(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Draws from [0, 1) of the dtype of a tensor, on its device."""
    own = generator.device
    return torch.rand(shape, generator=generator, dtype=like.dtype, device=own).to(like.device)


def multinomial(weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """`n` positions along the last axis, drawn with replacement in proportion to weights."""
    there = weights.to(generator.device)
    drawn = torch.multinomial(there, n, replacement=True, generator=generator)
    return drawn.to(weights.device)


def weighted_indices(cumulated: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """`n` indices drawn with replacement, in proportion to weights with these cumulative sums."""
    u = torch.rand(n, generator=generator, device=cumulated.device, dtype=torch.float64)
    index = torch.searchsorted(cumulated, u * cumulated[-1])
    return index.clamp(max=len(cumulated) - 1)


def priority(keys: Tensor) -> Tensor:
    """A fixed pseudo-random number for each key, by the finalizer of splitmix64.

    The rows with the smallest priorities are a uniform sample of all rows with different keys, in
    whatever order and how often the rows were seen (bottom-k sampling).

    Parameters
    ----------
    keys : Tensor of shape (n_rows,), int64
        Hash of the contents of each row.

    Returns
    -------
    priority : Tensor of shape (n_rows,), int64
        A bijection of the keys: different keys have different priorities.

    References
    ----------
    Cohen & Kaplan (2007), Summarizing Data using Bottom-k Sketches.
    """
    mixed = keys + INCREMENT
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        mixed = (mixed ^ _shifted_right(mixed, shift)) * multiplier
    return mixed ^ _shifted_right(mixed, 31)


def _shifted_right(x: Tensor, n: int) -> Tensor:
    """Logical shift: `>>` of torch repeats the sign bit, which is masked out here."""
    return (x >> n) & ((1 << (64 - n)) - 1)
