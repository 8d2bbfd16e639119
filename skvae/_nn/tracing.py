"""Whether a graph of torch operators is traced, that must hold for any number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_TRACED = ContextVar("_IS_TRACED", default=False)


def is_traced() -> bool:
    """Whether the operators of this call are traced."""
    return _IS_TRACED.get()


@contextmanager
def traced() -> Iterator[None]:
    """Functions neither split the rows nor use operators that no graph has."""
    token = _IS_TRACED.set(True)
    try:
        yield
    finally:
        _IS_TRACED.reset(token)
