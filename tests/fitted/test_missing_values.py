"""Missing values: scores of parts, conditional rows, imputation, informative missingness."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from frames import arrow_table, pandas_frame, polars_frame, with_missing_cells
from scipy import sparse
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from skvae import ELBO, ImportanceWarning, LogNormal, Normal, Poisson, VAETransformer
from skvae._fitted.imputing import half_sample_mode
from skvae._inference.conditional import conditionals
from skvae._inference.importance import InferenceSettings
from skvae._training.loop import Budget, Run
from skvae._training.masking import masked_cells
from skvae.latents import LATENTS

pytestmark = pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning")
D, K = 6, 2


def quick(**params):
    return VAETransformer(
        max_iter=3, hidden_layer_sizes=(8,), random_state=0, n_importance_samples=8, **params
    )


@pytest.fixture(scope="module")
def frame():
    return with_missing_cells(pandas_frame(120))


@pytest.fixture(scope="module")
def mixed(frame):
    return VAETransformer(random_state=0, max_iter=5, n_importance_samples=16).fit(frame)


def gaussian_table(n=4000, seed=0):
    W = np.random.default_rng(0).normal(size=(D, K))
    rng = np.random.default_rng([seed, 1])
    return rng.normal(size=(n, K)) @ W.T + 0.5 * rng.normal(size=(n, D)) + np.arange(D)


# ------------------------------------------------------------------- against closed forms


@pytest.fixture(scope="module")
def linear():
    """Factor analysis by skvae, and its mean and covariance in the units of the table."""
    vae = VAETransformer(
        K, hidden_layer_sizes=(), likelihood=Normal("column"), prior="standard_normal",
        early_stopping=False, n_importance_samples=5000, random_state=0,
    ).fit(gaussian_table())  # fmt: skip
    model, columns = vae.model_, vae.schema_.columns
    W, b = model.head.weight.numpy(), model.head.bias.numpy()
    group = model.groups[0]
    outputs = torch.zeros(1, D, 1, dtype=torch.float64)
    noise = group.likelihood.location_scale(outputs, group)[1].numpy()
    unit = np.array([c.map.scale for c in columns])
    center = np.array([c.map.center for c in columns])
    covariance = (W @ W.T + np.diag(noise**2)) * np.outer(unit, unit)
    return vae, b * unit + center, covariance


def conditioned(mean, covariance, x):
    """log p(seen), E[hidden | seen] and Cov[hidden | seen] of a normal distribution."""
    o = ~np.isnan(x)
    S = covariance[np.ix_(o, o)]
    gain = np.linalg.solve(S, covariance[np.ix_(o, ~o)]).T
    expected = mean[~o] + gain @ (x[o] - mean[o])
    left = covariance[np.ix_(~o, ~o)] - gain @ covariance[np.ix_(o, ~o)]
    return multivariate_normal(mean[o], S).logpdf(x[o]), expected, left


@pytest.fixture(scope="module")
def incomplete_rows():
    X = gaussian_table(100, seed=1)
    hidden = np.random.default_rng(2).random(X.shape) < 0.4
    hidden[:, 0], hidden[:, 1] = False, True
    return np.where(hidden, np.nan, X)


def test_conditional_mean_is_that_of_factor_analysis(linear, incomplete_rows):
    vae, mean, covariance = linear
    filled = vae.impute(incomplete_rows)
    unit = np.sqrt(np.diag(covariance))
    errors = []
    for x, y in zip(incomplete_rows, filled, strict=True):
        o = ~np.isnan(x)
        errors.extend(np.abs(y[~o] - conditioned(mean, covariance, x)[1]) / unit[~o])
    assert np.mean(errors) < 0.02


def test_marginal_and_conditional_densities_are_those_of_factor_analysis(linear):
    vae, mean, covariance = linear
    X = gaussian_table(100, seed=3)
    a, b = [0, 2], [3, 4, 5]
    density = multivariate_normal(mean[b], covariance[np.ix_(b, b)]).logpdf(X[:, b])
    assert np.abs(vae.score_samples(X, columns=b) - density).mean() < 0.02
    both = multivariate_normal(mean[a + b], covariance[np.ix_(a + b, a + b)]).logpdf(X[:, a + b])
    conditional = vae.score_samples(X, columns=a, given=["x3", "x4", "x5"])
    assert np.abs(conditional - (both - density)).mean() < 0.02
    rest = vae.score_samples(X, given=b)
    assert np.allclose(rest + vae.score_samples(X, columns=b), vae.score_samples(X), atol=1e-9)


def test_conditional_covariance_is_that_of_factor_analysis(linear, incomplete_rows):
    vae, mean, covariance = linear
    x = incomplete_rows[7]
    o = ~np.isnan(x)
    _, expected, left = conditioned(mean, covariance, x)
    draws = np.array(vae.impute(x[None], n_draws=4000, random_state=0))[:, 0, ~o]
    given = {f"x{j}": x[j] for j in np.flatnonzero(o)}
    rows = vae.sample(4000, random_state=0, given=given)
    np.testing.assert_array_equal(rows[:, o], np.tile(x[o], (4000, 1)))
    unit = np.sqrt(np.diag(left))
    for found in (draws, rows[:, ~o]):
        assert np.abs((found.mean(0) - expected) / unit).max() < 0.1
        assert np.abs((np.cov(found.T) - left) / np.outer(unit, unit)).max() < 0.1


@pytest.mark.filterwarnings("ignore:'given' sets column:UserWarning")
def test_rare_conditions_cost_no_more(linear):
    vae, mean, covariance = linear
    far = mean[0] + 6 * np.sqrt(covariance[0, 0])  # one row in 10⁹
    rows, ess = vae.sample(500, random_state=0, given={"x0": far}, return_ess=True)
    _, expected, left = conditioned(mean, covariance, np.array([far] + [np.nan] * (D - 1)))
    assert ess.shape == (1,)
    assert ess[0] > 100
    # draws are held inside the bounds that were seen, so look where those are far
    gap = np.abs(np.median(rows[:, 1:], 0) - expected) / np.sqrt(np.diag(left))
    assert np.median(gap) < 0.5


# --------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def of_complete_rows():
    """A model of complete rows whose last column is nearly the sum of the others; more rows."""
    parts = np.random.default_rng(0).gamma(2.0, size=(700, 3))
    noise = 0.02 * np.random.default_rng(1).normal(size=700)
    X = np.column_stack([parts, parts.sum(1) + noise])
    return VAETransformer(3, random_state=0).fit(X[:600]), X[600:]


def test_a_model_of_complete_rows_gives_the_density_of_parts(of_complete_rows):
    """p(x_o) is the integral of p(x) over the missing cell, though none was missing in fit."""
    vae, X = of_complete_rows
    for row in X[:6]:
        grid = np.linspace(row[3] - 1.0, row[3] + 1.0, 201)
        whole = np.repeat(row[None], len(grid), 0)
        whole[:, 3] = grid
        integral = logsumexp(vae.score_samples(whole)) + np.log(grid[1] - grid[0])
        part = row.copy()
        part[3] = np.nan
        assert vae.score_samples(part[None])[0] == pytest.approx(integral, abs=0.5)


def test_codes_and_imputations_of_a_model_of_complete_rows(of_complete_rows):
    vae, X = of_complete_rows
    part = X.copy()
    part[:, 3] = np.nan
    np.testing.assert_allclose(vae.impute(part)[:, 3], X[:, 3], atol=0.3)
    Z = vae.transform(X)
    assert np.abs(vae.transform(part) - Z).mean() < 0.15 * Z.std()
    np.testing.assert_allclose(vae.transform(part[:1]), vae.transform(part)[:1], rtol=1e-9)


@pytest.mark.parametrize("prior", ["mixture", "standard_normal"])  # the latter is written out
def test_hidden_cells_teach_the_encoder_alone(prior):
    X = gaussian_table(300)
    vae = quick(prior=prior, early_stopping=False).fit(X)
    model, rows = vae.model_.float().requires_grad_(True).train(), vae.fitted_model_.encode(X)
    rows.values = rows.values.float()
    budget = Budget(10, 256, 1e-2, mask_ratio=0.6)
    run = Run([model], rows, ELBO(), budget, torch.Generator().manual_seed(0))
    run._train_on_masked_rows(rows, 0)
    parts = {"inputs", "encoder", "latent"}
    for name, p in model.named_parameters():
        if p.numel():
            assert bool(p.grad.any()) == (name.split(".")[0] in parts), name
        assert p.requires_grad


def test_masks_vary_from_row_to_row_and_copy_others():
    generator = torch.Generator().manual_seed(0)
    rows = quick().fit(gaussian_table(3000)).fitted_model_.encode(gaussian_table(3000))
    share = masked_cells(rows, 0.6, generator).double().mean(1)
    assert share.mean() == pytest.approx(0.3, abs=0.02)
    assert share.std() > 0.2
    missing = torch.zeros(3000, D, dtype=torch.bool)
    missing[:1500, :2] = True
    rows = rows.mask(missing)
    copied = masked_cells(rows, 1e-9, generator)
    assert not copied[:, 2:].any()
    assert copied[:, 0].double().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(copied[:, 0], copied[:, 1])


@pytest.mark.slow
def test_learning_to_read_missing_values_pays():
    """Fitted on complete rows, it scores and fills rows with missing values better."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 2))
    X = np.column_stack([z, np.sin(2 * z), z[:, :1] * z[:, 1:]]) + 0.1 * rng.normal(size=(3000, 5))
    test = np.where(rng.random((500, 5)) < 0.4, np.nan, X[:500])
    scores, errors = [], []
    for ratio in (0.0, 0.6):
        vae = VAETransformer(3, mask_ratio=ratio, random_state=0, n_refinement_steps=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportanceWarning)
            vae.fit(X[500:])
            scores.append((vae.score(X[:500]), vae.score(test)))
            errors.append(np.nanmean((vae.impute(test) - X[:500])[np.isnan(test)] ** 2))
    assert scores[1][0] > scores[0][0] - 0.1
    assert scores[1][1] > scores[0][1] + 0.1
    assert errors[1] < 1.05 * errors[0]


