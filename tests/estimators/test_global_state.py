"""Whatever the caller has set in torch and numpy: the same answers, and everything as it was."""

import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from components import LATENTS, PRIORS
from frames import pandas_frame, with_missing_cells

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.diagnostics import inference_gap, mutual_information, rate_distortion

QUICK = {"max_iter": 2, "hidden_layer_sizes": (8,), "n_importance_samples": 8}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def anomalies():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
        with torch.autograd.detect_anomaly():
            yield


@contextlib.contextmanager
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


CONTEXTS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "default device": lambda: default_device("meta"),
    "device context": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "anomaly detection": anomalies,
    "numpy raises": lambda: np.errstate(all="raise"),
}


def frame():
    return with_missing_cells(pandas_frame(120))


def answers(estimator, table):
    """Every answer of a fit, as arrays."""
    vae = estimator.fit(table)
    far = table.iloc[:20].assign(float64=50.0)
    found = [vae.score_samples(table), vae.score_samples(far)]
    if isinstance(vae, VAETransformer):
        Z = vae.transform(table)
        filled = vae.impute(table)
        given = vae.sample(3, random_state=0, given={"bool": True})
        found += [
            Z, *vae.posterior(table), vae.sample(5, random_state=0), filled, given,
            vae.inverse_transform(Z), vae.explain_samples(table[:5], relative=True),
            vae.interpolate(table[:1], table[1:2], 3), vae.traverse(table[:1], 0, 3),
            vae.score_samples(table, columns=["float64"], given=["bool"]),
            rate_distortion(vae, table[:9]), inference_gap(vae, table[:9], n_steps=3),
            mutual_information(vae, table[:50]),
        ]  # fmt: skip
        vae.partial_fit(table)
        found.append(vae.score_samples(table))
    else:
        found += [vae.predict(table), vae.explain_samples(table[:3], return_cells=True)[1]]
    return found


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other)
        else:
            np.testing.assert_array_equal(one, other)


def state():
    errors = dict(np.geterr())
    return (
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), errors, list(warnings.filters),
        torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(), torch.distributions.Distribution._validate_args,
    )  # fmt: skip


ESTIMATORS = {
    "transformer": VAETransformer(2, n_refinement_steps=2, random_state=0, **QUICK),
    "detector": VAEOutlierDetector(2, random_state=0, n_estimators=2, **QUICK),
}


@pytest.fixture(scope="module")
def expected():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: answers(estimator, frame()) for name, estimator in ESTIMATORS.items()}


@pytest.mark.parametrize(("kind", "name"), [
    *(("transformer", name) for name in CONTEXTS),
    ("detector", "float64"),
    *(pytest.param("detector", name, marks=pytest.mark.slow) for name in list(CONTEXTS)[1:]),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning", "ignore::skvae.CollapseWarning")
def test_answers_do_not_depend_on_global_state(name, kind, expected):
    table = frame()
    with CONTEXTS[name]():
        before = state()
        found = answers(ESTIMATORS[kind], table)
        assert state() == before
    assert_equal(found, expected[kind])


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
@pytest.mark.parametrize("name", ["float64", "inference mode", "default device"])
@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning", "ignore::skvae.CollapseWarning")
def test_every_family_under_other_defaults(latent, name):
    X = np.random.default_rng(0).normal(size=(80, 4))
    vae = VAETransformer(2, latent=latent, random_state=0, **QUICK)
    expected = vae.fit(X).score_samples(X), vae.sample(5, random_state=0)
    with CONTEXTS[name]():
        found = vae.fit(X).score_samples(X), vae.sample(5, random_state=0)
    assert_equal(found, expected)


@pytest.mark.parametrize("prior", [p for p in PRIORS if not p.over_codes], ids=repr)
@pytest.mark.parametrize("name", ["float64", "inference mode", "default device"])
@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning", "ignore::skvae.CollapseWarning")
def test_every_prior_under_other_defaults(prior, name):
    X = np.random.default_rng(0).normal(size=(120, 4))
    vae = VAETransformer(2, prior=prior, random_state=0, **QUICK)
    expected = vae.fit(X).score_samples(X), vae.sample(5, random_state=0)
    with CONTEXTS[name]():
        found = vae.fit(X).score_samples(X), vae.sample(5, random_state=0)
    assert_equal(found, expected)


def test_the_global_seed_of_numpy_repeats_a_fit():
    X = np.random.default_rng(0).normal(size=(100, 3))

    def scores(make):
        np.random.seed(7)
        return make().fit(X).score_samples(X)

    for make in (lambda: VAETransformer(2, **QUICK), lambda: VAEOutlierDetector(2, **QUICK)):
        np.testing.assert_array_equal(scores(make), scores(make))
    np.random.seed(7)
    vae = VAETransformer(2, **QUICK)
    assert not np.array_equal(vae.fit(X).score_samples(X), vae.fit(X).score_samples(X))


def test_an_imputer_under_inference_mode():
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[::5, 1] = np.nan
    imputer = VAEImputer(VAETransformer(2, **QUICK), random_state=0)
    expected = imputer.fit_transform(X)
    with torch.inference_mode():
        np.testing.assert_array_equal(imputer.fit_transform(X), expected)


@pytest.mark.parametrize("n_columns", [1, 3])
@pytest.mark.parametrize("params", [{"prior": "flow"}, {"latent": "flow"}, {"latent": "quantized"}])
def test_global_streams_are_left_alone(params, n_columns):
    """Also of a flow in one dimension, which zuko builds in another way."""
    X = np.random.default_rng(0).normal(size=(60, n_columns))
    before = state()
    VAETransformer(1, random_state=0, **params, **QUICK).fit(X).sample(3, random_state=0)
    assert state() == before
