"""The scikit-learn contract: its own checks, pipelines, grids, outputs, routing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from frames import pandas_frame, with_missing_cells
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import (
    ELBO,
    Aggregated,
    Gaussian,
    Normal,
    StudentT,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae.latents import LATENTS


@parametrize_with_checks([VAETransformer(max_iter=2), VAEOutlierDetector(max_iter=2)])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        VAETransformer(n_components=1, hidden_layer_sizes=(), max_iter=2),
        VAETransformer(
            hidden_layer_sizes=8, max_iter=3, objective=ELBO(beta=0.5, n_samples=2),
            likelihood=Normal(scale="shared"), init="random", early_stopping=False,
        ),
        *(VAETransformer(latent=latent, hidden_layer_sizes=8, max_iter=2)
          for latent in LATENTS if latent != "gaussian"),
        VAEOutlierDetector(n_estimators=2, hidden_layer_sizes=8, max_iter=3, contamination=0.1,
                           score_method="joint"),
    ]
)  # fmt: skip
def test_sklearn_checks_of_variants(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([VAETransformer(), VAEOutlierDetector()])
def test_sklearn_checks_of_the_defaults(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table():
    return with_missing_cells(pandas_frame(150))[["float64", "cents", "Int64", "object", "boolean"]]


@pytest.fixture(scope="module")
def y(table):
    return pandas_frame(150)["bool"].to_numpy()


def quick(**params):
    return VAETransformer(max_iter=2, hidden_layer_sizes=(8,), random_state=0, **params)


def test_pipeline_and_grid_by_the_classifier(table, y):
    pipeline = make_pipeline(quick(), LogisticRegression())
    grid = GridSearchCV(pipeline, {"vaetransformer__n_components": [1, 3]}, cv=3, n_jobs=2)
    grid.fit(table, y)
    assert grid.best_score_ > 0.6


def test_grid_by_the_density_needs_no_scorer(table):
    grid = {
        "n_components": [1, 2],
        "objective__beta": [0.5, 1.0],
        "likelihood": ["auto", "normal", StudentT(scale="column")],
    }
    search = GridSearchCV(quick(objective=ELBO()), grid, cv=2, n_jobs=2).fit(table)
    assert len(search.cv_results_["params"]) == 12
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.score(table) == pytest.approx(search.best_estimator_.score(table))


def test_pipeline_passes_the_density_on(table):
    pipeline = make_pipeline(quick()).fit(table)
    np.testing.assert_array_equal(pipeline.score_samples(table), pipeline[-1].score_samples(table))
    assert list(pipeline.inverse_transform(pipeline.transform(table)).columns) == list(table)


def test_inside_a_column_transformer(table, y):
    mixed = make_column_transformer((quick(), ["float64", "object"]), remainder="drop")
    assert mixed.fit_transform(table).shape == (150, 4)
    scores = cross_val_score(make_pipeline(mixed, LogisticRegression()), table, y, cv=3)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output(table, container):
    Z = quick(n_components=2).set_output(transform=container).fit_transform(table)
    assert type(Z).__module__.startswith(container)
    assert list(Z.columns) == ["vaetransformer0", "vaetransformer1"]


def test_names(table):
    vae = quick(n_components=3).fit(table)
    assert vae.feature_names_in_.tolist() == list(table.columns)
    assert vae.n_features_in_ == 5
    names = vae.get_feature_names_out().tolist()
    assert names == ["vaetransformer0", "vaetransformer1", "vaetransformer2"]
    assert not hasattr(vae.fit(table.to_numpy()), "feature_names_in_")


def test_clone_and_repr():
    vae = VAETransformer(3, latent=Gaussian(), prior=Aggregated(), objective=ELBO(beta=2.0),
                         likelihood={"a": Normal(scale="shared")})  # fmt: skip
    copy = clone(vae)
    assert repr(copy) == repr(vae)
    assert copy.objective is not vae.objective
    assert "objective=ELBO(beta=2.0)" in repr(vae)


def test_components_are_left_as_they_were(table):
    objective = ELBO(beta=2.0)
    vae = quick(objective=objective).fit(table)
    assert vae.objective is objective
    assert vae.objective_ is not objective
    assert vae.objective_.get_params() == objective.get_params()
    assert not [name for name in vars(objective) if name.endswith("_")]


def test_fitted_names_of_components(table):
    vae = quick().fit(table)
    assert isinstance(vae.latent_, Gaussian)
    assert isinstance(vae.prior_, Aggregated)
    assert set(vae.likelihood_) == set(table.columns)
    assert isinstance(vae.likelihood_["float64"], StudentT)
    partly = quick(likelihood={"cents": "normal"}).fit(table)
    assert isinstance(partly.likelihood_["cents"], Normal)
    assert isinstance(partly.likelihood_["float64"], StudentT)


def test_tags():
    tags = get_tags(VAETransformer())
    assert tags.input_tags.allow_nan
    assert tags.input_tags.string
    assert tags.input_tags.sparse
    assert tags.transformer_tags is not None
    assert not tags.non_deterministic
    assert not tags.no_validation


def test_metadata_routing(table):
    weights = np.arange(len(table)) % 3
    with sklearn.config_context(enable_metadata_routing=True):
        vae = quick().set_fit_request(sample_weight=True)
        search = GridSearchCV(vae, {"n_components": [1]}, cv=2)
        search.fit(table, sample_weight=weights)
    direct = quick(n_components=1).fit(table, sample_weight=weights)
    np.testing.assert_array_equal(search.score_samples(table), direct.score_samples(table))


def test_refit_on_another_table(table):
    vae = quick().fit(table)
    X = np.random.default_rng(0).normal(size=(50, 3))
    assert vae.fit(X).transform(X).shape[0] == 50
    assert vae.n_features_in_ == 3
    assert pd.DataFrame(vae.sample(2)).shape == (2, 3)
