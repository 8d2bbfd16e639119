"""Statistics of columns: exact for all rows, whatever the batches and the order of merging."""

from __future__ import annotations

import copy

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from frames import pandas_frame

from skvae._streaming import level_counts, number_counts
from skvae._streaming.column_statistics import ColumnStatistics, Statistics
from skvae._streaming.margins import StreamMargins
from skvae._streaming.reservoir import Reservoir
from skvae._table.column_fitting import summarize_column
from skvae._table.margins import TableMargins
from skvae._table.reading import read_table

POOLING = {"max_categories": 4, "min_frequency": 2, "handle_unknown": "error"}
EXACT = ("kind", "minimum", "maximum", "decimals", "step", "levels", "value", "codes")


def statistics_of(frame, cuts):
    statistics = Statistics()
    for part in np.split(np.arange(len(frame)), cuts):
        table = read_table(frame.iloc[part])
        statistics.update(table.names, [table.cells(j) for j in range(len(table.names))])
    return statistics


def column_of(counts, n_missing=0):
    statistics = ColumnStatistics("a")
    statistics.update(read_table(counts).cells(0))
    return statistics


@pytest.fixture(scope="module")
def frame():
    frame = pandas_frame(400).drop(columns="mixed")
    frame["cents"] = frame["cents"].round(1)
    frame.loc[390, "cents"] += 0.001  # a decimal that no other value has, in no sample
    frame["large"] = (2**60 + 4 * np.arange(400) ** 2).astype(np.int64)
    frame.loc[[5, 9], ["float64", "object", "datetime"]] = None
    frame["name"] = [f"row {i}" for i in range(400)]
    return frame


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(number_counts, "MAX_DISTINCT", 20)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("cuts", [[], [1, 2, 100], [6, 10]])
def test_columns_of_a_sample_are_those_of_all_rows(frame, cuts):
    sample = frame.drop(columns=[]).iloc[20:60]
    table, all_rows = read_table(sample), read_table(frame)
    margins = StreamMargins(statistics_of(frame, cuts), table)
    whole = TableMargins(all_rows, np.ones(len(frame)))
    for j, name in enumerate(frame):
        kind = f"column {name}"
        (cells, weights), (own, ones) = margins.column(j, False), whole.column(j, False)
        assert weights.sum() == pytest.approx(len(frame)), kind
        assert weights[cells.missing].sum() == own.missing.sum(), kind
        column, _ = summarize_column(name, cells, weights, False, **POOLING)
        expected, _ = summarize_column(name, own, ones, False, **POOLING)
        assert column.weight == pytest.approx(expected.weight)
        for attribute in EXACT:
            value = getattr(expected, attribute, None)
            np.testing.assert_array_equal(getattr(column, attribute, None), value, err_msg=kind)
        if column.kind in ("categorical", "ordered"):
            np.testing.assert_array_equal(column.counts, expected.counts)


@pytest.mark.usefixtures("few")
def test_statistics_are_merged_in_any_order(frame):
    whole = statistics_of(frame, [])
    parts = [statistics_of(frame.iloc[part], []) for part in np.split(np.arange(400), [3, 350])]
    for order in ([0, 1, 2], [2, 1, 0]):
        merged = Statistics()
        for i in order:
            merged.merge(copy.deepcopy(parts[i]))
        for one, other in zip(merged.columns, whole.columns, strict=True):
            assert (one.n_rows, one.n_missing) == (other.n_rows, other.n_missing)
            if one.counts is None:
                continue
            if isinstance(one.counts, level_counts.LevelCounts):
                assert one.counts.found == other.counts.found
                continue
            for name in ("low", "high", "decimals", "step", "is_complete"):
                assert getattr(one.counts, name) == getattr(other.counts, name), one.name
            np.testing.assert_array_equal(one.counts.values, other.counts.values)


