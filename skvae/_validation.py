"""Legal values, names of components, and the messages of errors.

Constraints are next to the parameters: a class lists, in ``_constraints``, for each parameter a
phrase that describes what is allowed and a function that tests it.
"""

from __future__ import annotations

import difflib
import math
import numbers
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import validate_data

from ._component import Component, identity


def is_int(value: Any, least: float = -math.inf) -> bool:
    return (
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
    )


def is_real(
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> bool:
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, (bool, np.bool_))
        and math.isfinite(value)
        and least <= float(value) <= most
        and above < float(value) < below
    )


Constraint = tuple[str, Callable[[Any], bool]]


def an_int(least: int) -> Constraint:
    return f"an int in the range [{least}, inf)", lambda v: is_int(v, least=least)


def a_real(interval: str, **bounds: float) -> Constraint:
    return f"a number in the range {interval}", lambda v: is_real(v, **bounds)


def a_bool(or_int: bool = False) -> Constraint:
    def is_legal(value: Any) -> bool:
        return isinstance(value, (bool, np.bool_)) or (or_int and is_int(value, least=0))

    return "a bool" + (" or an int in the range [0, inf)" if or_int else ""), is_legal


def layers() -> Constraint:
    def is_legal(value: Any) -> bool:
        sizes = (value,) if is_int(value) else value
        return isinstance(sizes, (tuple, list)) and all(is_int(s, least=1) for s in sizes)

    return "an int or a tuple of ints in the range [1, inf)", is_legal


def as_layers(sizes: Any) -> tuple[int, ...]:
    """Widths of layers from what :func:`layers` allows."""
    return (int(sizes),) if is_int(sizes) else tuple(sizes)


def one_of(*values: str) -> Constraint:
    return f"one of {sorted(values)}", lambda v: isinstance(v, str) and v in values


def or_none(constraint: Constraint) -> Constraint:
    allowed, is_legal = constraint
    return f"None or {allowed}", lambda v: v is None or is_legal(v)


def check_parameters(component: Any) -> None:
    """Raise in the style of scikit-learn if a parameter of an estimator or component is illegal."""
    constraints: Mapping = getattr(component, "_constraints", {})
    for name, (allowed, is_legal) in constraints.items():
        value = getattr(component, name)
        if not is_legal(value):
            raise ValueError(
                f"The {name!r} parameter of {type(component).__name__} must be {allowed}. "
                f"Got {value!r} instead."
            )
        if isinstance(value, Component):
            check_parameters(value)


SYNONYMS = {  # names that users try, and the name of what they mean
    ("prior", "gaussian"): "standard_normal",
    ("prior", "normal"): "standard_normal",
    ("prior", "gmm"): "mixture",
    ("prior", "vampprior"): "aggregated",
    ("latent", "normal"): "gaussian",
    ("latent", "vq"): "quantized",
    ("latent", "fsq"): "finite_scalar",
    ("likelihood", "gaussian"): "normal",
    ("likelihood", "multinomial"): "categorical",
    ("objective", "vae"): "elbo",
    ("objective", "pca"): "embedding",
}


def did_you_mean(name: str, known: Iterable[Any]) -> str:
    """A hint at the known name of which this is a slip, if there is one.

    In a short name one letter may be wrong, in a longer one a fifth; capitals do not count. Names
    that share less are others, and a hint at them would mislead.
    """
    n = max(len(name), 3)
    cutoff = min(0.8, (n - 1) / n)
    names = {str(k).lower(): str(k) for k in known}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=cutoff)
    return f" Did you mean {names[close[0]]!r}?" if close else ""


