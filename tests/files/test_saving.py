"""A saved estimator is the estimator, bit for bit."""

from __future__ import annotations

import datetime
import warnings
import zoneinfo

import numpy as np
import pandas as pd
import pytest
from components import LATENTS, LIKELIHOODS, OBJECTIVES, PRIORS
from frames import arrow_table, pandas_frame, polars_frame, with_missing_cells
from scipy import sparse

import skvae
from skvae import (
    Aggregated,
    Mixture,
    Normal,
    Quantized,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae._fitted.pickling import packed

# Models that were hardly trained impute poorly.
pytestmark = pytest.mark.filterwarnings("ignore:The imputed cells of")
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
TABLE = with_missing_cells(pandas_frame(80))
NUMBERS = np.random.default_rng(0).normal(size=(60, 4)).round(3)


def saved(estimator, tmp_path):
    path = tmp_path / "model.skvae"
    estimator.save(path)
    return skvae.load(path)


def assert_same_value(a, b, place=""):
    """Equal in type and value, arrays bit for bit."""
    assert type(a) is type(b), place
    if isinstance(a, dict):
        assert list(a) == list(b), place
        for key in a:
            assert_same_value(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same_value(*pair, f"{place}[{i}]")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, place
        np.testing.assert_array_equal(a, b, err_msg=place)
    elif isinstance(a, float):
        assert a == b or (a != a and b != b), place


def assert_same_model(a, b):
    """The networks, their attributes, and the columns of two fitted models."""
    for one, other in zip(a.models, b.models, strict=True):
        assert_same_value(packed(one), packed(other))
    for one, other in zip(a.schema.columns, b.schema.columns, strict=True):
        assert_same_value({**vars(one), "map": None}, {**vars(other), "map": None})
        if hasattr(one, "map"):
            assert_same_value(vars(one.map), vars(other.map))
    assert (a.latent, a.prior, a.objective) == (b.latent, b.prior, b.objective)
    assert a.schema.choices == b.schema.choices


def assert_same_tables(a, b):
    assert type(a) is type(b)
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif sparse.issparse(a):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.toarray(), b.toarray())
    else:
        assert a.equals(b)


def assert_same_answers(a, b, X):
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X))
    np.testing.assert_array_equal(a.transform(X), b.transform(X))
    assert_same_tables(a.sample(7, random_state=0), b.sample(7, random_state=0))
    assert_same_tables(a.impute(X), b.impute(X))
    assert a.get_params().keys() == b.get_params().keys()
    assert repr(a) == repr(b)


COMPONENTS = [
    *({"likelihood": likelihood} for likelihood in LIKELIHOODS),
    *({"latent": latent} for latent in LATENTS),
    *({"prior": prior} for prior in PRIORS if not prior.over_codes),
    *({"prior": prior, "latent": Quantized(8)} for prior in PRIORS if prior.over_codes),
    *({"objective": objective} for objective in OBJECTIVES),
]


@pytest.mark.parametrize("params", COMPONENTS, ids=str)
def test_every_component(params, tmp_path):
    X = TABLE[["float64", "Int64", "ordered", "boolean", "cents"]]
    vae = VAETransformer(2, **QUICK, **params).fit(X)
    loaded = saved(vae, tmp_path)
    assert_same_model(vae.fitted_model_, loaded.fitted_model_)
    assert_same_answers(vae, loaded, X)


