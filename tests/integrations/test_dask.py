"""Dask scores and fits by partitions."""

from __future__ import annotations

import numpy as np
import pytest

from skvae import VAETransformer

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(params=["threads", "synchronous"])
def scheduler(request):
    with dask.config.set(scheduler=request.param):
        yield request.param


@pytest.fixture(scope="module")
def partitions(table):
    return dd.from_pandas(table, npartitions=3)


def test_partitions_score_as_the_table_in_memory(vae, table, partitions, scheduler):
    expected = vae.score_samples(table)
    scores = partitions.map_partitions(vae.score_samples, meta=("score", float))
    np.testing.assert_allclose(scores.compute(), expected, rtol=0, atol=1e-9)

    def scored(part):
        return part.assign(score=vae.score_samples(part))

    found = partitions.map_partitions(scored, meta=partitions._meta.assign(score=0.0)).compute()
    np.testing.assert_allclose(found["score"], expected, rtol=0, atol=1e-9)
    assert list(found.index) == list(table.index)


def test_blocks_of_arrays(table, scheduler):
    X = table.select_dtypes("number").to_numpy()
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(X)
    blocks = pytest.importorskip("dask.array").from_array(X, chunks=(100, X.shape[1]))
    scores = blocks.map_blocks(vae.score_samples, drop_axis=1, dtype=float).compute()
    np.testing.assert_allclose(scores, vae.score_samples(X), rtol=0, atol=1e-9)


def test_a_fit_by_partitions(table, partitions):
    vae = VAETransformer(2, max_iter=1, random_state=0)
    vae.fit(lambda: (part.compute() for part in partitions.partitions))
    in_memory = VAETransformer(2, max_iter=1, random_state=0).fit(table)
    np.testing.assert_allclose(vae.score_samples(table), in_memory.score_samples(table), atol=1e-6)


def test_a_lazy_frame_is_not_read_as_an_array_of_objects(vae, partitions):
    with pytest.raises(TypeError, match=r"of Dask; pass X\.compute\(\), or answer its partitions"):
        vae.score_samples(partitions)
    with pytest.raises(TypeError, match=r"pass fit lambda: \(part\.compute"):
        VAETransformer(2).fit(partitions)
