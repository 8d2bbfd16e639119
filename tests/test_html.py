"""Summaries and reports are HTML that is valid, complete, escaped, and readable for everyone."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import skvae
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._html.columns import values_of
from skvae._html.curve import ticks, training_curve
from skvae._html.summary import fitted_summary
from skvae._html.text import Markup, escaped, number, percent, shortened
from skvae._report.baselines import _gaussian, _histogram, _levels, of_numbers

VOID = {"br", "hr", "img", "input", "link", "meta"}
HOSTILE = "<script>alert('x')</script>"
QUICK = {"max_iter": 2, "random_state": 0, "hidden_layer_sizes": (8,)}


class Page(HTMLParser):
    """Checks while parsing: balanced tags, ids once, headers with a scope, nothing external."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.tags, self.text, self.images = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self._check(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self._check(tag, dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def _check(self, tag, attributes):
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
        if tag == "svg":
            self.images.append(attributes["aria-label"])
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes


def mixed(n=60):
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2020-03-01") + pd.to_timedelta(rng.permutation(n), "D")
    table = pd.DataFrame({
        HOSTILE: rng.normal(size=n),
        "$a_b$ & c": rng.poisson(3, n),
        "flag": rng.random(n) > 0.3,
        "day": times,
        "length": pd.to_timedelta(rng.permutation(n), "h"),
        "always": "a<b",
        "empty": np.nan,
        "size": pd.Categorical(rng.choice(["S", "M", "L"], n), ["S", "M", "L"], ordered=True),
        "word": [f"<b>level {i % 4}" if i else "once" for i in range(n)],
    })  # fmt: skip
    table.loc[:9, "day"] = None
    return table


TABLE = mixed()


@pytest.fixture(scope="module")
def fitted():
    return {
        "transformer": VAETransformer(2, **QUICK).fit(TABLE),
        "detector": VAEOutlierDetector(2, **QUICK).fit(TABLE),
        "imputer": VAEImputer(VAETransformer(2, **QUICK)).fit(TABLE),
    }


KINDS = ["transformer", "detector", "imputer"]


# ------------------------------------------------------------------------------- notebooks


@pytest.mark.parametrize("cls", [VAETransformer, VAEOutlierDetector, VAEImputer])
def test_before_fit_the_diagram_is_that_of_scikit_learn(cls):
    shown, expected = cls()._repr_html_(), estimator_html_repr(cls())
    assert re.sub(r"sk-[\w-]*id-\d+", "", shown) == re.sub(r"sk-[\w-]*id-\d+", "", expected)
    assert "skvae-" not in cls()._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("kind", KINDS)
def test_after_fit_a_summary_is_below_the_diagram(fitted, kind):
    estimator = fitted[kind]
    summary = fitted_summary(getattr(estimator, "estimator_", estimator))
    for shown in (estimator._repr_html_(), estimator._repr_mimebundle_()["text/html"]):
        assert "sk-top-container" in shown
        assert shown.endswith(summary)
    assert "text/plain" in estimator._repr_mimebundle_()


def test_text_display_has_no_html(fitted):
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted["transformer"], "_repr_html_")
        assert set(fitted["transformer"]._repr_mimebundle_()) == {"text/plain"}


def test_pipelines_show_their_own_diagram(fitted):
    pipe = make_pipeline(VAETransformer(1, **QUICK), StandardScaler())
    pipe.fit(TABLE[[HOSTILE, "flag", "size"]])
    shown = pipe._repr_html_()
    assert "VAETransformer" in shown
    assert "skvae-numbers" not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_summary_is_valid_escaped_and_says_what_was_fitted(fitted, kind):
    estimator = fitted[kind]
    model = getattr(estimator, "estimator_", estimator)
    html = fitted_summary(model)
    page, text = Page(html), " ".join(Page(html).text)
    assert "http" not in html
    assert "script" not in page.tags
    assert "b" in page.tags  # of the numbers, not those of levels
    assert page.tags.count("b") == page.tags.count("dt") == 4
    assert len(page.images) == 1
    for name in TABLE.columns:
        assert name in text
    for likelihood in model.likelihood_.values():
        assert repr(likelihood) in text
    for reason in model.likelihood_reasons_.values():
        assert shortened(reason, 100) in text
    assert "60 rows, 9 columns" in text
    assert "16.7 %" in text  # missing days


