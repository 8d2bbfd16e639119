"""VAEOutlierDetector: the ranking, the line, and its promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from frames import pandas_frame, with_missing_cells
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from skvae import (
    ELBO,
    Aggregated,
    Normal,
    StudentT,
    Trimmed,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae._estimators import vae_outlier_detector
from skvae._estimators.base import BaseVAE
from skvae._inference.conformal import conformal_pvalues, rejected
from skvae._inference.scoring import SCORES
from skvae._training.weights import split_calibration

N_SPLITS = 60
COARSE = StudentT("column", min_scale=0.5)  # one model; tests/estimators/test_pooling.py has two
LINEAR = {
    "hidden_layer_sizes": (), "max_iter": 1, "prior": "standard_normal", "likelihood": COARSE,
}  # fmt: skip


def plane(n, rng, noise=0.1):
    """Rows near a plane in five dimensions."""
    z = rng.normal(size=(n, 2))
    return np.column_stack([z, z[:, 0] - z[:, 1], z[:, 0] * z[:, 1], z[:, 1] ** 2]) + (
        noise * rng.normal(size=(n, 5))
    )


@pytest.fixture(scope="module")
def normal():
    return plane(900, np.random.default_rng(0))


@pytest.fixture(scope="module")
def odd(normal):
    """Each cell as usual, but not together."""
    rng = np.random.default_rng(1)
    return np.column_stack([rng.permutation(column) for column in normal[:200].T])


@pytest.fixture(scope="module")
def detector(normal):
    return VAEOutlierDetector(
        2, n_estimators=2, calibration_fraction=0.3, likelihood=COARSE, random_state=0
    ).fit(normal[:600])  # fmt: skip


@pytest.mark.parametrize("method", list(SCORES))
def test_every_score_says_that_higher_is_more_normal(detector, normal, odd, method):
    detector.set_params(score_method=method)
    scores = np.concatenate([detector.score_samples(normal[600:]), detector.score_samples(odd)])
    detector.set_params(score_method="density")
    assert roc_auc_score(np.repeat([1, 0], [300, 200]), scores) > 0.8


@pytest.mark.parametrize("method", list(SCORES))
def test_a_score_does_not_depend_on_the_other_rows(detector, odd, method):
    detector.set_params(score_method=method)
    whole, one = detector.score_samples(odd[:40]), detector.score_samples(odd[17:18])
    detector.set_params(score_method="density")
    np.testing.assert_allclose(whole[17:18], one, rtol=1e-4)


def test_the_density_is_that_of_the_equal_mixture(detector, odd):
    """Integrals of mixtures are one; so the log of the mean, not the mean of the logs."""
    each = []
    for model in detector.models_:
        single = VAETransformer(
            2, n_importance_samples=16, n_refinement_steps=0, max_iter=1
        ).fit(odd)  # fmt: skip
        single.fitted_model_ = replace(detector.fitted_model_, models=[model])
        each.append(single.score_samples(odd))
    expected = logsumexp(each, axis=0) - np.log(2)
    np.testing.assert_allclose(detector.score_samples(odd), expected, rtol=1e-9)
    detector.set_params(score_method="mean_log_density")
    np.testing.assert_allclose(detector.score_samples(odd), np.mean(each, 0), rtol=1e-9)
    detector.set_params(score_method="density")


def test_density_per_cell_counts_what_is_seen(detector, odd):
    X = odd[:20].copy()
    X[:, :2] = np.nan
    density = detector.score_samples(X)
    per_cell = detector.set_params(score_method="density_per_cell").score_samples(X)
    detector.set_params(score_method="density")
    np.testing.assert_allclose(per_cell, density / 3)


@pytest.mark.parametrize("method", list(SCORES))
def test_a_row_without_cells_says_nothing(detector, method):
    detector.set_params(score_method=method)
    score = detector.score_samples(np.full((2, 5), np.nan))
    detector.set_params(score_method="density")
    np.testing.assert_array_equal(score, 0.0)


def test_pseudo_likelihood_of_the_linear_model_is_exact():
    """log p(x_j | x_-j) of a Gaussian: −½ log 2πs + ½ … with s = 1 / (Σ⁻¹)_jj."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 4)) + 0.6 * rng.normal(size=(800, 4))
    detector = VAEOutlierDetector(
        2, score_method="pseudo_likelihood", objective=ELBO(), n_importance_samples=512,
        random_state=0, **{**LINEAR, "max_iter": 30, "likelihood": Normal("column")},
    ).fit(X)  # fmt: skip
    model = detector.model_
    W = model.head.weight[:, : model.latent.n_components].double().numpy()
    (group,) = model.groups
    scale = group.likelihood.location_scale(
        group.split(model.head.bias.unsqueeze(0)), group
    )[1].numpy()  # fmt: skip
    precision = np.linalg.inv(W @ W.T + np.diag(scale**2))
    columns = detector.schema_.columns
    y = np.column_stack([c.map.forward(x) for c, x in zip(columns, X[:50].T, strict=True)])
    y = y - model.head.bias.numpy()
    variance = 1 / np.diag(precision)
    residual = (y @ precision) * variance
    expected = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))
    slopes = np.column_stack([c.map.log_derivative(x) for c, x in zip(columns, X[:50].T,
                                                                      strict=True)])  # fmt: skip
    gap = detector.score_samples(X[:50]) - (expected + slopes).sum(1)
    assert np.abs(gap).mean() < 0.1


