"""scikit-learn's callback protocol where the installed version has it (1.9), else nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin."""

    def with_callbacks(method: Callable) -> Callable:
        """Stands in for scikit-learn's decorator."""
        return method


class RoundCallbacks:
    """Tells the callbacks of an estimator of each round of training, as of one task."""

    def __init__(self, estimator: Any, X: Any, reconstruct: Callable[[], dict]) -> None:
        self.estimator, self.X, self.reconstruct = estimator, X, reconstruct
        self.fit_context: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.fit_context = estimator._init_callback_context(max_subtasks=None)
            self.fit_context.call_on_fit_task_begin(estimator=estimator, X=X)
            self._begin()

    def _begin(self) -> None:
        self.context = self.fit_context.subcontext(task_name="round")
        self.context.call_on_fit_task_begin(estimator=self.estimator, X=self.X)

    def _end(self, **kwargs: Any) -> bool:
        return bool(self.context.call_on_fit_task_end(estimator=self.estimator, X=self.X, **kwargs))

    def after_round(self) -> bool:
        """True if a callback asks to stop."""
        if self.fit_context is None:
            return False
        stop = self._end(reconstruction_attributes=self.reconstruct)
        self._begin()
        return stop

    def close(self, fitted: dict) -> None:
        if self.fit_context is not None:
            self._end()
            self.fit_context.call_on_fit_task_end(
                estimator=self.estimator, X=self.X, reconstruction_attributes=fitted
            )
