"""Sources: the same rows from each kind, and errors that name part and column."""

from __future__ import annotations

import ast
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import skvae
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._streaming.prefetching import Prefetched
from skvae._streaming.sources import as_source, is_source


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "a": rng.normal(size=300),
        "b": rng.integers(5, size=300),
        "c": rng.choice(["x", "y"], size=300),
    })  # fmt: skip


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table = pa.Table.from_pandas(frame)
    for i in range(3):
        pq.write_table(table.slice(100 * i, 100), folder / f"{i}.parquet", row_group_size=40)
    (folder / "_metadata.txt").write_text("no part of the table")
    with pa.ipc.new_file(folder.parent / "all.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=70)
    return folder


def sources(folder, frame):
    table = pl.from_pandas(frame)
    return {
        "folder": folder,
        "glob": str(folder / "*.parquet"),
        "Arrow": folder.parent / "all.arrow",
        "dataset": ds.dataset(folder, exclude_invalid_files=True),
        "filtered": ds.dataset(folder, exclude_invalid_files=True).filter(ds.field("b") >= 0),
        "lazy": table.lazy(),
        "lazy file": pl.scan_parquet(folder / "*.parquet"),
        "pandas": lambda: (frame.iloc[i : i + 70] for i in range(0, 300, 70)),
        "polars": lambda: [table[:1], table[1:]],
        "pyarrow": lambda: pa.Table.from_pandas(frame).to_batches(max_chunksize=90),
        "stream": lambda: pa.Table.from_pandas(frame).to_reader(),
        "one frame": lambda: frame,
    }


def read(X, size=64):
    source = as_source(X)
    frames = [f for i in range(len(source.parts)) for f in source.frames(i, size)]
    assert all(len(f) <= size for f in frames)
    return pd.concat([f.to_pandas() for f in frames], ignore_index=True)


def test_rows_of_each_kind_of_source_twice(folder, frame):
    for name, X in sources(folder, frame).items():
        assert is_source(X), name
        for _ in range(2):
            pd.testing.assert_frame_equal(read(X), frame, check_dtype=False, obj=name)


def test_relations_of_duckdb(folder, frame):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        relation = connection.sql(f"from '{folder}/*.parquet' select a, b, c order by a")
        assert is_source(relation)
        for _ in range(2):
            assert read(relation)["a"].tolist() == sorted(frame["a"])


def test_row_groups_are_parts(folder):
    parts = as_source(folder).parts
    assert [part.n_rows for part in parts] == [40, 40, 20] * 3
    assert parts[4].name.endswith("1.parquet, row group 1")


def test_folders_of_a_partition_are_columns(tmp_path, frame):
    pq.write_to_dataset(pa.Table.from_pandas(frame), tmp_path, partition_cols=["b"])
    found = read(tmp_path)
    assert sorted(found["b"].astype(int)) == sorted(frame["b"])
    assert set(found.columns) == {"a", "b", "c"}


def test_fingerprint_follows_the_files(folder, tmp_path):
    assert as_source(folder).fingerprint == as_source(folder).fingerprint
    assert as_source(folder).fingerprint != as_source(folder / "0.parquet").fingerprint


def test_tables_in_memory_are_no_sources(frame):
    for X in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), frame.to_numpy(),
              [[1.0]], frame["a"], pl.Series([1]), 3, None):  # fmt: skip
        assert not is_source(X)


def test_columns_are_matched_by_name(frame):
    parts = [frame.iloc[:100], frame.iloc[100:, ::-1]]
    pd.testing.assert_frame_equal(read(lambda: parts), frame)


def test_empty_columns_take_the_type_of_the_others(tmp_path, frame):
    empty = frame.head(10).assign(a=None)
    pq.write_table(pa.Table.from_pandas(empty), tmp_path / "0.parquet")
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "1.parquet")
    assert read(tmp_path)["a"].isna().sum() == 10
    assert read(lambda: [frame, empty])["a"].isna().sum() == 10


def test_categories_of_batches_are_joined():
    parts = [pd.DataFrame({"a": pd.Categorical(levels)}) for levels in (["x", "y"], ["z", "x"])]
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(lambda: parts)
    assert vae.schema_.columns[0].levels == ("x", "y", "z")


# ------------------------------------------------------------------------------------- errors


def refused(X, error, message, estimator=None, **fit):
    """The error; the estimator is what it was."""
    estimator = estimator or VAETransformer(1, max_iter=1, random_state=0)
    before = dict(vars(estimator))
    with pytest.raises(error, match=message):
        estimator.fit(X, **fit)
    assert vars(estimator) == before
    assert not [t for t in threading.enumerate() if t.name == "skvae-prefetch"]


