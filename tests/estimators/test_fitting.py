"""fit and partial_fit: modes, interruptions, devices, callbacks, warnings."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skvae import (
    ELBO,
    CollapseWarning,
    ImportanceWarning,
    Ladder,
    Quantized,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae._estimators import choosing
from skvae._estimators.callbacks import RoundCallbacks
from skvae._training import loop

QUICK = {"max_iter": 2, "hidden_layer_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(400, 6))


def test_a_fitted_model_is_networks_schema_components_and_axes(X):
    """Nothing of the estimator and no row of the table is in it."""
    vae = VAETransformer(2, **QUICK).fit(X)
    model = vae.fitted_model_
    assert set(vars(model)) == {
        "models", "schema", "latent", "prior", "objective", "axes", "relations",
    }  # fmt: skip
    content = pickle.dumps(model)
    for row in X:
        assert row.tobytes() not in content
        assert row.astype(np.float32).tobytes() not in content
    np.testing.assert_array_equal(model.log_density(X, vae._settings()).score, vae.score_samples(X))


def test_the_encoder_runs_once_for_each_call(X, monkeypatch):
    vae = VAETransformer(2, n_refinement_steps=10, n_importance_samples=8, **QUICK).fit(X)
    with torch.no_grad():
        vae.model_.latent.head.bias += 3  # draws worth little, so that rows are refined
    calls, encode = [], type(vae.model_).encode
    monkeypatch.setattr(
        type(vae.model_), "encode", lambda self, rows: calls.append(len(rows)) or encode(self, rows)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportanceWarning)
        for answer in (
            lambda: vae.score_samples(X, return_std=True),
            lambda: vae.explain_samples(X),
            lambda: vae.impute(np.where(np.arange(6) == 1, np.nan, X)),
        ):
            calls.clear()
            answer()
            assert sum(calls) == len(X)


@pytest.mark.parametrize(
    "latent",
    [
        "finite_scalar",
        *(
            pytest.param(latent, marks=pytest.mark.slow)
            for latent in (Quantized(n_codes=8, n_codebooks=2), Quantized(n_codes=8))
        ),
    ],
)
def test_auto_size_of_families_with_codes(X, latent):
    vae = VAETransformer("auto", latent=latent, **QUICK).fit(X)
    assert vae.n_components_ >= 1
    assert np.isfinite(vae.score(X))


def test_auto_size_of_a_ladder_with_sizes_is_not_searched(X, monkeypatch):
    monkeypatch.setattr(choosing, "train", lambda *args: pytest.fail("trained"))
    vae = VAETransformer("auto", latent=Ladder(layers=(3, 1)), **QUICK).fit(X)
    assert vae.n_components_ == 4


def test_auto_size_is_searched_on_the_device(X, monkeypatch):
    devices = []
    train = loop.train
    monkeypatch.setattr(
        choosing,
        "train",
        lambda models, data, *args: (
            devices.append((models[0].head.weight.device, data.values.device))
            or train(models, data, *args)
        ),
    )
    seen = []
    monkeypatch.setattr(VAETransformer, "_settings", VAETransformer._settings)
    to = type(VAETransformer(1, **QUICK).fit(X).model_).to
    monkeypatch.setattr(
        "skvae._model.vae.VAE.to", lambda self, device: seen.append(device) or to(self, device)
    )
    VAETransformer("auto", **QUICK).fit(X)
    assert devices
    assert len(seen) > len(devices)


def interrupted(after):
    """A training whose round of that number is interrupted."""
    true_steps, rounds = loop.Run.take_steps, []

    def round_(self, *args):
        rounds.append(1)
        if len(rounds) == after:
            raise KeyboardInterrupt
        return true_steps(self, *args)

    return round_


def test_an_interruption_ends_the_search_of_a_size(X, monkeypatch):
    vae = VAETransformer("auto", **QUICK)
    monkeypatch.setattr(loop.Run, "take_steps", interrupted(after=3))
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X)
    assert not hasattr(vae, "fitted_model_")


def test_an_interruption_ends_models_that_are_trained_in_turn(X, monkeypatch):
    detector = VAEOutlierDetector(n_estimators=3, latent="flow", **QUICK)
    monkeypatch.setattr(loop.Run, "take_steps", interrupted(after=3))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        detector.fit(X)
    assert len(detector.models_) == 1
    assert detector.fine_noise_ is None
    assert np.isfinite(detector.score_samples(X)).all()


def test_isolated_failures_do_not_end_a_fit(X, monkeypatch):
    """Non-finite rounds far apart are repaired, however many; five in a row are an error."""
    vae = VAETransformer(
        2, max_iter=40, hidden_layer_sizes=(8,), n_iter_no_change=100, random_state=0
    )
    true_steps, rounds = loop.Run.take_steps, []

    def sometimes(self, *args):
        rounds.append(1)
        return [np.nan] * 3 if len(rounds) % 5 == 0 else true_steps(self, *args)

    monkeypatch.setattr(loop.Run, "take_steps", sometimes)
    vae.fit(X)
    assert len(rounds) > 5 * loop.MAX_REPAIRS
    monkeypatch.setattr(loop.Run, "take_steps", lambda *args: [np.nan] * 3)
    with pytest.raises(FloatingPointError, match="5 times in a row"):
        vae.fit(X)


def test_moments_of_partial_fit_are_on_the_cpu(X, monkeypatch):
    """A pickle of an estimator that was trained elsewhere loads without that device."""
    moved = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self, *a: moved.append(self) or cpu(self, *a))
    vae = VAETransformer(2, **QUICK).partial_fit(X)
    ids = {id(tensor) for tensor in moved}
    assert ids
    for state in vae._optimizer_states:
        assert all(v.device.type == "cpu" for v in state.values() if isinstance(v, torch.Tensor))
    assert len([t for t in moved if t.shape == vae._optimizer_states[0]["mean"].shape]) >= 2


@pytest.mark.parametrize(
    ("provoke", "warning"),
    [
        (
            lambda X: VAETransformer(
                1, objective=ELBO(beta=1e3), init="random", max_iter=60, random_state=0
            ).fit(X),
            CollapseWarning,
        ),
        (
            lambda X: (
                VAETransformer(2, n_importance_samples=16, n_refinement_steps=0, **QUICK)
                .fit(X)
                .score_samples(50 * X)
            ),
            ImportanceWarning,
        ),
        (
            lambda X: (
                VAEOutlierDetector(calibration_fraction=0.1, **QUICK)
                .fit(X)
                .predict_fdr(np.vstack([X, X, X, 100 * X[:1]]), alpha=0.03)
            ),
            UserWarning,
        ),
    ],
)
def test_warnings_name_the_line_of_the_caller(X, provoke, warning):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        provoke(X)
    found = [w for w in caught if issubclass(w.category, warning)]
    assert found
    assert {w.filename for w in found} == {__file__}


def test_errors_of_a_conditional_density_are_those_of_the_difference(X):
    """Both terms share their draws: the error is that of the differences, measured anew."""
    vae = VAETransformer(2, n_importance_samples=8, n_refinement_steps=0, **QUICK).fit(X)
    _, std = vae.score_samples(X[:50], given=[0, 1, 2, 3, 4], return_std=True)
    model, settings = vae.fitted_model_, vae._settings()
    both = model.log_density(X[:50], settings, columns=list(range(6)), with_std=True)
    given = model.log_density(X[:50], settings, columns=[0, 1, 2, 3, 4], with_std=True)
    expected = (both.scores - given.scores).std(0, ddof=1)
    np.testing.assert_allclose(std, expected)
    assert std.mean() < np.hypot(both.std, given.std).mean()


def test_trimmed_training_of_a_ladder_has_its_warm_up(X):
    vae = VAETransformer(2, latent="ladder", objective="trimmed", **QUICK).fit(X)
    assert vae.objective_.warmup == Ladder().warmup > 0


class Watched:
    """Stands in for the contexts of scikit-learn's callbacks."""

    def __init__(self):
        self.events = []

    def subcontext(self, task_name):
        return self

    def call_on_fit_task_begin(self, *, estimator, X):
        self.events.append(("begin", X))

    def call_on_fit_task_end(self, *, estimator, X, **kwargs):
        self.events.append(("end", X, kwargs))


