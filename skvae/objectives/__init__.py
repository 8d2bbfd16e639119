"""Objectives of training: from log-densities to a bound on log p(x) for each row.

To add one: write one class, put it into :data:`OBJECTIVES`, and add a row to
``tests/components.py``.
"""

from ._base import Objective, divergence
from .elbo import ELBO
from .embedding import Embedding
from .iwae import IWAE
from .trimmed import Trimmed

__all__ = ["ELBO", "IWAE", "OBJECTIVES", "Embedding", "Objective", "Trimmed", "divergence"]

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "embedding": Embedding,
    "iwae": IWAE,
    "trimmed": Trimmed,
}
