"""skvae."""

from ._vae_transformer import VAETransformer
from .latents import Gaussian
from .likelihoods import Bernoulli, Categorical, DiscretizedLogistic, Normal, StudentT
from .objectives import ELBO
from .priors import StandardNormal

from ._version import __version__
__all__ = [
    "ELBO", "Bernoulli", "Categorical", "DiscretizedLogistic", "Gaussian", "Normal",
    "StandardNormal", "StudentT", "VAETransformer",
]  # fmt: skip
