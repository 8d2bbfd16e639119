"""Caches, global configuration, threads and processes around a model."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from frames import pandas_frame, with_missing_cells
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline, make_union

from skvae import VAETransformer


@pytest.fixture(scope="module")
def table():
    return with_missing_cells(pandas_frame(150))[["float64", "cents", "Int64", "object", "boolean"]]


@pytest.fixture(scope="module")
def y():
    return pandas_frame(150)["bool"].to_numpy()


def quick(n_components=2, **params):
    params = {"max_iter": 2, "hidden_layer_sizes": (8,), "random_state": 0, **params}
    return VAETransformer(n_components, **params)


def test_a_pipeline_with_a_cache_fits_once(table, y, tmp_path, monkeypatch):
    plain = make_pipeline(quick(), LogisticRegression()).fit(table, y).predict_proba(table)
    cached = make_pipeline(quick(), LogisticRegression(), memory=str(tmp_path)).fit(table, y)
    np.testing.assert_array_equal(cached.predict_proba(table), plain)

    def again(*args, **kwargs):
        raise AssertionError("fitted again")

    monkeypatch.setattr(VAETransformer, "_fit", again)
    cached.set_params(logisticregression__C=0.1).fit(table, y)
    with pytest.raises(AssertionError, match="fitted again"):
        cached.set_params(vaetransformer__n_components=1).fit(table, y)


def test_frozen_and_side_by_side(table, y):
    fitted = quick().fit(table)
    union = make_union(FrozenEstimator(fitted), quick(1))
    features = union.fit_transform(table[:100])
    np.testing.assert_allclose(features[:, :2], fitted.transform(table[:100]), atol=1e-9)
    assert features.shape == (100, 3)
    predicted = cross_val_predict(make_pipeline(union, LogisticRegression()), table, y, cv=2)
    assert set(predicted) <= set(y)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_global_configuration_of_outputs(table, container):
    with sklearn.config_context(transform_output=container):
        union = make_union(quick(), quick(1))
        Z = union.fit_transform(table)
        back = quick().fit(table).inverse_transform(np.zeros((1, 2)))
    assert type(Z).__module__.startswith(container)
    assert Z.shape == (150, 3)
    assert list(back) == list(table)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_folds_with_threads_of_their_own(table, backend):
    def score(vae, X, y=None):
        return vae.score_samples(X, n_jobs=2).mean()

    alone = cross_val_score(quick(), table, cv=2)
    with joblib.parallel_config(backend=backend):
        both = cross_val_score(quick(), table, cv=2, n_jobs=2, scoring=score)
    np.testing.assert_allclose(both, alone, rtol=1e-6)


def test_threads_that_answer_at_once(table):
    vae = quick().fit(table)
    answers = [vae.score_samples, vae.transform, vae.impute]
    alone = [answer(table) for answer in answers]
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(answers[i % 3], table) for i in range(12)]
        for i, each in enumerate(found):
            if i % 3 < 2:
                np.testing.assert_array_equal(each.result(), alone[i % 3])
            else:
                assert each.result().equals(alone[i % 3])


AFTER_A_FIT = """
import multiprocessing, sys
import numpy as np, torch
from skvae import VAETransformer

def fit_and_score(vae, X):
    again = VAETransformer(2, max_iter=1, random_state=0).fit(X)
    return vae.score_samples(X), again.score_samples(X)

if __name__ == "__main__":
    torch.set_num_threads(2)
    X = np.random.default_rng(0).normal(size=(2000, 6))
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(X)
    expected = vae.score_samples(X)
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        for scores in pool.apply(fit_and_score, (vae, X)):
            np.testing.assert_allclose(scores, expected, atol=1e-5)
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_processes_that_are_started_after_torch_was_used(method, tmp_path):
    """With two threads of torch, which a fork does not copy."""
    if sys.platform != "linux" and method == "fork":
        pytest.skip("fork is safe on Linux alone")
    script = tmp_path / "script.py"
    script.write_text(AFTER_A_FIT)
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, script, method], env=environment, check=True, timeout=300)