# ------------------------------------------------------------------------------- the line


def test_a_fraction_puts_that_share_of_the_rows_beyond_the_line(normal):
    detector = VAEOutlierDetector(contamination=0.05, random_state=0, **LINEAR).fit(normal)
    assert (detector.predict(normal) == -1).mean() == pytest.approx(0.05, abs=0.002)


def test_auto_is_the_lower_fence(normal):
    detector = VAEOutlierDetector(random_state=0, **LINEAR).fit(normal)
    q1, q3 = np.percentile(detector.score_samples(normal), [25, 75])
    assert detector.offset_ == pytest.approx(q1 - 1.5 * (q3 - q1))
    kept_out = VAEOutlierDetector(calibration_fraction=0.4, random_state=0, **LINEAR).fit(normal)
    q1, q3 = np.percentile(kept_out.calibration_scores_, [25, 75])
    assert kept_out.offset_ == pytest.approx(q1 - 1.5 * (q3 - q1))


def test_weights_stand_for_repetitions(normal):
    weights = np.tile([0, 1, 2], 300)
    for contamination in ("auto", 0.1):
        quick = VAEOutlierDetector(contamination=contamination, random_state=0, **LINEAR)
        weighted = quick.fit(normal, sample_weight=weights)
        offset = weighted.offset_
        repeated = quick.fit(np.repeat(normal, weights, axis=0))
        assert repeated.offset_ == pytest.approx(offset)


def test_rows_kept_out_are_seen_by_nobody(normal, monkeypatch):
    """The columns, the start, training and exemplars have the other rows alone."""
    both = {**LINEAR, "likelihood": "auto"}
    detector = VAEOutlierDetector(calibration_fraction=0.25, random_state=0, **both)
    tables = []
    fit = BaseVAE._fit_attributes
    monkeypatch.setattr(
        BaseVAE,
        "_fit_attributes",
        lambda self, X, table, *args: tables.append(table) or fit(self, X, table, *args),
    )
    detector.fit(normal)
    seen, again = (np.column_stack([t.cells(j).values for j in range(5)]) for t in tables)
    np.testing.assert_array_equal(seen, again)
    assert len(seen) == 675
    assert len(detector.calibration_scores_) == 225
    both = {row.tobytes() for row in seen} | {row.tobytes() for row in normal}
    assert len(both) == 900
    kept_out = [row for row in normal if row.tobytes() not in {r.tobytes() for r in seen}]
    scores = np.sort(detector.score_samples(np.array(kept_out)))
    np.testing.assert_allclose(scores, detector.calibration_scores_)


