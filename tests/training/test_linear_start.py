"""The start of training follows the rows, and training must be better than it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae._model.linear import probabilistic_pca, spectrum
from skvae._model.linear_choice import (
    choose_linear_start,
    closest_student_t,
    gaussian_log_density,
    standardized_residuals,
)
from skvae._training.cross_validation import Curve, folds
from skvae._training.held_out import gain_is_clear
from skvae._training.loop import Split


def linear_gaussian(n_rows, n_columns, seed, k=3):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(k, n_columns))
    noise = rng.uniform(0.3, 1.2, n_columns)
    return rng.normal(size=(n_rows, k)) @ W + noise * rng.normal(size=(n_rows, n_columns))


def best_linear(train, test):
    """The better held-out score of PCA and factor analysis with their best sizes."""
    most = min(train.shape[1] - 1, int(0.8 * len(train)) - 1)
    sizes = {"n_components": [k for k in (1, 2, 3, 4, 6, 8, 12, 16) if k <= max(1, most)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # factor analyses that have not converged
        models = PCA(svd_solver="full"), FactorAnalysis()
        return max(GridSearchCV(m, sizes, cv=5).fit(train).score(test) for m in models)


SHAPES = [(10, 2), (15, 5)]
MORE_SHAPES = [(20, 30), (40, 40), (150, 20), (300, 60), (25, 120), (60, 200)]


@pytest.mark.parametrize(
    ("n_rows", "n_columns"),
    [*SHAPES, *(pytest.param(*shape, marks=pytest.mark.slow) for shape in MORE_SHAPES)],
)
def test_never_below_the_better_linear_model(n_rows, n_columns):
    """The promise: at most 0.02 nats per column below, in the mean of three tables."""
    gaps = []
    for seed in range(3):
        X = linear_gaussian(n_rows + 500, n_columns, seed, k=min(3, n_columns // 2))
        scaler = StandardScaler().fit(X[:n_rows])
        train, test = scaler.transform(X[:n_rows]), scaler.transform(X[n_rows:])
        vae = VAETransformer(random_state=0).fit(train)
        gaps.append((vae.score(test) - best_linear(train, test)) / n_columns)
    assert np.mean(gaps) > -0.02


def test_the_size_follows_the_rows():
    few = VAETransformer(max_iter=1, random_state=0).fit(linear_gaussian(40, 40, 0))
    many = VAETransformer(max_iter=1, random_state=0).fit(linear_gaussian(3000, 12, 0, k=9))
    assert few.n_components_ <= 6
    assert many.n_components_ == 9  # three quarters of the columns
    wide = VAETransformer(max_iter=1, random_state=0).fit(linear_gaussian(800, 60, 0, k=24))
    assert wide.n_components_ >= 20


def test_a_requested_size_is_kept():
    X = linear_gaussian(30, 20, 0)
    assert VAETransformer(12, max_iter=1, random_state=0).fit(X).n_components_ == 12


def test_training_that_overfits_is_not_kept():
    """Noise on few rows: the start is left as it is, and the history says so."""
    X = np.random.default_rng(0).normal(size=(40, 12))
    vae = VAETransformer(random_state=0).fit(X)
    assert vae.history_["step"] == [0]
    assert all(len(series) == 1 for series in vae.history_.values())
    assert vae.n_iter_ == 1


def test_training_that_helps_is_kept():
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 2 * np.pi, 90)
    X = np.stack([np.cos(t), np.sin(t), np.cos(2 * t)], 1) + 0.05 * rng.normal(size=(90, 3))
    vae = VAETransformer(random_state=0).fit(X)
    assert vae.history_["step"][-1] > 20


def test_rows_decide_the_size_and_the_noise_of_the_linear_model():
    equal = np.random.default_rng(0).normal(size=(2000, 2)) @ [[2, 2, 2, 0], [0, 0, 1, 3]]
    equal = equal + np.random.default_rng(1).normal(size=(2000, 4))
    equal -= equal.mean(0)
    # As good as the best, and as close as can be to the default.
    assert choose_linear_start(equal, None, [1, 2, 3], 3).n_components in (2, 3)
    assert choose_linear_start(equal, None, [1, 2, 3], 1).n_components == 2
    few = linear_gaussian(12, 30, 0)
    assert choose_linear_start(few - few.mean(0), None, [2], 2).is_shared
    own = linear_gaussian(900, 6, 0, k=1)
    assert not choose_linear_start(own - own.mean(0), None, [1], 1).is_shared


def test_the_noise_of_few_rows_is_that_of_sklearn():
    X = linear_gaussian(12, 30, 0)
    W, noise = probabilistic_pca(spectrum(X - X.mean(0), None), 4, rank=len(X))
    expected = PCA(4, svd_solver="full").fit(X)
    assert noise**2 == pytest.approx(expected.noise_variance_)
    np.testing.assert_allclose(
        W @ W.T + noise**2 * np.eye(30), expected.get_covariance(), atol=1e-8
    )


def test_gaussian_log_density_is_that_of_factor_analysis():
    X = linear_gaussian(300, 5, 0, k=2)
    model = FactorAnalysis(2).fit(X)
    found = gaussian_log_density(
        X - model.mean_, model.components_.T, np.sqrt(model.noise_variance_)
    )
    np.testing.assert_allclose(found, model.score_samples(X))


def test_residuals_given_the_other_columns():
    X = linear_gaussian(400, 5, 0, k=2)
    W, noise = np.random.default_rng(0).normal(size=(5, 2)), np.linspace(0.5, 1.5, 5)
    P = np.linalg.inv(W @ W.T + np.diag(noise**2))
    expected = X @ P / np.sqrt(np.diag(P))
    np.testing.assert_allclose(standardized_residuals(X, W, noise), expected, atol=1e-10)


def test_heavy_tails_are_found():
    rng = np.random.default_rng(0)
    residuals = np.stack(
        [rng.normal(size=3000), rng.standard_t(2.5, 3000), 7 * rng.normal(size=3000)], 1
    )
    degrees, scale = closest_student_t(residuals, None)
    assert degrees[0] == degrees[2] == 30
    assert degrees[1] <= 4
    assert scale[0] == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(scale[0], scale[2], atol=0.02)


def test_each_row_is_held_out_once():
    split = Split(torch.arange(23), None, torch.arange(0))
    parts = folds(split, torch.Generator().manual_seed(0))
    held = torch.cat([part.held_out for part in parts])
    assert len(held) == len(torch.unique(held)) == 20
    for part in parts:
        assert len(part.train) + len(part.held_out) == 23
        assert not set(part.train.tolist()) & set(part.held_out.tolist())


def test_the_best_number_of_steps():
    rising = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.2, 0.8], [0.5, 0.4, 0.6]])
    assert Curve([0, 10, 20], rising).best(first=0) == 10
    assert Curve([0, 10, 20], rising).best(first=15) == 20
    doubtful = torch.tensor([[0.0, 0.0, 0.0], [4.0, -1.0, -2.0]])
    assert Curve([0, 10], doubtful).best(first=0) == 0
    assert not gain_is_clear(doubtful[1])
    assert gain_is_clear(rising[1])
