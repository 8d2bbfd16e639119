"""Fitted models without exemplars, which are posterior means of training rows."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from skvae._fitted.fitted_model import FittedModel
from skvae._model.vae import VAE
from skvae.priors import Mixture
from skvae.priors.aggregated import AggregatedModule
from skvae.priors.mixture import MixtureModule

N_DRAWS = 10_000  # of the aggregated posterior, for each model


def without_exemplars(fitted: FittedModel) -> FittedModel:
    """The fitted model with a mixture of Gaussians in place of the aggregated posterior.

    The mixture is fitted by expectation-maximization to draws from p(z). Models whose prior has no
    exemplars are left as they are.
    """
    if not isinstance(fitted.model.prior, AggregatedModule):
        return fitted
    return replace(fitted, models=[_with_mixture(m) for m in fitted.models], prior=Mixture())


@torch.no_grad()
def _with_mixture(model: VAE) -> VAE:
    from sklearn.mixture import GaussianMixture  # it imports half of scikit-learn

    prior = model.prior
    generator = torch.Generator().manual_seed(0)
    z = prior.sample(N_DRAWS, generator).numpy()
    n_clusters = Mixture().n_components
    found = GaussianMixture(n_clusters, covariance_type="diag", random_state=0).fit(z)
    mixture = MixtureModule(n_clusters, z.shape[1]).double()
    mixture.logits.copy_(torch.from_numpy(found.weights_).log())
    mixture.mean.copy_(torch.from_numpy(found.means_))
    mixture.log_var.copy_(torch.from_numpy(found.covariances_).log())
    model = copy.deepcopy(model)
    model.prior = mixture.requires_grad_(False).eval()
    return model
