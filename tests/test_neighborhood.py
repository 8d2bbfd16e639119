"""The loss of neighborhoods: its gradient, its graph, and what it does to codes."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

import skvae
from skvae import (
    ELBO,
    Aggregated,
    Embedding,
    Normal,
    Quantized,
    StandardNormal,
    Trimmed,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae._training import neighborhood
from skvae._training.batches import Split
from skvae._training.neighborhood import Neighborhood, contrast, neighbor_graph

PARAMS = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    """Two far clusters, with two factors within both."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 10)) + 0.3 * rng.normal(size=(300, 10))
    X[150:, :4] += 10
    return X


def mixed(X) -> pd.DataFrame:
    table = pd.DataFrame(X[:, :4], columns=list("abcd"))
    table["level"] = np.where(X[:, 0] > 3, "high", "low")
    return table.mask(np.random.default_rng(1).random(table.shape) < 0.1)


def test_no_weight_is_the_bound_alone(X):
    parts = {"likelihood": Normal("shared"), "prior": Aggregated(guard=StandardNormal())}
    ours = VAETransformer(2, objective=Embedding(neighbors=0), **PARAMS).fit(X)
    plain = VAETransformer(2, objective=ELBO(0.2), **parts, **PARAMS).fit(X)
    np.testing.assert_array_equal(ours.transform(X), plain.transform(X))
    np.testing.assert_array_equal(ours.score_samples(X), plain.score_samples(X))


def test_gradient_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    z, others = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    z.requires_grad_(True)
    others.requires_grad_(True)
    q = 1 / (1 + neighborhood.SCALE**2 * (z.unsqueeze(1) - others).square().sum(-1))
    expected = -(q.diagonal() / q.mean(1)).log()
    expected.mean().backward()
    loss, grad_z, grad_others = contrast(z.detach(), others.detach())
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(grad_z, z.grad)
    torch.testing.assert_close(grad_others, others.grad)


def graph_of(X, train, k, **params):
    vae = VAETransformer(1, max_iter=1, random_state=0, **params).fit(X)
    rows = vae.fitted_model_.encode(X).float()
    return neighbor_graph(rows, vae.model_.float(), train, k, 0), rows


def test_graph_joins_the_nearest_rows(X):
    train = torch.arange(200)
    graph, _ = graph_of(X, train, 5, numeric_transform="standard")
    search = NearestNeighbors(n_neighbors=6).fit((X / X.std(0))[:200])
    found = search.kneighbors(X / X.std(0), return_distance=False)
    assert graph.shape == (300, 5)
    for i in range(300):
        expected = found[i][1:] if i < 200 else found[i][:5]
        assert set(graph[i].tolist()) == set(expected)
        assert i not in graph[i]


def test_graph_of_few_equal_and_constant_rows():
    few, _ = graph_of(np.arange(12.0).reshape(4, 3) ** 2, torch.arange(4), 15)
    assert few.shape == (4, 3)
    equal, _ = graph_of(np.repeat([[0.0, 1.0], [1.0, 0.0]], 20, 0), torch.arange(40), 3)
    assert equal.shape == (40, 3)
    assert ((equal < 20) == (torch.arange(40) < 20).unsqueeze(1)).all()
    none, _ = graph_of(np.ones((10, 2)), torch.arange(10), 3)
    assert none.shape == (10, 0)


def test_neighbors_of_large_tables_are_among_some_rows(X, monkeypatch):
    monkeypatch.setattr(neighborhood, "MAX_SEARCHED", 50)
    graph, _ = graph_of(X, torch.arange(300), 5)
    assert len(torch.unique(graph)) <= 50


def test_neighbors_are_nearer_than_other_rows(X):
    """Against the bound alone; the clusters stay apart."""
    nearness = []
    for weight in (0.0, 3.0):
        vae = VAETransformer(2, objective=Embedding(neighbors=weight), **PARAMS).fit(X)
        Z = vae.transform(X)
        graph, _ = graph_of(X, torch.arange(300), 15)
        near = np.linalg.norm(Z[:, None] - Z[graph], axis=-1).mean()
        nearness.append(near / np.linalg.norm(Z[:, None] - Z, axis=-1).mean())
    among = NearestNeighbors(n_neighbors=10).fit(Z).kneighbors(Z, return_distance=False)
    assert ((among < 150) == (np.arange(300) < 150)[:, None]).mean() > 0.99
    assert nearness[1] < 0.5
    assert nearness[1] < nearness[0]


