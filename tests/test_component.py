"""Components are equal exactly if their parameters are."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from skvae import ELBO, Atoms, Normal, StudentT, Trimmed
from skvae._component import Component, identity


class Holder(Component):
    def __init__(self, value=None):
        self.value = value


def long_array(middle=0.0):
    array = np.arange(3000.0)
    array[1500] = middle
    return array


class Unhashable:
    __hash__ = None

    def __init__(self, x):
        self.x = x


DIFFERENT = [
    (long_array(), long_array(1.0)),  # repr abbreviates both to the same text
    (np.zeros(3), np.zeros(3, dtype="float32")),
    (np.zeros(6), np.zeros((2, 3))),
    (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object)),
    (torch.zeros(3), torch.tensor([0.0, 0.0, 1.0])),
    ([np.zeros(2)], [np.ones(2)]),
    ({"a": np.zeros(2)}, {"a": np.ones(2)}),
    ({"a": 1}, {"b": 1}),
    ([1, 2], (1, 2)),
    ([], ()),
    (True, 1),
    (1, "1"),
    (None, "None"),
    (np.nan, None),
    (pd.NA, 1),
    (pd.Series(long_array()), pd.Series(long_array(1.0))),
    (pd.Series([1, 2]), pd.Series([1, 2], index=[1, 2])),
    (pd.Series([1, 2]), pd.Series([1, 2], name="a")),
    (pd.Series([1, 2]), pd.Series([1, 2], dtype="Int64")),
    (pd.Series(["a", "b"], dtype="category"), pd.Series(["a", "c"], dtype="category")),
    (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"a": [1], "b": [3]})),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    (pd.Series([1, 2], name=5), pd.Series([1, 2], name=6)),
    (pd.Index([1, 2]), pd.Index([1, 3])),
    (np.longdouble(1), np.longdouble(2)),
    (torch.zeros(()), torch.zeros(1)),
    (Normal("column"), Normal("shared")),
    (Normal(), StudentT()),
    (Atoms(Normal(0.5)), Atoms(Normal(0.6))),
    (Holder(Holder(long_array())), Holder(Holder(long_array(1.0)))),
    (Unhashable(1), Unhashable(2)),
    (np.datetime64("2020-01-01"), np.datetime64("2020-01-02")),
    (frozenset({1, 2}), frozenset({1, 3})),
]
EQUAL = [
    (np.nan, float("nan")),
    (np.array([np.nan, 1.0]), np.array([np.nan, 1.0])),
    (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
    (np.array([np.nan, "a"], dtype=object), np.array([float("nan"), "a"], dtype=object)),
    (1, 1.0),
    (0.5, np.float64(0.5)),
    ("a", np.str_("a")),
    (pd.NA, pd.NA),
    (pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="Int64")),
    (Trimmed(objective=ELBO(2.0)), Trimmed(objective=ELBO(2))),
    ({"a": [np.zeros(2), {"b": np.nan}], "c": 1}, {"c": 1, "a": [np.zeros(2), {"b": np.nan}]}),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT, ids=lambda v: type(v).__name__)
def test_different_values_are_different(a, b):
    assert identity(a) != identity(b)
    assert len({identity(a), identity(b)}) == 2
    assert Holder(a) != Holder(b)


@pytest.mark.parametrize(("a", "b"), EQUAL, ids=lambda v: type(v).__name__)
def test_equal_values_are_equal(a, b):
    assert identity(a) == identity(b)
    assert Holder(a) == Holder(b)
    assert hash(Holder(a)) == hash(Holder(b))


@pytest.mark.parametrize(
    "value", [v for pair in DIFFERENT + EQUAL for v in pair], ids=lambda v: type(v).__name__
)
def test_copies_are_equal(value):
    component = Holder(value)
    assert copy.deepcopy(component) == component
    assert clone(component, safe=False) == component
    assert identity(copy.deepcopy(value)) == identity(value)
    assert len({component, clone(component, safe=False)}) == 1


def test_the_hash_of_an_object_does_not_change():
    component = Normal()
    known = {component}
    component.set_params(scale="column")
    assert component in known
