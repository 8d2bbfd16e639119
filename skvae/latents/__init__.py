"""Latent families q(z | x): one file per family.

To add one: write one file beside ``gaussian.py``, put the class into :data:`LATENTS`, and add a
row to ``tests/components.py``.
"""

from ._base import Draw, Latent, LatentModule, LinearPosterior
from .gaussian import Gaussian

__all__ = ["Draw", "Gaussian", "Latent", "LatentModule", "LinearPosterior"]

LATENTS: dict[str, type[Latent]] = {"gaussian": Gaussian}
