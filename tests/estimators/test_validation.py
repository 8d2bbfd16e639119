"""Bad input gets an error that names what was found, what is allowed, and the fix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from frames import pandas_frame
from sklearn.exceptions import NotFittedError

from skvae import ELBO, Gaussian, Normal, VAEOutlierDetector, VAETransformer

X = np.random.default_rng(0).normal(size=(30, 4))
FRAME = pandas_frame(40)[["float64", "object", "int64"]]


def quick(**params):
    return VAETransformer(max_iter=1, hidden_layer_sizes=(4,), random_state=0, **params)


BAD_PARAMETERS = [
    ({"n_components": 0}, r"'n_components' parameter of VAETransformer must be None, 'auto' or an "
                          r"int in the range \[1, inf\). Got 0 instead"),
    ({"n_components": 2.5}, "n_components"),
    ({"n_components": 5}, "n_components=5 is larger than the 4 encoded features .* <= 4"),
    ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes"),
    ({"activation": "sine"}, r"'activation' .* one of \['elu'"),
    ({"init": "zeros"}, "init"),
    ({"batch_size": -1}, "batch_size"),
    ({"learning_rate_init": 0.0}, "learning_rate_init"),
    ({"max_iter": 0}, "max_iter"),
    ({"early_stopping": "yes"}, "early_stopping"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"tol": float("nan")}, "tol"),
    ({"n_importance_samples": 0}, "n_importance_samples"),
    ({"min_frequency": 1.5}, "min_frequency"),
    ({"max_categories": 1}, "max_categories"),
    ({"handle_unknown": "ignore"}, "handle_unknown"),
    ({"device": "warp"}, "device"),
    ({"latent": "gausian"}, "'latent' parameter .* Got 'gausian' instead. Did you mean 'gaussian'"),
    ({"latent": Gaussian}, r"Pass an instance, latent=Gaussian\(\), not the class"),
    ({"prior": "standard_norml"}, "'prior' parameter .* Did you mean 'standard_normal'"),
    ({"objective": "elob"}, "Did you mean 'elbo'"),
    ({"objective": ELBO(beta=-1.0)}, r"'beta' parameter of ELBO must be a number in the range"),
    ({"likelihood": "norml"}, "Did you mean 'normal'"),
    ({"likelihood": Normal(scale="wide")}, "'scale' parameter of Normal must be 'conditional'"),
    ({"likelihood": {"x00": "normal"}}, "names column 'x00', which X does not have.*mean 'x0'"),
    ({"likelihood": {"x0": "bernoulli"}}, "describes columns that are boolean, but column 'x0'"),
    ({"categorical_features": [9]}, "names column 9, but X has 4"),
    ({"categorical_features": ["x00"]}, "Did you mean"),
    ({"categorical_features": 0}, "'categorical_features' parameter must be None, a mask .* Got 0"),
    ({"likelihood": Normal(scale=np.array([]))}, "'scale' parameter of Normal"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "message"), BAD_PARAMETERS, ids=[str(p) for p, _ in BAD_PARAMETERS]
)
def test_bad_parameter(params, message):
    vae = quick().set_params(**params)
    with pytest.raises(ValueError, match=message):
        vae.fit(X)
    assert not [name for name in vars(vae) if name.endswith("_")]


BAD_TABLES = {
    "empty": (X[:0], ValueError, r"0 sample\(s\) .* minimum of 2 is required by VAETransformer"),
    "one row": (X[:1], ValueError, r"1 sample\(s\).*n_samples=1"),
    "no columns": (X[:, :0], ValueError, r"0 feature\(s\)"),
    "no columns in a frame": (pd.DataFrame(index=range(5)), ValueError, r"0 feature\(s\)"),
    "one dimension": (X[0], ValueError, "Expected 2D array, got 1D array"),
    "three dimensions": (X[None], ValueError, "dim 3"),
    "infinite": (np.where(X > 2, np.inf, X), ValueError, "infinity .* column 'x"),
    "infinite in a frame": (FRAME.assign(float64=np.inf), ValueError, "infinity.*'float64'"),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "complex in a frame": (FRAME.assign(c=1j), ValueError, "Complex data not supp.*column 'c'"),
    "lists": (FRAME.assign(c=[[1, 2]] * 40), TypeError, r"Column 'c' holds nested objects, such as "
                                                       r"\[1, 2\] of type list"),
    "dicts": (FRAME.assign(c=[{"a": 1}] * 40), TypeError, "Column 'c' holds nested objects"),
    "structs": (pl.DataFrame({"c": [[1], [2], [3]]}), TypeError, "Column 'c' holds nested objects"),
    "twice": (pd.DataFrame(X, columns=list("abca")), ValueError, r"must be unique.*\['a'\]"),
    "mixed names": (pd.DataFrame(X, columns=["a", "b", 1, 2]), TypeError, "string names"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_table(case):
    table, error, message = BAD_TABLES[case]
    vae = quick()
    with pytest.raises(error, match=message):
        vae.fit(table)
    assert not [name for name in vars(vae) if name.endswith("_")]


def test_an_error_leaves_a_fitted_model_as_it_was():
    vae = quick().fit(X)
    before = vae.score_samples(X)
    with pytest.raises(ValueError, match="infinity"):
        vae.fit(np.where(X > 2, np.inf, X))
    with pytest.raises(ValueError, match="n_components"):
        vae.set_params(n_components=99).fit(X)
    np.testing.assert_array_equal(vae.score_samples(X), before)


@pytest.mark.parametrize("method", ["transform", "score_samples", "score", "inverse_transform"])
def test_unfitted(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(quick(), method)(X)
    with pytest.raises(NotFittedError):
        quick().sample()


def test_other_columns_show_the_difference():
    vae = quick().fit(FRAME)
    with pytest.raises(ValueError, match="names should match") as error:
        vae.transform(FRAME.rename(columns={"object": "thing"}))
    assert "Feature names unseen at fit time: ['thing']" in str(error.value)
    assert "Feature names seen at fit time, yet now missing: ['object']" in str(error.value)
    with pytest.raises(ValueError, match="now missing: \\['int64'\\]"):
        vae.transform(FRAME[["float64", "object"]])
    with pytest.raises(ValueError, match="same order"):
        vae.transform(FRAME[["object", "float64", "int64"]])
    with pytest.raises(ValueError, match="X has 3 features, but VAETransformer is expecting 4"):
        quick().fit(X).transform(X[:, :3])


def test_codes_of_another_width():
    vae = quick(n_components=2).fit(X)
    with pytest.raises(
        ValueError, match="Z has 3 columns, but transform of this VAETransformer gives 2"
    ):
        vae.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        vae.inverse_transform(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="'n_samples' parameter of sample"):
        vae.sample(0)


def test_unknown_levels_on_request_raise():
    vae = quick(handle_unknown="error").fit(FRAME)
    with pytest.raises(ValueError, match=r"unknown categories \['palm'\] in column 'object'"):
        vae.transform(FRAME.assign(object="palm"))


def test_nested_parameter_of_a_name():
    with pytest.raises(
        ValueError, match="Cannot set 'latent__x' of VAETransformer while latent='ga"
    ):
        quick().set_params(latent__x=1)
    vae = quick().set_params(objective=ELBO(), objective__beta=3.0)
    assert vae.objective.beta == 3.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(29), r"shape \(29,\), but X has 30 rows"),
        (np.ones((30, 1)), "shape"),
        (np.full(30, -1.0), "not negative, but holds -1"),
        (np.full(30, np.nan), "finite"),
        (np.zeros(30), "non-zero"),
        ("ones", "sample_weight must hold one number a row"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, sample_weight=weights)


def test_weights_that_leave_one_row():
    weights = np.zeros(30)
    weights[3] = 7
    with pytest.raises(ValueError, match=r"1 sample\(s\)"):
        quick().fit(X, sample_weight=weights)


def test_integers_of_numpy_are_integers():
    vae = quick(batch_size=np.int64(8), n_components=np.int64(2)).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()


def test_arrays_are_no_options():
    vae = quick().fit(X)
    with pytest.raises(ValueError, match="'missing' parameter of sample"):
        vae.sample(2, missing=np.array(["none", "none"]))
    with pytest.raises(ValueError, match="'strategy' parameter of impute"):
        vae.impute(X, strategy=np.array(["mean", "mean"]))


def test_a_table_without_rows_is_refused_as_one():
    for estimator in (quick(), VAEOutlierDetector(max_iter=1)):
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            estimator.fit(X[:0])