def test_values_of_each_kind(fitted):
    columns = {column.name: column for column in fitted["transformer"].schema_.columns}
    said = {name: values_of(column) for name, column in columns.items()}
    seen = TABLE["day"].dropna()
    assert said["day"] == f"{seen.min().date()} to {seen.max().date()}"
    assert said["length"] == "0 days 00:00:00 to 2 days 11:00:00"
    assert said["always"] == "always a<b"
    assert said["empty"] == "none"
    assert said["size"] == "3 levels: S < M < L"
    assert said["word"].startswith("5 levels: <b>level 1, <b>level 2, <b>level 3, …")
    assert said["flag"] == f"true in {100 * TABLE['flag'].mean():.3g} %"
    counts = TABLE["$a_b$ & c"]
    assert said["$a_b$ & c"] == f"{counts.min()} to {counts.max()}"


def test_summary_of_many_columns_is_bounded():
    X = np.random.default_rng(0).normal(size=(40, 200))
    vae = VAETransformer(1, max_iter=1, random_state=0, hidden_layer_sizes=()).fit(X)
    html = fitted_summary(vae)
    assert len(html) < 25_000
    assert Page(html).tags.count("tr") == 31
    assert "170 further columns" in html


# ------------------------------------------------------------------------------ the parts


def test_curve_of_any_history():
    assert training_curve({}) == ""
    assert training_curve({"step": [], "bound": []}) == ""
    assert training_curve({"step": [1], "bound": [np.nan]}) == ""
    single = Page(training_curve({"step": [3], "bound": [-2.0]}))
    assert "circle" in single.tags
    history = {"step": list(range(1, 3001)), "bound": [-1e9, *[-2.0] * 2998, np.inf],
               "validation_bound": [None, *np.linspace(-3, -2, 2999)]}  # fmt: skip
    html = training_curve(history)
    assert "nan" not in html
    assert "inf" not in re.sub("aria-label=.*", "", html)
    points = [list(map(float, p.split(","))) for p in re.search('points="(.*?)"', html)[1].split()]
    assert len(points) <= 400
    x, y = np.transpose(points)
    assert (np.diff(x) > 0).all()
    assert ((y >= 0) & (y <= 200)).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-17.3, -16.9), (1, 12_000), (-1e9, 3), (5, 5)])
def test_ticks_are_round_and_inside(low, high):
    found = np.array(ticks(low, high, 6))
    assert len(found) <= 7
    assert ((found >= low - 1e-9) & (found <= high + 1e-9)).all()
    if high > low:
        assert len(found) >= 2


