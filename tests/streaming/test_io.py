"""Answers to files: equal to those in memory, in parts that are complete or not there."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer, io

NAMES = ["a", "b", "level"]
QUIET = {"verbose": False}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    a = rng.normal(size=230)
    return pd.DataFrame(
        {
            "id": np.arange(230),
            "a": a,
            "b": np.where(rng.random(230) < 0.2, np.nan, a + rng.normal(size=230)),
            "level": np.where(a > 0, "high", "low"),
        }
    )


@pytest.fixture(scope="module")
def vae(table):
    params = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
    return VAETransformer(2, **params).fit(table.drop(columns="id"))


@pytest.fixture
def rows(table, tmp_path):
    """The table in three files, one of two row groups."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, (start, stop) in enumerate([(0, 100), (100, 110), (110, 230)]):
        part = table.iloc[start:stop]
        part.to_parquet(folder / f"{i}.parquet", index=False, row_group_size=70)
    return folder


def times(parts):
    return [part.stat().st_mtime_ns for part in parts]


@pytest.mark.parametrize("sizes", [(64, 90), (1000, 1000), (7, 100), (230, 23)])
def test_scores_are_those_of_a_table_in_memory(vae, table, rows, tmp_path, sizes):
    work = {"batch_size": sizes[0], "rows_per_part": sizes[1]}
    parts = io.score_to(vae, rows, tmp_path / "scores", keep=["id"], **work, **QUIET)
    assert len(parts) == -(-230 // sizes[1])
    for read in (pd.read_parquet, lambda path: pl.read_parquet(path).to_pandas()):
        found = read(tmp_path / "scores")
        assert found.columns.tolist() == ["id", "score"]
        np.testing.assert_array_equal(found["id"], table["id"])
        np.testing.assert_allclose(found["score"], vae.score_samples(table[NAMES]), rtol=1e-9)


@pytest.mark.parametrize("kind", ["frame", "lazy", "function", "glob"])
def test_sources(vae, table, rows, tmp_path, kind):
    source = {
        "frame": table,
        "lazy": pl.scan_parquet(rows / "*.parquet"),
        "function": lambda: (table.iloc[i : i + 50] for i in range(0, 230, 50)),
        "glob": str(rows / "*.parquet"),
    }[kind]
    target = tmp_path / "components"
    io.transform_to(vae, source, target, rows_per_part=60, **QUIET)
    expected = vae.transform(table[NAMES])
    np.testing.assert_allclose(pd.read_parquet(target), expected, rtol=1e-9)
    assert pd.read_parquet(target).columns.tolist() == list(vae.get_feature_names_out())


def test_rows_are_filled(vae, table, rows, tmp_path):
    io.impute_to(vae, rows, tmp_path / "filled", keep=["id"], **QUIET)
    found = pd.read_parquet(tmp_path / "filled")
    pd.testing.assert_frame_equal(found.drop(columns="id"), vae.impute(table[NAMES]))
    imputer = VAEImputer(vae).fit(table[NAMES])
    io.impute_to(imputer, rows, tmp_path / "imputer", **QUIET)
    found = pd.read_parquet(tmp_path / "imputer")
    pd.testing.assert_frame_equal(found, imputer.transform(table[NAMES]))


def test_drawn_rows(vae, table, tmp_path):
    def draw(folder, **changes):
        params = {"random_state": 3, "batch_size": 40, "rows_per_part": 100, **QUIET, **changes}
        io.sample_to(vae, 250, tmp_path / folder, **params)
        return pd.read_parquet(tmp_path / folder)

    drawn = draw("one")
    assert len(drawn) == 250
    assert drawn.dtypes.equals(table[NAMES].dtypes)
    pd.testing.assert_frame_equal(drawn, draw("two"))
    assert not drawn.equals(draw("three", random_state=4))
    assert drawn["a"].nunique() > 240  # no batch is that before
    assert set(draw("low", given={"level": "low"})["level"]) == {"low"}


def test_other_estimators(table, rows, tmp_path):
    X = table[["a", "b"]].fillna(0.0)
    pipeline = make_pipeline(StandardScaler(), PCA(1)).fit(X)
    io.transform_to(pipeline, X, tmp_path / "pca", **QUIET)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "pca"), pipeline.transform(X))
    detector = VAEOutlierDetector(1, max_iter=3, random_state=0).fit(X)
    io.score_to(detector, X, tmp_path / "scores", n_jobs=2, **QUIET)
    found = pd.read_parquet(tmp_path / "scores")["score"]
    np.testing.assert_allclose(found, detector.score_samples(X), rtol=1e-9)
    with pytest.raises(TypeError, match="must have the method transform, which VAEOutlierDetec"):
        io.transform_to(detector, X, tmp_path / "no", **QUIET)
    assert not (tmp_path / "no").exists()


