"""Components are value objects: they hold hyperparameters, and are equal if these are equal."""

from __future__ import annotations

import pickle
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator


class Component(BaseEstimator):
    """Base class of the likelihoods, latent families, priors and objectives.

    Two components are equal if they have the same class and equal parameters, in the sense of
    :func:`identity`.

    Examples
    --------
    >>> from skvae import Normal
    >>> Normal(scale="column") == Normal(scale="column")
    True
    >>> Normal(scale="column") == Normal()
    False
    """

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and identity(self) == identity(other)

    def __hash__(self) -> int:
        # Not that of the parameters: ``set_params`` must not change the hash of an object.
        return hash(type(self))


def identity(value: Any) -> Hashable:
    """A dictionary key for any value: two keys are equal only if the values are.

    Arrays are compared by dtype, shape and bytes, pandas objects by dtypes, index and values,
    estimators and components by class and parameters, containers by their items. NaN equals NaN.
    Numbers are compared by value, so that 1 equals 1.0 and ``np.float64(1)``, but not ``True``.
    Other objects that are not hashable are compared by their pickles.

    Parameters
    ----------
    value : object
        A parameter of an estimator or component.

    Returns
    -------
    key : hashable

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._component import identity
    >>> identity({"a": np.zeros(3)}) == identity({"a": np.zeros(3)})
    True
    >>> identity(np.zeros(3)) == identity(np.zeros(3, dtype="float32"))
    False
    """
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False)
        return type(value), tuple((name, identity(params[name])) for name in sorted(params))
    if isinstance(value, (np.ndarray, torch.Tensor, np.generic)):
        return _of_array(value)
    if isinstance(value, (pd.Series, pd.Index, pd.DataFrame, pd.api.extensions.ExtensionArray)):
        return _of_pandas(value)
    if isinstance(value, Mapping):
        return type(value), frozenset((identity(k), identity(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(identity, value))
    if isinstance(value, AbstractSet):
        return type(value), frozenset(map(identity, value))
    return _of_scalar(value)


def _of_array(value: Any) -> Hashable:
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().resolve_conj().resolve_neg()
        as_bytes = array.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return type(value), array.dtype, tuple(array.shape), as_bytes
    is_scalar = isinstance(value, np.generic) and value.dtype.kind in "biufcUS"
    if is_scalar and not isinstance(value.item(), np.generic):  # long doubles stay what they are
        return _of_scalar(value.item())
    if value.dtype.hasobject:
        items = tuple(map(identity, np.asarray(value).ravel().tolist()))
        return type(value), value.dtype, value.shape, items
    return type(value), value.dtype, value.shape, value.tobytes()


def _of_pandas(value: Any) -> Hashable:
    if isinstance(value, pd.DataFrame):
        columns = tuple(_of_pandas(value.iloc[:, j]) for j in range(value.shape[1]))
        return type(value), _of_pandas(value.index), _of_pandas(value.columns), columns
    array = np.asarray(value)
    if not isinstance(value.dtype, np.dtype):  # a missing value may stand for several codes
        array = np.asarray(value, dtype=object)
    index = _of_pandas(value.index) if isinstance(value, pd.Series) else None
    name = list(value.names) if isinstance(value, pd.Index) else getattr(value, "name", None)
    return type(value), value.dtype, _of_array(array), index, identity(name)


def _of_scalar(value: Any) -> Hashable:
    if value is pd.NA or value is pd.NaT:
        return type(value), "missing"
    if isinstance(value, (float, complex)) and value != value:
        return type(value), "nan"
    if isinstance(value, bool):  # True == 1 in Python
        return bool, value
    try:
        hash(value)
    except TypeError:
        return type(value), _pickled(value)
    return value


def _pickled(value: Any) -> Hashable:
    try:
        return pickle.dumps(value)
    except Exception:  # whatever an object raises that cannot be pickled
        return id(value)
