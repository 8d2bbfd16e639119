"""Numbers about privacy: as of unseen rows for rows of the same kind, and high for copies."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity

from skvae import VAETransformer
from skvae.privacy import membership_auc, privacy_risks


def table(n, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    X["level"] = np.where(X["a"] + rng.normal(size=n) > 0, "high", "low")
    return X.mask(rng.random(X.shape) < 0.05)


REAL, OTHER, DRAWN = table(500, 0), table(500, 1), table(500, 2)


def test_rows_of_the_same_distribution_tell_nothing():
    risks = privacy_risks(REAL, DRAWN, OTHER)
    value, reference = risks["value"], risks["reference"]
    assert value["exact_copies"] == reference["exact_copies"] == 0
    assert value["closest_record"] == pytest.approx(1, abs=0.15)
    assert value["closer_to_real"] == pytest.approx(0.5, abs=0.08)
    assert value["singling_out"] == pytest.approx(reference["singling_out"], abs=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.01], ids=["copies", "nearly copies"])
def test_copies_are_found(noise):
    drawn = REAL.copy()
    drawn[list("abcd")] += noise * np.random.default_rng(0).normal(size=(500, 4))
    risks = privacy_risks(REAL, drawn, OTHER)
    value, reference = risks["value"], risks["reference"]
    assert value["exact_copies"] == (noise == 0)
    assert value["closest_record"] < 0.5
    assert value["closer_to_real"] > 0.9
    if noise == 0:
        assert value["singling_out"] > reference["singling_out"] + 0.2


def test_a_guess_about_one_row_counts_once():
    real = pd.DataFrame({"x": [1.0, 2.0, 3.0, 9.0]})
    other = pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5]})
    # "x = 9", "x at least 9" and, three times in four, single rows of the middle.
    copied = privacy_risks(real, real, other).loc["singling_out"]
    assert copied["value"] > copied["reference"]


def test_a_model_that_remembers_its_rows_is_found():
    rng = np.random.default_rng(0)
    X, other = rng.normal(size=(2, 60, 8))
    remembers = KernelDensity(bandwidth=0.1).fit(X)
    assert membership_auc(remembers, X, other) == 1
    risks = privacy_risks(X, X, other, estimator=remembers)
    assert risks.loc["membership_auc", "value"] == 1
    forgets = VAETransformer(1, max_iter=1, hidden_layer_sizes=(), random_state=0)
    X, other = rng.normal(size=(2, 2000, 2))
    forgets.set_params(prior="standard_normal")
    assert membership_auc(forgets.fit(X), X, other) == pytest.approx(0.5, abs=0.04)


def test_containers_and_the_order_of_columns_do_not_matter():
    expected = privacy_risks(REAL, DRAWN, OTHER)
    found = privacy_risks(pl.from_pandas(REAL), DRAWN[REAL.columns[::-1]], OTHER)
    pd.testing.assert_frame_equal(found, expected)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="'level'"):
        privacy_risks(REAL, DRAWN.drop(columns="level"), OTHER)
    with pytest.raises(NotFittedError):
        membership_auc(VAETransformer(), REAL, OTHER)


def test_a_table_of_missing_cells_has_numbers():
    empty = pd.DataFrame({"x": [np.nan] * 20, "y": [None] * 20})
    risks = privacy_risks(empty, empty, empty)
    assert np.isfinite(risks).all(axis=None)
