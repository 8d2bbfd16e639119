"""Random tables × random parameters: every answer is sound, or the error says why there is none."""

from __future__ import annotations

import pickle
import warnings

import answers
import numpy as np
import pytest
from fuzzing import PARTS, attempt, count_case, examples
from hypothesis import event, given, note
from hypothesis import strategies as st
from parameters_to_fuzz import detectors, imputers, transformers, weights
from sklearn.base import clone
from tables import FuzzedTable, as_pandas, tables

from skvae import VAETransformer

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.parametrize("part", range(PARTS)),
    pytest.mark.filterwarnings(
        "ignore::skvae.ImportanceWarning",
        "ignore::skvae.CollapseWarning",
        "ignore:All cells of the table are missing:UserWarning",
    ),
]
SEEDS = st.integers(0, 99)


def fitted_attributes(estimator):
    return [name for name in vars(estimator) if name.endswith("_") and not name.endswith("__")]


def fit_or_refuse(estimator, table, weight=None):
    """The fitted estimator; None if the table was refused, with nothing left on the estimator."""
    note(f"{estimator}.fit of {table!r}")
    _, refusal = attempt(estimator.fit, table.X, sample_weight=weight)
    if refusal is not None:
        event(f"refused: {type(refusal).__name__}")
        assert not fitted_attributes(estimator)
        count_case()
        return None
    event(f"fitted: {table.container}")
    return estimator


def check_answers(estimator, table: FuzzedTable, functions, weight, seed):
    """Each answer is sound, and the same after pickling."""
    fitted = table.frame if weight is None else table.frame[np.asarray(weight) > 0]
    copy = pickle.loads(pickle.dumps(estimator))
    for function in functions:
        note(function.__name__)
        before = dict(vars(estimator))
        answer, refusal = attempt(function, estimator, table, fitted, seed)
        assert vars(estimator).keys() == before.keys(), "an answer sets attributes"
        again, other = attempt(function, copy, table, fitted, seed)
        if refusal is None:
            answers.assert_same(again, answer)
        else:
            event(f"refused: {function.__name__}")
            assert str(other) == str(refusal)
            assert is_expected(refusal, function, estimator, weight is not None), refusal
        count_case()


def is_expected(refusal, function, estimator, is_weighted) -> bool:
    """Which answers a fitted estimator may refuse, for cells that it was fitted with."""
    if function is answers.codes:
        return isinstance(refusal, AttributeError) and not estimator.latent_.has_codes
    if function is answers.pvalues:
        return estimator.calibration_fraction is None
    if estimator.handle_unknown == "error" and "unknown categories" in str(refusal):
        return is_weighted  # a level of rows of weight 0 was not fitted
    return function is answers.sample_given and "'given'" in str(refusal)


@examples(120)
@given(tables(), transformers(), st.data(), SEEDS)
def test_transformer(part, table, estimator, data, seed):
    weight = data.draw(weights(len(table.frame)), label="sample_weight")
    chosen = data.draw(
        st.lists(st.sampled_from(answers.OF_TRANSFORMER), min_size=1, max_size=4, unique=True),
        label="answers",
    )
    if fit_or_refuse(estimator, table, weight) is not None:
        check_answers(estimator, table, chosen, weight, seed)


@examples(60)
@given(tables(), detectors(), st.data(), SEEDS)
def test_detector(part, table, estimator, data, seed):
    weight = data.draw(weights(len(table.frame)), label="sample_weight")
    if fit_or_refuse(estimator, table, weight) is not None:
        check_answers(estimator, table, answers.OF_DETECTOR, weight, seed)


@examples(60)
@given(tables(containers=("pandas", "array", "polars", "objects")), imputers(), SEEDS)
def test_imputer(part, table, imputer, seed):
    if fit_or_refuse(imputer, table) is None:
        return
    filled, refusal = attempt(imputer.transform, table.X)
    assert refusal is None
    copy = pickle.loads(pickle.dumps(imputer))
    if not imputer.sample_posterior or imputer.random_state is not None:
        answers.assert_same(copy.transform(table.X), filled)
    names = imputer.get_feature_names_out()
    n = 0 if table.container == "polars" and not len(names) else len(table.frame)
    assert filled.shape == (n, len(names))  # a polars frame without columns has no rows
    if not len(names):
        return
    if imputer.missing_values != imputer.missing_values or imputer.missing_values is None:
        kept = [name for name in table.frame if str(name) in set(names)]
        new = as_pandas(filled, list(names))
        new.columns = [str(name) for name in new.columns]
        for name in kept:
            seen = table.frame[name].notna().to_numpy()
            before = as_pandas(table.X, list(table.frame))[name][seen]
            answers.assert_equal_cells(new[str(name)][seen], before, name)
    count_case()


@examples(40)
@given(tables(), transformers(most=2))
def test_a_clone_fits_the_same_model(part, table, estimator):
    if fit_or_refuse(estimator, table) is None:
        return
    copy = clone(estimator)
    assert not fitted_attributes(copy)
    copy.fit(table.X)
    answers.assert_same(copy.score_samples(table.X), estimator.score_samples(table.X))
    count_case()


@examples(40)
@given(tables(), SEEDS)
def test_default_parameters_take_any_table_of_two_rows(part, table, seed):
    """But for infinite cells, and cells so large that their differences are."""
    estimator = VAETransformer(max_iter=1, hidden_layer_sizes=(8,), random_state=0)
    with warnings.catch_warnings():
        fitted = fit_or_refuse(estimator, table)
    if fitted is None:
        assert len(table.frame) < 2
        return
    functions = [answers.score_samples, answers.transform, answers.sample, answers.impute]
    check_answers(estimator, table, functions, None, seed)