def test_iterators_that_can_be_read_only_once(frame):
    refused((part for part in [frame]), TypeError, r"generator.*only once.*function")
    refused(pa.Table.from_pandas(frame).to_reader(), TypeError, r"RecordBatchReader.*only once")
    once = iter([frame.sample(40_000, replace=True, random_state=0)])
    refused(
        lambda: once, ValueError, r"new iterator at each call", VAETransformer(1, max_memory=16)
    )


def test_files_of_different_schemas(tmp_path, frame):
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "0.parquet")
    for other, message in (
        (frame.astype({"b": float}), r"1\.parquet: Column 'b'.*double.*int64"),
        (frame.rename(columns={"c": "d"}), r"1\.parquet.*\['c'\] are missing and \['d'\] are new"),
    ):
        pq.write_table(pa.Table.from_pandas(other), tmp_path / "1.parquet")
        refused(tmp_path, ValueError, message)
        refused(ds.dataset(tmp_path), ValueError, message)


def test_batches_of_different_types(frame):
    parts = [frame, frame.astype({"b": float})]
    refused(lambda: parts, ValueError, r"batch 1: Column 'b' has the type Float64.*Int64")
    refused(lambda: [frame, frame[["a", "b"]]], ValueError, r"batch 1.*\['c'\] are missing")
    refused(lambda: [frame.to_numpy()], TypeError, r"batch 0: a batch is a ndarray")
    refused(lambda: 3, TypeError, r"returned a int")


def test_corrupt_files(tmp_path, frame):
    path = tmp_path / "0.parquet"
    pq.write_table(pa.Table.from_pandas(frame), path, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    data = bytearray(path.read_bytes())
    start = column.data_page_offset
    data[start + 30 : start + column.total_compressed_size] = b"\xff" * (
        column.total_compressed_size - 30
    )
    path.write_bytes(bytes(data))
    refused(tmp_path, ValueError, r"0\.parquet, row group 0: column 'b' cannot be read")
    path.write_bytes(b"no Parquet")
    refused(tmp_path, ValueError, r"0\.parquet cannot be read as Parquet")


def test_nothing_to_read(tmp_path, frame):
    refused(tmp_path, ValueError, r"no files whose names end in \.parquet")
    refused(tmp_path / "absent.parquet", FileNotFoundError, r"absent\.parquet' is no file")
    refused(tmp_path / "*.csv", ValueError, r"\*\.csv' has no files")
    pq.write_table(pa.Table.from_pandas(frame.head(0)), tmp_path / "0.parquet")
    refused(tmp_path, ValueError, r"0 sample\(s\): X has no rows")
    refused(lambda: iter([]), ValueError, r"0 sample\(s\): X has no rows")
    (tmp_path / "a.csv").write_text("a\n1\n")
    refused(tmp_path / "a.csv", ValueError, r"a\.csv' must be of Parquet")


def test_infinite_cells(tmp_path, frame):
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "0.parquet")
    bad = frame.assign(a=frame["a"].where(frame.index != 250, np.inf))
    pq.write_table(pa.Table.from_pandas(bad), tmp_path / "1.parquet", row_group_size=100)
    refused(tmp_path, ValueError, r"1\.parquet, row group 2: .*infinity.*column 'a'")


def test_what_streams_do_not_take(folder, frame):
    for estimator in (VAETransformer(1), VAEOutlierDetector(1), VAEImputer()):
        refused(folder, ValueError, "sample_weight", estimator, sample_weight=np.ones(300))
    with pytest.raises(TypeError, match=r"partial_fit takes a table in memory.*PosixPath"):
        VAETransformer(1).partial_fit(folder)
    refused(folder, ValueError, "max_memory", VAETransformer(1, max_memory=1))
    refused(
        folder, ValueError, "'categorical_features'", VAETransformer(1, categorical_features=["z"])
    )


def test_answers_are_about_tables_in_memory(folder, frame):
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(folder)
    with pytest.raises(TypeError, match=r"lazy LazyFrame; pass X\.collect\(\)"):
        vae.score_samples(pl.from_pandas(frame).lazy())


# ---------------------------------------------------------------------------------- prefetching


def test_errors_of_the_thread_are_raised_in_order():
    def items():
        yield 1
        raise OSError("the disk is gone")

    ahead = Prefetched(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert list(Prefetched(iter(range(100)))) == list(range(100))


def test_thread_ends_with_its_user():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    with Prefetched(items()) as ahead:
        next(ahead)
    assert closed == ["skvae-prefetch"]
    assert not [t for t in threading.enumerate() if t.name == "skvae-prefetch"]


def test_nothing_is_imported_before_it_is_used():
    """Imports of the optional packages are inside functions."""
    for path in Path(skvae.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            packages = {name.partition(".")[0] for name in names}
            assert not packages & {"pyarrow", "polars", "duckdb"}, path


def test_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(folder, ImportError, r"skvae\[stream\]")
