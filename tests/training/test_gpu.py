"""Training and answers on a CUDA device; skipped where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from components import LATENTS, OBJECTIVES, PRIORS

from skvae import ImportanceWarning, VAEOutlierDetector, VAETransformer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
TOLERANCE = 1e-6  # which the documentation of `device` promises
QUICK = {"max_iter": 5, "hidden_layer_sizes": (16,), "batch_size": 64, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(400, 6))
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_every_family_trains_there_and_is_kept_here(X, latent):
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


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_both_devices_give_the_same_answers(X, latent):
    vae = VAETransformer(latent=latent, **QUICK).fit(X)
    here = answers(vae, X)
    there = answers(vae.set_params(device="cuda"), X)
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("prior", [p for p in PRIORS if not p.over_codes], ids=repr)
def test_both_devices_give_the_same_answers_with_every_prior(X, prior):
    vae = VAETransformer(3, prior=prior, **QUICK).fit(X)
    here = answers(vae, X)
    there = answers(vae.set_params(device="cuda"), X)
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


def answers(vae, X):
    """All that is said of the device in the documentation, as arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportanceWarning)
        Z = vae.transform(X)
        return [
            vae.score_samples(X), Z, vae.inverse_transform(Z), vae.sample(50, random_state=0),
            vae.impute(X), vae.explain_samples(X).to_numpy(),
        ]  # fmt: skip


def test_rows_hardly_depend_on_the_others_there(X):
    vae = VAETransformer(3, device="cuda", **QUICK).fit(X)
    each = np.concatenate([vae.score_samples(X[i : i + 7]) for i in range(0, len(X), 7)])
    np.testing.assert_allclose(vae.score_samples(X), each, atol=TOLERANCE)


def test_single_precision_is_near_double_there(X):
    vae = VAETransformer(3, device="cuda", **QUICK).fit(X)
    double = vae.score_samples(X)
    single = vae.set_params(precision="single").score_samples(X)
    np.testing.assert_allclose(single, double, atol=1e-2)


def test_threads_share_the_device(X):
    vae = VAETransformer(3, device="cuda", **QUICK).fit(X)
    many = np.repeat(X, 50, axis=0)
    one, two = (vae.score_samples(many, n_jobs=n) for n in (1, 2))
    np.testing.assert_allclose(one, two, atol=TOLERANCE)