def resolve_component(
    value: Any, registry: Mapping[str, type], base: type, parameter: str, owner: str
) -> Any:
    """A component from its name, or a copy of the one that was passed; checked."""
    if isinstance(value, base):
        component = clone(value)
    elif isinstance(value, str) and value in registry:
        component = registry[value]()
    else:
        hint = ""
        auto = ["auto"] if parameter in ("likelihood", "prior", "objective") else []
        allowed = f"one of {sorted([*registry, *auto])}"
        if isinstance(value, str):
            meant = SYNONYMS.get((parameter, value.lower()))
            hint = f" Did you mean {meant!r}?" if meant else did_you_mean(value, registry)
        elif isinstance(value, type) and issubclass(value, base):
            hint = f" Pass an instance, {parameter}={value.__name__}(), not the class."
        raise ValueError(
            f"The {parameter!r} parameter of {owner} must be {allowed} or an object of class "
            f"{base.__name__}. Got {value!r} instead.{hint}"
        )
    check_parameters(component)
    return component


def fitted_names(header: Any) -> dict[str, Any]:
    """n_features_in_ and feature_names_in_ for a container with these columns."""
    shell = BaseEstimator()
    validate_data(shell, header, reset=True, skip_check_array=True)
    return vars(shell)


def check_names(names: list, fitted: list, owner: str) -> None:
    """Raise with the difference of the two lists if columns are missing or new."""
    given, known = set(names), set(fitted)
    missing = [n for n in fitted if n not in given]
    new = [n for n in names if n not in known]
    if missing or new:
        raise ValueError(
            "The feature names should match those that were passed during fit.\n"
            + (f"Feature names unseen at fit time: {new}\n" if new else "")
            + (f"Feature names seen at fit time, yet now missing: {missing}\n" if missing else "")
            + f"Give {owner} the same columns in the same order."
        )


def check_categorical_features(value: Any, names: list) -> list[bool]:
    """Which columns are categorical whatever their dtype."""
    if value is None:
        return [False] * len(names)
    wanted = np.array([value]) if isinstance(value, str) else np.asarray(value)
    if wanted.ndim != 1:
        raise ValueError(
            "The 'categorical_features' parameter must be None, a mask with one value a column, "
            f"or a list of indices or names of columns. Got {value!r} instead."
        )
    if wanted.dtype == bool and wanted.shape == (len(names),):
        return [bool(w) for w in wanted]
    if wanted.dtype.kind in "iu" and not all(w in names for w in wanted.tolist()):
        outside = [int(w) for w in wanted if not -len(names) <= w < len(names)]
        if outside:
            raise ValueError(
                f"The 'categorical_features' parameter names column {outside[0]}, but X has "
                f"{len(names)} columns, numbered from 0."
            )
        chosen = {int(w) % len(names) for w in wanted}
        return [j in chosen for j in range(len(names))]
    unknown = [w for w in wanted.tolist() if w not in names]
    if unknown or wanted.dtype == bool:
        raise ValueError(
            "The 'categorical_features' parameter must be None, a mask with one value a column, "
            f"or indices or names of columns. Got {value!r}; the columns are {names}."
            + (did_you_mean(str(unknown[0]), names) if unknown else "")
        )
    chosen = set(wanted.tolist())
    return [n in chosen for n in names]


def check_columns(wanted: list, names: list, parameter: str) -> None:
    """Raise if a parameter names a column that is not there, or one twice."""
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"{parameter!r} names column {name!r}, which was not fitted; the columns are "
                f"{names}.{did_you_mean(str(name), names)}"
            )
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"{parameter!r} names a column twice: {wanted}.")


