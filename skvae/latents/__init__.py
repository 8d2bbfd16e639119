"""Latent families q(z | x): one file per family.

To add a family: write one file like ``gaussian.py``, put the class into :data:`LATENTS`, and add a
row to ``tests/components.py``.
"""

from skvae._nn.draw import Draw

from ._base import Latent, LatentModule, LinearPosterior
from .finite_scalar import FiniteScalar
from .flow import Flow
from .gaussian import Gaussian
from .ladder import Ladder
from .quantized import Quantized

__all__ = [
    "Draw",
    "FiniteScalar",
    "Flow",
    "Gaussian",
    "Ladder",
    "Latent",
    "LatentModule",
    "LinearPosterior",
    "Quantized",
]

LATENTS: dict[str, type[Latent]] = {
    "gaussian": Gaussian,
    "flow": Flow,
    "ladder": Ladder,
    "quantized": Quantized,
    "finite_scalar": FiniteScalar,
}
