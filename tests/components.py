"""The table of components: every property test runs over it. A new component adds one row."""

from __future__ import annotations

from skvae import (
    ELBO,
    IWAE,
    Aggregated,
    Atoms,
    Bernoulli,
    Binned,
    Categorical,
    DiscretizedLogistic,
    FlowPrior,
    Gaussian,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Normal,
    NormalMixture,
    Ordinal,
    Poisson,
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
    LogNormal(),
    NormalMixture(),
    NormalMixture(n_modes=2),
    Binned(n_bins=8),
    Binned(n_bins=8, within="linear"),
    Atoms(),
    Atoms(slab=DiscretizedLogistic()),
    DiscretizedLogistic(),
    DiscretizedLogistic(scale="shared"),
    DiscretizedLogistic(scale=0.4),
    Poisson(),
    NegativeBinomial(),
    Bernoulli(),
    Categorical(),
    Ordinal(),
]
LATENTS = [Gaussian()]
PRIORS = [
    StandardNormal(),
    Mixture(n_components=5),
    Aggregated(n_exemplars=60),
    Aggregated(n_exemplars=60, guard=Mixture(n_components=3)),
    FlowPrior(n_transforms=1, hidden_layer_sizes=(16,)),
]
OBJECTIVES = [
    ELBO(),
    ELBO(beta=4.0),
    ELBO(beta=0.5, warmup=0.5),
    ELBO(free_bits=0.1),
    ELBO(n_samples=3),
    IWAE(n_samples=4),
]