def test_conformal_pvalues_by_hand():
    pvalues = conformal_pvalues(np.array([0.0, 1.0, 2.5, 9.0]), np.array([1.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(pvalues, [1 / 5, 3 / 5, 4 / 5, 1.0])


def test_ties_count_against_being_odd():
    np.testing.assert_array_equal(conformal_pvalues(np.zeros(3), np.zeros(9)), 1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_benjamini_hochberg_by_its_definition(pvalues, alpha):
    p = np.array(pvalues)
    m = len(p)
    thresholds = alpha * np.arange(1, m + 1) / m
    assume(not np.isclose(np.sort(p), thresholds, rtol=1e-9).any())  # ties within a rounding
    passing = [k for k in range(1, m + 1) if np.sort(p)[k - 1] <= thresholds[k - 1]]
    expected = p <= np.sort(p)[passing[-1] - 1] if passing else np.zeros(m, bool)
    # So many calibration rows that no row is below them all, which would warn.
    np.testing.assert_array_equal(rejected(p, 10**9, alpha), expected)


@pytest.mark.slow
def test_pvalues_keep_their_promise():
    """Uniform on average; and at most alpha of the rows called odd are normal."""
    rng = np.random.default_rng(0)
    normal, odd = plane(3000, rng), plane(200, rng) + 4.0
    shares, discoveries, found = [], [], []
    for seed in range(N_SPLITS):
        some = rng.permutation(len(normal))[:240]
        detector = VAEOutlierDetector(
            2, calibration_fraction=0.5, random_state=seed, n_importance_samples=4, **LINEAR
        ).fit(normal[some[:160]])
        pvalues = detector.pvalues(normal[some[160:]])
        shares.append([(pvalues <= level).mean() for level in (0.05, 0.1, 0.25, 0.5, 0.75)])
        mixed = np.vstack([normal[some[160:]], odd[rng.permutation(200)[:20]]])
        called = detector.predict_fdr(mixed, alpha=0.2) == -1
        discoveries.append(called[:80].sum() / max(1, called.sum()))
        found.append(called[80:].mean())
    error = 4 * np.std(shares, 0) / np.sqrt(N_SPLITS)
    levels = np.array([0.05, 0.1, 0.25, 0.5, 0.75])
    promised = np.floor(levels * 81) / 81
    assert (np.abs(np.mean(shares, 0) - promised) <= error).all()
    assert np.mean(discoveries) <= 0.2 + 4 * np.std(discoveries) / np.sqrt(N_SPLITS)
    assert np.mean(found) > 0.9


def test_too_few_calibration_rows_are_an_error(normal):
    detector = VAEOutlierDetector(2, calibration_fraction=0.02, random_state=0, **LINEAR)
    detector.fit(normal[:500])
    rows = np.vstack([normal[:99], np.full((1, 5), 30.0)])
    with pytest.raises(ValueError, match=r"10 calibration rows .* at least \d+ calibration"):
        detector.predict_fdr(rows, alpha=0.05)
    with pytest.raises(ValueError, match="alpha"):
        detector.predict_fdr(rows, alpha=1.5)


def test_rows_too_few_among_many_are_warned_of(normal):
    detector = VAEOutlierDetector(2, calibration_fraction=0.2, random_state=0, **LINEAR)
    detector.fit(normal[:500])
    rows = np.vstack([normal[500:], np.full((1, 5), 30.0)])
    with pytest.warns(UserWarning, match="it would take"):
        labels = detector.predict_fdr(rows, alpha=0.011)
    assert (labels == 1).all()


def test_an_error_leaves_the_detector_as_it_was(normal, monkeypatch):
    detector = VAEOutlierDetector(2, random_state=0, **LINEAR).fit(normal[:300])
    before, offset = detector.model_, detector.offset_
    monkeypatch.setattr(vae_outlier_detector, "pool_and_threshold", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        detector.fit(normal)
    assert detector.model_ is before
    assert detector.offset_ == offset


def test_going_on_keeps_the_same_rows_out(normal, monkeypatch):
    kept_out = []
    monkeypatch.setattr(
        vae_outlier_detector,
        "split_calibration",
        lambda *args: kept_out.append(split_calibration(*args)[1]) or split_calibration(*args),
    )  # fmt: skip
    detector = VAEOutlierDetector(
        calibration_fraction=0.3, warm_start=True, random_state=np.random.RandomState(0), **LINEAR
    )
    detector.fit(normal).fit(normal)
    np.testing.assert_array_equal(*kept_out)
    detector.partial_fit(normal[:1])  # too few to keep any out


def test_pvalues_need_rows_kept_out(normal):
    detector = VAEOutlierDetector(random_state=0, **LINEAR).fit(normal)
    with pytest.raises(ValueError, match=r"calibration_fraction=0\.2"):
        detector.pvalues(normal)
    with pytest.raises(ValueError, match="holds 0 rows out"):
        VAEOutlierDetector(calibration_fraction=0.01, **LINEAR).fit(normal[:20])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("n_estimators", 0), ("score_method", "best"), ("contamination", 0.7),
     ("calibration_fraction", 1.0), ("objective", "elob")],
)  # fmt: skip
def test_illegal_parameters_are_named(normal, parameter, value):
    with pytest.raises(ValueError, match=parameter):
        VAEOutlierDetector(**{parameter: value}).fit(normal)


# ------------------------------------------------------------------------- tables, robustness


def test_mixed_tables_with_missing_cells():
    table = with_missing_cells(pandas_frame(200))
    detector = VAEOutlierDetector(n_estimators=2, max_iter=2, calibration_fraction=0.2,
                                  random_state=0).fit(table)  # fmt: skip
    assert np.isfinite(detector.score_samples(table)).all()
    assert set(detector.predict(table)) <= {-1, 1}
    assert list(detector.feature_names_in_) == list(table.columns)
    parts = detector.explain_samples(table.iloc[:5])
    np.testing.assert_allclose(parts.sum(axis=1), detector.score_samples(table.iloc[:5]))


def test_a_table_with_one_odd_level():
    rng = np.random.default_rng(0)
    size = rng.normal(size=500)
    table = pd.DataFrame({"size": size, "sort": np.where(size > 0, "big", "small")})
    detector = VAEOutlierDetector(1, max_iter=60, random_state=0).fit(table)
    odd = pd.DataFrame({"size": [1.5, 1.5], "sort": ["big", "small"]})
    good, bad = detector.score_samples(odd)
    assert good > bad + 1


def test_automatic_parts_are_the_documented_ones(normal):
    detector = VAEOutlierDetector(max_iter=1).fit(normal)
    assert set(detector.likelihood_.values()) == {StudentT("column", min_scale=0.5)}
    assert detector.objective_ == VAEOutlierDetector._automatic["objective"]


@pytest.mark.slow
def test_trimming_keeps_outliers_from_vouching_for_themselves():
    rng = np.random.default_rng(0)
    normal, clump = plane(540, rng), 6.0 + 0.05 * rng.normal(size=(60, 5))
    X, y = np.vstack([normal, clump]), np.repeat([1, 0], [540, 60])
    quick = {"random_state": 0, "n_components": 2, "prior": Aggregated(n_exemplars=600),
             "likelihood": COARSE}  # fmt: skip
    plain = VAEOutlierDetector(**quick).fit(X)
    trimmed = VAEOutlierDetector(objective=Trimmed(0.2), **quick).fit(X)
    auroc = [roc_auc_score(y, d.score_samples(X)) for d in (plain, trimmed)]
    assert auroc[1] > max(0.99, auroc[0])
