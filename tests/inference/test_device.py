"""Answers on another device: all tensors are there, and they are those of the CPU.

The device is a fake one (``tests/fake_device.py``); ``tests/training/test_gpu.py`` has a real one.
"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from components import LATENTS, LIKELIHOODS, PRIORS
from fake_device import NAME, FakeDevice, There

import skvae
from skvae import VAEOutlierDetector, VAETransformer

QUICK = {"max_iter": 5, "hidden_layer_sizes": (8,), "batch_size": 64, "random_state": 0}
EXACT = {"rtol": 1e-9, "atol": 1e-9}  # chunks are larger elsewhere, which rounds differently


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    frame = pd.DataFrame({
        "a": z[:, 0] + 0.2 * rng.normal(size=60), "b": np.exp(z[:, 1]),
        "count": rng.poisson(np.exp(0.5 * z[:, 0])), "flag": z[:, 1] > 0.3,
        "level": pd.cut(z[:, 0], 4, labels=list("pqrs")),
        "zero": np.where(z[:, 1] > 0, z[:, 1], 0.0),
    })  # fmt: skip
    frame.loc[::9, "a"] = np.nan
    frame.loc[::7, "level"] = np.nan
    return frame


@pytest.fixture(scope="module")
def X(frame):
    rng = np.random.default_rng(1)
    X = np.column_stack([frame["b"], rng.normal(size=(60, 3))])
    X[:, 2] += X[:, 0]
    X[::9, 1] = np.nan
    return X


def answers(vae, X):
    """What an estimator says about a table, as arrays and frames."""
    yield vae.score_samples(X)
    Z = vae.transform(X)
    yield Z
    yield vae.inverse_transform(Z)
    yield vae.sample(10, random_state=1)
    yield vae.impute(X)


def all_answers(vae, X):
    yield from answers(vae, X)
    yield vae.score_samples(X, return_std=True)[1]
    yield vae.sample(3, given=X.iloc[:4, :2], random_state=1)
    yield vae.explain_samples(X)
    yield vae.posterior(X)[1]


def both(estimator, X, of=answers):
    """The answers of the CPU and of the device, in pairs."""
    here = list(of(estimator.set_params(device="cpu"), X))
    with FakeDevice():
        there = list(of(estimator.set_params(device=NAME), X))
    return zip(here, there, strict=True)


def assert_equal(here, there):
    if isinstance(here, pd.DataFrame):
        pd.testing.assert_frame_equal(here, there, **EXACT)
    else:
        np.testing.assert_allclose(here, there, **EXACT)


@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning")
@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_every_family_answers_there(X, latent):
    vae = VAETransformer(latent=latent, **QUICK).fit(X)
    for pair in both(vae, X):
        assert_equal(*pair)


@pytest.mark.parametrize("prior", [p for p in PRIORS if not p.over_codes], ids=repr)
def test_every_prior_answers_there(X, prior):
    vae = VAETransformer(2, prior=prior, **QUICK).fit(X)
    for pair in both(vae, X):
        assert_equal(*pair)


def test_every_likelihood_answers_there(frame):
    z = frame["b"].to_numpy()
    cells = {"value": z, "interval": np.round(3 * z).astype(int), "code": frame["level"]}
    cells |= {"count": cells["interval"], "atoms": frame["zero"], "atoms_interval": frame["count"]}
    columns = {repr(each): cells[each.target] for each in LIKELIHOODS}
    columns["Bernoulli()"] = frame["flag"]
    likelihoods = dict(zip(columns, LIKELIHOODS, strict=True))
    X = pd.DataFrame(columns)
    vae = VAETransformer(2, likelihood=likelihoods, **QUICK).fit(X)

    def few(vae, X):
        yield vae.score_samples(X)
        yield vae.sample(10, random_state=1)
        yield vae.impute(X)

    for pair in both(vae, X, few):
        assert_equal(*pair)


@pytest.mark.parametrize("params", [{}, {"n_refinement_steps": 0}], ids=str)
def test_all_answers_are_given_there(frame, params):
    vae = VAETransformer(2, **QUICK, **params).fit(frame)
    for pair in both(vae, frame, all_answers):
        assert_equal(*pair)


def test_informative_missing_values_are_there_too(X):
    vae = VAETransformer(2, informative_missing="all", **QUICK).fit(X)

    def few(vae, X):
        yield vae.score_samples(X)
        yield vae.sample(20, missing="as_seen", random_state=0)

    for pair in both(vae, X, few):
        assert_equal(*pair)


def test_single_precision_is_there_too(X):
    vae = VAETransformer(2, precision="single", **QUICK).fit(X)
    for here, there in both(vae, X, lambda v, X: [v.transform(X), v.score_samples(X)]):
        assert here.dtype == there.dtype
        np.testing.assert_allclose(here, there, atol=1e-3, rtol=1e-3)


def test_other_estimators_answer_there(frame, X):
    detector = VAEOutlierDetector(n_estimators=2, **QUICK).fit(X)
    for method in ("density", "joint", "pseudo_likelihood"):
        detector.set_params(score_method=method)
        for pair in both(detector, X, lambda d, X: [d.score_samples(X), d.predict(X)]):
            assert_equal(*pair)
    for pair in both(detector, X, lambda d, X: d.explain_samples(X, return_cells=True)):
        assert_equal(*pair)


@pytest.mark.parametrize("strategy", ["median", "most_frequent"])
def test_cells_are_imputed_there(X, strategy):
    def imputed(vae, X):
        yield vae.impute(X, strategy=strategy, random_state=0)
        yield from vae.impute(X, n_draws=2, random_state=0)

    for pair in both(VAETransformer(2, **QUICK).fit(X), X, imputed):
        assert_equal(*pair)


def test_constraints_hold_there(frame):
    frame = frame.assign(copy=frame["count"], sum=frame["a"] + frame["b"])
    vae = VAETransformer(2, **QUICK).fit(frame)
    assert vae.constraints_
    for pair in both(vae, frame, lambda v, _: [v.sample(50, random_state=0)]):
        assert_equal(*pair)


def test_the_device_refuses_a_mixture():
    with FakeDevice():
        there = torch.zeros(3, device=NAME)
        assert isinstance(there, There)
        with pytest.raises(RuntimeError, match="tensors of the device and of the CPU"):
            there + torch.zeros(3)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def test_without_its_device_an_estimator_answers_on_the_cpu(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    vae = VAETransformer(2, **QUICK).fit(frame)
    expected = vae.score_samples(frame)
    vae.set_params(device="cuda:7")
    vae.save(tmp_path / "model.skvae")
    for loaded in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(vae))):
        assert loaded.device == "cuda:7"
        np.testing.assert_array_equal(loaded.score_samples(frame), expected)
    with pytest.raises(ValueError, match="'device' parameter is 'cuda:7'"):
        vae.fit(frame)


def test_copies_elsewhere_are_not_saved(frame):
    vae = VAETransformer(2, **QUICK).fit(frame)
    before = pickle.dumps(vae.fitted_model_)
    with FakeDevice():
        vae.set_params(device=NAME).score_samples(frame)
    assert pickle.dumps(vae.fitted_model_) == before
    assert all(p.device.type == "cpu" for p in vae.model_.parameters())
