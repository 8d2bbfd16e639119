"""Which rows are trained on, and which are held out."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from skvae import CollapseWarning, VAETransformer
from skvae._model.rows import canonical_order
from skvae._training import loop
from skvae._training.weights import split_rows


def encoded(table, vae=None):
    if vae is None:
        vae = fitted(table)
    rows = vae.fitted_model_.encode(table)
    order = canonical_order(rows)
    rows.reorder(torch.from_numpy(order))
    return rows, order


def fitted(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return VAETransformer(1, max_iter=1, early_stopping=False, random_state=0).fit(table)


def split(rows, weights, fraction=0.1):
    return split_rows(rows, weights, fraction, torch.Generator().manual_seed(0))


def test_a_row_is_held_out_with_all_its_repetitions():
    X = np.random.default_rng(0).normal(size=(400, 2))
    rows, _ = encoded(X)
    parts = split(rows, np.full(400, 5.0))
    assert not set(parts.train.tolist()) & set(parts.held_out.tolist())
    assert len(parts.train) + len(parts.held_out) == 2000
    assert len(parts.held_out) == 200


def test_integer_weights_are_repetitions():
    rng = np.random.default_rng(1)
    X, weights = rng.normal(size=(300, 2)), rng.integers(1, 6, 300)
    vae = fitted(X)
    rows, order = encoded(X, vae)
    weighted = split(rows, weights[order].astype(float))
    repeated_rows, _ = encoded(np.repeat(X, weights, axis=0), vae)
    repeated = split(repeated_rows, np.ones(weights.sum()))
    for one, other in ((weighted.train, repeated.train), (weighted.held_out, repeated.held_out)):
        assert torch.equal(rows.values[one], repeated_rows.values[other])


def test_repetitions_are_held_out_where_a_table_consists_of_few_patterns():
    rng = np.random.default_rng(2)
    patterns = pd.DataFrame(rng.choice(list("abcdef"), (150, 4)), columns=list("wxyz"))
    rows, _ = encoded(patterns.iloc[rng.integers(0, 150, 3000)].reset_index(drop=True))
    parts = split(rows, np.ones(3000))
    trained = {tuple(row) for row in rows.codes[parts.train].tolist()}
    held_out = {tuple(row) for row in rows.codes[parts.held_out].tolist()}
    assert len(parts.held_out) == 300
    assert len(held_out - trained) < 5


def test_no_more_rows_are_held_out_than_are_evaluated(monkeypatch):
    monkeypatch.setattr("skvae._training.weights.MAX_HELD_OUT", 30)
    rows, _ = encoded(np.random.default_rng(0).normal(size=(1000, 2)))
    parts = split(rows, np.ones(1000))
    assert len(parts.held_out) == 30
    assert len(parts.train) == 970
    assert loop.MAX_HELD_OUT == 10_000


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_other_weights_never_share_a_row(scale):
    rng = np.random.default_rng(3)
    rows, _ = encoded(rng.normal(size=(400, 2)))
    parts = split(rows, scale * rng.uniform(0.1, 4, 400))
    assert not set(parts.train.tolist()) & set(parts.held_out.tolist())