def containers():
    yield "pandas", TABLE
    yield (
        "pandas, index of dates",
        TABLE[["float64", "cents"]].set_axis(pd.to_datetime(["2020-01-01", "2020-01-02"]), axis=1),
    )
    yield (
        "pandas, two levels",
        TABLE[["float64", "cents"]].set_axis(
            pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["x", None]), axis=1
        ),
    )
    yield (
        "pandas, arrow",
        TABLE[["float64", "cents", "boolean"]].convert_dtypes(dtype_backend="pyarrow"),
    )
    yield "pandas, sparse", pd.DataFrame({"a": pd.arrays.SparseArray(NUMBERS[:, 0]),
                                          "b": NUMBERS[:, 1]})  # fmt: skip
    yield "pandas, arrow types", arrow_table().to_pandas(types_mapper=pd.ArrowDtype)
    yield "polars", polars_frame(has_missing=True)
    yield "pyarrow", arrow_table(has_missing=True)
    yield "list", NUMBERS.tolist()
    for dtype in ("float64", "float32", "int32", "O"):
        yield dtype, (10 * NUMBERS).astype(dtype)
    yield "text", np.array([["a", "1"], ["b", "2"], ["a", "2"]] * 10)
    yield "bool", NUMBERS > 0
    yield "datetime64", (1e4 * NUMBERS).astype("datetime64[h]")
    for make in (sparse.csr_matrix, sparse.coo_array, sparse.csc_array):
        yield make.__name__, make(np.where(NUMBERS > 0, NUMBERS, 0.0))


@pytest.mark.parametrize("X", [pytest.param(X, id=name) for name, X in containers()])
def test_every_container(X, tmp_path):
    vae = VAETransformer(2, **QUICK).fit(X)
    loaded = saved(vae, tmp_path)
    assert_same_model(vae.fitted_model_, loaded.fitted_model_)
    assert_same_answers(vae, loaded, X)


def test_objects_of_python_in_cells(tmp_path):
    zone = zoneinfo.ZoneInfo("Asia/Tokyo")
    moments = [datetime.datetime(2020, 1, 1 + i, tzinfo=zone) for i in range(20)]
    fixed = datetime.timezone(datetime.timedelta(hours=2), "two")
    X = pd.DataFrame({
        "moment": pd.Series(moments, dtype=object),
        "zoned": pd.Series(pd.to_datetime(moments).tz_convert(fixed)),
        "stamp": pd.Series([pd.Timestamp(m) for m in moments], dtype=object),
        "delta": pd.Series([datetime.timedelta(hours=i) for i in range(20)], dtype=object),
    })  # fmt: skip
    vae = VAETransformer(2, **QUICK).fit(X)
    loaded = saved(vae, tmp_path)
    assert_same_tables(vae.sample(9, random_state=0), loaded.sample(9, random_state=0))
    np.testing.assert_array_equal(vae.score_samples(X), loaded.score_samples(X))


def test_detectors(tmp_path):
    detector = VAEOutlierDetector(
        2, n_estimators=2, contamination=0.1, calibration_fraction=0.3, **QUICK
    ).fit(TABLE)
    loaded = saved(detector, tmp_path)
    for method in ("score_samples", "decision_function", "predict", "pvalues"):
        answers = (getattr(each, method)(TABLE) for each in (detector, loaded))
        np.testing.assert_array_equal(*answers)
    assert len(loaded.models_) == 2


def test_imputers(tmp_path):
    imputer = VAEImputer(VAETransformer(2, **QUICK), add_indicator=True).fit(TABLE)
    imputer.set_output(transform="default")
    loaded = saved(imputer, tmp_path)
    assert_same_tables(imputer.transform(TABLE), loaded.transform(TABLE))
    assert loaded.get_feature_names_out().tolist() == imputer.get_feature_names_out().tolist()


@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector, VAEImputer])
def test_before_fit(kind, tmp_path):
    assert repr(saved(kind(), tmp_path)) == repr(kind())


