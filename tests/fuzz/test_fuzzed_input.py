"""Odd parameters and odd tables: a sound answer, or an error that names what is wrong."""

from __future__ import annotations

import answers
import components
import numpy as np
import pandas as pd
import pytest
from fuzzing import PARTS, attempt, count_case, examples
from hypothesis import given, note
from hypothesis import strategies as st
from parameters_to_fuzz import (
    ODD_VALUES,
    OF_DETECTOR,
    OF_TRANSFORMER,
    QUICK,
    detectors,
    transformers,
)
from tables import in_container, tables

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.parametrize("part", range(PARTS)),
    pytest.mark.filterwarnings(
        "ignore::skvae.ImportanceWarning",
        "ignore::skvae.CollapseWarning",
        "ignore:All cells of the table are missing:UserWarning",
        "ignore:X (has|does not have valid) feature names:UserWarning",
    ),
]
ODD = st.sampled_from(ODD_VALUES)
SMALL = st.sampled_from([12, 40])
FRAME = pd.DataFrame({
    "x0": np.random.default_rng(0).normal(size=20),
    "a": ["ash", "oak"] * 10,
    "n": np.arange(20) % 7,
})  # fmt: skip
COMPONENTS = [
    *[("likelihood", c) for c in components.LIKELIHOODS],
    *[("latent", c) for c in components.LATENTS],
    *[("prior", c) for c in components.PRIORS],
    *[("objective", c) for c in components.OBJECTIVES],
]


def check_refusal_of(refusal, estimator, name, value):
    """An illegal parameter is named, and nothing is fitted."""
    if refusal is None:
        return
    assert not hasattr(estimator, "fitted_model_")
    is_named = name in str(refusal) or "column" in str(refusal)
    assert is_named or name == "random_state", f"{name}={value!r}: {refusal}"


@examples(120)
@given(st.data(), st.booleans())
def test_an_odd_parameter_is_named(part, data, is_detector):
    strategies = OF_DETECTOR if is_detector else OF_TRANSFORMER
    name = data.draw(st.sampled_from(sorted(strategies)))
    value = data.draw(ODD)
    if name == "random_state" and (value is None or value is np.random):
        return  # drawn from the global stream of numpy, as anywhere in scikit-learn
    make = VAEOutlierDetector if is_detector else VAETransformer
    estimator = make(**{**QUICK, name: value})
    _, refusal = attempt(estimator.fit, FRAME)
    check_refusal_of(refusal, estimator, name, value)
    if refusal is None:
        answers.assert_finite(estimator.score_samples(FRAME))
    count_case()


@examples(120)
@given(st.data(), st.sampled_from(COMPONENTS))
def test_an_odd_parameter_of_a_component_is_named(part, data, chosen):
    kind, component = chosen
    names = sorted(component.get_params(deep=False))
    # A subnormal scale or temperature is legal, but divisions by it overflow.
    value = data.draw(ODD.filter(lambda v: not (isinstance(v, float) and 0 < v < 1e-300)))
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    odd = type(component)(**{**component.get_params(deep=False), name: value})
    note(f"{odd}")
    estimator = VAETransformer(1, **{**QUICK, kind: odd})
    _, refusal = attempt(estimator.fit, FRAME[["x0", "n"]])
    if refusal is None:
        answers.assert_finite(estimator.score_samples(FRAME[["x0", "n"]]))
    count_case()