# -------------------------------------------------------------------------- imputation


def same_cells(a, b):
    """Equal cell by cell, by identity of type and value."""
    return all(x == y and type(x) is type(y) for x, y in zip(a.tolist(), b.tolist(), strict=True))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_every_dtype_is_filled_and_seen_cells_stay(mixed, frame, strategy):
    before = frame.copy(deep=True)
    filled = mixed.impute(frame, strategy=strategy)
    pd.testing.assert_frame_equal(frame, before)
    assert filled.dtypes.equals(frame.dtypes)
    assert filled.index.equals(frame.index)
    for name in frame:
        seen = frame[name].notna()
        if name.startswith("empty"):
            assert filled[name].isna().all()
            continue
        assert filled[name].notna().all(), name
        assert same_cells(filled[name][seen].astype(object), frame[name][seen].astype(object)), name
    low, high = frame["float64"].min(), frame["float64"].max()
    assert filled["float64"].between(low, high).all()
    assert set(filled["object"]) == {"ash", "birch", "cedar", "oak"}


def test_draws_are_tables_and_differ_in_the_missing_values_alone(mixed, frame):
    tables = mixed.impute(frame, n_draws=3, random_state=0)
    again = mixed.impute(frame, n_draws=3, random_state=0)
    assert len(tables) == 3
    for table, same in zip(tables, again, strict=True):
        pd.testing.assert_frame_equal(table, same)
    is_missing = frame["cents"].isna()
    assert (tables[0]["cents"][is_missing] != tables[1]["cents"][is_missing]).any()
    assert (tables[0]["cents"][~is_missing] == tables[1]["cents"][~is_missing]).all()
    cents = 100 * tables[0]["cents"]
    assert np.allclose(cents, cents.round())  # draws look like the values that were seen


