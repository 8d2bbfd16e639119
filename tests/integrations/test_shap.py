"""SHAP explains scores: its values add up to the score less the base value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

shap = pytest.importorskip("shap")


@pytest.fixture(scope="module")
def levels(table):
    text = table.select_dtypes(exclude="number").columns
    return {name: dict(enumerate(table[name].dropna().unique())) for name in text}


@pytest.fixture(scope="module")
def coded(table, levels):
    """Levels by their numbers, as SHAP's maskers subtract cells."""
    numbers = {
        name: table[name].map({level: i for i, level in of.items()}) for name, of in levels.items()
    }
    return table.assign(**numbers).astype(float)


@pytest.fixture(scope="module")
def scores(vae, levels):
    def of(cells):
        rows = pd.DataFrame(cells, columns=vae.feature_names_in_)
        return vae.score_samples(rows.assign(**{n: rows[n].map(levels[n]) for n in levels}))

    return of


def explained(scores, background, rows):
    explainer = shap.PermutationExplainer(scores, shap.maskers.Independent(background), seed=0)
    return explainer(rows, max_evals=2 * rows.shape[1] + 1, silent=True)


def test_the_levels_come_back(vae, table, coded, scores):
    np.testing.assert_allclose(scores(coded), vae.score_samples(table), rtol=1e-9)


def test_values_of_rows_add_up(vae, table, coded, scores):
    found = explained(scores, coded[10:12], coded[:2])
    assert found.values.shape == (2, table.shape[1])
    np.testing.assert_allclose(found.base_values, vae.score(table[10:12]), rtol=1e-6)
    total = found.base_values + found.values.sum(1)
    np.testing.assert_allclose(total, vae.score_samples(table[:2]), rtol=1e-6)


def test_columns_that_are_left_out_may_be_missing(vae, table, coded, scores):
    """log p of the seen cells is 0 without any: the values add up to the score itself."""
    nothing = pd.DataFrame(np.nan, [0], table.columns)
    found = explained(scores, nothing, coded[:2])
    np.testing.assert_allclose(found.base_values, 0, atol=1e-9)
    np.testing.assert_allclose(found.values.sum(1), vae.score_samples(table[:2]), rtol=1e-6)
