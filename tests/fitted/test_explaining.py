"""Explanations add up to the log-density, and name the cells that are odd."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from frames import pandas_frame, with_missing_cells

from skvae import Normal, VAEOutlierDetector, VAETransformer
from skvae._inference.importance import InferenceSettings
from skvae._inference.log_density import attributions
from skvae._model.vae import for_inference


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    n = 600
    height = rng.normal(170, 10, n).round()
    return pd.DataFrame(
        {
            "height": height,
            "weight": (height - 100 + rng.normal(0, 6, n)).round(1),
            "shirt": np.where(height > 175, "L", "M"),
            "visits": rng.poisson(3, n),
            "born": pd.Timestamp("1980-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), "D"),
            "member": rng.random(n) < 0.3,
        },
        index=[f"p{i}" for i in range(n)],
    )


@pytest.fixture(scope="module")
def strange(people):
    rows = people.iloc[:4].copy()
    rows["height"], rows["weight"], rows["shirt"] = 170.0, 70.0, "M"
    rows["visits"] = 3
    rows.loc["p0", "weight"] = 120.0
    rows.loc["p1", "shirt"] = "L"
    rows.loc["p2", "visits"] = 15
    return rows


@pytest.fixture(scope="module")
def vae(people):
    return VAETransformer(2, random_state=0, max_iter=60).fit(people)


@pytest.mark.parametrize("latent", ["gaussian", "flow", "ladder", "quantized", "finite_scalar"])
@pytest.mark.parametrize("informative", [None, "all"])
def test_parts_add_up_to_the_log_density(latent, informative):
    table = with_missing_cells(pandas_frame(120))
    vae = VAETransformer(2, latent=latent, max_iter=2, hidden_layer_sizes=8, random_state=0,
                         informative_missing=informative).fit(table)  # fmt: skip
    parts = vae.explain_samples(table)
    assert list(parts.columns) == [*table.columns, "latent"]
    assert parts.index.equals(table.index)
    np.testing.assert_allclose(parts.sum(axis=1), vae.score_samples(table), atol=1e-6)
    if informative is None:
        is_missing = table["float64"].isna()
        np.testing.assert_array_equal(parts.loc[is_missing, "float64"], 0.0)


def test_parts_of_an_ensemble_add_up(people, strange):
    detector = VAEOutlierDetector(2, n_estimators=3, max_iter=5, random_state=0).fit(people)
    parts = detector.explain_samples(strange)
    np.testing.assert_allclose(parts.sum(axis=1), detector.score_samples(strange))


def test_a_row_without_cells_has_no_parts(vae, people):
    empty = people.iloc[:1].astype(object)
    empty.iloc[0] = None
    parts, cells = vae.explain_samples(empty, return_cells=True)
    np.testing.assert_array_equal(parts, 0.0)
    assert not len(cells)


def test_parts_of_the_linear_model_are_exact():
    """E[log p(x_j | z)] and the KL have closed forms under the exact posterior."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(500, 5))
    vae = VAETransformer(2, hidden_layer_sizes=(), likelihood=Normal(scale=0.6), max_iter=1,
                         prior="standard_normal", random_state=0).fit(X)  # fmt: skip
    model, rows = for_inference(vae.model_), vae.fitted_model_.encode(X[:40])
    cells, log_px = attributions(model, rows, InferenceSettings(4096))
    W, bias = model.head.weight.numpy(), model.head.bias.numpy()
    x, sigma = rows.values.numpy() - bias, 0.6
    cov = np.linalg.inv(np.eye(2) + W.T @ W / sigma**2)
    mean = x @ W @ cov / sigma**2
    spread = np.einsum("ji,ik,jk->j", W, cov, W)
    expected = -0.5 * (((x - mean @ W.T) ** 2 + spread) / sigma**2 + np.log(2 * np.pi * sigma**2))
    np.testing.assert_allclose(cells, expected, atol=0.05)
    kl = 0.5 * (np.trace(cov) + (mean**2).sum(1) - 2 - np.linalg.slogdet(cov)[1])
    np.testing.assert_allclose(log_px - cells.sum(1), -kl, atol=0.05)