def positions(value: Any, names: list, parameter: str) -> list[int]:
    """Positions of columns given by name or position, as a list or alone."""
    values = [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    found = []
    for v in values:
        if is_int(v) and v not in names and -len(names) <= v < len(names):
            v = names[int(v)]
        found.append(v)
    check_columns(found, names, parameter)
    return [names.index(v) for v in found]


def check_informative(value: Any, names: list) -> list[int] | None:
    """Positions of the columns with informative missing values; None: all that have some."""
    if value is None:
        return []
    if isinstance(value, str) and value == "all" and value not in names:
        return None
    return positions(value, names, "informative_missing")


def by_column(spec: Mapping, names: list, parameter: str, owner: str) -> dict[int, Any]:
    """The values of a dict that goes by column, by position."""
    position = {name: j for j, name in enumerate(names)}
    for name in spec:
        if name not in position:
            raise ValueError(
                f"The {parameter!r} parameter of {owner} names column {name!r}, which X does "
                f"not have; its columns are {names}.{did_you_mean(str(name), names)}"
            )
    return {position[name]: value for name, value in spec.items()}


def resolve_transforms(spec: Any, names: list, known: Iterable[str], owner: str) -> list[str]:
    """The name of the numeric map of each column."""
    values = dict.fromkeys(range(len(names)), spec)
    if isinstance(spec, Mapping):
        values = by_column(spec, names, "numeric_transform", owner)
    allowed = sorted(known)
    for value in values.values():
        if not (isinstance(value, str) and value in allowed):
            hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
            raise ValueError(
                f"The 'numeric_transform' parameter of {owner} must be one of {allowed}, or a "
                f"dict from columns to these. Got {value!r} instead.{hint}"
            )
    return [values.get(j, "auto") for j in range(len(names))]


def check_device(device: Any) -> torch.device:
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, which torch cannot use here ({error}). "
            "Use device='cpu', or 'auto'."
        ) from error
    return resolved


def answering_device(device: Any) -> torch.device:
    """The device of the answers: the CPU where that of an estimator is not there.

    So an estimator that was fitted elsewhere answers, from a file or a pickle.
    """
    try:
        return check_device(device)
    except ValueError:
        torch.device(device)  # RuntimeError: it is no device at all
        return torch.device("cpu")


def check_nested(
    estimator: Any, params: Mapping[str, Any], registries: Mapping[str, Mapping[str, type]]
) -> None:
    """Refuse ``component__parameter`` while the component is a name, with what to pass."""
    for key in params:
        name, _, inner = key.partition("__")
        value = params.get(name, getattr(estimator, name, None))
        if inner and name in registries and not hasattr(value, "set_params"):
            known = registries[name]
            family = known.get(value if isinstance(value, str) else "", next(iter(known.values())))
            raise ValueError(
                f"Cannot set {key!r} of {type(estimator).__name__} while {name}={value!r}: a name "
                f"has no parameters. Pass an object, such as {name}={family.__name__}(), to reach "
                "them."
            )


def check_unchanged(now: Mapping[str, Any], before: Mapping[str, Any], owner: str) -> None:
    """Refuse to continue with a model that was built with other parameters."""
    for name, value in now.items():
        if identity(value) != identity(before[name]):
            raise ValueError(
                f"{owner} continues with the model it has, but {name!r} changed from "
                f"{before[name]!r} to {value!r}. Set it back, or call fit with warm_start=False."
            )


def check_n_jobs(n_jobs: Any) -> None:
    if n_jobs is not None and (not is_int(n_jobs) or n_jobs == 0):
        raise ValueError(
            "The 'n_jobs' parameter must be None, a positive int or a negative one, of which -1 "
            f"means all processors. Got {n_jobs!r} instead."
        )


def check_size(n_rows: int, n_columns: int, least: int, owner: str) -> None:
    shape = f"(shape=({n_rows}, {n_columns}))"
    if n_columns < 1:
        raise ValueError(
            f"Found array with 0 feature(s) {shape} while a minimum of 1 is required by {owner}."
        )
    if n_rows < least:
        raise ValueError(
            f"Found array with {n_rows} sample(s) {shape} while a minimum of {least} is required "
            f"by {owner}. n_samples={n_rows} does not show how rows differ."
        )


def caller_stacklevel() -> int:
    """The `stacklevel` with which ``warnings.warn``, called here, names the line of the user.

    Frames of skvae are passed over, and those of scikit-learn, contextlib, functools and torch,
    which wrap methods and functions. Python 3.12 has ``skip_file_prefixes`` for it.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_internal(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_internal(module: str) -> bool:
    return module.partition(".")[0] in ("skvae", "sklearn", "contextlib", "functools", "torch")
