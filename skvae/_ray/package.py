"""The package ray, where it is installed."""

from __future__ import annotations

from typing import Any


def ray() -> Any:
    """The module, with those for data and training.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import ray
        import ray.data
        import ray.train
        import ray.train.torch
    except ImportError as error:
        raise ImportError(
            "To fit and to answer on a cluster, skvae needs Ray with its libraries for data and "
            f"training: pip install 'skvae[ray]' ({error})."
        ) from error
    return ray
