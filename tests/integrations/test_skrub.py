"""skrub's pipelines, with mixed columns and missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skvae import VAETransformer

skrub = pytest.importorskip("skrub")


@pytest.fixture(scope="module")
def X(table):
    X = table.drop(columns="species")
    return X.assign(day=pd.date_range("2020-01-01", periods=len(X)).strftime("%Y-%m-%d"))


@pytest.fixture
def embed():
    return VAETransformer(2, max_iter=3, hidden_layer_sizes=(16,), random_state=0)


@pytest.mark.parametrize("before", ["Cleaner", "TableVectorizer"])
def test_after_its_transformers(X, table, embed, before):
    first = getattr(skrub, before)()
    pipeline = make_pipeline(first, embed, LogisticRegression())
    accuracy = cross_val_score(pipeline, X, table["species"], cv=2, error_score="raise")
    assert accuracy.mean() > 0.6


def test_texts_of_dates_are_dates(X, embed):
    pipeline = make_pipeline(skrub.Cleaner(), embed).fit(X)
    back = pipeline[-1].inverse_transform(pipeline.transform(X[:3]))
    assert list(back) == list(X)
    assert back["day"].dtype.kind == "M"


def test_before_tabular_pipeline(X, table, embed):
    """Components as a frame, and the tools of skrub after them."""
    model = skrub.tabular_pipeline(LogisticRegression())
    pipeline = make_pipeline(embed.set_output(transform="pandas"), model)
    assert pipeline.fit(X, table["species"]).score(X, table["species"]) > 0.6


def test_of_some_columns(X, embed):
    bills = [name for name in X if name.startswith("bill")]
    mixed = skrub.ApplyToCols(embed, cols=bills).fit(X)
    found = mixed.transform(X)
    assert set(X) - set(bills) < set(found)
    assert {"vaetransformer0", "vaetransformer1"} < set(found)


def test_after_a_join(X, embed):
    areas = pd.DataFrame({"island": ["Biscoe", "Dream", "Torgersen"], "area": [1.5, 2.0, 3.0]})
    joiner = skrub.Joiner(areas, key="island", suffix="_of_island", add_match_info=False)
    pipeline = make_pipeline(joiner, embed).fit(X)
    assert "area_of_island" in pipeline[-1].feature_names_in_
    assert np.isfinite(pipeline.score_samples(X)).all()


def test_in_data_ops(X, table, embed):
    components = skrub.X(X).skb.apply(embed)
    predicted = components.skb.apply(LogisticRegression(), y=skrub.y(table["species"]))
    scores = predicted.skb.cross_validate(cv=2)
    assert scores["test_score"].mean() > 0.6
