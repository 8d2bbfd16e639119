"""The score of a row depends on the row alone, and tells its error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from frames import pandas_frame, with_missing_cells
from sklearn.base import clone

from skvae import VAEOutlierDetector, VAETransformer
from skvae._inference.from_prior import SHARE, PriorDraws, draws_from_prior
from skvae._inference.importance import EncodedRows
from skvae._nn.noise import quasi_normal


@pytest.fixture(scope="module")
def table():
    return with_missing_cells(pandas_frame(120))


@pytest.fixture(scope="module")
def vae(table):
    return VAETransformer(random_state=0, max_iter=5).fit(table)


def test_two_calls_are_bit_equal(vae, table):
    np.testing.assert_array_equal(vae.score_samples(table), vae.score_samples(table))
    np.testing.assert_array_equal(vae.transform(table), vae.transform(table))


def test_other_rows_do_not_matter(vae, table):
    scores, Z = vae.score_samples(table), vae.transform(table)
    order = np.random.default_rng(0).permutation(len(table))
    np.testing.assert_allclose(vae.score_samples(table.iloc[order]), scores[order], rtol=1e-9)
    np.testing.assert_allclose(vae.transform(table.iloc[order]), Z[order], rtol=1e-9, atol=1e-12)
    for part in (slice(0, 1), slice(7, 9), slice(50, 120)):
        np.testing.assert_allclose(vae.score_samples(table.iloc[part]), scores[part], rtol=1e-9)
        np.testing.assert_allclose(vae.transform(table.iloc[part]), Z[part], rtol=1e-9, atol=1e-12)


def test_chunks_do_not_matter(vae, table, monkeypatch):
    scores = vae.score_samples(table)
    monkeypatch.setattr("skvae._model.vae.MAX_CHUNK", 64 * 128 * 7)
    np.testing.assert_allclose(vae.score_samples(table), scores, rtol=1e-9)


@pytest.mark.slow
def test_standard_error_is_honest():
    """Against 2^14 draws, the error is of the size that is stated."""
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(500, 2)) @ rng.normal(size=(2, 5)))
    X = X + 0.3 * rng.normal(size=X.shape)
    vae = VAETransformer(2, hidden_layer_sizes=(32,), random_state=0).fit(X)
    scores, std = vae.score_samples(X, return_std=True)
    np.testing.assert_array_equal(scores, vae.score_samples(X))
    truth = vae.set_params(n_importance_samples=2**14).score_samples(X[:150])
    ratio = np.abs(scores[:150] - truth) / std[:150]
    assert 0.3 < np.median(ratio) < 1.5
    assert (ratio < 4).mean() > 0.9


def test_a_row_without_cells_scores_zero():
    X = with_missing_cells(pandas_frame(80))[["float64", "object", "boolean"]]
    vae = VAETransformer(random_state=0, max_iter=2).fit(X)
    empty = X.iloc[[5]]  # see with_missing_cells
    assert empty.isna().all(axis=None)
    score, std = vae.score_samples(empty, return_std=True)
    assert score.tolist() == [0.0]
    assert std.tolist() == [0.0]
    assert np.isfinite(vae.transform(empty)).all()


def test_surprises_have_the_stated_scores():
    """A constant with a new value and an unknown level cost log(n + 1) more than expected."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=99), "c": 1.0, "l": list("abc") * 33})
    vae = VAETransformer(random_state=0, max_iter=2).fit(X)
    row = X.iloc[[0]]
    usual = vae.score_samples(row)
    # a new value of the constant: −log(n + 1) in place of log n/(n + 1)
    new_constant = vae.score_samples(row.assign(c=2.0))
    np.testing.assert_allclose(new_constant - usual, -np.log(99))
    # an unknown level scores −log(n + 1) beside the density of the other cells
    unknown = vae.score_samples(row.assign(l="zebra"))
    without = vae.score_samples(row.assign(l=None))
    np.testing.assert_allclose(unknown - without, -np.log(100))


def test_more_draws_raise_the_bound(vae, table):
    quick = VAETransformer(random_state=0, max_iter=5, n_refinement_steps=0)
    few = clone(quick).set_params(n_importance_samples=2).fit(table)
    many = clone(quick).set_params(n_importance_samples=512).fit(table)
    assert many.score(table) > few.score(table)


