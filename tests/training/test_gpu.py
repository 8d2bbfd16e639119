"""Training on a CUDA device; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from components import LATENTS, OBJECTIVES, PRIORS

from skvae import VAEOutlierDetector, VAETransformer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
QUICK = {"max_iter": 5, "hidden_layer_sizes": (16,), "batch_size": 64, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(400, 6))
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_every_family_trains_there_and_answers_here(X, latent):
    vae = VAETransformer(latent=latent, device="cuda", **QUICK).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert all(p.device.type == "cpu" for p in vae.model_.parameters())


@pytest.mark.parametrize("prior", [p for p in PRIORS if not p.over_codes], ids=repr)
def test_every_prior_trains_there(X, prior):
    vae = VAETransformer(3, prior=prior, device="cuda", **QUICK).fit(X)
    assert np.isfinite(vae.score_samples(vae.sample(10, random_state=0))).all()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_every_objective_trains_there(X, objective):
    vae = VAETransformer(3, objective=objective, device="auto", **QUICK).fit(X)
    assert np.isfinite(vae.history_["bound"]).all()


def test_both_devices_learn_the_same_density(X):
    scores = [
        VAETransformer(3, device=device, random_state=0).fit(X).score(X)
        for device in ("cpu", "cuda")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.3)


def test_stacked_models_train_there(X):
    detector = VAEOutlierDetector(n_estimators=4, device="cuda", **QUICK).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert len(detector.models_) == 4
