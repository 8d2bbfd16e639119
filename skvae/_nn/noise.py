"""Quasi-random base noise: the same for every row, so that answers do not depend on the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine


def quasi_normal(n_samples: int, n_dims: int, scrambling: int = 0) -> Tensor:
    """Standard normal quasi-random points, (n_samples, 1, n_dims)."""
    engine = SobolEngine(n_dims, scramble=True, seed=scrambling)
    u = engine.draw(n_samples, dtype=torch.float64)
    return torch.special.ndtri(u.clamp(2.0**-31, 1 - 2.0**-31)).unsqueeze(1)