def test_effective_sample_sizes(mixed, frame):
    filled, ess = mixed.impute(frame, return_ess=True)
    assert filled.shape == frame.shape
    assert ess.shape == (len(frame),)
    assert (ess >= 1).all()


@pytest.mark.parametrize("container", ["polars", "pyarrow", "array", "object", "sparse", "list"])
def test_containers(container):
    rng = np.random.default_rng(0)
    if container in ("polars", "pyarrow"):
        X = (
            polars_frame(80, has_missing=True)
            if container == "polars"
            else arrow_table(80, has_missing=True)
        )
    else:
        X = np.where(rng.random((80, 4)) < 0.2, np.nan, rng.normal(size=(80, 4)))
        make = {"array": np.float32, "object": lambda a: np.where(np.isnan(a), None, a),
                "sparse": sparse.csr_array, "list": lambda a: a.tolist()}  # fmt: skip
        X = make[container](X)
    filled = quick().fit(X).impute(X)
    if container == "polars":
        assert filled.schema == X.schema
        counts = filled.drop("null").null_count()
        assert sum(counts.row(0)) == 0
        seen = X["float"].is_not_null()
        assert filled["float"].filter(seen).equals(X["float"].filter(seen))
    elif container == "pyarrow":
        assert filled.schema == X.schema
        assert all(filled[n].null_count == 0 for n in filled.column_names if n != "null")
    elif container == "sparse":
        assert type(filled) is type(X)
        assert filled.format == X.format
        assert np.isfinite(filled.toarray()).all()
    else:
        values, found = np.array(X, dtype=float), np.array(filled, dtype=float)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[~np.isnan(values)], values[~np.isnan(values)])
        assert np.asarray(filled).dtype == (np.asarray(X).dtype if container != "list" else float)