def test_quasi_random_points_are_normal_and_finite():
    points = quasi_normal(4096, 5)[:, 0].numpy()
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(np.cov(points.T), np.eye(5), atol=2e-2)
    assert not np.array_equal(points, quasi_normal(4096, 5, scrambling=1)[:, 0].numpy())


def test_outliers_score_lower_and_stay_finite(vae, table):
    row = table.dropna(subset=["float64"]).iloc[[0]]
    scores = [float(vae.score_samples(row.assign(float64=v))[0]) for v in (0.0, 30.0, 1e6, 1e300)]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("estimator", [VAETransformer, VAEOutlierDetector])
def test_single_precision_answers_nearly_the_same(table, estimator):
    vae = estimator(random_state=0, max_iter=5).fit(table)
    double = vae.score_samples(table)
    single = vae.set_params(precision="single").score_samples(table)
    # A row whose effective sample size is at the limit may be refined in one of both only.
    error = np.abs(single - double)
    assert np.quantile(error, 0.98) < 2e-3
    assert error.max() < 0.1
    assert (single != double).any()
    assert single.dtype == double.dtype == np.float64
    assert vae.model_.head.weight.dtype == torch.float64


def test_an_embedding_in_single_precision_takes_half_the_room(table):
    vae = VAETransformer(2, random_state=0, max_iter=5).fit(table)
    double = vae.transform(table)
    single = vae.set_params(precision="single").transform(table)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single, double, atol=1e-4)
    assert vae.inverse_transform(single).shape == table.shape


def test_an_outlier_costs_no_thousands_of_nats():
    """The encoder puts the row where the prior has no mass; draws from the prior describe it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 2)) @ rng.normal(size=(2, 5)) + 0.05 * rng.normal(size=(1500, 5))
    vae = VAETransformer(random_state=0, max_iter=60).fit(X)
    usual, outlier = X[:1], X[:1] + np.array([[0.0, 60.0, 0.0, -60.0, 0.0]])
    both = vae.score_samples(np.vstack([usual, outlier]))
    assert -1000 < both[1] < both[0] - 20
    np.testing.assert_allclose(vae.score_samples(outlier), both[1:], rtol=1e-9)
    parts = vae.explain_samples(outlier)
    np.testing.assert_allclose(np.asarray(parts).sum(), both[1], rtol=1e-6)


def test_draws_from_the_prior_are_mixed_in_proportion():
    """log p(x) is that of the mixture of both estimates, and so are the expectations."""
    log_px = torch.tensor([-3.0, -50.0])
    weights = torch.full((4, 2), 0.25)
    draws = PriorDraws(torch.arange(2), log_px, torch.ones(2, 3), torch.zeros(4, 1, 2), weights)
    own = torch.tensor([-300.0, -4.0])
    mixed = draws.mixed(own)
    np.testing.assert_allclose(mixed, [-3 + np.log(SHARE), -4 + np.log(1 - SHARE)], rtol=1e-6)
    cells = draws.mixed_cells(torch.zeros(2, 3), own)
    np.testing.assert_allclose(cells, [[1.0] * 3, [0.0] * 3], atol=1e-6)


def test_draws_from_the_prior_are_unbiased():
    """On the linear model, where log p(x) is exact."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 1)) @ [[1.0, 0.7]] + 0.6 * rng.normal(size=(400, 2))
    vae = VAETransformer(1, hidden_layer_sizes=(), likelihood="normal", prior="standard_normal",
                         random_state=0).fit(X)  # fmt: skip
    rows = vae.fitted_model_.encode(X[:20])
    encoded = EncodedRows(rows, vae.model_.encode(rows))
    draws = draws_from_prior(vae.model_, encoded, torch.ones(len(rows)), 64)
    exact = vae.set_params(n_importance_samples=2000).score_samples(X[:20])
    np.testing.assert_allclose(draws.log_px + rows.log_measure, exact, atol=0.3)
    assert abs(float((draws.log_px + rows.log_measure - torch.from_numpy(exact)).mean())) < 0.1
