"""partial_fit: the rows of all calls, whatever their order, and answers that wait."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import skvae
from skvae import VAEOutlierDetector, VAETransformer
from skvae._estimators.seen import Seen, cells_of
from skvae._model.agreement import agree
from skvae._streaming.kept_rows import KeptRows
from skvae._table.column_fitting import summarize_column
from skvae._table.joining import alike, joined_cells
from skvae._table.layouts import Cells
from skvae._table.reading import read_table
from skvae._training.averaging import ETA, Average

QUICK = {"hidden_layer_sizes": (16,), "random_state": 0, "constraints": None}


def a_table(n, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n)
    table = pd.DataFrame({name: hidden + 0.5 * rng.normal(size=n) for name in "uvw"})
    table["level"] = np.where(hidden > 1, "high", np.where(hidden < -1, "low", "middle"))
    table["whole"] = np.round(3 * hidden).astype(int)
    return table


TABLE, TEST = a_table(600), a_table(300, seed=1)


def in_parts(table, n=6):
    return [table.iloc[rows] for rows in np.array_split(np.arange(len(table)), n)]


def trained(parts, passes=3, **params):
    vae = VAETransformer(2, **{**QUICK, **params})
    for _ in range(passes):
        for part in parts:
            vae.partial_fit(part)
    return vae


# ------------------------------------------------------------------------------ the order of rows


def test_the_order_of_the_rows_costs_little():
    """Chunks that are sorted by a column are fitted as shuffled ones, and both as the table."""
    whole = VAETransformer(2, **QUICK, max_iter=8, early_stopping=False).fit(TABLE)
    shuffled, by_value = trained(in_parts(TABLE)), trained(in_parts(TABLE.sort_values("u")))
    n = TABLE.shape[1]
    assert shuffled.score(TEST) > whole.score(TEST) - 0.1 * n
    assert by_value.score(TEST) > shuffled.score(TEST) - 0.1 * n
    for vae in (shuffled, by_value):
        number, *_, level, integer = vae.schema_.columns
        assert (number.minimum, number.maximum) == (TABLE["u"].min(), TABLE["u"].max())
        assert set(level.levels) == {"high", "low", "middle"}
        assert integer.maximum + integer.origin == TABLE["whole"].max()


def test_rows_after_a_fit_are_learned():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 6
    vae = VAETransformer(1, **QUICK, max_iter=20).fit(near)
    before = vae.score(far), vae.score(near)
    vae.partial_fit(far).partial_fit(far)
    assert vae.score(far) > before[0] + 1
    assert vae.score(near) > before[1] - 1.5
    column = vae.schema_.columns[0]
    assert (column.minimum, column.maximum) == (near[:, 0].min(), far[:, 0].max())


# ---------------------------------------------------------------------------- answers that wait


@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector])
def test_answers_do_not_depend_on_those_before(kind):
    parts, params = in_parts(TABLE, 3), {**QUICK}
    if kind is VAEOutlierDetector:
        del params["constraints"]
    asked, not_asked = kind(2, **params), kind(2, **params)
    for part in parts:
        asked.partial_fit(part)
        not_asked.partial_fit(part)
        assert "fitted_model_" not in vars(asked)
        asked.score_samples(TEST)
        assert "fitted_model_" in vars(asked)
    np.testing.assert_array_equal(asked.score_samples(TEST), not_asked.score_samples(TEST))
    assert joblib.hash(asked) == joblib.hash(not_asked)
    if kind is VAEOutlierDetector:
        assert asked.offset_ == not_asked.offset_


def test_what_waits_is_there_and_nothing_else():
    vae = trained(in_parts(TABLE, 2), 1)
    assert not hasattr(vae, "offset_")
    vae.partial_fit(TABLE[:20])
    assert hasattr(vae, "explained_variance_")
    with pytest.raises(AttributeError, match="'VAETransformer' object has no attribute 'nothing_'"):
        vae.nothing_  # noqa: B018
    assert not hasattr(VAETransformer(), "fitted_model_")
    assert not hasattr(clone(vae), "fitted_model_")


def test_pickles_go_on_and_files_have_no_rows(tmp_path):
    vae = trained(in_parts(TABLE, 2), 1)
    copy = pickle.loads(pickle.dumps(vae))
    assert joblib.hash(copy) == joblib.hash(vae)
    scores = [each.partial_fit(TABLE[:50]).score_samples(TEST) for each in (vae, copy)]
    np.testing.assert_array_equal(*scores)
    vae.partial_fit(TABLE[50:100]).save(tmp_path / "model.skvae")
    loaded = skvae.load(tmp_path / "model.skvae")
    np.testing.assert_array_equal(loaded.score_samples(TEST), vae.score_samples(TEST))
    assert "_seen" not in vars(loaded)
    assert loaded.partial_fit(TABLE[:50]).score(TEST) > vae.score(TEST) - 1
    assert "_seen" not in vars(vae.fit(TABLE[:50]))


# -------------------------------------------------------------------------------- the kept rows


def kept(size, batches):
    rows, weights = KeptRows(list(TABLE), size), []
    for batch in batches:
        cells = cells_of(read_table(batch), [False] * batch.shape[1])
        rows, _ = rows.added(cells, np.ones(len(batch)))
        weights.append(rows)
    return rows


def test_all_rows_are_kept_while_they_are_few():
    rows = kept(1000, in_parts(TABLE) * 3)
    assert rows.is_complete
    assert len(rows.keys) == len(TABLE)
    assert (rows.weights == 3).all()
    np.testing.assert_array_equal(rows.estimates(), 1.0)
    u = rows.table(read_table(TABLE).layout).cells(0).values
    np.testing.assert_array_equal(np.sort(u), np.sort(TABLE["u"]))


def test_a_sample_does_not_depend_on_the_order():
    first, second = kept(100, in_parts(TABLE)), kept(100, in_parts(TABLE[::-1], 4))
    assert len(first.keys) == 100
    np.testing.assert_array_equal(np.sort(first.keys), np.sort(second.keys))
    assert first.estimates().sum() == pytest.approx(600, rel=0.2)


def test_frequent_rows_stay_in_a_sample():
    often = pd.concat([TABLE[:1]] * 200)
    rows = kept(100, in_parts(pd.concat([TABLE, often]).sample(frac=1, random_state=0)))
    assert rows.weights.max() == 201
    assert rows.estimates().max() / rows.estimates().sum() == pytest.approx(201 / 800, rel=0.25)


@pytest.mark.parametrize(("first", "second", "type", "values"), [
    (pd.Series([1, 2]), pd.Series([3.0, None]), "integer", [1, 2, 3, np.nan]),
    (pd.Series([1, 2]), pd.Series([3.5]), "float", [1, 2, 3.5]),
    (pd.Series([True, False]), pd.Series([1.0, None]), "boolean", [1, 0, 1, np.nan]),
    (pd.Series([None, None]), pd.Series([2, 3]), "integer", [np.nan, np.nan, 2, 3]),
])  # fmt: skip
def test_numbers_of_batches_have_one_type(first, second, type, values):
    a, b = (read_table(each.to_frame("x")).cells(0) for each in (first, second))
    cells = joined_cells(*alike(a, b, "x"))
    assert cells.type == type
    np.testing.assert_array_equal(cells.values, values)


def test_times_and_large_integers_are_exact():
    days = np.array(["2020-01-01", "9999-12-31"], dtype="M8[s]")
    a, b = (read_table(pd.DataFrame({"t": days.astype(f"M8[{u}]")})).cells(0) for u in ("s", "us"))
    cells = joined_cells(*alike(a, b, "t"))
    assert cells.unit == "us"
    np.testing.assert_array_equal(cells.values, np.tile(days.astype("M8[us]").astype(int), 2))
    large = [read_table(pd.DataFrame({"k": [2**60 + i]})).cells(0) for i in range(2)]
    assert joined_cells(*alike(*large, "k")).exact_values.tolist() == [2**60, 2**60 + 1]


def test_orders_of_levels_are_merged_where_one_holds_the_other():
    def labels(codes, levels):
        return Cells("label", np.array(codes), np.array(codes) < 0, levels, ordered=True)

    few, all_levels = labels([0, 1], ("low", "high")), labels([1, 2], ("low", "middle", "high"))
    for pair, codes in ((few, all_levels), [0, 2, 1, 2]), ((all_levels, few), [1, 2, 0, 2]):
        cells = joined_cells(*pair)
        assert cells.levels == ("low", "middle", "high")
        assert cells.values.tolist() == codes
    no_place = joined_cells(few, labels([0, 1], ("other", "low")))
    assert no_place.values.tolist() == [0, 1, -1, 0]
    assert no_place.missing.tolist() == [False, False, True, False]


def test_types_that_cannot_be_one_are_refused():
    vae = VAETransformer(1, **QUICK).partial_fit(TABLE[:50])
    with pytest.raises(TypeError, match="Column 'u' was fitted as continuous"):
        vae.partial_fit(TABLE[:50].assign(u="text"))
    assert vae.n_iter_ == 1


# ----------------------------------------------------------------------------- columns, averages


def test_columns_of_samples_agree_and_others_do_not():
    first, second = (VAETransformer(2, **QUICK, max_iter=1).fit(rows).schema_
                     for rows in (TABLE, TABLE[::-1]))  # fmt: skip
    assert agree(first, second)
    for other in (TABLE.assign(u=2 * TABLE["u"]), TABLE.assign(level="x" + TABLE["level"]),
                  TABLE.assign(w=1.0)):  # fmt: skip
        assert not agree(first, VAETransformer(2, **QUICK, max_iter=1).fit(other).schema_)


def test_what_columns_remember_gives_the_columns_again():
    from skvae._streaming.column_statistics import statistics_of

    vae = VAETransformer(2, **QUICK, max_iter=1).fit(TABLE)
    statistics = statistics_of(vae.schema_.columns, 600.0)
    rows = kept(1000, [vae.sample(300, random_state=0)])
    seen = Seen(rows, statistics, is_drawn=True)
    margins = seen.margins(rows.table(read_table(TABLE).layout))
    for j, column in enumerate(vae.schema_.columns):
        again, _ = summarize_column(
            column.name, *margins.column(j, False), False, max_categories=100, min_frequency=2,
            handle_unknown="infrequent_if_exist",
        )  # fmt: skip
        assert again.weight == pytest.approx(600)
        if column.kind == "categorical":
            assert again.levels == column.levels
            np.testing.assert_array_equal(again.counts, column.counts)
        else:
            assert again.minimum + again.origin == column.minimum + column.origin
            assert again.maximum + again.origin == column.maximum + column.origin


def test_the_average_is_that_of_late_steps():
    import torch

    weights = torch.zeros(1)
    average = Average(weights, {})
    expected, steps = 0.0, np.random.default_rng(0).normal(size=50)
    for t, value in enumerate(steps, start=1):
        weights.fill_(value)
        average.update()
        share = (ETA + 1) / (t + ETA)
        expected = (1 - share) * expected + share * value
    state = average.ending()
    assert float(weights) == pytest.approx(expected, abs=1e-6)
    again = Average(weights, state)
    assert float(weights) == pytest.approx(steps[-1])
    assert float(again.mean) == pytest.approx(expected, abs=1e-6)