def test_codes_do_not_depend_on_the_units_of_the_table(X):
    vae = VAETransformer(2, objective="embedding", numeric_transform="standard", **PARAMS)
    Z = vae.fit_transform(X)
    np.testing.assert_allclose(clone(vae).fit_transform(4 * X), Z, atol=1e-3)


def test_components_decode_in_order_and_are_saved(X, tmp_path):
    """With levels and missing cells."""
    table = mixed(X)
    vae = VAETransformer(2, objective=Embedding(neighbors=2.0, n_neighbors=5), **PARAMS).fit(table)
    Z = vae.transform(table)
    assert np.isfinite(Z).all()
    assert np.isfinite(vae.score_samples(table)).all()
    assert (np.diff(vae.explained_variance_) <= 0).all()
    assert vae.inverse_transform(Z).dtypes.equals(table.dtypes)
    vae.save(tmp_path / "model.skvae")
    for again in (pickle.loads(pickle.dumps(vae)), skvae.load(tmp_path / "model.skvae")):
        np.testing.assert_array_equal(again.transform(table), Z)
        assert again.objective_ == Embedding(neighbors=2.0, n_neighbors=5)
    assert len(clone(vae).fit(table.iloc[:2]).transform(table)) == 300


def test_held_out_rows_are_judged_by_their_neighborhoods(X):
    vae = VAETransformer(2, objective=Embedding(), **PARAMS).fit(X)
    rows, model = vae.fitted_model_.encode(X).float(), vae.model_.float()
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.arange(300), None, torch.arange(0))
    loss = Neighborhood.of(model, rows, split, 64, Embedding(), generator)
    assert loss is not None
    held_out = torch.arange(0, 300, 7)
    torch.testing.assert_close(loss.losses(held_out), loss.losses(held_out), rtol=0, atol=0)
    loss.graph = torch.randint(300, (300, 15), generator=generator)
    worse = loss.losses(held_out).mean()
    loss.graph, _ = graph_of(X, torch.arange(300), 15)
    assert float(loss.losses(held_out).mean()) < float(worse)


@pytest.mark.slow
def test_with_other_families_and_estimators(X):
    X, params = X[:, :4], {"max_iter": 2, "random_state": 0}
    for latent in ("flow", "ladder"):
        Z = VAETransformer(4, latent=latent, objective="embedding", **params).fit_transform(X)
        assert np.isfinite(Z).all()
    coded = [
        VAETransformer(latent=Quantized(n_codes=8), objective=Embedding(neighbors=w), **params)
        for w in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(*(vae.fit(X).codes(X) for vae in coded))
    VAETransformer(2, objective=Trimmed(objective=Embedding()), **params).fit(X)
    detector = VAEOutlierDetector(n_estimators=2, objective=Embedding(), **params).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()


def test_training_is_continued(X):
    vae = VAETransformer(2, objective="embedding", warm_start=True, **PARAMS).fit(X[:200])
    assert vae.fit(X[:200]).n_iter_ > 20
    vae = VAETransformer(2, objective="embedding", random_state=0)
    for part in (X[:200], X[200:]):
        vae.partial_fit(part)
    assert np.isfinite(vae.transform(X)).all()


def test_the_automatic_weight_is_for_few_components(X):
    objective = Embedding()
    assert objective.neighbor_weight(2) == Embedding(neighbors=0.5).neighbor_weight(9) == 0.5
    assert objective.neighbor_weight(4) == Embedding(neighbors=0.0).neighbor_weight(2) == 0
    params = {"max_iter": 3, "random_state": 0}
    plain = VAETransformer(4, objective=Embedding(neighbors=0.0), **params).fit_transform(X)
    np.testing.assert_array_equal(
        VAETransformer(4, objective="embedding", **params).fit_transform(X), plain
    )


def test_sizes_are_compared_by_the_bound_alone(X, monkeypatch):
    weights = []

    def of(model, data, split, size, objective, generator):
        weights.append(objective.neighbor_weight(2))

    monkeypatch.setattr(Neighborhood, "of", of)
    VAETransformer("auto", objective="embedding", max_iter=2, random_state=0).fit(X[:, :3])
    *trials, last = weights
    assert len(trials) > 1
    assert not any(trials)
    assert last > 0


@pytest.mark.parametrize(("name", "value"), [("neighbors", -1.0), ("n_neighbors", 0)])
def test_illegal_values_are_named(X, name, value):
    with pytest.raises(ValueError, match=name):
        VAETransformer(2, objective=Embedding(**{name: value})).fit(X)
