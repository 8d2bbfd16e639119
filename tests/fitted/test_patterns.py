"""Patterns of missing cells that depend on the cells of their row."""

import numpy as np
import pandas as pd
import pytest

from skvae import VAETransformer, load
from skvae._model.discriminant import Discriminant

QUICK = {"max_iter": 5, "random_state": 0}


def of(missing, x, weights=None):
    weights = np.ones(len(x)) if weights is None else weights
    columns = np.arange(missing.shape[1])
    return Discriminant.of(columns, missing, np.zeros(x.shape[1]), x, weights)


def normal_with_pattern(n=20_000, shift=1.5):
    """One Gaussian feature, missing in the other column where its mean is `shift`."""
    rng = np.random.default_rng(0)
    is_missing = rng.random(n) < 0.3
    x = rng.normal(size=(n, 1)) + np.where(is_missing, shift, 0.0)[:, None]
    return np.column_stack([np.zeros(n, dtype=bool), is_missing]), x


def test_log_ratio_is_that_of_two_gaussians():
    missing, x = normal_with_pattern()
    center = x.mean()
    found = of(missing, x - center)
    grid = np.linspace(-2, 3, 11)[:, None]
    ratio = found.log_ratio(grid - center)
    number = found.classes(np.array([[False, True], [False, False], [True, False]]))
    assert number[2] == len(found.missing)
    log_odds = ratio[:, number[0]] - ratio[:, number[1]]
    # log N(x; 1.5, 1) − log N(x; 0, 1), but for the ridge and the shrinkage
    np.testing.assert_allclose(log_odds, 1.5 * grid[:, 0] - 1.5**2 / 2, atol=0.12)


def test_weights_are_repetitions():
    missing, x = normal_with_pattern(600)
    weights = np.arange(len(x)) % 3 + 1
    again = np.repeat(np.arange(len(x)), weights)
    one, other = of(missing, x, weights.astype(float)), of(missing[again], x[again])
    np.testing.assert_allclose(one.directions, other.directions)
    np.testing.assert_allclose(one.offsets, other.offsets)


def test_nothing_is_learned_where_there_is_nothing_to_learn():
    missing, x = normal_with_pattern(3000, shift=0.0)
    assert of(missing, x) is None
    assert of(np.zeros_like(missing), x) is None
    assert of(missing, x[:, :0]) is None
    assert of(missing[:1], x[:1]) is None


@pytest.fixture
def table():
    """`weeks` is missing where nobody works; `income` more often in later years."""
    rng = np.random.default_rng(0)
    n = 1500
    works = rng.random(n) < 0.6
    year = rng.integers(2000, 2010, n)
    weeks = np.where(works, rng.normal(40, 5, n), np.nan)
    income = np.where(rng.random(n) < (year - 1999) / 12, np.nan, rng.normal(size=n))
    return pd.DataFrame({"works": np.where(works, "yes", "no"), "year": year, "weeks": weeks,
                         "income": income})  # fmt: skip


def test_drawn_rows_miss_cells_where_fitted_rows_do(table, tmp_path):
    vae = VAETransformer(2, **QUICK).fit(table)
    rows = vae.sample(4000, random_state=0, missing="as_seen")
    agrees = (rows["works"] == "no") == rows["weeks"].isna()
    assert agrees.mean() > 0.99
    late = rows["year"] >= 2005
    seen = table.groupby(table["year"] >= 2005)["income"].apply(lambda cells: cells.isna().mean())
    assert rows["income"][late].isna().mean() == pytest.approx(seen[True], abs=0.1)
    assert rows["income"][~late].isna().mean() == pytest.approx(seen[False], abs=0.1)
    given = vae.sample(50, random_state=0, missing="as_seen", given={"works": "no"})
    assert given["weeks"].isna().mean() > 0.95

    vae.save(tmp_path / "model.skvae")
    again = load(tmp_path / "model.skvae").sample(4000, random_state=0, missing="as_seen")
    pd.testing.assert_frame_equal(rows, again)


def test_later_passes_learn_from_the_rows_of_all_calls(table):
    vae = VAETransformer(2, **QUICK).partial_fit(table[:700]).partial_fit(table[700:])
    rows = vae.sample(2000, random_state=0, missing="as_seen")
    assert ((rows["works"] == "no") == rows["weeks"].isna()).mean() > 0.99