def test_an_array_has_numbered_columns(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = VAETransformer(1, max_iter=2, random_state=0).fit(X)
    io.sample_to(model, 5, tmp_path / "drawn", random_state=0, **QUIET)
    assert pd.read_parquet(tmp_path / "drawn").columns.tolist() == ["x0", "x1"]


def test_a_call_that_was_cut_off_goes_on(vae, rows, tmp_path, monkeypatch):
    target, work = tmp_path / "scores", {"rows_per_part": 50, "batch_size": 25, **QUIET}
    score, n_calls = VAETransformer.score_samples, 0

    def failing(self, X, **params):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 6:
            raise KeyboardInterrupt
        return score(self, X, **params)

    with monkeypatch.context() as patch:
        patch.setattr(VAETransformer, "score_samples", failing)
        with pytest.raises(KeyboardInterrupt):
            io.score_to(vae, rows, target, **work)
    done = sorted(target.iterdir())
    assert [part.name for part in done] == ["part-00000.parquet", "part-00001.parquet"]
    before = times(done)
    parts = io.score_to(vae, rows, target, **work)
    assert times(done) == before
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 230
    assert n_calls == 6


def test_a_damaged_part_is_written_again(vae, rows, tmp_path):
    parts = io.score_to(vae, rows, tmp_path / "scores", rows_per_part=100, **QUIET)
    before, content = times(parts), parts[1].read_bytes()
    place = len(content) // 4  # within the scores
    parts[1].write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    parts[2].write_bytes(parts[2].read_bytes()[:-9])
    io.score_to(vae, rows, tmp_path / "scores", rows_per_part=100, **QUIET)
    after = times(parts)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert parts[1].read_bytes() == content


def test_other_answers_are_not_overwritten(vae, table, rows, tmp_path):
    target = tmp_path / "scores"
    io.score_to(vae, rows, target, **QUIET)
    with pytest.raises(ValueError, match=r"with another method: part-00000.parquet has score_sam"):
        io.transform_to(vae, rows, target, **QUIET)
    other = VAETransformer(1, max_iter=1, random_state=0).fit(table[NAMES])
    with pytest.raises(ValueError, match="with another estimator"):
        io.score_to(other, rows, target, **QUIET)
    with pytest.raises(ValueError, match=r"another keep: .* has \[\], not \['id'\]"):
        io.score_to(vae, rows, target, keep=["id"], **QUIET)
    with pytest.raises(ValueError, match="with another source"):
        io.score_to(vae, rows / "0.parquet", target, **QUIET)


def test_a_source_that_is_shorter_than_before_is_refused(vae, table, tmp_path):
    target = tmp_path / "scores"
    io.score_to(vae, lambda: iter([table]), target, **QUIET)
    with pytest.raises(ValueError, match="answers about more rows than the source has"):
        io.score_to(vae, lambda: iter([table[:9]]), target, **QUIET)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"keep": ["key"]}, r"0\.parquet.*: the columns \['key'\] are missing"),
        ({"keep": "id"}, "keep must be a sequence of names"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"rows_per_part": 2.5}, "rows_per_part must be an integer"),
    ],
)
def test_errors_name_the_parameter_or_file(vae, rows, tmp_path, changes, match):
    with pytest.raises(ValueError, match=match):
        io.score_to(vae, rows, tmp_path / "scores", **changes, **QUIET)
    assert not list(tmp_path.glob("scores/*"))


def test_columns_to_keep_must_not_be_answers(vae, rows, tmp_path):
    with pytest.raises(ValueError, match=r"\['a'\] to keep are among the answers, too"):
        io.impute_to(vae, rows, tmp_path / "filled", keep=["a"], **QUIET)


def test_bad_sources(vae, table, tmp_path):
    with pytest.raises(TypeError, match="can be read only once"):
        io.score_to(vae, iter([table]), tmp_path / "a", **QUIET)
    with pytest.raises(TypeError, match="The source is a ndarray, but must be a data frame or"):
        io.score_to(vae, table[["a"]].to_numpy(), tmp_path / "a", **QUIET)
    with pytest.raises(ValueError, match="The source has no rows"):
        io.score_to(vae, table[:0], tmp_path / "a", **QUIET)
    with pytest.raises(ValueError, match="random_state must be an integer of at least 0"):
        io.sample_to(vae, 5, tmp_path / "a", random_state=None, **QUIET)


def test_progress_is_shown(vae, rows, tmp_path, caplog):
    io.score_to(vae, rows, tmp_path / "scores", batch_size=50)
    assert "230 of 230 rows" in caplog.text