@pytest.mark.parametrize(
    "estimator", [VAETransformer(2, **QUICK), VAEOutlierDetector(2, **QUICK), VAEImputer()]
)
def test_callbacks_see_the_table_of_the_user_and_no_empty_round(X, estimator, monkeypatch):
    watched = Watched()
    true_init = RoundCallbacks.__init__

    def init(self, *args):
        true_init(self, *args)
        self.fit_context = watched
        watched.call_on_fit_task_begin(estimator=None, X=self.X)

    monkeypatch.setattr(RoundCallbacks, "__init__", init)
    if isinstance(estimator, VAEImputer):
        estimator.set_params(estimator=VAETransformer(2, **QUICK))
    if isinstance(estimator, VAEOutlierDetector):
        estimator.set_params(calibration_fraction=0.2)
    estimator.fit(X)
    assert all(event[1] is X for event in watched.events)
    ends = [event[2] for event in watched.events if event[0] == "end"]
    assert all(end.get("reconstruction_attributes") for end in ends)
    fits = [getattr(estimator, "estimator_", estimator)]
    if isinstance(estimator, VAEOutlierDetector):
        fits.append(estimator.fine_noise_)
    rounds = sum(len(each.history_["step"]) for each in fits)
    assert len(ends) == rounds + len(fits)


def test_an_interruption_of_the_first_round_leaves_the_start(X, monkeypatch):
    """Rows are held out here: the history has their bound too."""

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Run, "take_steps", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 of"):
        vae = VAETransformer(2, random_state=0).fit(X)
    assert vae.history_["step"] == [0]
    assert len(vae.history_["validation_bound"]) == 1
    assert np.isfinite(list(vae.history_.values())).all()


def test_an_interruption_of_cross_validation_leaves_the_start(X, monkeypatch):
    """On few rows the number of steps is chosen first: an interruption there keeps the start."""

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Run, "take_steps", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 of"):
        vae = VAETransformer(2, random_state=0).fit(X[:50])
    assert vae.history_["step"] == [0]
    assert np.isfinite(vae.score_samples(X)).all()