def test_frequent_levels_of_many(monkeypatch):
    monkeypatch.setattr(level_counts, "MAX_LEVELS", 50)
    rng = np.random.default_rng(0)
    draws = np.where(
        rng.random(20_000) < 0.5, rng.integers(5, size=20_000), rng.integers(10**6, size=20_000)
    )
    frame = pd.DataFrame({"a": draws.astype(str)})
    counts = statistics_of(frame, np.arange(1000, 20_000, 1000)).columns[0].counts
    assert len(counts.found) <= 100
    assert 0 < counts.error <= 20_000 / 50
    for level, count in frame["a"].value_counts().head(5).items():
        assert count - counts.error <= counts.found[level][1] <= count


def test_levels_that_are_not_kept_share_the_rest(monkeypatch):
    monkeypatch.setattr(level_counts, "MAX_LEVELS", 5)
    frame = pd.DataFrame({"a": ["often"] * 500 + [f"rare {i}" for i in range(500)]})
    statistics = statistics_of(frame, np.arange(50, 1000, 50))
    cells, weights = StreamMargins(statistics, read_table(frame.iloc[::10])).column(0, False)
    assert weights.sum() == pytest.approx(1000)
    assert weights[cells.levels.index("often")] == pytest.approx(500, abs=200)
    assert len(cells.levels) >= 50


def test_rows_that_are_left_out_do_not_count():
    frame = pd.DataFrame({"a": ["x", "x", "y", None, "z"], "b": [1.0, 2.0, 99.0, 3.0, None]})
    table = read_table(frame)
    margins = StreamMargins(statistics_of(frame, []), table, table.take(np.array([2, 3])))
    cells, weights = margins.column(0, False)
    assert dict(zip(cells.levels, weights, strict=False)) == {"x": 2.0, "z": 1.0}
    cells, weights = margins.column(1, False)
    assert cells.values[~cells.missing].tolist() == [1.0, 2.0]
    assert weights.tolist() == [1.0, 1.0, 1.0]


def test_cells_of_two_types_are_refused():
    statistics = column_of(pd.DataFrame({"a": [1.0]}))
    statistics.update(read_table(pd.DataFrame({"a": [None]}, dtype=object)).cells(0))
    with pytest.raises(TypeError, match=r"'a'.*'label' here, but 'float'"):
        statistics.update(read_table(pd.DataFrame({"a": ["x"]})).cells(0))


# ---------------------------------------------------------------------------------- reservoir


def sampled(values, size, cuts, order=None):
    reservoir = Reservoir(size)
    parts = np.split(np.arange(len(values)), cuts)
    for i in order or range(len(parts)):
        frame = pd.DataFrame({"a": values[parts[i]]})
        if len(frame):
            reservoir.update(nw.from_native(frame), int(parts[i][0]))
    frame, positions = reservoir.sample()
    return frame.to_native()["a"].to_numpy(), positions


def test_sample_does_not_depend_on_the_batches():
    values = np.arange(5000)
    first, positions = sampled(values, 300, [])
    assert len(first) == 300
    np.testing.assert_array_equal(first, positions)
    for cuts, order in ([7, 2000, 2001], None), ([1000, 3000], [2, 0, 1]):
        np.testing.assert_array_equal(sampled(values, 300, cuts, order)[0], first)


def test_sample_of_two_halves():
    values, one, other = np.arange(5000), Reservoir(300), Reservoir(300)
    for reservoir, rows in (one, values[:4000]), (other, values[4000:]):
        reservoir.update(nw.from_native(pd.DataFrame({"a": rows})), int(rows[0]))
    other.merge(one)
    np.testing.assert_array_equal(other.sample()[1], sampled(values, 300, [])[1])


def test_sample_is_uniform_also_over_equal_rows():
    values = np.repeat([0, 1], [4000, 16_000])
    first, positions = sampled(values, 2000, np.arange(100, 20_000, 100))
    assert first.mean() == pytest.approx(0.8, abs=0.03)
    expected = np.full(10, 200)
    chi2 = ((np.histogram(positions, 10, (0, 20_000))[0] - expected) ** 2 / expected).sum()
    assert chi2 < 27.9  # the 99.9 % quantile of nine degrees of freedom


def test_short_stream_is_kept_whole_and_in_order():
    values = np.random.default_rng(0).normal(size=300)
    np.testing.assert_array_equal(sampled(values, 300, [10, 20])[0], values)
