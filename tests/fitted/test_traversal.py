"""Moves in the latent space give tables like the fitted one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from frames import pandas_frame, with_missing_cells

from skvae import Ladder, Quantized, VAETransformer

LATENTS = ["gaussian", Ladder((2, 1)), Quantized(16)]


@pytest.fixture(scope="module")
def table():
    return with_missing_cells(pandas_frame(200))[
        ["float64", "Int64", "object", "boolean", "datetime"]
    ]


def fitted(table, latent):
    return VAETransformer(
        None if isinstance(latent, Ladder) else 2, latent=latent, max_iter=20, random_state=0
    ).fit(table)


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_lines_begin_and_end_at_the_rows(table, latent):
    vae = fitted(table, latent)
    A, B = table[:3], table[10:13]
    between = vae.interpolate(A, B, n_steps=5)
    assert between.dtypes.equals(table.dtypes)
    assert len(between) == 15
    for ends, rows in ((between[::5], A), (between[4::5], B)):
        expected = vae.inverse_transform(vae.transform(rows))
        pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in (ends, expected)))
    one = vae.interpolate(A[:1], B, n_steps=4)
    assert len(one) == 12
    pd.testing.assert_frame_equal(one[:4], vae.interpolate(A[:1], B[:1], n_steps=4))


def test_a_line_is_straight_in_the_latent_space():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(300, 5))
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0).fit(X)
    line = vae.interpolate(X[:1], X[1:2], n_steps=3)
    np.testing.assert_allclose(line[1], (line[0] + line[2]) / 2, atol=1e-8)


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_one_unit_moves_over_the_range_of_the_prior(table, latent):
    vae = fitted(table, latent)
    names = vae.get_feature_names_out()
    moved = vae.traverse(table[:2], 0, n_steps=7)
    assert moved.dtypes.equals(table.dtypes)
    assert len(moved) == 14
    assert moved.equals(vae.traverse(table[:2], names[0], n_steps=7))
    assert moved["float64"].nunique() > 2


def test_other_units_stay_and_lower_layers_follow():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(300, 4))
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0, max_iter=5).fit(X)
    moved = vae.traverse(X[:2], 1, n_steps=4)
    Z = np.repeat(vae.transform(X[:2]), 4, axis=0)
    low, high = np.quantile(vae.transform(vae.sample(4000, random_state=0)), [0.02, 0.98], axis=0)
    steps = np.linspace(low[1], high[1], 4)
    Z[:, 1] = np.tile(steps, 2)
    np.testing.assert_allclose(moved, vae.inverse_transform(Z), atol=0.4)  # the range is estimated
    ladder = VAETransformer(latent=Ladder((2, 1)), random_state=0, max_iter=5).fit(X)
    top = ladder.traverse(X[:2], 2, n_steps=4)
    np.testing.assert_array_equal(top[:4], top[4:])  # nothing of the row is left below


def test_what_cannot_be_moved_is_refused(table):
    vae = fitted(table, "gaussian")
    with pytest.raises(ValueError, match="unit=5 is none of the latent units"):
        vae.traverse(table[:1], 5)
    with pytest.raises(ValueError, match="unit='z' is none"):
        vae.traverse(table[:1], "z")
    with pytest.raises(ValueError, match="A has 2 rows and B has 3"):
        vae.interpolate(table[:2], table[:3])
    with pytest.raises(ValueError, match="'n_steps' parameter of interpolate"):
        vae.interpolate(table[:2], table[:2], n_steps=1)
    with pytest.raises(ValueError, match="0 sample"):
        vae.interpolate(table[:0], table[:2])


def test_frames_of_other_libraries_come_back_as_they_were():
    pl = pytest.importorskip("polars")
    frame = pl.from_pandas(pd.DataFrame({"a": np.arange(50.0), "b": list("xy") * 25}))
    vae = VAETransformer(1, max_iter=2, random_state=0).fit(frame)
    assert vae.interpolate(frame[:1], frame[1:2], n_steps=3).schema == frame.schema
