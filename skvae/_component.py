"""Components are values: hyper-parameters only, equal if their parameters are."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator


def identity(value):
    return repr(value)


class Component(BaseEstimator):
    """Base of the likelihoods, latent families, priors and objectives."""

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self.get_params(deep=False) == other.get_params(
            deep=False
        )

    def __hash__(self) -> int:
        return hash(type(self))