def test_complete_tables_come_back(mixed):
    X = gaussian_table(50)
    vae = quick().fit(X)
    filled = vae.impute(X)
    np.testing.assert_array_equal(filled, X)
    assert filled is not X
    assert len(vae.impute(X.tolist(), n_draws=2)) == 2


def test_integers_at_use_time_may_have_missing_values(frame):
    """Fitted on int64 without missing values, asked with float64 with missing values."""
    table = pandas_frame(100)[["int64", "float64", "object"]]
    vae = quick().fit(table)
    incomplete = table.astype({"int64": float})
    incomplete.loc[3, "int64"] = np.nan
    incomplete["object"] = [None] * 100
    filled = vae.impute(incomplete)
    assert filled["int64"].dtype == float
    assert filled["int64"][3] == round(filled["int64"][3])
    assert filled["object"].isin(["ash", "birch", "cedar", "oak"]).all()


def test_a_category_that_the_frame_does_not_know_is_added():
    table = pandas_frame(200)[["float64", "category"]]
    vae = VAETransformer(1, max_iter=20, random_state=0).fit(table)
    some = table[:20].copy()
    some["category"] = pd.Categorical(some["category"].where(some["category"] == "oak"))
    filled = vae.impute(some)
    assert filled["category"].notna().all()
    assert filled["category"].cat.categories[0] == "oak"


