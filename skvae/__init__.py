"""skvae."""

from ._vae_transformer import VAETransformer
from ._version import __version__
from .latents import Gaussian
from .likelihoods import Bernoulli, Categorical, DiscretizedLogistic, Normal, StudentT
from .objectives import ELBO
from .priors import StandardNormal

__all__ = [
    "ELBO",
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "Gaussian",
    "Normal",
    "StandardNormal",
    "StudentT",
    "VAETransformer",
    "__version__",
]  # fmt: skip
