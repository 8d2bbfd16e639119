"""Checkpoints: a fit that was cut off goes on, and ends as if it had not been."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import skvae
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._streaming.batches import StreamBatches
from skvae._training.batches import RepeatedBatches
from skvae._training.checkpoint import Checkpoint

SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 20, "batch_size": 64}


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[:, 2] += X[:, 0]
    return X


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.checkpoint"


class CutOff(Exception):
    """Stands for the death of the process: nothing in the library handles it."""


def fit_with_cuts(estimator, X, monkeypatch, every, **fit_params):
    """Fit anew after each cut, which follows a number of checkpoints; the number of cuts."""
    write, n_written, n_cuts = Checkpoint.write, 0, 0

    def write_and_cut(self, state):
        nonlocal n_written
        write(self, state)
        n_written += 1
        if n_written % every == 0:
            raise CutOff

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_cut)
        while True:
            try:
                estimator.fit(X, **fit_params)
            except CutOff:
                n_cuts += 1
                assert not hasattr(estimator, "fitted_model_")
            else:
                return n_cuts


def assert_equal_models(one, other):
    """Equal to the last bit: weights, buffers and history."""
    for a, b in zip(one.fitted_model_.models, other.fitted_model_.models, strict=True):
        for name, tensor in a.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), b.state_dict()[name].numpy())
    assert one.history_ == other.history_


def fresh(estimator):
    return type(estimator)(**estimator.get_params(deep=False))


CASES = {
    "default": VAETransformer(2, **SMALL),
    "no rows held out": VAETransformer(2, early_stopping=False, **SMALL),
    "buffers": VAETransformer(2, latent="quantized", **SMALL),
    "size by trials": VAETransformer("auto", **{**SMALL, "max_iter": 5}),
    "one after the other": VAEOutlierDetector(
        2, latent="flow", likelihood="normal", n_estimators=2, **{**SMALL, "max_iter": 8}
    ),
    "stacked": VAEOutlierDetector(2, n_estimators=3, **SMALL),
}


@pytest.mark.parametrize("estimator", [
    pytest.param(each, id=name, marks=[pytest.mark.slow] * (name in ("stacked", "buffers")))
    for name, each in CASES.items()
])  # fmt: skip
def test_a_fit_that_is_cut_off_ends_as_one_that_is_not(estimator, X, path, monkeypatch):
    X[::7, 1] = np.nan
    whole = fresh(estimator).fit(X)
    cut = fresh(estimator).set_params(checkpoint=path, checkpoint_every=0)
    assert fit_with_cuts(cut, X, monkeypatch, every=19) >= 2
    assert_equal_models(whole, cut)
    if getattr(cut, "fine_noise_", None) is not None:
        assert_equal_models(whole.fine_noise_, cut.fine_noise_)
    assert {part.suffix for part in path.parent.iterdir()} <= {".checkpoint", ".previous", ".fine"}


def test_weights_of_rows(X, path, monkeypatch):
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    whole = VAETransformer(2, **SMALL).fit(X, sample_weight=weights)
    cut = VAETransformer(2, checkpoint=path, checkpoint_every=0, **SMALL)
    assert fit_with_cuts(cut, X, monkeypatch, every=20, sample_weight=weights) >= 2
    assert_equal_models(whole, cut)


def test_the_estimator_of_an_imputer_has_a_checkpoint(X, path):
    X[::5, 0] = np.nan
    params = {**SMALL, "early_stopping": False}
    whole = VAEImputer(VAETransformer(2, **params)).fit_transform(X)
    imputer = VAEImputer(VAETransformer(2, checkpoint=str(path), **params))
    np.testing.assert_array_equal(imputer.fit_transform(X), whole)
    assert path.exists()


def test_after_the_end_fit_gives_the_same_model(X, path):
    first = VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    before = path.read_bytes()
    assert_equal_models(first, VAETransformer(2, checkpoint=path, **SMALL).fit(X))
    assert len(path.read_bytes()) == len(before)


def test_without_a_seed_it_goes_on_with_the_same_numbers(X, path, monkeypatch):
    params = {**SMALL, "random_state": None}
    cut = VAETransformer(2, checkpoint=path, checkpoint_every=0, **params)
    assert fit_with_cuts(cut, X, monkeypatch, every=20) >= 2
    assert_equal_models(VAETransformer(2, **SMALL).fit(X), cut)


def test_an_interrupted_fit_goes_on(X, path, monkeypatch):
    write = Checkpoint.write

    def write_and_interrupt(self, state):
        write(self, state)
        raise KeyboardInterrupt

    whole = VAETransformer(2, **SMALL).fit(X)
    cut = VAETransformer(2, checkpoint=path, checkpoint_every=0, **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_interrupt)
        with pytest.warns(UserWarning, match="interrupted after 0 of"):
            cut.fit(X)
    assert_equal_models(whole, cut.fit(X))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"learning_rate_init": 1e-3}, r"learning_rate_init=0.008, and this one has .*=0.001"),
        ({"prior": "mixture"}, r"with prior='auto', and this one has prior='mixture'"),
    ],
)
def test_other_parameters_are_refused_by_name(X, path, changes, match):
    VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    other = VAETransformer(2, checkpoint=path, **{**SMALL, **changes})
    with pytest.raises(ValueError, match=match):
        other.fit(X)
    assert not hasattr(other, "fitted_model_")


def test_another_table_is_refused(X, path):
    VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    other = X.copy()
    other[3, 1] += 0.5
    with pytest.raises(ValueError, match=r"another table.*choose another path, or remove it"):
        VAETransformer(2, checkpoint=path, **SMALL).fit(other)
    with pytest.raises(ValueError, match="other sample weights"):
        VAETransformer(2, checkpoint=path, **SMALL).fit(X, sample_weight=np.arange(1, len(X) + 1))


def test_a_damaged_file_is_replaced_by_the_one_before(X, path, monkeypatch):
    whole = VAETransformer(2, **SMALL).fit(X)
    cut = VAETransformer(2, checkpoint=path, checkpoint_every=0, **SMALL)
    write, n_written = Checkpoint.write, 0

    def write_ten(self, state):
        nonlocal n_written
        write(self, state)
        n_written += 1
        if n_written == 10:
            raise CutOff

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_ten)
        with pytest.raises(CutOff):
            cut.fit(X)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"is damaged: .*goes on from the one before"):
        cut.fit(X)
    assert_equal_models(whole, cut)


def test_what_is_no_checkpoint_is_refused_and_kept(X, path):
    path.write_text("rows, columns")
    with pytest.raises(ValueError, match=r"cannot be read: it is cut off, or no .skvae file"):
        VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    assert path.read_text() == "rows, columns"
    model = VAETransformer(2, **SMALL).fit(X)
    model.save(path)
    with pytest.raises(ValueError, match="is a saved estimator, not a checkpoint"):
        VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    skvae.load(path)


def test_a_checkpoint_is_no_saved_estimator(X, path):
    VAETransformer(2, checkpoint=path, **SMALL).fit(X)
    with pytest.raises(ValueError, match="it is a checkpoint, from which fit goes on"):
        skvae.load(path)


def test_paths_that_cannot_be(X, tmp_path):
    with pytest.raises(ValueError, match=r"path of a file, but .* is a folder"):
        VAETransformer(2, checkpoint=tmp_path, **SMALL).fit(X)
    with pytest.raises(ValueError, match="lies in a folder that does not exist"):
        VAETransformer(2, checkpoint=tmp_path / "no" / "fit", **SMALL).fit(X)
    with pytest.raises(ValueError, match=r"'checkpoint' parameter of .* None or a path"):
        VAETransformer(2, checkpoint=3, **SMALL).fit(X)


def test_a_random_state_that_draws_other_numbers_is_refused(X, path):
    params = {**SMALL, "random_state": np.random.RandomState(0)}
    with pytest.raises(ValueError, match="random_state must be an integer or None"):
        VAETransformer(2, checkpoint=path, **params).fit(X)


def test_a_full_disk_is_no_obstacle(X, path, monkeypatch):
    opened = Path.open

    def full(self, *args, **kwargs):
        if self.name.endswith(".part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, *args, **kwargs)

    whole = VAETransformer(2, **SMALL).fit(X)
    model = VAETransformer(2, checkpoint=path, checkpoint_every=0, **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.warns(UserWarning, match="No space left") as found:
            model.fit(X)
    assert len(found) == 1
    assert_equal_models(whole, model)
    assert not list(path.parent.iterdir())


def test_more_passes_do_not_use_it(X, path):
    model = VAETransformer(2, checkpoint=path, **SMALL).partial_fit(X).partial_fit(X)
    assert not path.exists()
    model = VAETransformer(2, checkpoint=path, warm_start=True, **SMALL).fit(X)
    before, n_steps = path.read_bytes(), model.history_["step"][-1]
    model.fit(X)
    assert model.history_["step"][-1] > n_steps
    assert path.read_bytes() == before


def test_a_streaming_fit_goes_on(tmp_path, path, monkeypatch):
    """The files are read again up to the place."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60_000, 8)), columns=list("abcdefgh"))
    table.to_parquet(tmp_path / "rows.parquet", index=False, row_group_size=5000)
    params = {**SMALL, "max_iter": 2, "batch_size": 1024, "max_memory": 16}
    sources, batches = [], StreamBatches.batches

    def watched(self, *args):
        sources.append(batches(self, *args))
        return sources[-1]

    monkeypatch.setattr(StreamBatches, "batches", watched)
    monkeypatch.setattr("skvae._streaming.batches.OF_WINDOW", 0.02)  # about 8 000 rows
    whole = VAETransformer(2, **params).fit(tmp_path / "rows.parquet")
    cut = VAETransformer(2, checkpoint=path, checkpoint_every=0, **params)
    assert fit_with_cuts(cut, tmp_path / "rows.parquet", monkeypatch, every=29) >= 2
    assert_equal_models(whole, cut)
    assert all(isinstance(source, RepeatedBatches) for source in sources)


FIT = """
import sys
import numpy as np
from skvae import VAETransformer
X = np.random.default_rng(0).normal(size=(500, 3))
model = VAETransformer(2, max_iter=100, random_state=0, checkpoint=sys.argv[1],
                       checkpoint_every=0.05)
print("imported", flush=True)
print(model.fit(X).score(X))
"""


@pytest.mark.slow
def test_killed_at_random_moments(path):
    rng, scores = np.random.default_rng(0), set()
    for _ in range(10):
        command = [sys.executable, "-c", FIT, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "imported\n"
        time.sleep(rng.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
    for checkpoint in (path, path.with_name("new")):
        command = [sys.executable, "-c", FIT, str(checkpoint)]
        scores.add(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(scores) == 1