@pytest.mark.parametrize("latent", LATENTS)
def test_every_family_imputes(latent, frame):
    table = frame[["float64", "Int64", "object", "boolean"]]
    vae = quick(n_components=2, latent=latent).fit(table)
    filled = vae.impute(table)
    assert filled.notna().all(axis=None)
    assert vae.sample(3, given={"object": "oak"}, random_state=0)["object"].eq("oak").all()
    rows = vae.fitted_model_.encode(table)
    for conditional in conditionals(vae.model_, rows, InferenceSettings(16), 16):
        np.testing.assert_allclose(conditional.weights.sum(0), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_a_better_mean_than_a_bent_map_would_give():
    """Of a log-normal number the mean in the units of the table, not the median."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    X = np.column_stack([z + 0.1 * rng.normal(size=4000), np.exp(z + rng.normal(size=4000))])
    vae = VAETransformer(
        2, likelihood={"x1": LogNormal()}, random_state=0, mask_ratio=0.6, n_importance_samples=128
    ).fit(X)
    test = np.array([[0.0, np.nan]])
    mean, median = (vae.impute(test, strategy=s)[0, 1] for s in ("mean", "median"))
    assert mean == pytest.approx(np.exp(0.5), rel=0.25)
    assert median == pytest.approx(1.0, rel=0.25)


@pytest.mark.slow
def test_intervals_of_draws_cover():
    X = gaussian_table(3000)
    rng = np.random.default_rng(0)
    hidden = rng.random((300, D)) < 0.3
    truth = gaussian_table(3300)[3000:]
    vae = VAETransformer(3, random_state=0, mask_ratio=0.6).fit(X)
    draws = np.array(vae.impute(np.where(hidden, np.nan, truth), n_draws=300, random_state=0))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    assert 0.85 <= ((low <= truth) & (truth <= high))[hidden].mean() <= 0.95


def test_half_sample_mode():
    rng = np.random.default_rng(0)
    skewed = np.exp(rng.normal(size=(5, 4000)))
    np.testing.assert_allclose(half_sample_mode(skewed), np.exp(-1), atol=0.25)
    assert half_sample_mode(np.array([0.0, 5.0, 5.0, 5.0, 9.0])) == 5.0


# --------------------------------------------------------------- posterior and sampling


@pytest.mark.slow
def test_posterior_is_wide_where_cells_are_missing():
    X = gaussian_table(3000)
    vae = VAETransformer(K, random_state=0, mask_ratio=0.6, prior="standard_normal").fit(X)
    mean, _ = vae.posterior(X[:200])
    ours = vae.transform(X[:200])
    np.testing.assert_allclose(np.corrcoef(mean.T, ours.T)[:K, K:].diagonal(), 1)
    few = np.where(np.arange(D) < 2, X[:200], np.nan)
    none = np.full_like(few, np.nan)
    widths = [vae.posterior(t)[1].mean() for t in (X[:200], few, none)]
    assert widths == sorted(widths)
    assert widths[0] < 0.5 * widths[2]
    assert widths[2] == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_given_cells_and_their_consequences():
    table = pandas_frame(1500)[["float64", "int64", "object", "boolean", "datetime", "constant"]]
    vae = VAETransformer(2, random_state=0, mask_ratio=0.6).fit(table)
    rows = vae.sample(200, random_state=0, given={"object": "oak", "constant": 3.5})
    assert rows.dtypes.equals(table.dtypes)
    assert (rows["object"] == "oak").all()
    truth = table[table["object"] == "oak"]
    assert abs(rows["int64"].mean() - truth["int64"].mean()) < 3
    assert rows["boolean"].mean() == pytest.approx(truth["boolean"].mean(), abs=0.1)
    conditions = table[["int64", "datetime"]][:5]
    rows = vae.sample(2, random_state=0, given=conditions)
    assert len(rows) == 10
    expected = conditions.loc[np.repeat(conditions.index, 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[["int64", "datetime"]], expected)
    open_cells = pd.DataFrame({"int64": [np.nan, 5.0], "object": ["ash", None]})
    rows = vae.sample(3, random_state=0, given=open_cells)
    assert (rows["object"][:3] == "ash").all()
    assert (rows["int64"][3:] == 5).all()


def test_given_cells_outside_the_fitted_ones_are_named():
    table = pandas_frame(80)[["float64", "float32", "int64", "datetime", "object"]]
    vae = quick().fit(table)
    least, most = table["float64"].agg(["min", "max"])
    named = re.escape(f"'float64' to 100.0, which is outside the fitted values, from {least!r} to ")
    with pytest.warns(UserWarning, match=named):
        beyond = vae.sample(3, random_state=0, given={"float64": 100.0})
    assert (beyond["float64"] == 100.0).all()
    last = table["datetime"].max()
    with pytest.warns(UserWarning, match=rf"'datetime' to '2999.* to '{last.date()}"):
        vae.sample(1, random_state=0, given={"datetime": pd.Timestamp("2999-01-01")})
    with pytest.warns(UserWarning, match=f"'int64' to {table['int64'].min() - 1}, which"):
        vae.sample(1, random_state=0, given={"int64": int(table["int64"].min()) - 1})
    ends = table.agg(["min", "max"])  # inside: no warning
    vae.sample(1, random_state=0, given=ends[["float64", "float32", "int64", "datetime"]])
    vae.sample(1, random_state=0, given={"float32": float(ends["float32"]["max"])})
    vae.sample(1, random_state=0, given={"float64": most, "object": "oak"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flot64": 1.0}, "Did you mean 'float64'"),
        ({"object": "okk"}, "Did you mean 'oak'"),
        ({"int64": 2.5}, "holds integers"),
        ({"boolean": 3}, "true or false"),
        ({"constant": 4.0}, "was always 3.5"),
        ({"empty": 4.0}, "never had a value"),
        ({"uint8": -3}, "gives it probability zero|not negative"),
        ({"exp": -1.0}, "gives it probability zero"),
        ({"float64": "many"}, "now holds"),
        ({"float64": np.inf}, "infinity"),
        (pd.DataFrame({"float64": []}), "no rows"),
    ],
    ids=str,
)
def test_impossible_conditions(given, message):
    table = pandas_frame(80)[
        ["float64", "object", "int64", "boolean", "constant", "empty", "uint8"]
    ]
    table["exp"] = np.exp(table["float64"])
    vae = quick(likelihood={"uint8": Poisson(), "exp": LogNormal()}).fit(table)
    with pytest.raises((ValueError, TypeError), match=message):
        vae.sample(2, given=given)


@pytest.mark.parametrize(
    "call",
    [
        lambda v, X: v.sample(2, missing="some"),
        lambda v, X: v.sample(2, return_ess=True),
        lambda v, X: v.impute(X, n_draws=0),
        lambda v, X: v.impute(X, strategy="mode"),
        lambda v, X: v.score_samples(X, columns="x9"),
        lambda v, X: v.score_samples(X, columns=["x1", "x1"]),
        lambda v, X: v.score_samples(X, columns="x1", given=["x1", "x2"]),
        lambda v, X: quick(mask_ratio=1.5).fit(X),
        lambda v, X: quick(mask_ratio="never").fit(X),
        lambda v, X: quick(informative_missing=["x9"]).fit(X),
    ],
)
def test_what_is_refused_names_the_parameter(call):
    X = gaussian_table(50)
    with pytest.raises(ValueError, match=r"'|return_ess"):
        call(quick().fit(X), X)


# ---------------------------------------------------------------------- missing as seen


def test_missing_as_seen_keeps_the_patterns(frame):
    table = frame[["float64", "Int64", "object", "datetime", "constant", "empty"]].copy()
    table.loc[:59, ["float64", "object"]] = None  # together
    vae = quick().fit(table)
    rows = vae.sample(3000, random_state=0, missing="as_seen")
    assert rows.dtypes.equals(table.dtypes)
    for name in table:
        assert rows[name].isna().mean() == pytest.approx(table[name].isna().mean(), abs=0.03)
    both = (rows["float64"].isna() & rows["object"].isna()).mean()
    assert both == pytest.approx(
        (table["float64"].isna() & table["object"].isna()).mean(), abs=0.03
    )
    assert not vae.sample(50, random_state=0)["float64"].isna().any()
    given = vae.sample(200, random_state=0, missing="as_seen", given={"float64": 1.0})
    assert (given["float64"] == 1.0).all()
    assert given["Int64"].isna().any()


@pytest.mark.slow
def test_informative_missing_values_are_known_to_be_high():
    """Values that hide because they are high: filled higher, and drawn missing where high."""
    rng = np.random.default_rng(0)
    n = 4000
    z = rng.normal(size=n)
    X = pd.DataFrame({"a": z + 0.5 * rng.normal(size=n), "b": z + 0.5 * rng.normal(size=n),
                      "sort": np.where(z + rng.normal(size=n) > 0, "up", "down")})  # fmt: skip
    hidden = rng.random(n) < 1 / (1 + np.exp(-3 * (X["a"] - 0.5)))
    table = X.assign(a=X["a"].mask(hidden))
    bias = []
    for informative in (None, ["a"]):
        vae = VAETransformer(2, informative_missing=informative, random_state=0).fit(table)
        filled = vae.impute(table)
        bias.append((filled["a"] - X["a"])[hidden].mean())
    assert abs(bias[1]) < 0.8 * abs(bias[0])
    rows = vae.sample(4000, random_state=0, missing="as_seen")
    assert rows["a"].isna().mean() == pytest.approx(hidden.mean(), abs=0.06)
    assert rows["b"][rows["a"].isna()].mean() > rows["b"][rows["a"].notna()].mean() + 0.5
    assert not rows["b"].isna().any()
    # a cell that nobody asked for is not a missing one
    metrics = vae.score_samples(table[:50], columns=["b"])
    alone = vae.score_samples(table[:50].assign(a=None, sort=None), columns=["b"])
    np.testing.assert_allclose(metrics, alone)


def test_informative_missing_values_of_every_kind(frame):
    vae = quick(informative_missing="all").fit(frame)
    assert np.isfinite(vae.score_samples(frame)).all()
    rows = vae.sample(300, random_state=0, missing="as_seen")
    assert rows.dtypes.equals(frame.dtypes)
    assert 0 < rows["ordered"].isna().mean() < 0.6
    vae.partial_fit(frame)
    with pytest.raises(ValueError, match="informative_missing"):
        vae.set_params(informative_missing=None).partial_fit(frame)


def test_unknown_levels_do_not_count_as_missing_ones():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"c": rng.choice(["a", "b"], 200), "x": rng.normal(size=200)})
    table.loc[:9, "c"] = None
    vae = quick(informative_missing=["c"]).fit(table)
    new, missing = (table[:1].assign(c=pd.Series([v], dtype=object)) for v in ("new", None))
    metrics = vae.score_samples(new, columns="x")
    assert vae.score_samples(new)[0] == pytest.approx(metrics[0] - np.log(191), abs=0.01)
    assert vae.score_samples(missing)[0] < metrics[0] - 1  # few were missing


def test_informative_missing_values_of_pooled_levels_and_constants():
    ids = [None if i % 5 == 0 else f"u{i}" for i in range(60)]
    table = pd.DataFrame({"id": ids, "x": np.arange(60.0), "k": ["yes", None] * 30})
    assert np.isfinite(quick(informative_missing=["id"]).fit(table).score_samples(table)).all()
    with pytest.raises(ValueError, match="only one value"):
        quick(informative_missing=["k"]).fit(table)


def test_booleans_are_the_more_probable_whatever_the_strategy():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"b": pd.array(rng.random(400) < 0.65, dtype="boolean"),
                          "x": rng.normal(size=400)})  # fmt: skip
    vae = VAETransformer(1, max_iter=20, random_state=0).fit(table)
    incomplete = table.assign(b=pd.array([None] * 400, dtype="boolean"))
    filled = [vae.impute(incomplete, strategy=s)["b"] for s in ("mean", "median", "most_frequent")]
    assert filled[0].mean() > 0.9
    assert all(f.equals(filled[0]) for f in filled)


def test_given_integers_are_exact():
    base = 2**60
    table = pd.DataFrame({"id": base + np.arange(0, 4000, 7), "x": np.arange(572) % 9})
    rows = quick().fit(table).sample(3, random_state=0, given={"id": base + 1})
    assert rows["id"].tolist() == [base + 1] * 3


@pytest.mark.parametrize(
    ("fitted", "asked"),
    [("float64", "Int64"), ("int64", "Float64"), ("datetime64[ns]", "datetime64[s]"),
     ("datetime64[ns, UTC]", "datetime64[ns]"), ("object", "category")],
)  # fmt: skip
def test_other_dtypes_at_use_time(fitted, asked):
    values = pd.Series(np.arange(100) * 1.5 if fitted == "float64" else np.arange(100))
    if "datetime" in fitted:
        values = pd.Series(pd.to_datetime(np.arange(100) * 1e15 + 3e8)).dt.as_unit("ns")
        values = values.dt.tz_localize("UTC") if "UTC" in fitted else values
    values = values.astype(str) if fitted == "object" else values
    table = pd.DataFrame({"a": values.astype(fitted), "b": np.arange(100.0)})
    plain = values.dt.tz_localize(None) if "UTC" in fitted else values
    other = plain.round() if asked == "Int64" else plain
    other = other.dt.floor("s") if asked.endswith("[s]") else other
    other = pd.DataFrame({"a": other.astype(asked), "b": np.arange(100.0)})
    other.loc[3, "a"] = None
    filled = quick(min_frequency=1).fit(table).impute(other)
    assert filled["a"].dtype == other["a"].dtype or asked == "category"
    assert filled["a"].notna().all()
    assert filled["a"][:3].astype(object).tolist() == other["a"][:3].astype(object).tolist()


def test_the_start_stands_half_of_the_cells_missing():
    """Pairs of cells give no covariance of collinear columns; EM over the rows does."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 20)) + 0.1 * rng.normal(size=(400, 20))
    X /= X.std(0)
    incomplete = np.where(rng.random(X.shape) < 0.5, np.nan, X)
    vae = VAETransformer(3, hidden_layer_sizes=(), max_iter=1, learning_rate_init=1e-9).fit(
        incomplete
    )
    assert ((vae.impute(incomplete) - X)[np.isnan(incomplete)] ** 2).mean() < 0.1


def test_auto_hides_cells_only_where_the_table_has_missing_values():
    X = gaussian_table(120)
    incomplete = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)

    def weights(table, **params):
        vae = quick(early_stopping=False, **params).fit(table)
        return torch.cat([p.flatten() for p in vae.model_.parameters()])

    assert torch.equal(weights(X), weights(X, mask_ratio=0))
    assert torch.equal(weights(incomplete), weights(incomplete, mask_ratio=0.6))
    assert not torch.equal(weights(incomplete), weights(incomplete, mask_ratio=0))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_tables_without_a_number(frame, strategy):
    levels = frame[["object", "category", "ordered"]]
    assert quick().fit(levels).impute(levels, strategy=strategy).notna().all(axis=None)


