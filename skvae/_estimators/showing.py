"""What notebooks show of an estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skvae._html.summary import fitted_summary


class ShowingMixin:
    """scikit-learn's diagram, and below it a summary of the fit once there is one.

    Both hooks of notebooks are extended, and only them: in the diagram of a pipeline the estimator
    is shown as any other.
    """

    @property
    def _repr_html_(self) -> Callable[[], str]:
        diagram = super()._repr_html_  # type: ignore[misc]  # AttributeError where display="text"
        return lambda: diagram() + self._summary()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._summary()
        return bundle

    def _summary(self) -> str:
        model = getattr(self, "estimator_", self)
        return fitted_summary(model) if hasattr(model, "fitted_model_") else ""
