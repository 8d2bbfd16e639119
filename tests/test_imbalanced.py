"""VAESampler: the checks of imbalanced-learn, containers, and draws that have their class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from frames import pandas_frame, with_missing_cells
from sklearn.pipeline import Pipeline

pytest.importorskip("imblearn")
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.linear_model import LogisticRegression

from skvae import VAETransformer
from skvae.imbalanced import VAESampler

QUICK = VAETransformer(1, max_iter=2, hidden_layer_sizes=())


CHECKS = parametrize_with_checks([VAESampler(QUICK, random_state=0)])


# pytest takes no generators, which imbalanced-learn passes.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


def two_classes(n, seed=0):
    """A rare class at a place of its own."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(n) < 0.08, "rare", "usual")
    shift = 4.0 * (y == "rare")
    X = pd.DataFrame({"a": rng.normal(size=n) + shift, "b": rng.normal(size=n) - shift})
    X["colour"] = np.where(rng.random(n) < np.where(y == "rare", 0.9, 0.1), "red", "blue")
    return X, y


def test_drawn_rows_have_their_class():
    X, y = two_classes(600)
    more, labels = VAESampler(random_state=0).fit_resample(X, y)
    assert (labels == "rare").sum() == (labels == "usual").sum() == (y == "usual").sum()
    pd.testing.assert_frame_equal(more.head(len(X)), X)
    new = more.iloc[len(X) :]
    rare = X[y == "rare"]
    assert new["a"].mean() == pytest.approx(rare["a"].mean(), abs=0.5)
    assert new["b"].mean() == pytest.approx(rare["b"].mean(), abs=0.5)
    assert (new["colour"] == "red").mean() == pytest.approx(0.9, abs=0.1)


def test_every_container_stays_what_it_is():
    X = with_missing_cells(pandas_frame(80))
    y = np.repeat([0, 1], [60, 20])
    sampler = VAESampler(QUICK, random_state=0)
    more, labels = sampler.fit_resample(X, y)
    assert (more.dtypes == X.dtypes).all()
    assert more.shape == (120, X.shape[1])
    assert sampler.sampling_strategy_ == {1: 40}
    few = X[["float64", "int8", "object"]]
    for frame in (pl.from_pandas(few), pl.from_pandas(few).to_arrow()):
        drawn, labels = VAESampler(QUICK, random_state=0).fit_resample(frame, y)
        assert type(drawn) is type(frame)
        assert drawn.shape == (120, 3)
        assert drawn.schema == frame.schema
        assert labels.tolist() == [*y, *[1] * 40]


def test_in_a_pipeline_and_by_strategy():
    X, y = two_classes(300)
    model = make_pipeline(VAESampler(QUICK, random_state=0), LogisticRegression())
    model.fit(X[["a", "b"]], y)
    assert isinstance(model, Pipeline)
    assert model.score(X[["a", "b"]], y) > 0.9
    rare = int((y == "rare").sum())
    _, labels = VAESampler(
        QUICK, sampling_strategy={"rare": rare + 7}, random_state=0
    ).fit_resample(X, y)  # fmt: skip
    assert (labels == "rare").sum() == rare + 7
    again = [VAESampler(QUICK, random_state=3).fit_resample(X, y)[0] for _ in range(2)]
    pd.testing.assert_frame_equal(*again)
