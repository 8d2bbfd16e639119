"""fit on a source: the model of a table in memory, without the table in memory."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

import skvae
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._estimators import fitting
from skvae._model.rows import row_hashes
from skvae._streaming import batches, stream
from skvae._streaming.reservoir import priorities

N = 2000


def drawn(n, seed):
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    frame = pd.DataFrame(z @ fixed.normal(size=(2, 3)) + 0.3 * rng.normal(size=(n, 3)))
    frame.columns = list("abc")
    frame["level"] = np.array(["u", "v", "w"])[np.digitize(z[:, 0], [-1, 1])]
    frame["count"] = rng.poisson(np.exp(1 + 0.5 * z[:, 1]))
    return frame


@pytest.fixture(scope="module")
def frame():
    frame = drawn(N, seed=1)
    frame.loc[7, "level"] = "rare"
    frame.loc[11, "a"], frame.loc[12, "b"] = 99.5, np.nan
    return frame


@pytest.fixture(scope="module")
def path(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "all.parquet"
    pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=250)
    return path


@pytest.fixture
def small(monkeypatch):
    """A sample of 1200 rows, and batches of 64."""
    monkeypatch.setattr(stream, "MIN_SAMPLE", 1200)
    monkeypatch.setattr(stream, "MAX_SAMPLE", 1200)
    monkeypatch.setattr(stream, "MIN_BATCH", 64)
    monkeypatch.setattr(stream, "MAX_BATCH", 64)


@pytest.fixture
def windows(small, monkeypatch):
    """The same, and windows of about 700 rows."""
    monkeypatch.setattr(batches, "OF_WINDOW", 700 * 60 / (1024 * stream.MEGABYTE))


class Noted:
    """Batches that are noted down as they are given."""

    def __init__(self, batches, rows):
        self.batches, self.rows = batches, rows

    def __next__(self):
        self.rows.append(next(self.batches))
        return self.rows[-1]

    def close(self):
        self.batches.close()


@pytest.fixture
def trained_on(monkeypatch):
    """The sources of batches of all fits, and the rows that each gave to training."""
    found = []

    def spied(*args):
        source = batches.StreamBatches(*args)
        made, rows = source.batches, []

        def spy(*args):
            return Noted(made(*args), rows)

        source.batches = spy
        found.append((source, rows))
        return source

    monkeypatch.setattr(fitting, "StreamBatches", spied)
    return found


QUICK = {
    "hidden_layer_sizes": (16,), "random_state": 0, "constraints": None,
    "numeric_transform": "robust", "n_importance_samples": 16, "n_refinement_steps": 0,
}  # fmt: skip

# By training alone: the start and the exemplars are those of the sample, here a small one.
TRAINED = {"init": "random", "prior": "standard_normal", "max_iter": 20}


def quick(**params):
    return VAETransformer(2, **{**QUICK, **params})


@pytest.fixture(scope="module")
def whole(frame):
    return quick(**TRAINED).fit(frame)


def test_short_stream_is_fitted_as_a_table(frame, path):
    table = pq.read_table(path)
    whole = quick(max_iter=1).fit(table)
    read = quick(max_iter=1).fit(str(path))
    for one, other in zip(read.model_.parameters(), whole.model_.parameters(), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(read.score_samples(table), whole.score_samples(table))
    parts = [frame[:10], frame[10:]]
    made = quick(max_iter=1).fit(lambda: parts)
    assert made.sample(3).dtypes.equals(frame.dtypes)
    assert made.schema_.choices == whole.schema_.choices


@pytest.mark.parametrize("held", ["windows", "small"])
def test_long_stream_is_fitted_as_a_table(held, frame, path, whole, request):
    request.getfixturevalue(held)
    read, fresh = quick(**TRAINED).fit(path), drawn(1000, seed=2)
    assert read.score(fresh) > whole.score(fresh) - 0.02 * frame.shape[1]
    for one, other in zip(read.schema_.columns, whole.schema_.columns, strict=True):
        assert one.name == other.name
        assert one.weight == pytest.approx(other.weight)
        for name in ("minimum", "maximum", "levels", "decimals"):
            assert getattr(one, name, None) == getattr(other, name, None), one.name
    assert read.n_iter_ == 20
    assert set(read.sample(300, random_state=0).column("level").to_pylist()) <= {*"uvw", "rare"}


def test_each_row_is_seen_once_in_a_pass(windows, frame, path, trained_on):
    quick(max_iter=3, early_stopping=False).fit(path)
    ((source, rows),) = trained_on
    assert source.window < N
    seen = np.concatenate([row_hashes(batch.with_mask()) for batch in rows])
    hashes, counts = np.unique(seen, return_counts=True)
    assert len(hashes) == N
    assert counts.max() <= 4  # what a window holds is at most one pass ahead
    assert abs(len(seen) - 3 * N) < 256 * 3


def test_rows_held_out_are_not_trained_on(windows, frame, trained_on):
    twice = pd.concat([frame, frame], ignore_index=True)
    quick(max_iter=2).fit(lambda: [twice[:2500], twice[2500:]])
    ((source, rows),) = trained_on
    assert 10 <= len(source.hashes) <= 120
    seen = np.concatenate([row_hashes(batch.with_mask()) for batch in rows])
    assert not np.isin(seen, source.hashes).any()


def test_equal_rows_of_few_patterns_are_observations(windows, trained_on):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("xyz"), N), "b": rng.choice(list("uv"), N)})
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(lambda: [frame])
    ((source, _),) = trained_on
    assert len(source.hashes) == 0
    assert source.n_rows == N - 120
    counts = frame["a"].value_counts().sort_index()
    assert vae.schema_.columns[0].counts.tolist() == counts.tolist()


def test_the_same_rows_and_seed_give_the_same_model(windows, path, frame):
    cuts = ([frame], [frame[:1], frame[1:1000], frame[1000:]])
    one, other = (quick(max_iter=1).fit(lambda parts=parts: parts) for parts in cuts)
    np.testing.assert_allclose(one.score_samples(frame), other.score_samples(frame), rtol=1e-9)
    one, other = (quick(max_iter=1).fit(path) for _ in range(2))
    np.testing.assert_array_equal(one.score_samples(frame), other.score_samples(frame))


def test_stacked_models_and_single_runs(windows, path, frame):
    for latent in ("gaussian", "quantized"):
        params = {"n_estimators": 2, "latent": latent, "likelihood": "student_t", "max_iter": 1}
        detector = VAEOutlierDetector(2, hidden_layer_sizes=(8,), random_state=0, **params)
        detector.fit(path)
        assert np.isfinite(detector.score_samples(frame[:20])).all()
        one, other = (dict(m.named_parameters()) for m in detector.models_)
        assert any(not torch.equal(one[name], other[name]) for name in one)


def test_calibration_rows_are_not_trained_on(windows, path, frame, trained_on):
    detector = VAEOutlierDetector(
        2, hidden_layer_sizes=(8,), max_iter=1, calibration_fraction=0.4, random_state=0
    ).fit(path)
    assert len(detector.calibration_scores_) == 480
    for source, rows in trained_on:
        assert len(source.left_out) == 480 + 72  # and those held out
        seen = np.concatenate([row_hashes(batch.with_mask()) for batch in rows])
        assert not np.isin(seen, source.hashes).any()
        assert len(np.unique(seen)) <= source.n_rows
    p = detector.pvalues(frame)
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.06)


def test_imputer_and_pipeline(small, path, frame):
    imputer = VAEImputer(quick(max_iter=1), add_indicator=True).fit(path)
    assert imputer.indicator_features_.tolist() == [1]
    assert imputer.transform(frame).shape[1] == 6
    marked = VAEImputer(quick(max_iter=1), missing_values=99.5).fit(path)
    assert marked.estimator_.schema_.columns[0].maximum < 99
    assert make_pipeline(quick(max_iter=1)).fit(path).transform(frame[:3]).shape == (3, 2)


def test_fitted_estimator_is_like_any_other(windows, path, frame, tmp_path):
    vae = quick(max_iter=1).fit(path)
    assert not [v for v in vars(vae).values() if "stream" in type(v).__module__]
    again = pickle.loads(pickle.dumps(vae))
    vae.save(tmp_path / "model.skvae")
    for other in (again, skvae.load(tmp_path / "model.skvae")):
        np.testing.assert_array_equal(other.score_samples(frame), vae.score_samples(frame))
    assert clone(vae).max_memory == vae.max_memory


def test_warm_start_reads_another_stream(windows, path, frame):
    vae = quick(max_iter=2, warm_start=True).fit(path)
    other = frame.assign(a=frame["a"] + 30, level=frame["level"].replace("u", "v"))
    before, more = vae.score(other), vae
    more.fit(lambda: [other])
    assert more.score(other) > before
    assert more.schema_.columns[0].maximum == 129.5
    assert more.schema_.columns[0].weight == pytest.approx(2 * N)
    with pytest.raises(ValueError, match=r"unseen at fit time: \['d'\]"):
        more.fit(lambda: [frame.rename(columns={"a": "d"})])


def test_constraints_hold_in_all_rows(small):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(50, size=N), "b": rng.integers(50, size=N)})
    frame["total"] = frame["a"] + frame["b"]
    found = quick(max_iter=1, constraints="auto").fit(lambda: [frame]).constraints_
    assert len(found) == 1
    frame.loc[np.argmax(priorities(np.arange(N))), "total"] += 1  # in no sample
    assert not quick(max_iter=1, constraints="auto").fit(lambda: [frame]).constraints_


# ------------------------------------------------------------------------------------- errors


def no_threads():
    return not [t for t in threading.enumerate() if t.name == "skvae-prefetch"]


def test_source_that_changes_between_the_passes(windows, frame):
    calls = []

    def parts():
        calls.append(1)
        return [frame, frame] if len(calls) == 1 else [frame]

    vae = quick(max_iter=1)
    with pytest.raises(ValueError, match="does not have the 4000 rows that fit read"):
        vae.fit(parts)
    assert not hasattr(vae, "fitted_model_")
    assert no_threads()


def test_error_in_the_second_pass(windows, frame):
    calls = []

    def parts():
        calls.append(1)
        yield frame
        if len(calls) > 1:
            raise OSError("connection lost")
        yield frame

    vae = quick(max_iter=5)
    with pytest.raises(ValueError, match=r"the function's result, batch 1: connection lost"):
        vae.fit(parts)
    assert not hasattr(vae, "fitted_model_")
    assert no_threads()


def test_interruption_keeps_the_best_weights(windows, path, monkeypatch):
    steps = []
    step = fitting.train_all.__globals__["Run"].step

    def interrupted(self, batch, i):
        steps.append(i)
        if len(steps) == 20:
            raise KeyboardInterrupt
        return step(self, batch, i)

    monkeypatch.setattr(fitting.train_all.__globals__["Run"], "step", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        vae = quick(max_iter=20).fit(path)
    assert hasattr(vae, "fitted_model_")
    assert no_threads()
