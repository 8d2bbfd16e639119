"""The table of components: every property test runs over it. A new component adds one row."""

from __future__ import annotations

from skvae import (
    ELBO,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Gaussian,
    Normal,
    StandardNormal,
    StudentT,
)

LIKELIHOODS = [
    Normal(),
    Normal(scale="column"),
    Normal(scale="shared"),
    Normal(scale=0.7),
    StudentT(),
    StudentT(scale="column"),
    StudentT(scale=0.5),
    DiscretizedLogistic(),
    DiscretizedLogistic(scale="shared"),
    DiscretizedLogistic(scale=0.4),
    Bernoulli(),
    Categorical(),
]
LATENTS = [Gaussian()]
PRIORS = [StandardNormal()]
OBJECTIVES = [
    ELBO(),
    ELBO(beta=4.0),
    ELBO(beta=0.5, warmup=0.5),
    ELBO(n_samples=3),
]
