"""Families with integer codes: sums over codes, codebooks, and additional rows."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_latents import fitted

from skvae import FiniteScalar, Flow, Quantized, VAETransformer
from skvae._nn.clusters import k_means
from skvae._training.stacking import FlatParameters


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return np.tanh(rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6))) + 0.2 * rng.normal(
        size=(400, 6)
    )


def counted(vae):
    """All codes of a model: (n_all, n_positions)."""
    latent = vae.model_.latent
    each = [torch.arange(latent.n_codes)] * latent.n_noise
    return torch.cartesian_prod(*each).view(-1, latent.n_noise)


@pytest.mark.parametrize("latent", [Quantized(5, n_codebooks=2), FiniteScalar(5),
                                    Quantized(9, n_codebooks=1)], ids=repr)  # fmt: skip
def test_scores_of_codes_are_sums_over_all_codes(X, latent):
    vae = fitted(X, latent, n_importance_samples=4096)
    model, rows = vae.model_, vae.fitted_model_.encode(X[:20])
    codes = counted(vae).unsqueeze(1)
    z = model.latent.vectors(codes).expand(-1, 20, -1)
    exact = torch.logsumexp(model.log_px(z, rows) + model.prior.log_prob(codes), 0)
    score = vae.score_samples(X[:20]) - rows.log_measure.numpy()
    accuracy = 1e-9 if model.latent.n_noise == 1 else 0.05
    np.testing.assert_allclose(score, exact.numpy(), atol=accuracy)
    h = model.encode(rows)
    total = model.latent.log_prob(z, h, model.prior).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(20, dtype=torch.float64))


def test_one_position_is_scored_exactly(X):
    vae = fitted(X, Quantized(8, n_codebooks=1))
    score, std, ess = vae.score_samples(X, return_std=True, return_ess=True)
    np.testing.assert_allclose(std, 0, atol=1e-12)
    assert (ess == vae.n_importance_samples).all()
    np.testing.assert_array_equal(vae.set_params(n_importance_samples=3).score_samples(X), score)


@pytest.mark.parametrize("latent", [Quantized(16), FiniteScalar(8)], ids=repr)
def test_codes_stand_for_their_vectors(X, latent):
    vae = fitted(X, latent, k=4, early_stopping=False)
    codes, Z = vae.codes(X), vae.transform(X)
    assert codes.dtype == np.int64
    assert codes.shape == (len(X), vae.model_.latent.n_noise)
    codebook = vae.model_.latent.codebook.numpy()
    vectors = codebook[np.arange(codes.shape[1]), codes].reshape(len(X), -1)
    np.testing.assert_array_equal(Z, vectors)
    np.testing.assert_array_equal(vae.inverse_transform(codes), vae.inverse_transform(Z))
    with pytest.raises(ValueError, match="are not codes of this model"):
        vae.inverse_transform(codes + 100)
    back = vae.inverse_transform(Z)
    np.testing.assert_array_equal(back, vae.inverse_transform(Z + 1e-6))  # the nearest codes
    counts = [np.bincount(c, minlength=vae.model_.latent.n_codes) for c in codes.T]
    share = np.array(counts) / len(X)
    entropy = -(share * np.log(share.clip(1e-300))).sum(1)
    np.testing.assert_allclose(vae.perplexity_, np.exp(entropy), rtol=1e-5)
    new = vae.sample(50, random_state=0)
    assert new.shape == (50, X.shape[1])


def test_only_code_families_have_codes(X):
    assert not hasattr(VAETransformer(), "codes")
    assert hasattr(VAETransformer(latent="quantized"), "codes")
    with pytest.raises(AttributeError, match="no attribute 'codes'"):
        fitted(X, "gaussian").codes(X)


@pytest.mark.slow
def test_codebooks_are_used():
    """Usage and perplexity are high; not without k-means, restarts and a temperature."""
    rng = np.random.default_rng(0)
    # Four factors: both positions of two dimensions are needed.
    X = rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 8)) + 0.2 * rng.normal(size=(3000, 8))
    vae = VAETransformer(4, latent=Quantized(64), random_state=0, max_iter=40).fit(X)
    assert (vae.codebook_usage_ >= 0.9).all()
    assert (vae.perplexity_ >= 32).all()

    straight_through = Quantized(64, restart=0.0, temperature=0.0, start="random")
    plain = VAETransformer(4, latent=straight_through, random_state=0, max_iter=40).fit(X)
    assert plain.codebook_usage_.mean() < 0.5
    assert (plain.perplexity_ < 0.5 * vae.perplexity_).all()


def test_the_codebook_is_kept_and_restored_with_the_weights(X):
    """Buffers that change in training are restored with the parameters."""
    model = fitted(X, Quantized(8), max_iter=1).model_
    latent, flat = model.latent, FlatParameters(model)
    before, kept = latent.codebook.clone(), flat.copy()
    latent.codebook.add_(1.0)
    flat.values.add_(1.0)
    flat.restore(kept)
    torch.testing.assert_close(latent.codebook, before)
    torch.testing.assert_close(flat.values, kept[0])


@pytest.mark.parametrize("latent", ["quantized", "finite_scalar"])
def test_a_few_more_rows_leave_the_proposals_wide(X, latent):
    """Single added rows change neither the width of q much nor the usage of the codebook."""
    vae = fitted(X, latent, k=4)
    width, usage = vae.model_.latent.width_squared.clone(), vae.codebook_usage_
    for i in range(10):
        vae.partial_fit(X[i : i + 1])
    assert (vae.model_.latent.width_squared > 0.5 * width).all()
    assert (vae.codebook_usage_ > usage - 0.1).all()
    assert vae.active_units_.any()


@pytest.mark.slow
def test_entries_without_rows_stay_where_they_are():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, size=(300, 1)) * 5.0 + 0.01 * rng.normal(size=(300, 3))
    latent = Quantized(32, n_codebooks=1, restart=0.0, decay=0.0)
    vae = fitted(X, latent, k=2, max_iter=20, batch_size=16, early_stopping=False)
    assert (vae.model_.latent.codebook.abs().sum(-1) > 0).all()
    assert np.isfinite(vae.score_samples(X)).all()


def test_more_codes_than_rows_are_all_different():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(200, 3)).astype(float) + np.arange(3)
    vae = fitted(X, Quantized(32, n_codebooks=1), k=2, max_iter=1, learning_rate_init=1e-9)
    codebook = vae.model_.latent.codebook[0]
    assert len(torch.unique(codebook, dim=0)) == 32


def test_attributes_of_codes_go_with_the_family(X):
    vae = fitted(X, "quantized")
    vae.set_params(latent="gaussian", prior="standard_normal").fit(X)
    assert not hasattr(vae, "perplexity_")
    assert not hasattr(vae, "codebook_usage_")


PLANAR = pytest.param(Flow("planar"), marks=pytest.mark.slow)


@pytest.mark.parametrize("latent", ["quantized", PLANAR], ids=repr)
def test_unpickling_leaves_torch_as_it_was(X, latent, tmp_path):
    """The import of zuko disables the validation of torch.distributions."""
    vae = fitted(X, latent, k=4)
    path = tmp_path / "vae.pkl"
    path.write_bytes(pickle.dumps(vae))
    code = (
        "import pickle, sys, torch\n"
        "from torch.distributions import Distribution\n"
        f"vae = pickle.load(open({str(path)!r}, 'rb'))\n"
        "assert not hasattr(vae.model_, '_zuko')\n"
        "vae.sample(2)\n"
        "vae.score_samples([[0.0] * 6])\n"
        "assert 'zuko' in sys.modules and Distribution._validate_args"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_points_that_differ_in_the_last_digit_are_one_cluster():
    """k-means finds fewer clusters than distinct vectors there, and warns."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(5, 2)), 12, axis=0).astype(np.float32)
    nearly = vectors * (1 + 1e-7 * rng.normal(size=vectors.shape)).astype(np.float32)
    assert len(np.unique(nearly, axis=0)) > 5
    means, labels = k_means(nearly, 16, seed=0)
    assert len(means) == len(set(labels.tolist())) == 5
    np.testing.assert_allclose(means[labels], vectors, atol=1e-5)
    assert len(k_means(np.zeros((4, 2)), 3, seed=0)[0]) == 1