def test_text():
    assert escaped(HOSTILE) == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"
    assert escaped(Markup("<b>")) == "<b>"
    assert escaped("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
    assert escaped("a\ud800b\tc") == "a\N{REPLACEMENT CHARACTER}b\tc"
    assert escaped("abcdefghi", 6) == "abc…hi"
    assert escaped(number(1e5)) == "100\u202f000"
    assert number(-1234567.0) == "−1\u202f234\u202f567"
    assert number(-0.5) == "−0.5"
    assert number(float("nan")) == "missing"
    assert number(True) == "True"
    assert number(1e12) == "1e+12"
    assert percent(0) == "0 %"
    assert percent(1e-5) == "< 0.1 %"
    assert percent(1 / 3) == "33.3 %"


# ------------------------------------------------------------------------------- reports


@pytest.fixture(scope="module")
def pages(fitted, tmp_path_factory):
    pytest.importorskip("matplotlib")
    path = tmp_path_factory.mktemp("report") / "page.html"
    found = {kind: skvae.report(fitted[kind], TABLE) for kind in ("detector", "imputer")}
    found["transformer"] = skvae.report(fitted["transformer"], TABLE, path, holdout=TABLE[:30])
    assert path.read_text(encoding="utf-8") == found["transformer"]
    return found


SECTIONS = ["Columns", "Fit", "Density", "Latent plane", "Latent units", "Marginals",
            "Unlikely rows", "Missing values"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_report_is_one_valid_page(pages, kind):
    html = pages[kind]
    page, text = Page(html), " ".join(Page(html).text)
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in re.sub(r"url\(#", "", html)
    assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("nav") == 1
    assert {"script", "link", "iframe", "img"}.isdisjoint(page.tags)
    assert "prefers-color-scheme: dark" in html
    for reference in re.findall(r'(?:url\(|href=")#([^")]+)', html):
        assert reference in page.ids
    without = {"Density", "Latent plane", "Marginals"} if kind == "detector" else set()
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert titles == [title for title in SECTIONS if title not in without]
    for name in TABLE.columns:
        assert name in text


def test_durations_are_expected_as_durations(fitted):
    _, cells = fitted["transformer"].explain_samples(TABLE, return_cells=True, n_cells=9)
    found = cells[cells["column"] == "length"]
    assert len(found) == len(TABLE)
    for name in ("value", "expected", "low", "high"):
        assert all(isinstance(value, pd.Timedelta) for value in found[name])


def test_report_says_whose_densities_are_compared(pages):
    assert "The 30 rows were held out" in pages["transformer"]
    assert "no rows were held out" in pages["imputer"]


def test_report_of_complete_numbers(fitted):
    X = np.random.default_rng(0).normal(size=(90, 2)) @ [[1, 0.5, 0.2], [0, 1, 0.5]]
    X += 0.1 * np.random.default_rng(1).normal(size=X.shape)
    vae = VAETransformer(1, **QUICK).fit(X)
    html = skvae.report(vae, X)
    assert "Missing values" not in html
    assert "Latent plane" not in html  # of one latent dimension there is none
    assert "Factor analysis" in html
    assert html == skvae.report(vae, X)
    vae.set_output(transform="pandas")
    assert len(skvae.report(vae, X)) == len(html)


def test_report_leaves_global_state(fitted):
    mpl = pytest.importorskip("matplotlib")
    before, numpy_state = dict(mpl.rcParams), np.random.get_state()[1].copy()
    with mpl.rc_context({"text.color": "#fedcba", "font.size": 31.0}):
        html = skvae.report(fitted["detector"], TABLE)
        assert mpl.rcParams["font.size"] == 31.0
    assert "fedcba" not in html
    assert dict(mpl.rcParams) == before
    assert (np.random.get_state()[1] == numpy_state).all()


def test_report_errors(fitted, monkeypatch):
    with pytest.raises(TypeError, match="of a pipeline pass the step"):
        skvae.report(make_pipeline(StandardScaler()), TABLE)
    with pytest.raises(NotFittedError):
        skvae.report(VAETransformer(), TABLE)
    with pytest.raises(ValueError, match="feature names"):
        skvae.report(fitted["transformer"], TABLE[["flag", "day"]])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[plot\]'"):
        skvae.report(fitted["transformer"], TABLE)


@pytest.mark.parametrize("density", [_gaussian, _histogram])
def test_baselines_integrate_to_one(density):
    rng = np.random.default_rng(0)
    x, grid = rng.gamma(2, 3, 300), np.linspace(-80, 100, 400_001)
    assert np.trapezoid(np.exp(density(x, grid, False)), grid) == pytest.approx(1, abs=1e-3)
    for rate in (0.7, 40):
        counts = rng.poisson(rate, 300).astype(float)
        assert np.exp(density(counts, np.arange(-300, 500.0), True)).sum() == pytest.approx(1)


def test_baseline_of_levels_sums_to_one_with_any_other():
    levels = np.array([0.0, 0.0, 1.0])
    found = np.exp(_levels(levels, np.array([0.0, 1.0, 7.0]), False))
    np.testing.assert_allclose(found, [0.5, 0.25, 0.25])


def test_baselines_of_numbers_are_in_the_units_of_the_table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    near, far = of_numbers(X, X[:9], 0), of_numbers(100 * X, 100 * X[:9], 0)
    for name, scores in near.items():
        np.testing.assert_allclose(far[name], scores - 2 * np.log(100), rtol=1e-6)