def test_surprise_of_the_linear_model_is_exact_far_from_all_rows():
    """A cell that moves the posterior of its row by many deviations."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(500, 5))
    vae = VAETransformer(2, hidden_layer_sizes=(), likelihood=Normal(scale=0.6), max_iter=1,
                         prior="standard_normal", random_state=0).fit(X)  # fmt: skip
    strange = X[:2].copy()
    strange[1, 3] += 40.0
    _, cells = vae.explain_samples(strange, return_cells=True, n_cells=5)
    assert cells["column"][5] == "x3"
    found = cells.pivot(index="row", columns="column", values="surprise")
    model = for_inference(vae.model_)
    x = vae.fitted_model_.encode(strange).values.numpy() - model.head.bias.numpy()
    W = model.head.weight.numpy()
    precision = np.linalg.inv(W @ W.T + 0.6**2 * np.eye(5))
    deviation = x @ precision / np.sqrt(np.diag(precision))  # of each cell, given the others
    exact = 0.5 * (deviation[1] ** 2 - deviation[0] ** 2)
    np.testing.assert_allclose(found.loc[1] - found.loc[0], exact, rtol=0.02, atol=0.1)


def test_columns_keep_their_places_whatever_their_kinds():
    """Numbers and levels that alternate: the parts belong to the columns they stand under."""
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame({
        "a": rng.normal(size=n), "b": rng.choice(list("xy"), n), "c": rng.poisson(4, n),
        "d": rng.choice(list("uvw"), n), "e": rng.random(n) < 0.5,
    })  # fmt: skip
    vae = VAETransformer(2, max_iter=10, hidden_layer_sizes=8, random_state=0).fit(table)
    odd = table.iloc[:2].copy()
    odd["c"] = [4, 40]
    parts, cells = vae.explain_samples(odd, relative=True, return_cells=True, n_cells=1)
    assert parts.iloc[1].idxmin() == "c"
    assert cells["column"].tolist()[1] == "c"
    z = torch.zeros(1, 2, vae.n_components_, dtype=torch.float64)
    each = vae.model_.cells(z, vae.fitted_model_.encode(odd))[0]
    assert vae.model_.names[int((each[0] - each[1]).argmax())] == "c"


def test_odd_cells_come_with_what_was_expected(vae, strange):
    _, cells = vae.explain_samples(strange, return_cells=True, n_cells=2)
    assert cells["row"].tolist() == np.repeat(strange.index, 2).tolist()
    first = cells.iloc[::2].set_index("row")
    assert first["column"].tolist()[:3] == ["weight", "shirt", "visits"]
    assert first["value"].tolist()[:3] == [120.0, "L", 15]
    assert (first["surprise"][:3] > 2).all()
    weight, shirt, visits = (first.loc[f"p{i}"] for i in range(3))
    assert weight["low"] < weight["expected"] < weight["high"] < 90
    assert abs(weight["expected"] - 70) < 8
    assert shirt["expected"] == "M"
    assert shirt["low"] is None
    assert visits["high"] < 10


def test_intervals_cover_what_they_say(vae, people):
    _, cells = vae.explain_samples(people.iloc[:150], return_cells=True, n_cells=6, coverage=0.8)
    weight = cells[cells["column"] == "weight"]
    value, low, high = (weight[name].astype(float) for name in ("value", "low", "high"))
    assert ((low <= value) & (value <= high)).mean() == pytest.approx(0.8, abs=0.12)


def test_missing_cells_are_not_odd(vae, strange):
    rows = strange.copy()
    rows.loc["p0", "weight"] = None
    parts, cells = vae.explain_samples(rows, relative=True, return_cells=True, n_cells=9)
    assert "weight" not in set(cells.loc[cells["row"] == "p0", "column"])
    assert parts.loc["p0", "weight"] == 0.0
    assert len(cells) == 4 * 6 - 1


def test_relative_parts_tell_the_distance_from_typical_rows(vae, strange):
    relative, plain = vae.explain_samples(strange, relative=True), vae.explain_samples(strange)
    shift = (plain - relative).to_numpy()
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape))
    assert relative.loc["p0"].idxmin() == "weight"


def test_explanations_repeat(vae, strange):
    for first, second in zip(
        vae.explain_samples(strange, return_cells=True),
        vae.explain_samples(strange, return_cells=True),
        strict=True,
    ):
        pd.testing.assert_frame_equal(first, second)


def test_arrays_and_a_column_called_latent():
    X = np.random.default_rng(0).normal(size=(150, 2))
    vae = VAETransformer(1, max_iter=2, random_state=0).fit(X)
    parts, cells = vae.explain_samples(X[:3], return_cells=True, n_cells=1)
    assert list(parts.columns) == ["x0", "x1", "latent"]
    assert cells["row"].tolist() == [0, 1, 2]
    frame = pd.DataFrame(X, columns=["latent", "latent_"])
    vae = VAETransformer(1, max_iter=2, random_state=0).fit(frame)
    assert list(vae.explain_samples(frame[:2]).columns) == ["latent", "latent_", "latent__"]


@pytest.mark.parametrize(("option", "value"), [("n_cells", 0), ("coverage", 1.0)])
def test_illegal_options_are_named(vae, strange, option, value):
    with pytest.raises(ValueError, match=option):
        vae.explain_samples(strange, return_cells=True, **{option: value})
