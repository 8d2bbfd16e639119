"""The two noise levels of VAEOutlierDetector, and their pool."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import skvae
from skvae import Mixture, StudentT, VAEOutlierDetector
from skvae._estimators import vae_outlier_detector
from skvae._fitted.pool import pool_weights

QUICK = {"max_iter": 3, "n_importance_samples": 4, "random_state": 0}
COARSE = StudentT("column", min_scale=0.5)


def sums(n, rng):
    """The last column is the sum of the others."""
    parts = rng.gamma(2.0, size=(n, 3))
    return np.column_stack([parts, parts.sum(1)])


@pytest.fixture(scope="module")
def X():
    return sums(400, np.random.default_rng(0))


@pytest.fixture(scope="module")
def detector(X):
    return VAEOutlierDetector(3, **QUICK).fit(X)


def test_the_score_is_the_weighted_sum_of_both_models(detector, X):
    fine, weights = detector.fine_noise_, detector.pool_weights_
    settings = detector._settings()
    coarse = detector.fitted_model_.score(X, "density", settings)
    np.testing.assert_allclose(
        detector.score_samples(X), weights[0] * coarse + weights[1] * fine.score_samples(X)
    )
    assert weights.sum() == pytest.approx(1)
    ranges = [np.subtract(*np.percentile(s, [75, 25])) for s in (coarse, fine.score_samples(X))]
    assert weights[0] * ranges[0] == pytest.approx(weights[1] * ranges[1])
    parts = detector.explain_samples(X[:9])
    np.testing.assert_allclose(parts.sum(axis=1), detector.score_samples(X[:9]))


def test_broken_sums_are_found_and_blamed():
    rng = np.random.default_rng(1)
    X, usual, broken = sums(600, rng), sums(200, rng), sums(200, rng)
    broken[:, 3] *= 1.2
    truth = np.repeat([1, 0], 200)

    def auroc(detector):
        return roc_auc_score(truth, detector.score_samples(np.vstack([usual, broken])))

    pool = VAEOutlierDetector(3, random_state=0).fit(X)
    assert auroc(pool) > 0.95
    assert auroc(pool) > auroc(VAEOutlierDetector(3, likelihood=COARSE, random_state=0).fit(X))
    # Any of the four cells could be the wrong one; the sum is the most surprising most often.
    _, cells = pool.explain_samples(broken, return_cells=True, n_cells=2)
    assert cells.groupby("row").head(1)["column"].value_counts().idxmax() == "x3"
    assert (cells["column"] == "x3").sum() > 0.65 * len(broken)


def test_a_likelihood_of_the_user_has_one_model(X):
    detector = VAEOutlierDetector(3, **QUICK).fit(X)
    assert detector.fine_noise_ is not None
    detector.set_params(likelihood=COARSE).fit(X)
    assert detector.fine_noise_ is None
    np.testing.assert_array_equal(detector.pool_weights_, [1.0])
    expected = detector.fitted_model_.score(X, "density", detector._settings())
    np.testing.assert_array_equal(detector.score_samples(X), expected)


def test_intervals_of_cells_hold_what_they_say(X):
    """Of rows that were not fitted; coarse noise makes them wide rather than narrow."""
    detector = VAEOutlierDetector(3, **QUICK).fit(X[:-60])
    _, cells = detector.explain_samples(X[-60:], return_cells=True, n_cells=X.shape[1])
    holds = [low <= x <= high for x, low, high in cells[["value", "low", "high"]].to_numpy()]
    assert len(holds) == X[-60:].size
    assert np.mean(holds) > 0.85


def test_both_models_are_saved(detector, X, tmp_path):
    scores = detector.score_samples(X)
    detector.save(tmp_path / "detector.skvae")
    for copy in (skvae.load(tmp_path / "detector.skvae"), pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(copy.score_samples(X), scores)
    assert joblib.hash(copy) == joblib.hash(detector)
    detector.save(tmp_path / "without.skvae", drop="exemplars")
    without = skvae.load(tmp_path / "without.skvae")
    assert isinstance(without.prior_, Mixture)
    assert isinstance(without.fine_noise_.prior_, Mixture)
    assert isinstance(clone(detector), VAEOutlierDetector)


@pytest.mark.parametrize("going_on", ["partial_fit", "warm_start"])
def test_both_models_are_trained_further(X, going_on):
    detector = VAEOutlierDetector(3, warm_start=True, **QUICK)
    fit = detector.partial_fit if going_on == "partial_fit" else detector.fit
    fit(X)
    steps, fine = detector.n_iter_, detector.fine_noise_
    before, scores = fine.n_iter_, fine.score_samples(X)
    fit(X)
    assert detector.n_iter_ > steps
    assert detector.fine_noise_.n_iter_ > before
    # The earlier detector is as it was: an error would have left it.
    np.testing.assert_array_equal(fine.score_samples(X), scores)
    assert (detector.fine_noise_.score_samples(X) != scores).any()


def test_an_error_leaves_both_models(detector, X, monkeypatch):
    detector = pickle.loads(pickle.dumps(detector))
    scores = detector.score_samples(X)
    monkeypatch.setattr(vae_outlier_detector, "pool_and_threshold", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        detector.fit(X[:100])
    np.testing.assert_array_equal(detector.score_samples(X), scores)


def test_a_generator_gives_both_models_a_seed(X):
    fits = [
        VAEOutlierDetector(3, **{**QUICK, "random_state": np.random.RandomState(0)}).fit(X)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*(detector.score_samples(X) for detector in fits))


def test_scores_without_spread_count_the_same():
    weights = pool_weights(np.array([np.zeros(9), np.arange(9.0)]), np.ones(9))
    np.testing.assert_array_equal(weights, [0.5, 0.5])
    weights = pool_weights(np.outer([1, 3], np.arange(9.0)), np.ones(9))
    np.testing.assert_allclose(weights, [0.75, 0.25])