@examples(60)
@given(tables(sizes=SMALL), tables(sizes=SMALL), st.booleans(), st.data())
def test_a_table_of_other_columns(part, table, other, renamed, data):
    """What was not fitted is refused by the name of the column, or scored."""
    estimator = data.draw(transformers(most=1))
    _, refusal = attempt(estimator.fit, table.X)
    if refusal is not None:
        return
    frame = other.frame
    if renamed and frame.shape[1] >= table.frame.shape[1]:
        frame = frame.iloc[:, : table.frame.shape[1]].set_axis(table.frame.columns, axis=1)
    before = estimator.score_samples(table.X)
    X = frame if other.container in ("array", "list", "sparse", "objects") else other.X
    has_text_names = all(isinstance(name, str) for name in frame)
    if renamed and other.container in ("polars", "pyarrow") and not has_text_names:
        X = frame
    elif renamed and other.container in ("polars", "pyarrow"):
        X = in_container(frame, other.container)
    calls = [estimator.score_samples, estimator.transform]
    if frame.shape == table.frame.shape and list(frame.dtypes) == list(table.frame.dtypes):
        # A constant column takes cells of any type, but its value cannot always be written into
        # a column of another type: impute raises what pandas, polars or pyarrow raise.
        calls.append(estimator.impute)
    for call in calls:
        answer, refusal = attempt(call, X)
        if refusal is None and not isinstance(answer, (list, tuple)) and call != estimator.impute:
            answers.assert_finite(answer)
        count_case()
    np.testing.assert_array_equal(estimator.score_samples(table.X), before)


@examples(80)
@given(st.data())
def test_odd_arguments_of_answers(part, data):
    estimator = _fitted()
    method, names = data.draw(
        st.sampled_from([
            ("sample", ["n_samples", "given", "missing"]),
            ("score_samples", ["X", "columns", "given"]),
            ("impute", ["X", "n_draws", "strategy"]),
            ("transform", ["X"]),
            ("inverse_transform", ["Z"]),
            ("explain_samples", ["X", "n_cells", "coverage"]),
            ("interpolate", ["B", "n_steps"]),
            ("traverse", ["X", "unit", "n_steps"]),
            ("component_effects", ["unit", "n_steps"]),
            ("partial_fit", ["X", "sample_weight"]),
        ])
    )  # fmt: skip
    name, value = data.draw(st.sampled_from(names)), data.draw(ODD)
    note(f"{method}({name}={value!r})")
    good = {
        "score_samples": {"X": FRAME}, "transform": {"X": FRAME},
        "impute": {"X": FRAME, "random_state": 0},
        "explain_samples": {"X": FRAME[:3]}, "interpolate": {"A": FRAME[:1], "B": FRAME[:1]},
        "traverse": {"X": FRAME[:1], "unit": 0}, "sample": {"random_state": 0},
        "partial_fit": {"X": FRAME},
    }  # fmt: skip
    before = _fitted().score_samples(FRAME)
    if method == "partial_fit":
        estimator = _fitted(fresh=True)
    attempt(getattr(estimator, method), **{**good.get(method, {}), name: value})
    np.testing.assert_array_equal(_fitted().score_samples(FRAME), before)
    count_case()


_models: list = []


def _fitted(fresh=False):
    if fresh or not _models:
        model = VAETransformer(2, **QUICK).fit(FRAME)
        if fresh:
            return model
        _models.append(model)
    return _models[0]


@examples(40)
@given(tables(sizes=SMALL), detectors(most=2), st.sampled_from(["inf", "complex", "row", "width"]))
def test_a_bad_table_leaves_a_fitted_estimator_as_it_was(part, table, estimator, how):
    _, refusal = attempt(estimator.fit, table.X)
    if refusal is not None:
        return
    before = estimator.score_samples(table.X)
    bad = {
        "inf": table.frame.assign(another=np.inf),
        "complex": table.frame.assign(another=1j),
        "row": table.frame[:0],
        "width": table.frame.iloc[:, :0],
    }[how]
    bad = bad.set_axis([str(name) for name in bad.columns], axis=1)
    for call in (estimator.fit, estimator.partial_fit, estimator.score_samples):
        _, refusal = attempt(call, bad)
        assert refusal is not None or estimator.warm_start
        answers.assert_same(estimator.score_samples(table.X), before)
        count_case()


@examples(30)
@given(ODD, st.sampled_from(sorted(VAEImputer().get_params(deep=False))))
def test_an_odd_parameter_of_the_imputer_is_named(part, value, name):
    imputer = VAEImputer(VAETransformer(1, **QUICK), random_state=0).set_params(**{name: value})
    _, refusal = attempt(imputer.fit, FRAME[["x0", "n"]])
    if refusal is not None:
        assert name in str(refusal)
    else:
        attempt(imputer.transform, FRAME[["x0", "n"]])
    count_case()
