"""How many examples a test takes, how many cases were checked, and which errors are allowed."""

from __future__ import annotations

import os
import re
import traceback
import warnings
from pathlib import Path

import numpy as np
import sklearn
import sympy  # noqa: F401  torch imports it at its first need, which adds a filter of warnings
import torch
from hypothesis import HealthCheck, settings
from sklearn.exceptions import NotFittedError

import skvae

# A profile without derandomization takes other and more examples: FUZZ_FACTOR times as many.
IS_QUICK = settings.default.derandomize
FACTOR = 0.2 if IS_QUICK else float(os.environ.get("FUZZ_FACTOR", "15"))
PARTS = 1 if IS_QUICK else 4  # so that several processes share the work of a test

_cases = [0]


def count_case() -> None:
    """One example was checked, or one step of a state machine that had an answer."""
    _cases[0] += 1


def n_cases() -> int:
    return _cases[0]


def examples(n: int, **options) -> settings:
    """Settings of a test with n / 5 examples in the quick profile, and many more in the other.

    Fits take a fraction of a second, which a health check would call too slow.
    """
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=int(n * FACTOR), suppress_health_check=checks, **options)


LIBRARIES = [str(Path(module.__file__).parent) for module in (skvae, sklearn)]
TESTS = str(Path(__file__).parent)
SUBJECT = re.compile(
    r"'\w+|[Cc]olumn|\bX\b|\bZ\b|sample\(s\)|feature|unit=|\w+=|sample_weight|Sample weights|Input"
)


def check_documented(error: BaseException) -> None:
    """The error is one that a user may get: of a documented kind, and it says what is wrong.

    It is raised by skvae, and names a parameter or a column, or by scikit-learn's own validation,
    not somewhere below them.
    """
    where = traceback.extract_tb(error.__traceback__)[-1]
    told = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    if type(error) not in (ValueError, TypeError, NotFittedError, AttributeError):
        raise AssertionError(f"undocumented {told}") from error
    if not any(where.filename.startswith(library) for library in LIBRARIES):
        raise AssertionError(f"raised below the library: {told}") from error
    if where.filename.startswith(LIBRARIES[0]) and not SUBJECT.search(str(error)):
        raise AssertionError(f"names no parameter or column: {told}") from error


def global_state() -> dict:
    """What no call may change."""
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "errors of numpy": dict(np.geterr()),
        "filters of warnings": list(warnings.filters),
        "stream of torch": torch.get_rng_state().numpy().tobytes(),
        "stream of numpy": np.random.get_state()[1].tobytes(),
        "position in it": np.random.get_state()[2],
        "validation": torch.distributions.Distribution._validate_args,
    }


def attempt(call, *args, **kwargs):
    """The answer of a call and None, or None and the documented error; the state is as it was."""
    before = global_state()
    try:
        answer, refusal = call(*args, **kwargs), None
    except Exception as error:
        if TESTS in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise  # a check of the answer
        check_documented(error)
        answer, refusal = None, error
    after = global_state()
    changed = [name for name in before if after[name] != before[name]]
    assert not changed, f"{call.__name__} changed {changed}"
    return answer, refusal