@pytest.mark.parametrize(
    "params",
    [
        {"random_state": np.random.RandomState(3)},
        {"random_state": np.random.default_rng(3)},
        {"random_state": np.int64(3)},
        {"likelihood": {"a": "normal", "b": Normal(scale="column")}},
        {"categorical_features": np.array([True, False])},
        {"learning_rate_init": np.float32(0.1), "tol": float("inf")},
        {"prior": Aggregated(guard=Mixture(3))},
    ],
    ids=["RandomState", "Generator", "int64", "dict", "mask", "numbers", "nested"],
)
def test_parameters(params, tmp_path):
    loaded = saved(VAETransformer(**params), tmp_path)
    for name, value in params.items():
        found = getattr(loaded, name)
        assert type(found) is type(value)
        if name == "random_state" and not isinstance(value, np.integer):
            draws = (each.standard_normal(5) for each in (found, value))
            np.testing.assert_array_equal(*draws)
        else:
            assert repr(found) == repr(value)


def test_training_goes_on(tmp_path):
    first, second = TABLE[:40], TABLE[40:]
    vae = VAETransformer(2, **QUICK).partial_fit(first)
    before, loaded = vae.score_samples(TABLE), saved(vae, tmp_path)
    assert "_seen" in vars(vae)
    assert "_seen" not in vars(loaded)  # a file has no rows: the model draws some in their place
    np.testing.assert_array_equal(loaded.score_samples(TABLE), before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded.partial_fit(second)
    assert loaded.n_iter_ == 2
    assert np.isfinite(loaded.score_samples(TABLE)).all()
    with pytest.raises(ValueError, match="activation"):
        loaded.set_params(activation="relu").partial_fit(second)


def test_without_exemplars(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3)) + 4 * rng.integers(2, size=(600, 1))
    vae = VAETransformer(2, random_state=0, max_iter=20).fit(X)
    path = tmp_path / "model.skvae"
    vae.save(path, drop="exemplars")
    loaded = skvae.load(path)
    assert type(loaded.prior_) is Mixture
    assert type(vae.prior_) is Aggregated
    difference = loaded.score_samples(X) - vae.score_samples(X)
    assert abs(difference.mean()) < 0.05
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match="drop"):
        vae.save(path, drop="rows")


def test_a_small_file(tmp_path):
    """The default model of a mixed table."""
    vae = VAETransformer(max_iter=1, random_state=0).fit(pandas_frame(3000))
    loaded = saved(vae, tmp_path)
    assert (tmp_path / "model.skvae").stat().st_size < 2**21
    assert loaded.n_components_ == vae.n_components_


def test_what_cannot_be_saved_is_named(tmp_path):
    path = tmp_path / "model.skvae"

    class Own:
        pass

    with pytest.raises(TypeError, match=r"hidden_layer_sizes holds .*Own"):
        VAETransformer(hidden_layer_sizes=Own()).save(path)
    with pytest.raises(TypeError, match="a class of your own"):
        type("Mine", (VAETransformer,), {})().save(path)
    assert not list(tmp_path.iterdir())


def test_an_error_keeps_the_file_that_is_there(tmp_path):
    path = tmp_path / "model.skvae"
    VAETransformer(7).save(path)
    with pytest.raises(TypeError):
        VAETransformer(hidden_layer_sizes=object()).save(path)
    assert skvae.load(path).n_components == 7


class Wide(Normal):
    """A component of a user."""


def test_components_of_users_are_registered(tmp_path):
    path = tmp_path / "model.skvae"
    vae = VAETransformer(2, likelihood=Wide(), **QUICK).fit(NUMBERS)
    with pytest.raises(TypeError, match=r"skvae\.register"):
        vae.save(path)
    skvae.register(Wide)
    try:
        vae.save(path)
        assert_same_answers(vae, skvae.load(path), NUMBERS)
    finally:
        from skvae._files.objects import REGISTERED

        del REGISTERED["Wide"]
    with pytest.raises(ValueError, match=r"Wide.*skvae\.register"):
        skvae.load(path)


def test_only_components_are_registered():
    with pytest.raises(TypeError, match="subclasses of Likelihood"):
        skvae.register(dict)
    with pytest.raises(ValueError, match="known already"):
        skvae.register(type("Normal", (Normal,), {}))