@pytest.mark.parametrize("container", ["polars", "pyarrow"])
def test_columns_without_a_cell_at_use_time(container):
    fitted = polars_frame(80) if container == "polars" else arrow_table(80)
    vae = quick().fit(fitted)
    some = polars_frame(80)
    some = some.with_columns(string=pl.lit(None), float=pl.lit(None))
    some = some if container == "polars" else fitted.set_column(
        fitted.column_names.index("string"), "string", pa.nulls(80)
    )  # fmt: skip
    filled = vae.impute(some)
    words = filled["string"].to_list() if container == "polars" else filled["string"].to_pylist()
    assert set(words) <= {"ash", "birch", "cedar", "oak"}


def test_a_table_without_a_value_is_fitted_with_a_warning():
    X = np.full((20, 2), np.nan)
    with pytest.warns(UserWarning, match="All cells of the table are missing"):
        vae = quick().fit(X)
    assert vae.score_samples(X).tolist() == [0.0] * 20
    assert np.isnan(vae.impute(X)).all()


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_a_column_that_cannot_hold_what_was_fitted_is_named(container):
    """A constant text, where the column is now one of numbers."""
    as_container = {
        "pandas": lambda x: x,
        "polars": pl.from_pandas,
        "pyarrow": pa.Table.from_pandas,
    }
    fitted = pd.DataFrame({"x": np.arange(30.0), "text": ["a"] * 30})
    vae = quick().fit(as_container[container](fitted))
    now = pd.DataFrame({"x": [0.0, np.nan], "text": [3.0, np.nan]})
    with pytest.raises(ValueError, match=r"Missing cells of column 'text'.* cannot be filled"):
        vae.impute(as_container[container](now))
