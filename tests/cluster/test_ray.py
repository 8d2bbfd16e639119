"""A local cluster of Ray: fits by two workers, one of which is killed, and answers by actors."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import skvae
import skvae.ray
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._ray import training
from skvae._ray.source import ClusterBatches
from skvae._streaming import batches, stream

ray = pytest.importorskip("ray")
pytest.importorskip("ray.train.torch")

pytestmark = [
    # Processes and sockets that Ray leaves to its own exit.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

N_BLOCKS, BLOCK, N_COLUMNS = 8, 500, 5
QUICK = {
    "hidden_layer_sizes": (16,), "random_state": 0, "constraints": None, "init": "random",
    "numeric_transform": "robust", "prior": "standard_normal",
}  # fmt: skip


def drawn(n, seed):
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    frame = pd.DataFrame(z @ fixed.normal(size=(2, 3)) + 0.3 * rng.normal(size=(n, 3)))
    frame.columns = list("abc")
    frame["level"] = np.array(["u", "v", "w"])[np.digitize(z[:, 0], [-1, 1])]
    frame["count"] = rng.poisson(np.exp(1 + 0.5 * z[:, 1]))
    return frame


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Four processors, of which Ray Data has two beside two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_worker_niceness", "0")  # of 15, beside other jobs they wait for ever
        ray.init(
            num_cpus=4, object_store_memory=200 * 2**20, include_dashboard=False,
            log_to_driver=False, logging_level="ERROR",
        )  # fmt: skip
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield tmp_path_factory.mktemp("runs")
        ray.shutdown()


@pytest.fixture(scope="module")
def frames():
    return [drawn(BLOCK, seed) for seed in range(N_BLOCKS)]


@pytest.fixture(scope="module")
def test_rows():
    return drawn(2000, seed=100)


@pytest.fixture
def small(monkeypatch):
    """A sample of 1200 rows, and windows of about 700 rows."""
    monkeypatch.setattr(stream, "MIN_SAMPLE", 1200)
    monkeypatch.setattr(stream, "MAX_SAMPLE", 1200)
    monkeypatch.setattr(batches, "OF_WINDOW", 700 * 60 / (1024 * stream.MEGABYTE))


def two_workers():
    return ray.train.ScalingConfig(num_workers=2)


def run(folder, name, **options):
    failures = ray.train.FailureConfig(**options)
    return ray.train.RunConfig(name=name, storage_path=str(folder), failure_config=failures)


@pytest.fixture
def deadly(monkeypatch, tmp_path):
    """The second worker is killed at step 40, once; the folder of the note that it was."""
    train_as_worker = training.train_as_worker

    def train(config):
        from skvae._training.loop import Run

        step = Run.step

        def stepped(self, batch, number):
            note = tmp_path / "killed"
            if number == 40 and self.workers.rank == 1 and not note.exists():
                note.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, batch, number)

        Run.step = stepped
        train_as_worker(config)

    monkeypatch.setattr(training, "train_as_worker", train)
    return tmp_path


def test_a_fit_whose_worker_is_killed_is_as_good_as_one_in_memory(
    cluster, small, deadly, frames, test_rows
):
    dataset = ray.data.from_pandas(frames)
    vae = VAETransformer(2, max_iter=20, checkpoint_every=1.0, **QUICK)
    settings = {"scaling_config": two_workers(), "run_config": run(cluster, "a", max_failures=1)}
    assert skvae.ray.fit(vae, dataset, **settings) is vae
    assert (deadly / "killed").exists()
    # A pass of 4000 rows, but for some that are held out, has 8 steps of twice 256.
    assert vae.history_["step"][-1] == 8 * 20
    assert vae.n_iter_ == 20
    local = VAETransformer(2, max_iter=20, **QUICK).fit(pd.concat(frames))
    gap = (vae.score(test_rows) - local.score(test_rows)) / N_COLUMNS
    assert gap > -0.02
    assert vae.schema_.columns[0].weight == N_BLOCKS * BLOCK
    # It is an estimator like any other.
    for copy in (pickle.loads(pickle.dumps(vae)), saved(vae, deadly / "vae.skvae")):
        np.testing.assert_array_equal(copy.transform(test_rows), vae.transform(test_rows))


def saved(vae, path):
    vae.save(path)
    return skvae.load(path)


def test_answers_are_those_of_the_estimator(cluster, frames, test_rows):
    vae = VAETransformer(2, max_iter=2, **QUICK).fit(frames[0])
    incomplete = test_rows.copy()
    incomplete.loc[::3, "a"] = np.nan
    incomplete["key"] = range(len(incomplete))
    dataset = ray.data.from_pandas([incomplete[:700], incomplete[700:]])
    options = {"keep": ["key"], "batch_size": 300, "n_actors": 1}
    found = skvae.ray.score(vae, dataset, **options).to_pandas().sort_values("key")
    expected = vae.score_samples(incomplete.drop(columns="key"))
    np.testing.assert_allclose(found["score"], expected, rtol=1e-9)
    assert list(found) == ["key", "score"]


# ------------------------------------------------------------------------------ slower ones


@pytest.mark.slow
def test_transform_and_impute(cluster, frames, test_rows):
    vae = VAETransformer(2, max_iter=2, **QUICK).fit(frames[0])
    incomplete = test_rows.copy()
    incomplete.loc[::3, "a"] = np.nan
    dataset = ray.data.from_pandas(incomplete.assign(key=range(len(incomplete))))
    options = {"keep": ["key"], "batch_size": 300}
    found = skvae.ray.transform(vae, dataset, **options).to_pandas().sort_values("key")
    assert list(found) == ["key", *vae.get_feature_names_out()]
    expected = vae.transform(incomplete)
    numbers = found.drop(columns="key").to_numpy(dtype=float)
    np.testing.assert_allclose(numbers, expected, rtol=1e-9, atol=1e-9)
    filled = skvae.ray.impute(vae, dataset, **options).to_pandas().sort_values("key")
    expected = vae.impute(incomplete)["a"]
    np.testing.assert_allclose(filled["a"].to_numpy(dtype=float), expected, rtol=1e-9)


@pytest.mark.slow
def test_a_run_of_the_same_name_goes_on(cluster, small, frames, test_rows):
    dataset = ray.data.from_pandas(frames)
    vae = VAETransformer(2, max_iter=4, **QUICK)
    settings = {"scaling_config": two_workers(), "run_config": run(cluster, "b")}
    first = skvae.ray.fit(vae, dataset, **settings).transform(test_rows)
    again = skvae.ray.fit(VAETransformer(2, max_iter=4, **QUICK), dataset, **settings)
    np.testing.assert_array_equal(again.transform(test_rows), first)
    other = VAETransformer(2, max_iter=4, batch_size=128, **QUICK)
    with pytest.raises(ray.train.TrainingFailedError, match="batch_size=256, and this one has"):
        skvae.ray.fit(other, dataset, **settings)
    assert not hasattr(other, "fitted_model_")


@pytest.mark.slow
def test_both_models_of_a_detector(cluster, small, frames, test_rows):
    options = {**QUICK, "prior": "auto", "max_iter": 4, "n_estimators": 2}
    del options["constraints"]
    detector = VAEOutlierDetector(2, calibration_fraction=0.2, **options)
    dataset, settings = ray.data.from_pandas(frames), run(cluster, "c")
    skvae.ray.fit(detector, dataset, scaling_config=two_workers(), run_config=settings)
    assert len(detector.calibration_scores_) == 240
    assert len(detector.models_) == 2
    assert detector.fine_noise_.history_["step"][-1] == detector.history_["step"][-1] == 4 * 8
    outliers = pd.DataFrame({"a": [99.0], "b": [-99.0], "c": [9.0], "level": "u", "count": 0})
    assert detector.predict(outliers).tolist() == [-1]


@pytest.mark.slow
def test_the_marker_of_an_imputer(cluster, small, frames):
    incomplete = [frame.copy() for frame in frames]
    for frame in incomplete:
        frame.loc[::4, "a"] = -999.0
    model = VAETransformer(2, max_iter=4, **QUICK)
    imputer = VAEImputer(model, missing_values=-999.0, random_state=0)
    dataset, settings = ray.data.from_pandas(incomplete), run(cluster, "d")
    skvae.ray.fit(imputer, dataset, scaling_config=two_workers(), run_config=settings)
    filled = skvae.ray.impute(imputer, dataset).to_pandas()
    assert filled["a"].min() > -99
    assert imputer.indicator_features_.tolist() == [0]


@pytest.mark.slow
def test_rows_are_encoded_by_tasks_for_gpus(cluster, small, frames, test_rows, monkeypatch):
    reading = ClusterBatches.reading.fget
    in_tasks = property(lambda self: replace(reading(self), in_tasks=True))
    monkeypatch.setattr(ClusterBatches, "reading", in_tasks)
    vae = VAETransformer(2, max_iter=20, **QUICK)
    settings = {"scaling_config": two_workers(), "run_config": run(cluster, "f")}
    skvae.ray.fit(vae, ray.data.from_pandas(frames), **settings)
    local = VAETransformer(2, max_iter=20, **QUICK).fit(pd.concat(frames))
    assert (vae.score(test_rows) - local.score(test_rows)) / N_COLUMNS > -0.02


@pytest.mark.slow
def test_codebooks_and_neighborhoods(cluster, small, frames, test_rows):
    dataset = ray.data.from_pandas(frames)
    for i, parts in enumerate([{"latent": "quantized"}, {"objective": "embedding"}]):
        options = {**QUICK, "prior": "auto", **parts}
        vae = VAETransformer(2, max_iter=4, **options)
        settings = run(cluster, f"e{i}")
        skvae.ray.fit(vae, dataset, scaling_config=two_workers(), run_config=settings)
        assert np.isfinite(vae.score(test_rows))


def test_a_short_data_set_is_fitted_by_the_driver(cluster, frames):
    vae = skvae.ray.fit(VAETransformer(2, max_iter=2, **QUICK), ray.data.from_pandas(frames[0]))
    local = VAETransformer(2, max_iter=2, **QUICK).fit(frames[0])
    np.testing.assert_array_equal(vae.transform(frames[1]), local.transform(frames[1]))


def test_what_cannot_be(cluster, frames):
    dataset = ray.data.from_pandas(frames[0])
    with pytest.raises(ValueError, match="checkpoint='x' is not for"):
        skvae.ray.fit(VAETransformer(checkpoint="x"), dataset)
    with pytest.raises(TypeError, match="takes estimators of the classes"):
        skvae.ray.fit(object(), dataset)
    with pytest.raises(TypeError, match="dataset is a DataFrame, but must be"):
        skvae.ray.fit(VAETransformer(), frames[0])
    with pytest.raises(ValueError, match="0 sample"):
        skvae.ray.fit(VAETransformer(), ray.data.from_pandas(frames[0][:0]))


def test_ray_is_imported_only_to_use_it():
    code = "import sys, skvae.ray; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
