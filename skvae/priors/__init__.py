"""Priors p(z): one file per family.

A prior is a value object; ``build`` creates the module with its learned parameters. To add a
family: write one file with one class and its module, put it into :data:`PRIORS`, and add a row to
``tests/components.py``.
"""

from ._base import MixtureOfGaussians, Prior, PriorModule
from .aggregated import Aggregated
from .autoregressive import Autoregressive
from .diffusion import Diffusion
from .flow import FlowPrior
from .mixture import Mixture
from .standard_normal import StandardNormal

__all__ = [
    "Aggregated",
    "Autoregressive",
    "Diffusion",
    "FlowPrior",
    "Mixture",
    "MixtureOfGaussians",
    "Prior",
    "PriorModule",
    "StandardNormal",
]

PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormal,
    "mixture": Mixture,
    "aggregated": Aggregated,
    "diffusion": Diffusion,
    "flow": FlowPrior,
    "autoregressive": Autoregressive,
}
