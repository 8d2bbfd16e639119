"""Numbers about drawn rows: exact where they are known, and sensitive to what they measure."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae.diagnostics import sample_quality


def table(n, seed, correlation=0.9):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, n))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    level = np.where(y + rng.normal(size=n) > 0, "high", "low")
    X = pd.DataFrame({"x": x, "y": y, "level": level, "day": pd.Timestamp("2020-01-01")
                      + pd.to_timedelta(rng.integers(0, 100, n), unit="D")})  # fmt: skip
    return X.mask(rng.random(X.shape) < 0.05)


REAL, OTHER = table(800, 0), table(800, 1)


def test_rows_of_the_same_distribution_are_alike():
    quality = sample_quality(REAL, table(800, 2), OTHER, target="level")
    value, reference = quality["value"], quality["reference"]
    assert value["marginals"] < 0.06
    assert value["pairs"] < 0.12
    assert value["two_sample_auc"] < 0.6
    assert value["exact_copies"] == 0
    assert value["closer_to_real"] == pytest.approx(0.5, abs=0.08)
    assert value["utility"] == pytest.approx(reference["utility"], abs=0.1)
    assert (value - reference).abs().drop("utility").max() < 0.1


def test_a_marginal_is_its_kolmogorov_smirnov_distance():
    real = pd.DataFrame({"x": np.arange(100.0)})
    quality = sample_quality(real, real + 30)
    assert quality.loc["marginals", "value"] == pytest.approx(0.3)
    levels = pd.DataFrame({"x": ["a"] * 60 + ["b"] * 40})
    drawn = pd.DataFrame({"x": ["a"] * 30 + ["b"] * 50 + ["c"] * 20})
    assert sample_quality(levels, drawn).loc["marginals", "value"] == pytest.approx(0.3)


def test_missing_values_are_part_of_a_marginal():
    complete = REAL.ffill().bfill()
    incomplete = complete.mask(np.random.default_rng(0).random(complete.shape) < 0.4)
    found = sample_quality(complete, incomplete).loc["marginals", "value"]
    assert found == pytest.approx(0.4, abs=0.03)


def test_a_lost_correlation_is_seen_by_pairs_alone():
    drawn = table(800, 3, correlation=0.0)
    quality = sample_quality(REAL[["x", "y"]], drawn[["x", "y"]])["value"]
    assert quality["marginals"] < 0.06
    assert quality["pairs"] == pytest.approx(0.45, abs=0.05)
    assert quality["two_sample_auc"] > 0.7


def test_copies_are_found():
    drawn = pd.concat([REAL.head(200), table(600, 4)], ignore_index=True)
    quality = sample_quality(REAL, drawn, OTHER)["value"]
    assert quality["exact_copies"] == pytest.approx(0.25, abs=0.01)
    assert quality["closer_to_real"] > 0.55


@pytest.mark.parametrize("target", ["y", "level", "x"])
def test_utility_of_real_rows_is_the_reference(target):
    quality = sample_quality(REAL, REAL, OTHER, target=target)
    assert quality.loc["utility", "value"] == quality.loc["utility", "reference"]
    assert quality.loc["utility", "value"] > 0.5


def test_containers_and_the_order_of_columns_do_not_matter():
    drawn = table(300, 5)
    expected = sample_quality(REAL, drawn, OTHER)
    found = sample_quality(pl.from_pandas(REAL), drawn[REAL.columns[::-1]], OTHER)
    pd.testing.assert_frame_equal(found, expected)
    arrays = sample_quality(REAL[["x"]].to_numpy(), drawn[["x"]].to_numpy())
    assert arrays.loc["marginals", "value"] > 0


def test_errors_name_the_column():
    with pytest.raises(ValueError, match="Column 'y' of the real table is not in table 1"):
        sample_quality(REAL, REAL.drop(columns="y"))
    with pytest.raises(ValueError, match="'target' names column 'z'"):
        sample_quality(REAL, REAL, OTHER, target="z")
