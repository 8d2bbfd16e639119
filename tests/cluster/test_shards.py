"""What Ray's tasks and workers do with rows, without Ray."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from skvae import ELBO, VAETransformer
from skvae._estimators.building import fit_table_schema
from skvae._model.rows import row_hashes
from skvae._ray import first_pass
from skvae._ray.shards import EncodingTask, Reading, Shard, decoded, halves
from skvae._streaming.column_statistics import Statistics
from skvae._streaming.frames import as_frame, schema_of
from skvae._streaming.reservoir import Reservoir
from skvae._table.reading import read_table

N, SIZE = 1000, 32


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=N), "k": rng.integers(0, 50, N)})
    frame["level"] = rng.choice(["u", "v", "w"], N)
    frame.loc[3, "level"] = "rare"
    return pa.Table.from_pandas(frame)


def as_is(table):
    return table


def no_labels(names):
    return [False] * len(names)


def passed(table, sizes, size, n_rows=N):
    """The first pass over blocks of some sizes."""
    schema = schema_of(as_frame(table))
    highest = first_pass.highest_priority(size, n_rows)
    read = first_pass.BlockPass(schema, size, highest, no_labels, as_is)
    found = first_pass.Pass(Statistics(), Reservoir(size))
    for first, n in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        for block in read(table.slice(first, n))["pass"]:
            found.merge(first_pass.pass_of(block.as_py()))
    return found


def test_blocks_are_merged_to_the_statistics_of_the_table(table):
    found = passed(table, [400, 0, 350, 250], size=200)
    x, k, level = found.statistics.columns
    assert found.statistics.n_rows == N
    frame = table.to_pandas()
    assert (x.counts.low, x.counts.high) == (frame["x"].min(), frame["x"].max())
    assert dict(zip(k.counts.values, k.counts.counts, strict=True)) == dict(
        frame["k"].value_counts()
    )
    counts = dict(level.counts.found.values())
    assert counts == dict(frame["level"].value_counts())
    assert "rare" in counts


def test_the_sample_is_one_of_all_blocks(table):
    frame, _ = passed(table, [400, 350, 250], size=200).reservoir.sample()
    again, _ = passed(table, [400, 350, 250], size=200).reservoir.sample()
    x = table["x"].to_numpy()
    places = np.flatnonzero(np.isin(x, frame["x"].to_numpy()))
    assert len(places) == len(frame) == 200
    np.testing.assert_array_equal(frame["x"], again["x"])
    share = np.histogram(places, [0, 400, 750, N])[0] / 200
    np.testing.assert_allclose(share, [0.4, 0.35, 0.25], atol=0.12)


def test_rows_that_cannot_be_in_the_sample_stay_in_their_task(table):
    size = 100
    highest = first_pass.highest_priority(size, 100 * N)
    read = first_pass.BlockPass(schema_of(as_frame(table)), size, highest, no_labels, as_is)
    (block,) = read(table)["pass"]
    assert first_pass.pass_of(block.as_py()).reservoir.n_held < 10
    assert first_pass.highest_priority(size, size) == first_pass.LAST


def test_errors_of_tasks_name_the_column(table):
    x = table["x"].to_numpy().copy()
    x[7] = np.inf
    infinite = table.set_column(0, "x", pa.array(x))
    with pytest.raises(ValueError, match=r"the Dataset: .*'x'"):
        passed(infinite, [400, 600], size=200)
    schema = schema_of(as_frame(table))
    read = first_pass.BlockPass(schema, 200, first_pass.LAST, no_labels, as_is)
    (block,) = read(table.drop_columns("k"))["pass"]
    with pytest.raises(ValueError, match=r"the Dataset: .*\['k'\] are missing"):
        first_pass.pass_of(block.as_py())


def test_a_column_of_tensors_is_refused():
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((5, 3)))
    dataset = SimpleNamespace(take_batch=lambda n, batch_format: pa.table({"data": tensors}))
    with pytest.raises(TypeError, match="Column 'data' of the Dataset holds tensors"):
        first_pass.schema_and_row_size(dataset)


class Data:
    """An iterator over a shard as Ray gives it."""

    def __init__(self, table):
        self.table, self.n_begun = table, 0

    def iter_batches(self, batch_size, batch_format):
        self.n_begun += 1
        assert batch_format == "pyarrow"
        return (self.table.slice(i, batch_size) for i in range(0, len(self.table), batch_size))


def shard(table, held=0, **options):
    """A shard of a table as one of two workers has it; `held` rows are not to be trained on."""
    read = read_table(table)
    schema = fit_table_schema(VAETransformer(), read, np.ones(read.n_rows), ELBO())
    rows = schema.encode(read, torch.float32)
    settings = {
        "title": "the Dataset", "frame_schema": schema_of(as_frame(table)), "mark": as_is,
        "schema": schema, "has_missing": False, "hashes": np.unique(row_hashes(rows)[:held]),
        "n_rows": 2 * N, "n_left_out": held, "fingerprint": "", "window": 200, "batch": 64,
        "like": rows.take(torch.arange(0)), "in_tasks": False,
        **options,
    }  # fmt: skip
    made = Shard(Reading(**settings), Data(table), SimpleNamespace(size=2))
    return made, rows


def steps(made, n):
    """The rows of some steps."""
    batches = made.batches(1, SIZE, torch.Generator().manual_seed(0), torch.device("cpu"))
    found = [next(batches) for _ in range(n)]
    batches.close()
    return found


def test_a_pass_gives_most_rows_once(table):
    made, _ = shard(table)
    half, n_halves = halves(N, 200, SIZE)
    seen = torch.cat([row.values[:, 0] for row in steps(made, half * (n_halves - 1) // SIZE)])
    assert made.iterator.n_begun == 1
    assert half % SIZE == 0
    assert N - half * n_halves < 2 * SIZE + n_halves * SIZE
    assert len(torch.unique(seen)) > 0.7 * len(seen)


@pytest.mark.parametrize("held", [0, 90])
def test_passes_begin_at_the_same_step_on_all_workers(table, held):
    """Where more rows are left out, and where fewer are there."""
    made, _ = shard(table)
    other, rows = shard(table, held, n_left_out=90)
    made.least = other.least
    n = 3 * N // SIZE
    for each in (made, other):
        steps(each, n)
    assert made.iterator.n_begun == other.iterator.n_begun > 2
    seen = np.concatenate([row_hashes(row) for row in steps(other, n)])
    assert not np.isin(seen, row_hashes(rows)[:held]).any()


def test_a_shard_that_fits_in_the_window_is_read_once(table):
    made, _ = shard(table, window=2000)
    first = steps(made, 100)
    assert made.iterator.n_begun == 1
    assert sum(map(len, first[: -(-N // SIZE)])) == N
    steps(made, 3)
    assert made.iterator.n_begun == 1


def test_a_shard_with_too_few_rows_is_refused(table):
    made, _ = shard(table.slice(0, 100))
    with pytest.raises(ValueError, match="the Dataset does not have the 2000 rows"):
        steps(made, 1)


@pytest.mark.parametrize("columns", [["x", "level"], ["x"], ["level"]])
def test_rows_that_tasks_encode_are_the_same(table, columns):
    made, rows = shard(table.select(columns), in_tasks=True, has_missing=True)
    made.reading.like = made.reading.like.with_mask()
    batch = EncodingTask(made.reading)(table.select(columns).slice(0, 30))
    found = decoded(batch, made.reading.like)
    expected = rows.take(torch.arange(30)).with_mask()
    for one, other in zip(found.fields(), expected.fields(), strict=True):
        assert (one is None) == (other is None)
        assert one is None or (one.dtype == other.dtype and torch.equal(one, other))


@pytest.mark.parametrize(("n_rows", "window", "size"), [(10**6, 10**5, 256), (1000, 200, 128),
                                                        (700, 100, 256)])  # fmt: skip
def test_halves_of_windows(n_rows, window, size):
    half, n_halves = halves(n_rows, window, size)
    assert half % size == 0
    assert n_halves >= 2
    assert half * n_halves <= n_rows < half * n_halves + (n_halves + 1) * size
    assert half <= max(size, window // 2)
